"""`Scene`: what the app shows, as one value.

Everything on a page follows from its widgets' values, which Streamlit keeps in the address
(`bind="query-params"`). The keys are the names below, so a scene can be read from the state in one
place and written as a link in another. What is clicked in a view goes to the same keys.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self
from urllib.parse import urlencode

LONGEST_LINK = 6000
"""Characters of an address that browsers, proxies and chat programs pass on unharmed."""


@dataclass(frozen=True)
class Scene:
    """What is looked at. The fields are the keys of the widgets and of the address.

    Args:
        model: a catalogue name, a Hub id or a folder.
        text: what the model reads.
        target: what the decoder of an encoder-decoder reads; "" lets it write by itself.
        kind: of attention: "decoder", "encoder" or "cross"; "" for the model's main kind.
        layer, head: the head that is open, counted from 0; None if none was picked.
        token: the position that is looked at closely, counted from 0; None if none was picked.
    """

    model: str
    text: str
    target: str = ""
    kind: str = ""
    layer: int | None = None
    head: int | None = None
    token: int | None = None

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Self:
        """The scene that the widgets' values make, or that an address names."""
        given = {field.name: state[field.name] for field in fields(cls) if field.name in state}
        return cls(**{"model": "", "text": ""} | {k: v for k, v in given.items() if v is not None})

    def link(self) -> str:
        """The part of an address behind the question mark that brings this scene back."""
        return urlencode({key: value for key, value in asdict(self).items() if value not in (None, "")})

    @property
    def fits_a_link(self) -> bool:
        """Whether the address is short enough to be passed on."""
        return len(self.link()) <= LONGEST_LINK


def keep_in_range(state: MutableMapping[str, Any], key: str, low: int, high: int) -> None:
    """Bring a number that was picked for another text or model back to where it can be."""
    value = state.get(key)
    if value is not None:
        state[key] = min(max(int(value), low), high)
