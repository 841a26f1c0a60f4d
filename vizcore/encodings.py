"""Positional encodings as data: what `positions` finds out about a model, one class a family.

Frozen dataclasses of numpy arrays, and tables of what is usually looked at: how alike two positions
are, how fast a pair turns, how a score changes with distance. No network is in here and nothing is
detected: that is `vizcore.positional`. Distances are query position minus key position: 1 is the
token before, negative ones lie ahead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vizcore.errors import SelectionError

Family = Literal[
    "sinusoidal", "learned", "rotary", "alibi", "relative bias", "relative", "none", "unknown"
]
"""What a network tells its layers about positions, and by what means."""


@dataclass(frozen=True, eq=False)
class PositionalEncoding:
    """One way in which positions enter a network, without numbers of its own.

    As such it stands for "none", "unknown" and "relative" (what the other classes do not cover);
    the other families are its subclasses.

    Args:
        family: see `Family`.
        kinds: the stacks that it works in: of "decoder" and "encoder".
        layers: the layers that it works in, counted from 0; () if it is added to what the first
            layer reads.
        description: one line for people.
    """

    family: Family
    kinds: tuple[str, ...]
    layers: tuple[int, ...]
    description: str


@dataclass(frozen=True, eq=False)
class PositionTable(PositionalEncoding):
    """A vector for each position, added to the token's: "sinusoidal" or "learned".

    Args:
        values: row p is what is added at position p.
        n_skipped: rows of the network's table before that of the first position.
        frequencies: of a sinusoidal table, radians a token for each sine-cosine pair, fastest
            first; None for a learned one, or if the numbers are not those of any formula.
    """

    values: Float[np.ndarray, "position dim"]
    n_skipped: int = 0
    frequencies: Float[np.ndarray, " pair"] | None = None

    def similarity(self, n_positions: int) -> Float[np.ndarray, "position position"]:
        """The cosine of the vectors of each two of the first positions, from -1 to 1."""
        rows = self.values[:n_positions]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit = rows / np.where(lengths == 0, 1, lengths)
        return unit @ unit.T

    def products(self, n_positions: int) -> pd.DataFrame:
        """How the dot product of two positions' vectors depends on how far they are apart.

        Returns:
            One row a distance (tokens): distance; mean, low and high (the 5th and the 95th
            percentile) of all pairs so far apart among the first positions. A sinusoidal table
            has the same for all of them.
        """
        rows = self.values[:n_positions].astype(np.float64)
        products = rows @ rows.T
        diagonals = [np.diagonal(products, distance) for distance in range(len(rows))]
        return pd.DataFrame(
            {
                "distance": np.arange(len(rows)),
                "mean": [one.mean() for one in diagonals],
                "low": [np.percentile(one, 5) for one in diagonals],
                "high": [np.percentile(one, 95) for one in diagonals],
            }
        )


@dataclass(frozen=True, eq=False)
class RotaryPositions(PositionalEncoding):
    """Queries and keys turned by an angle that grows with position (RoPE, Su et al. 2021).

    Pair i of a head's dimensions at position p is turned by p·θᵢ, so the product of a query and a
    key depends on their distance alone.

    Args:
        frequencies: θ, radians a token for each pair.
        d_head: dimensions of a head; those that belong to no pair are left as they are.
        base: of the frequencies, as θᵢ = base^(-2i/n) of n rotated dimensions; None if unknown.
        scaling: how the frequencies were stretched for longer texts ("linear", "llama3", "yarn",
            …); "default" if they were not. "dynamic" and "longrope" stretch them further in a
            text that is longer than those of the training.
        attention_scaling: by what queries and keys are multiplied besides; 1 if not at all.
    """

    frequencies: Float[np.ndarray, " pair"]
    d_head: int
    base: float | int | None = None
    scaling: str = "default"
    attention_scaling: float | int = 1.0

    @property
    def n_rotated(self) -> int:
        """How many of a head's dimensions are turned."""
        return 2 * len(self.frequencies)

    def pairs(self) -> pd.DataFrame:
        """One row a pair: pair, frequency (radians a token), tokens_a_turn."""
        with np.errstate(divide="ignore"):
            turns = 2 * np.pi / np.abs(self.frequencies.astype(np.float64))
        pairs = np.arange(len(self.frequencies))
        return pd.DataFrame({"pair": pairs, "frequency": self.frequencies, "tokens_a_turn": turns})

    def factors(self, n_distances: int) -> pd.DataFrame:
        """What distance does to a score, if a query and a key point the same way.

        A pair's part of their product is then multiplied by cos(distance·θᵢ) (and by
        attention_scaling²).

        Returns:
            One row a distance: distance, mean (over the pairs, each as strong as the others), and
            one column a pair, numbered from 0.
        """
        distances = np.arange(n_distances)
        angles = distances[:, None] * self.frequencies.astype(np.float64)  # distance pair
        factors = self.attention_scaling**2 * np.cos(angles)
        frame = pd.DataFrame(factors, columns=range(len(self.frequencies)))
        frame.insert(0, "distance", distances)
        frame.insert(1, "mean", factors.mean(axis=1))
        return frame


