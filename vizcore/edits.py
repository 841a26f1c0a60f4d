"""What can be changed in a run, as small frozen values: ablation, knock-out, patching, steering.

An edit says what is changed and where, and nothing about how; a run takes a list of them
(`model.trace(text, edits=[…])`, `score`, `surprisal`, `generate`) and the network that everybody
shares is never touched. They apply where their quantity is computed, whatever their order in the
list: from layer to layer, and in each layer first to the residual stream that it reads, then to
edges (`KnockOut`), then to patterns, then to what heads give, then to what attention and
feed-forward add to the stream. Edits of the same quantity apply one after another, in the order of
the list. For the measured effect of many edits at once see `vizcore.ablation_effects`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap

if TYPE_CHECKING:
    from vizcore.trace import Trace

HOW = ("zero", "mean", "resample")
PARTS = ("attention", "feed-forward")
WHERE = ("residual", "head", "pattern", "feed-forward", "attention")
PATTERNS = ("uniform", "previous")


@dataclass(frozen=True)
class AblateHead:
    """What one head gives to the residual stream is taken away, or made to say nothing of the text.

    Args:
        layer, head: counted from 0.
        kind: "encoder", "decoder" or "cross"; None for the model's main one.
        how: "zero": its output is 0 at each token. "mean": its output is its mean over all tokens
            of the reference, the same at each token (Wang et al. 2022). "resample": its output is
            what it is at the same position of another text (Chan et al. 2022).
        reference: of "mean": a text or several, or traces; None for the text itself. Of "resample":
            a text or a trace, of at least as many tokens. Of an encoder-decoder, traces, pairs
            (source, target), or sources for which it writes the target.
    """

    layer: int
    head: int
    kind: str | None = None
    how: str = "zero"
    reference: Any = None

    def __post_init__(self) -> None:
        _check_name("how", self.how, HOW)
        object.__setattr__(self, "reference", _frozen(self.reference))
        if self.how == "zero" and self.reference is not None:
            raise SelectionError(
                'An ablation to zero has no reference: leave it out, or say how="mean".'
            )
        if self.how == "resample" and self.reference is None:
            raise SelectionError(
                'how="resample" takes the head\'s output from another text: give it as reference.'
            )
        if self.how == "mean" and self.reference == ():
            raise SelectionError(
                'how="mean" needs at least one reference text, or None for the text itself.'
            )


@dataclass(frozen=True)
class AblateLayer:
    """A layer's attention, or its feed-forward block, adds nothing to the residual stream.

    Args:
        layer: counted from 0.
        part: "attention" or "feed-forward".
        kind: whose: of "attention" its kind, of "feed-forward" the stack ("encoder", "decoder").
    """

    layer: int
    part: str = "attention"
    kind: str | None = None

    def __post_init__(self) -> None:
        _check_name("part", self.part, PARTS)


@dataclass(frozen=True)
class KnockOut:
    """Edges of a head are cut before the softmax: the rest of each row still sums to 1.

    After Geva et al. 2023. A query that may look at nothing any more gets nothing.

    Args:
        layer: counted from 0.
        head: counted from 0; None for all heads of the layer.
        queries, keys: positions; each of these queries no longer looks at any of these keys. One
            position, several, or None for all; negative ones from the end.
        kind: as in `AblateHead`.
    """

    layer: int
    head: int | None
    queries: Any
    keys: Any
    kind: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "queries", _positions(self.queries))
        object.__setattr__(self, "keys", _positions(self.keys))


@dataclass(frozen=True)
class SetPattern:
    """A head looks where it is told.

    Args:
        layer: counted from 0.
        head: counted from 0; None for all heads of the layer.
        pattern: "uniform" (all keys that the query may see, alike), "previous" (the token before;
            the first token itself), or weights of your own, (query, key).
        kind: as in `AblateHead`.
    """

    layer: int
    head: int | None
    pattern: Any
    kind: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.pattern, str):
            _check_name("pattern", self.pattern, PATTERNS)
            if self.pattern == "previous" and self.kind == "cross":
                raise SelectionError(
                    'No token of a source is the one before a token of the target: "previous" is '
                    "not for cross attention."
                )
            return
        given = self.pattern
        rows = _numbers(given.values if isinstance(given, AttentionMap) else given)
        if rows.ndim != 2:
            raise ShapeError(
                f"A pattern has one row for each query and one column for each key, not shape "
                f"{rows.shape}."
            )
        if not np.isfinite(rows).all() or rows.min(initial=0) < 0:
            raise SelectionError("The weights of a pattern are numbers that are not negative.")
        object.__setattr__(self, "pattern", tuple(map(tuple, rows.tolist())))


@dataclass(frozen=True)
class Patch:
    """Something of another run is put in its place: activation patching (Vig et al. 2020).

    Args:
        source: the other run: a trace, or a text that is run now. A trace with edits gives what it
            was with them.
        where: "residual": the residual stream as the layer reads it. "head": what heads give.
            "pattern": their attention weights. "attention", "feed-forward": what these add to the
            stream.
        layer: counted from 0; of "residual", the number of layers means after the last.
        head: counted from 0, of "head" and "pattern"; None for all heads of the layer.
        positions: at which tokens (of a pattern: which rows); None for all, for which both texts
            must have as many tokens. Negative ones from the end.
        kind: as in `AblateLayer`.
    """

    source: "Trace | str | Sequence[int] | tuple[str, str]"
    where: str
    layer: int
    head: int | None = None
    positions: Any = None
    kind: str | None = None

    def __post_init__(self) -> None:
        _check_name("where", self.where, WHERE)
        _check_no_head(self.where, self.head, ("head", "pattern"))
        object.__setattr__(self, "positions", _positions(self.positions))
        object.__setattr__(self, "source", _frozen(self.source))


@dataclass(frozen=True)
class Scale:
    """What a head, an attention or a feed-forward block gives is multiplied.

    Args:
        layer: counted from 0.
        factor: 1 changes nothing, 0 takes it away.
        part: "head", "attention" or "feed-forward".
        head: of "head", counted from 0; None for all heads of the layer.
        positions: at which tokens; None for all. Negative ones from the end.
        kind: as in `AblateLayer`.
    """

    layer: int
    factor: float | int
    part: str = "head"
    head: int | None = None
    positions: Any = None
    kind: str | None = None

    def __post_init__(self) -> None:
        _check_name("part", self.part, ("head", *PARTS))
        _check_no_head(self.part, self.head, ("head",))
        object.__setattr__(self, "positions", _positions(self.positions))


@dataclass(frozen=True)
class Steer:
    """A direction is added to the residual stream (Turner et al. 2023).

    Args:
        layer: before which layer, counted from 0; the number of layers means after the last.
        direction: d_model numbers.
        positions: at which tokens; None for all. Negative ones from the end.
        factor: how much of it is added.
        kind: the stack, "encoder" or "decoder"; None for the main one.
    """

    layer: int
    direction: Any
    positions: Any = None
    factor: float | int = 1.0
    kind: str | None = None

    def __post_init__(self) -> None:
        numbers = _numbers(self.direction)
        if numbers.ndim != 1:
            raise ShapeError(f"A direction is a row of d_model numbers, not shape {numbers.shape}.")
        if not np.isfinite(numbers).all():
            raise SelectionError("A direction is made of numbers, all of them finite.")
        object.__setattr__(self, "direction", tuple(numbers.tolist()))
        object.__setattr__(self, "positions", _positions(self.positions))


Edit = AblateHead | AblateLayer | KnockOut | SetPattern | Patch | Scale | Steer
"""Anything that can be changed in a run."""


def is_placed(edit: Edit) -> bool:
    """Whether what it does to a token depends on the token's place, or on the whole text."""
    match edit:
        case AblateHead():
            return edit.how == "resample" or (edit.how == "mean" and edit.reference is None)
        case KnockOut():
            return edit.queries is not None or edit.keys is not None
        case SetPattern():
            return bool(edit.pattern != "uniform")
        case Patch():
            return True
        case Scale() | Steer():
            return edit.positions is not None
        case AblateLayer():
            return False


