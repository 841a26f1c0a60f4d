"""Direct logit attribution: which parts of a network a logit is the sum of.

The residual stream is a sum (embedding, each head, each feed-forward layer, biases), and what
follows it is linear once the norms' scales are taken as they came out; so every part has a share
of the logit, and the shares add up to it (Elhage et al. 2021). A share is what a part says directly
to the output; what it does by way of later layers is in theirs. For that take ablation.
"""

from operator import index
from typing import SupportsIndex

import pandas as pd
import torch
from torch import Tensor

from vizcore.affine_walk import AffineWalk, Part
from vizcore.capture import Relay, relay_of_thread, vocabulary_size, without_cache
from vizcore.errors import CaptureError, MissingHeadError, SelectionError
from vizcore.selection import check_unedited
from vizcore.tap import Recorder
from vizcore.trace import Trace
from vizcore.trial import CANNOT_RUN

EXACT, ROUNDED = 1e-3, 0.05
"""How far the parts may be from the logit that they add up to, and the same for networks that run
in half precision; of logits above 100, of a hundredth of them."""


def logit_attribution(
    trace: Trace,
    token: SupportsIndex | None = None,
    *,
    position: int = -1,
    against: SupportsIndex | None = None,
) -> pd.DataFrame:
    """The parts that a logit is the sum of, at one position.

    Takes a forward pass and a backward one. The norms' scales (and the slope of a soft cap, and
    gates on what heads return) are those of this run; all else after the parts is linear.

    Args:
        token: the id of the token whose logit it is; None for the likeliest.
        position: in the text, of an encoder-decoder in its target; negative from the end.
        against: the id of another token, whose logit is taken away: what speaks for the one and
            against the other.

    Returns:
        One row a part: part, layer, head, kind (of attention: "decoder", "encoder" or "cross"),
        contribution (in logits). The contributions add up to the logit, or to the difference. The
        parts are "token" (its vector in the embedding), "position" (what is added to that before
        layer 0), "head", "feed-forward", and "bias" (of a layer; the last one's with those of the
        final norm and the head). Where some layers have no attention, "other" is all between one
        attention and the next. Where there is no layer or head, the value is missing.

    Raises:
        MissingHeadError: if the model has no language-model head.
        CaptureError: if the logit is not the sum of such parts (a nonlinear head, or a network that
            does not use the tap), as far as can be seen.
        SelectionError: if there is no such position or token.
    """
    check_unedited(trace, "What heads and layers add to a logit")
    model = trace.model
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    if not -len(ids) <= position < len(ids):
        raise SelectionError(
            f"There is no position {position}: the text has {len(ids)} tokens, so positions go "
            f"from 0 to {len(ids) - 1}, or from -1 backwards."
        )
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it has no logits and predicts "
            'no tokens. Load a model with one, such as "smollm2-135m".'
        )
    if model.capture == "eager":
        raise CaptureError(
            f"The logits of {model.name} cannot be taken apart: transformers returns the weights "
            "of this architecture, but not what its heads make of them. Load a model whose "
            '`capture` is "tap", such as smollm2-135m.'
        )
    expected = trace.logits_at([position % len(ids)])[0]
    chosen = int(expected.argmax()) if token is None else index(token)
    other = None if against is None else index(against)
    for one in (chosen, other):
        if one is not None and not 0 <= one < len(expected):
            raise SelectionError(f"There is no token {one}: ids go from 0 to {len(expected) - 1}.")
    wanted = _difference(expected, chosen, other)
    try:
        parts, logits = _walked(trace, position % len(ids))
    except CANNOT_RUN as error:
        raise _no_sum(trace) from error
    table = _table(trace, parts, _difference(logits, chosen, other))
    largest = float(expected[[chosen, chosen if other is None else other]].abs().max())
    exact = EXACT if expected.dtype in (torch.float32, torch.float64) else ROUNDED
    if not abs(table["contribution"].sum() - float(wanted)) <= exact * max(1.0, largest / 100):
        raise _no_sum(trace)
    return table


