"""Which layers and heads a model has, and what is said of those that it has not."""

from typing import TYPE_CHECKING

from vizcore.capture import Kind
from vizcore.errors import SelectionError

if TYPE_CHECKING:
    from vizcore.model import Model
    from vizcore.trace import Trace


def layer_place(model: "Model", layer: int, kind: Kind) -> int:
    """The place of a layer among those that have attention of this kind.

    Raises:
        SelectionError: if it has none, or is not there.
    """
    layers = model.layers(kind)
    if layer in layers:
        return layers.index(layer)
    if 0 <= layer < model.n_layers and len(layers) < model.n_layers:
        raise SelectionError(
            f"Layer {layer} of {model.name} has no softmax attention (it mixes tokens in "
            f"another way). Layers that have: {', '.join(map(str, layers))}."
        )
    raise SelectionError(
        f"There is no layer {layer}: {model.name} has {len(layers)} layers of {kind} "
        f"attention, counted from 0 to {layers[-1]}."
    )


def check_head(model: "Model", head: int, kind: Kind) -> None:
    """Raise a SelectionError unless a layer of the model has this head."""
    n_heads = model._capture.n_heads[kind]
    if not 0 <= head < n_heads:
        raise SelectionError(
            f"There is no head {head}: {model.name} has {n_heads} heads a layer, counted "
            f"from 0 to {n_heads - 1}."
        )


def check_unedited(trace: "Trace", what: str) -> None:
    """Raise a SelectionError if the trace has edits, without which this would run its text again.

    Args:
        what: what was asked for, as the subject of a sentence in the plural.
    """
    if trace.edits:
        raise SelectionError(
            f"{what} are those of the model as it is, and this trace was run with "
            f"{len(trace.edits)} edit{'s' if len(trace.edits) > 1 else ''}. Trace the text without "
            "edits; an edited trace has its maps and its logits."
        )