def is_of_stream(edit: Edit) -> bool:
    """Whether it changes the residual stream or what a whole block adds, not single heads."""
    match edit:
        case AblateLayer() | Steer():
            return True
        case Patch():
            return edit.where not in ("head", "pattern")
        case Scale():
            return edit.part != "head"
        case _:
            return False


def _check_name(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        *others, last = map(repr, names)
        raise SelectionError(f"There is no {what} {name!r}: it is {', '.join(others)} or {last}.")


def _check_no_head(what: str, head: int | None, parts: Sequence[str]) -> None:
    if head is not None and what not in parts:
        raise SelectionError(
            f"{what!r} is of a whole layer, not of head {head}: leave out the head, or choose "
            f"{' or '.join(map(repr, parts))}."
        )


def _positions(given: Any) -> tuple[int, ...] | None:
    """Positions as a tuple; None for all."""
    if given is None:
        return None
    if isinstance(given, Iterable):
        return tuple(dict.fromkeys(index(position) for position in given))
    return (index(given),)


def _frozen(given: Any) -> Any:
    """Lists of ids, or of texts, as tuples."""
    return tuple(map(_frozen, given)) if isinstance(given, list | tuple) else given


def _numbers(given: Any) -> np.ndarray:
    """Numbers of any origin as an array."""
    detached = given.detach().cpu() if hasattr(given, "detach") else given
    numbers: np.ndarray = np.asarray(detached, dtype=np.float64)
    return numbers
