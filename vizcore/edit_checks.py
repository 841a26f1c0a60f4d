"""Whether an edit fits a model, and then a text; and what it names there.

Everything is checked before anything runs, and what is said names what was asked for, what there
is, and what to do. Positions are resolved here: from the end, and for texts that still grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vizcore.blocks import blocks_of, stack_of
from vizcore.capture import Kind
from vizcore.eager_editor import can_edit_heads
from vizcore.edited_runs import Place, layers_of
from vizcore.edits import (
    AblateHead,
    AblateLayer,
    Edit,
    KnockOut,
    Patch,
    Scale,
    SetPattern,
    Steer,
    is_of_stream,
)
from vizcore.errors import CaptureError, SelectionError, ShapeError
from vizcore.selection import check_head, layer_place
from vizcore.trace import Trace

if TYPE_CHECKING:
    from vizcore.model import Model


@dataclass(frozen=True, eq=False)
class Text:
    """What edits have to know of the text that is run.

    Args:
        source_ids: what is read; of an encoder-decoder, by its encoder.
        target_ids: of an encoder-decoder, what its decoder reads; else None.
        n_prompt: if the decoder's text grows, how many of its tokens were there at first. Those are
            what edits count from the end of, and have the size of; those of all positions hold for
            what comes, too, and positions may be named that are not there yet.
    """

    source_ids: Sequence[int]
    target_ids: Sequence[int] | None = None
    n_prompt: int | None = None

    def n_queries(self, kind: str) -> int:
        """How many tokens look, or are in the stack of this name."""
        if kind == "encoder":
            return len(self.source_ids)
        ids = self.source_ids if self.target_ids is None else self.target_ids
        return len(ids) if self.n_prompt is None else self.n_prompt

    def n_keys(self, kind: str) -> int:
        """How many tokens are looked at."""
        return self.n_queries("encoder" if kind == "cross" else kind)

    def queries(self, positions: tuple[int, ...] | None, kind: str) -> tuple[int, ...] | None:
        """These positions among those that look, from the beginning; None for all.

        Raises:
            SelectionError: if one is not there.
        """
        grows = self.n_prompt is not None and kind != "encoder"
        return _places(positions, self.n_queries(kind), grows=grows)

    def keys(self, positions: tuple[int, ...] | None, kind: str) -> tuple[int, ...] | None:
        """The same among those that are looked at."""
        return self.queries(positions, "encoder" if kind == "cross" else kind)

    def queries_now(self, positions: tuple[int, ...] | None, kind: str) -> tuple[int, ...]:
        """These positions, if all are there already; None for all that are."""
        n_tokens = self.n_queries(kind)
        found = _places(positions, n_tokens, grows=False)
        return tuple(range(n_tokens)) if found is None else found


# --- Against a model ------------------------------------------------------------------------------


def check_edit(model: "Model", edit: Edit) -> None:
    """Raise unless the model has what the edit names. Errors as `vizcore.editing.editing`."""
    kind = model._kind(edit.kind)
    if not is_of_stream(edit):
        if model.capture == "eager" and not can_edit_heads(model.network, model._capture):
            raise CaptureError(
                f"Single heads of {model.name} cannot be edited exactly: its architecture computes "
                "its attention by itself, in a way that is not known. What whole layers do can: "
                'AblateLayer, Steer, Patch of "residual". Or load a model whose `capture` is '
                '"tap", such as smollm2-135m.'
            )
        layer_place(model, edit.layer, kind)
        if not isinstance(edit, AblateLayer | Steer) and edit.head is not None:
            check_head(model, edit.head, kind)
        if isinstance(edit, SetPattern) and edit.pattern == "previous" and kind == "cross":
            raise SelectionError(
                'No token of a source is the one before a token of the target: "previous" is '
                "not for cross attention."
            )
        return
    place = place_of(model, edit)
    if place[0] == "attention":
        layer_place(model, edit.layer, kind)
    stack = stack_of(kind)
    n_layers = layers_of(model, stack)
    last = n_layers if place[0] == "residual" else n_layers - 1
    if not 0 <= edit.layer <= last:
        after = f" ({n_layers} is after the last)" if last == n_layers else ""
        raise SelectionError(
            f"There is no layer {edit.layer}: {model.name} has {n_layers} layers, counted from 0 "
            f"to {last}{after}."
        )
    if isinstance(edit, Steer):
        width = blocks_of(model.network, model._capture).layers[stack][0].d_model
        if len(edit.direction) != width:
            raise ShapeError(
                f"The direction has {len(edit.direction)} numbers, and the residual stream of "
                f"{model.name} has {width}."
            )


def place_of(model: "Model", edit: Edit) -> Place:
    """What it changes of the residual stream, and where."""
    kind = model._kind(edit.kind)
    what = "residual"
    if isinstance(edit, AblateLayer | Scale):
        what = edit.part
    elif isinstance(edit, Patch):
        what = edit.where
    return what, kind if what in ("attention", "head", "pattern") else stack_of(kind), edit.layer


def taken_by(model: "Model", edit: Edit) -> Place | None:
    """What of another run has to be listened to for it; None for nothing."""
    if isinstance(edit, AblateHead) and edit.how != "zero":
        return "head", model._kind(edit.kind), edit.layer
    if isinstance(edit, Patch) and edit.where != "pattern":
        return place_of(model, edit)
    return None


def heads_of(model: "Model", head: int | None, kind: Kind) -> list[int]:
    """This head, or all."""
    return list(range(model._capture.n_heads[kind])) if head is None else [head]


def is_pair(source: Any) -> bool:
    """Whether it is a source and a target."""
    return isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], str)


def is_one_text(model: "Model", given: tuple[Any, ...]) -> bool:
    """Whether it is one text, as token ids or as source and target, and not several."""
    pair = model.kind == "encoder-decoder" and is_pair(given) and isinstance(given[0], str)
    return pair or all(isinstance(one, int) for one in given)


# --- Against a text -------------------------------------------------------------------------------


def check_text(model: "Model", edit: Edit, text: Text) -> None:
    """Raise unless the text has the positions that the edit names, and a pattern its size."""
    kind = model._kind(edit.kind)
    match edit:
        case KnockOut():
            text.queries(edit.queries, kind)
            text.keys(edit.keys, kind)
        case Patch():
            text.queries_now(edit.positions, kind)
        case Scale() | Steer():
            text.queries(edit.positions, kind)
        case SetPattern() if not isinstance(edit.pattern, str):
            shape = (len(edit.pattern), len(edit.pattern[0]) if edit.pattern else 0)
            wanted = (text.n_queries(kind), text.n_keys(kind))
            if shape != wanted:
                raise ShapeError(
                    f"The pattern has shape {shape}, and the text needs {wanted}: one row for each "
                    "query, one column for each key."
                )
            ahead = kind == "decoder" and any(
                weight for row, weights in enumerate(edit.pattern) for weight in weights[row + 1 :]
            )
            if ahead:
                raise SelectionError(
                    "The pattern looks ahead, at tokens that the decoder has not read yet. Put 0 "
                    "above its diagonal."
                )
        case _:
            return


def _places(
    positions: tuple[int, ...] | None, n_tokens: int, *, grows: bool
) -> tuple[int, ...] | None:
    """Positions from the beginning; None for all."""
    if positions is None:
        return None
    for position in positions:
        if not -n_tokens <= position and position < 0 or position >= n_tokens and not grows:
            raise SelectionError(
                f"There is no position {position}: the text has {n_tokens} tokens, so positions go "
                f"from 0 to {n_tokens - 1}, or from -1 backwards."
            )
    return tuple(place + n_tokens if place < 0 else place for place in positions)


# --- Against the texts that something is taken from -----------------------------------------------


def check_source(model: "Model", source: Trace) -> None:
    """Raise unless what another run has fits into one of this model."""
    other = source.model
    same = other is model or (
        other._capture.layers == model._capture.layers
        and other._capture.n_heads == model._capture.n_heads
        and other.network.config.to_dict().get("hidden_size")
        == model.network.config.to_dict().get("hidden_size")
    )
    if not same:
        raise SelectionError(
            f"The run that is patched from is one of {other.name}, whose sizes are not those of "
            f"{model.name}. Take a run of the same model."
        )


def check_source_length(n_source: int, edit: Patch, n_tokens: int, places: Sequence[int]) -> None:
    """Raise unless the other text has these positions, and if all are patched, the same length."""
    if edit.positions is None and n_source != n_tokens:
        raise SelectionError(
            f"The text that is patched from has {n_source} tokens and this one {n_tokens}: to "
            "patch all, both need the same number. Choose positions, or texts of one length."
        )
    check_length(n_source, places, "The text that is patched from")


def check_length(n_tokens: int, places: Sequence[int], what: str) -> None:
    """Raise unless a text of so many tokens has all these places."""
    if places and max(places) >= n_tokens:
        raise SelectionError(
            f"{what} has {n_tokens} tokens, so nothing can be taken from its position "
            f"{max(places)}. Take a longer one."
        )
