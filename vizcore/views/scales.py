"""Linear and logarithmic colour scales, with ticks that say what they stand for.

The idea: a logarithm has no zero, so a logarithmic scale ends at a floor; whatever is nearer to
zero has the floor's colour, and the lowest tick says so ("≤ 0.001"). Where values may be negative
the same happens on both sides of zero. `scale.js` is the same for the browser.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Kind = Literal["linear", "log"]

MAX_DECADES = 4
"""A logarithmic scale shows at most so many powers of ten: below them all is as good as zero."""


@dataclass(frozen=True)
class Scale:
    """From values to places on a colour ramp.

    Args:
        low: the value at the ramp's beginning; below zero: zero is in its middle.
        high: the value at its end.
        floor: of a logarithmic scale, the smallest size that is told from zero; None: linear.
    """

    low: float
    high: float
    floor: float | None = None

    @classmethod
    def over(cls, values: Float[np.ndarray, "..."], low: float, high: float, kind: Kind) -> "Scale":
        """The scale from low to high; a logarithmic one goes down to where these values end."""
        if kind == "linear":
            return cls(low, high)
        sizes = np.abs(values[np.isfinite(values)])
        least = float(sizes.min(initial=high, where=sizes > 0))
        # A power of ten, so that it can be read.
        decade = 10.0 ** np.floor(np.log10(max(least, high * 10.0**-MAX_DECADES)) + 1e-9)
        return cls(low, high, float(min(decade, high / 10)))

    def places(self, values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """What to colour by: the values themselves, or decades above the floor, with their sign."""
        if self.floor is None:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            decades = np.log10(np.abs(values) / self.floor)
        above = np.where(np.isnan(values), np.nan, np.maximum(decades, 0))
        return np.sign(values) * above if self.low < 0 else above

    @property
    def ends(self) -> tuple[float, float]:
        """The places of low and high."""
        low, high = self.places(np.array([self.low, self.high]))
        return float(low), float(high)

    def ticks(self) -> list[tuple[float, str]]:
        """(place, label) of the ticks of a logarithmic scale, from its beginning to its end."""
        if self.floor is None:
            raise ValueError("A linear scale needs no ticks of ours.")
        n_decades = int(np.floor(np.log10(self.high / self.floor) + 1e-9))
        values = [self.floor * 10.0 ** (decade + 1) for decade in range(n_decades)]
        if self.high > values[-1] * 2:
            values.append(self.high)
        places = self.places(np.array(values))
        ticks = [(float(place), f"{v:.3g}") for place, v in zip(places, values, strict=True)]
        if self.low < 0:
            below = [(-place, f"−{label}") for place, label in reversed(ticks)]
            return [*below, (0.0, f"within ±{self.floor:.3g}"), *ticks]
        return [(0.0, f"≤ {self.floor:.3g}"), *ticks]