def _difference(logits: Tensor, token: int, other: int | None) -> Tensor:
    return logits[token] if other is None else logits[token] - logits[other]


def _walked(trace: Trace, position: int) -> tuple[list[Part], Tensor]:
    """The parts of a run, and the logits at a position, which are linear in them."""
    model = trace.model
    network, trunk = model.network, model._capture.trunk
    table = network.get_input_embeddings()
    recorder = Recorder()
    walk = AffineWalk(recorder, getattr(table, "weight", None), vocabulary_size(network))
    with torch.enable_grad(), recorder, walk:
        if trunk is None or "decoder_input_ids" in trace.inputs:
            logits = network(**trace.inputs, **without_cache(network)).logits[0, position]
        else:
            hidden = trunk(**trace.inputs, **without_cache(trunk))
            row = hidden.last_hidden_state[:, [position]]
            token = relay_of_thread.set(Relay(given=type(hidden)(last_hidden_state=row)))
            try:
                logits = network(**trace.inputs, **without_cache(network)).logits[0, 0]
            finally:
                relay_of_thread.reset(token)
    return walk.parts, logits


def _table(trace: Trace, parts: list[Part], logit: Tensor) -> pd.DataFrame:
    if not logit.requires_grad:
        raise _no_sum(trace)
    gradients = torch.autograd.grad(logit, [part.value for part in parts], allow_unused=True)
    # All parts of a sort that belong to one layer are one row; heads have a row each.
    rows: dict[tuple[str, int | None, int | None, str | None], float] = {}
    seen = set()
    for part, gradient in zip(parts, gradients, strict=True):
        if gradient is None:
            continue
        seen.add((part.of, part.n_calls))
        product = (part.value.double() * gradient.double()).detach()
        kind, layer = _place(trace, part.n_calls)
        if part.of == "heads":
            for head, share in enumerate(product.sum(dim=(0, 2, 3)).tolist()):
                rows["head", layer, head, kind] = share
            continue
        name = _name(trace, part, layer)
        key = (name, None if name in ("token", "position") else layer, None, None)
        rows[key] = rows.get(key, 0.0) + float(product.sum())
    calls = enumerate(trace.model._capture.calls, start=1)
    heads = {("heads", n) for n, kind in calls if kind is not None and not _is_read(trace, kind)}
    if not heads <= seen or not any(of == "token" for of, _ in seen):
        raise _no_sum(trace)
    names, layers, numbers, kinds = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "part": names,
            "layer": pd.array(layers, "Int64"),
            "head": pd.array(numbers, "Int64"),
            "kind": pd.array(kinds, "object"),
            "contribution": list(rows.values()),
        }
    )


def _name(trace: Trace, part: Part, layer: int | None) -> str:
    if part.of == "constant":
        return "position" if layer is None else "bias"
    if part.of != "nonlinear":
        return part.of
    every = trace.model.layers() == tuple(range(trace.model.n_layers))
    return "feed-forward" if every and layer is not None else "other"


def _place(trace: Trace, n_calls: int) -> tuple[str | None, int | None]:
    """The kind and the layer of the last attention call of the stack that makes the logits."""
    capture = trace.model._capture
    made = [kind for kind in capture.calls[:n_calls] if kind is not None]
    if not made or _is_read(trace, made[-1]):
        return None, None
    return made[-1], capture.layers[made[-1]][made.count(made[-1]) - 1]


def _is_read(trace: Trace, kind: str) -> bool:
    """Whether it is of the stack that only reads the source."""
    return kind == "encoder" and trace.target_ids is not None


def _no_sum(trace: Trace) -> CaptureError:
    return CaptureError(
        f"The logits of {trace.model.name} are not the sum of what its heads and feed-forward "
        "layers say: something that is not linear stands between them (a head with an activation, "
        "several streams). What each layer would predict can be seen nevertheless: "
        "vizcore.logit_lens."
    )