@dataclass(frozen=True, eq=False)
class AlibiPositions(PositionalEncoding):
    """A straight line over distance, subtracted from the scores (ALiBi, Press et al. 2022).

    Args:
        slopes: how much a score falls with each token of distance, in each head.
    """

    slopes: Float[np.ndarray, " head"]

    @property
    def n_heads(self) -> int:
        """How many heads a layer has."""
        return len(self.slopes)

    @property
    def is_shared(self) -> bool:
        """Whether all layers have the same biases: always."""
        return True

    def biases(self, n_distances: int) -> pd.DataFrame:
        """What is added to a score, one row a head and distance: layer, head, distance, bias.

        The layer is None, since all layers have the same.
        """
        distances = np.arange(n_distances)
        return _biases(-self.slopes[None, :, None] * distances, distances, (None,))


@dataclass(frozen=True, eq=False)
class BiasPositions(PositionalEncoding):
    """A learned number for each bucket of distances, added to the scores (T5, Raffel et al. 2020).

    Args:
        buckets: the learned numbers, for each layer that has its own (one if all share it).
        max_distance: from where on all distances share a bucket.
        looks_ahead: whether half of the buckets are for keys ahead of the query.
    """

    buckets: Float[np.ndarray, "layer head bucket"]
    max_distance: int
    looks_ahead: bool

    @property
    def n_heads(self) -> int:
        """How many heads a layer has."""
        return int(self.buckets.shape[1])

    @property
    def is_shared(self) -> bool:
        """Whether all layers have the same biases."""
        return len(self.buckets) == 1

    def bias(self, distances: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "layer head *shape"]:
        """What is added to a score at these distances, for each layer of its own and head."""
        bucket = bucket_of(
            distances, self.buckets.shape[-1], self.max_distance, looks_ahead=self.looks_ahead
        )
        return self.buckets[:, :, bucket]

    def biases(self, n_distances: int) -> pd.DataFrame:
        """The same as a table, up to a distance: layer, head, distance, bias.

        The layer is None if all layers have the same. If the stack looks ahead, the distances
        begin below 0.
        """
        distances = np.arange(1 - n_distances if self.looks_ahead else 0, n_distances)
        layers = (None,) if self.is_shared else self.layers
        return _biases(self.bias(distances), distances, layers)


@dataclass(frozen=True, eq=False)
class PositionalEncodings:
    """All positional encodings of a model. Made by `vizcore.positional`.

    Args:
        model: its name.
        encodings: one or more; a model may add a table and a bias, or turn only in some layers.
    """

    model: str
    encodings: tuple[PositionalEncoding, ...]

    def __iter__(self) -> Iterator[PositionalEncoding]:
        return iter(self.encodings)

    def __len__(self) -> int:
        return len(self.encodings)

    def __getitem__(self, number: int) -> PositionalEncoding:
        if not -len(self) <= number < len(self):
            raise SelectionError(
                f"There is no encoding {number}: {self.model} has {len(self)}, counted from 0."
            )
        return self.encodings[number]

    @property
    def families(self) -> tuple[Family, ...]:
        """Each family once; "none" only if there is no other (some layers may have none)."""
        found = tuple(dict.fromkeys(one.family for one in self.encodings))
        return tuple(family for family in found if family != "none") or found

    @property
    def family(self) -> str:
        """The families in one word each: "rotary", or "learned + relative bias"."""
        return " + ".join(self.families)

    def to_frame(self) -> pd.DataFrame:
        """One row an encoding: family, kinds, layers, description."""
        columns = ("family", "kinds", "layers", "description")
        rows = [[getattr(one, name) for name in columns] for one in self.encodings]
        return pd.DataFrame(rows, columns=list(columns))


def bucket_of(
    distances: Int[np.ndarray, "*shape"], n_buckets: int, max_distance: int, *, looks_ahead: bool
) -> Int[np.ndarray, "*shape"]:
    """The bucket of each distance, after T5: one for each short distance, then wider and wider.

    The first half of the buckets are for distances up to their number, the others grow with the
    logarithm until max_distance. If the stack looks ahead, the upper half is for keys ahead.
    """
    n_one_way = n_buckets // 2 if looks_ahead else n_buckets
    ahead = n_one_way * (distances < 0) if looks_ahead else np.zeros_like(distances)
    size = np.abs(distances) if looks_ahead else np.maximum(distances, 0)
    n_exact = n_one_way // 2
    # In float32, as networks do it: at the edges of buckets the last digit decides.
    share = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(n_exact))
    share = share / np.float32(np.log(max_distance / n_exact))
    wide = n_exact + (share * np.float32(n_one_way - n_exact)).astype(np.int64)
    result: np.ndarray = ahead + np.where(size < n_exact, size, np.minimum(wide, n_one_way - 1))
    return result


def _biases(
    values: Float[np.ndarray, "layer head distance"],
    distances: Int[np.ndarray, " distance"],
    layers: tuple[int | None, ...],
) -> pd.DataFrame:
    n_layers, n_heads, n_distances = values.shape
    return pd.DataFrame(
        {
            "layer": np.repeat(np.array(layers, dtype=object), n_heads * n_distances),
            "head": np.tile(np.repeat(np.arange(n_heads), n_distances), n_layers),
            "distance": np.tile(distances, n_layers * n_heads),
            "bias": values.ravel(),
        }
    )
