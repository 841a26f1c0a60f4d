"""What a model's positional encoding is, as data: `positions`.

The idea: what the network holds says how positions could enter, and one look at a text of equal
tokens says where they do. Without positions, equal tokens are equal in every layer, so a query
looks at all of them alike; a layer that does so is told nothing, whatever its configuration says.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vizcore.capture import vocabulary_size
from vizcore.encodings import PositionalEncoding, PositionalEncodings, RotaryPositions
from vizcore.position_families import Stacks, find_encodings
from vizcore.trace import Trace

if TYPE_CHECKING:
    from vizcore.model import Model

N_EQUAL_TOKENS = 8
EVEN = 1e-3
EVEN_ROUNDED = 0.1
"""How far the logarithms of weights may differ by rounding alone, in float32 and in less."""


def positions(model: "Model") -> PositionalEncodings:
    """All positional encodings of a model: families, where they work, and their numbers.

    Families are told by what the network has: a table added to the tokens that is the formula's
    ("sinusoidal") or not ("learned"), frequencies to rotate by ("rotary"), slopes ("alibi"), a bias
    a bucket of distance ("relative bias"), vectors of distances that meet queries and keys
    ("relative"). Layers that are told nothing are listed as "none", and what cannot be found out
    as "unknown". Where it matters, a few equal tokens are run through the model.

    Returns:
        The encodings, of a class for each family that holds its numbers.
    """
    stacks = Stacks(_stacks(model))
    found = find_encodings(model.network, stacks)
    trial: Trace | None = None
    blind: dict[str, tuple[int, ...]] = {}
    untold: list[PositionalEncoding] = []
    for kind, layers in stacks.layers.items():
        serving = [one for one in found if kind in one.kinds]
        if kind not in model.kinds or any(not isinstance(one, RotaryPositions) for one in serving):
            continue  # a table tells every layer, and a bias those that have one
        trial = trial or _equal_tokens(model)
        blind[kind] = tuple(layer for layer in layers if _looks_evenly(trial, layer, kind))
        if not serving:
            untold.append(_without(model, kind, blind[kind]))
        elif blind[kind]:
            untold.append(PositionalEncoding("none", (kind,), blind[kind], _NOT_IN_THESE))
    told = [replace(one, layers=_told(one, blind)) for one in found]
    turning = [one for one in told if one.layers or not isinstance(one, RotaryPositions)]
    return PositionalEncodings(model.name, (*turning, *untold))


def _stacks(model: "Model") -> dict[str, tuple[int, ...]]:
    """The stacks and their layers, also of one whose maps cannot be shown, such as LongT5's."""
    if model.kind != "encoder-decoder":
        return {model.kinds[0]: model.layers(model.kinds[0])}
    config = model.network.config
    layers: dict[str, tuple[int, ...]] = {}
    for kind in ("encoder", "decoder"):
        if kind in model.kinds:
            layers[kind] = model.layers(kind)
            continue
        names = (f"{kind}_layers", f"num_{kind}_layers", "num_layers", "num_hidden_layers")
        sizes = (getattr(config, name, None) for name in names)
        layers[kind] = tuple(range(next((n for n in sizes if isinstance(n, int)), 0)))
    return layers


_NOT_IN_THESE = (
    "None in these layers (NoPE): their attention is told nothing about positions, and knows of "
    "them only what other layers have left in the tokens' vectors."
)


def _told(one: PositionalEncoding, blind: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(
        layer for layer in one.layers if not all(layer in blind.get(kind, ()) for kind in one.kinds)
    )


def _without(model: "Model", kind: str, blind: tuple[int, ...]) -> PositionalEncoding:
    """What to say of a stack that has nothing by which positions are known to enter."""
    layers = model.layers(kind)
    if blind == layers and kind == "decoder":
        how = (
            "None: attention is told nothing about positions. Order shows only through the causal "
            "mask: each token sees what stands before it, and not what comes later."
        )
    elif blind == layers:
        how = (
            "None: attention is told nothing about positions, so a text with its words shuffled "
            "is the same to it."
        )
    elif len(layers) < model.n_layers:
        how = (
            "None: attention is told nothing about positions. The layers in between, which read "
            "one token after the other, carry the order."
        )
    else:
        how = (
            "Unknown: this network looks at equal tokens differently, so it is told positions, "
            "but not in a way that is known here."
        )
    return PositionalEncoding(
        "unknown" if how.startswith("Unknown") else "none", (kind,), layers, how
    )


def _equal_tokens(model: "Model") -> Trace:
    """A text of the same token again and again, which only positions can tell apart."""
    special = set(getattr(model.tokenizer, "all_special_ids", None) or ())
    middle = vocabulary_size(model.network) // 2
    token = next(one for one in range(middle, 2 * middle) if one not in special)
    text = [token] * min(N_EQUAL_TOKENS, model.max_tokens or N_EQUAL_TOKENS)
    return model.trace(text, text if model.kind == "encoder-decoder" else None)


def _looks_evenly(trace: Trace, layer: int, kind: str) -> bool:
    """Whether the last token looks at all equal tokens alike, in every head of the layer."""
    weights = trace.attention(layer, None, kind)[:, -1]  # head key
    rounded = trace.model.network.dtype in (torch.bfloat16, torch.float16)
    limit = EVEN_ROUNDED if rounded else EVEN
    for head in weights:
        seen = head[head > 0].log()
        if (seen.max() - seen.min()).item() > limit:
            return False
    return True
