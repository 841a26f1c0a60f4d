"""The colours of every view, for the browser and for Plotly alike.

The idea: the further from the page's background, the more weight; so there is a ramp for light
pages and one for dark ones, each with even steps of lightness (OKLab), and no colour of it is the
background, so that a weight of zero can be told from a cell that is masked. Values below zero
(differences) take the diverging ramps. Categories (lines side by side) take hues, not lightness.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Colours:
    """Ramps as hex colours at even distances, and the colours of cells that have none of them.

    Args:
        sequential: from nothing to the most.
        diverging: from the least to the most, zero in the middle.
        undefined: of what is not a number.
        infinite: of what is infinite.
        aside: of what is left out of the picture, such as a sink.
    """

    sequential: tuple[str, ...]
    diverging: tuple[str, ...]
    undefined: str
    infinite: str
    aside: str

    def to_dict(self) -> dict[str, object]:
        """As JSON-able data for a browser view."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


LIGHT = Colours(
    sequential=(
        "#e5eff3",
        "#95e0e8",
        "#54cad0",
        "#0cadc9",
        "#098cbc",
        "#1c6cac",
        "#254e91",
        "#243372",
        "#1b1a53",
    ),
    diverging=(
        "#7a3704",
        "#9f603b",
        "#bb8e75",
        "#d4bdb0",
        "#ededed",
        "#b3c4d7",
        "#7b9dc0",
        "#4275a9",
        "#004f8a",
    ),
    undefined="#d6006c",
    infinite="#f09a00",
    aside="#b9b9b9",
)
DARK = Colours(
    sequential=(
        "#1f233b",
        "#22386c",
        "#0f548e",
        "#0a7594",
        "#0f9696",
        "#3ab592",
        "#80ce83",
        "#c8e177",
        "#fff39b",
    ),
    diverging=(
        "#ffa571",
        "#c6835d",
        "#8e644c",
        "#59453b",
        "#292929",
        "#3d4c5c",
        "#517293",
        "#659acf",
        "#8bc3fd",
    ),
    undefined="#ff5cab",
    infinite="#ff9a3d",
    aside="#5c5c5c",
)
HUES_LIGHT = ("#1c6cac", "#d8480f", "#2c7d3f", "#8443a8", "#8a6500", "#b3285f")
"""For lines side by side, each readable on a light page; the same on a dark one below."""
HUES_DARK = ("#8bc3fd", "#ffa571", "#80ce83", "#d6a4f0", "#e5c35a", "#ff9fc0")


def colorscale(ramp: Sequence[str]) -> list[tuple[float, str]]:
    """The ramp as Plotly wants it: (place from 0 to 1, colour)."""
    return [(index / (len(ramp) - 1), colour) for index, colour in enumerate(ramp)]
