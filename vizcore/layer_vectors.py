"""Texts -> one vector for each text and layer: what a frozen network makes of them.

The vector is the mean of a layer's states over the tokens, or the state of the last token, which in
a decoder is the one that has seen everything. Texts of similar length are run together; padding is
masked and never averaged, so a vector does not depend on what else was in the batch. For what can
be read off the vectors see `vizcore.layer_probes`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vizcore.capture import reads_two_texts, text_config, text_inputs, without_cache
from vizcore.errors import CaptureError
from vizcore.model import Model
from vizcore.pretrained import HeadlightModel
from vizcore.sentences import encode_all

Pool = Literal["mean", "last"]
TOKENS_AT_ONCE = 1024
"""How many tokens are run in one forward pass, if one text does not have more."""


def layer_features(
    model: Model, texts: Sequence[str], *, pool: Pool = "mean"
) -> Float[np.ndarray, "text state d_model"]:
    """One vector for each text and layer; of an encoder-decoder, by its encoder.

    Args:
        model: any model with a tokenizer; a language-model head is not needed.
        texts: as many as may be in memory together with their vectors.
        pool: the mean over all tokens (those that the tokenizer adds, too), or the last token.

    Returns:
        float32. State 0 is what enters the first layer, state k what leaves layer k - 1; the last
        one as the network gives it, in most after its final norm.

    Raises:
        TextError: if a text is empty, too long or not encodable.
        CaptureError: if the network does not give its layers' states.
    """
    rows = encode_all(model, texts)
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
    found: list[np.ndarray] = [np.empty(0)] * len(rows)
    for places in _batches(order, rows, padded=_takes_padding(model)):
        vectors = _run(model, [rows[at] for at in places], pool)
        for at, vector in zip(places, vectors, strict=True):
            found[at] = vector
    return np.stack(found)


def _takes_padding(model: Model) -> bool:
    ids = torch.zeros(1, 1, dtype=torch.long)
    return "attention_mask" in text_inputs(model.network, ids)


def _batches(
    order: Sequence[int], rows: Sequence[Sequence[int]], *, padded: bool
) -> Iterator[list[int]]:
    batch: list[int] = []
    for at in order:
        full = (len(batch) + 1) * len(rows[at]) > TOKENS_AT_ONCE
        unlike = not padded and batch and len(rows[batch[0]]) != len(rows[at])
        if batch and (full or unlike):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _run(
    model: Model, rows: Sequence[Sequence[int]], pool: Pool
) -> Float[np.ndarray, "text state d_model"]:
    network: Any = model.network
    device = network.device
    padding = getattr(text_config(network), "pad_token_id", None) or 0
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    present = torch.arange(longest, device=device)[None] < lengths[:, None]  # text token
    with torch.inference_mode():
        if isinstance(network, HeadlightModel):
            states = _headlight_states(network, ids, present)
        else:
            states = _states(model, ids, present)
        vectors = [_pooled(state.float(), present, lengths, pool) for state in states]
        stacked: np.ndarray = torch.stack(vectors, dim=1).cpu().numpy()
    return stacked


def _states(
    model: Model, ids: Int[Tensor, "text token"], present: Tensor
) -> tuple[Float[Tensor, "_ _ _"], ...]:
    network: Any = model.network
    body: Any = network.get_encoder() if reads_two_texts(network) else network.base_model
    inputs = text_inputs(body, ids)
    if "attention_mask" in inputs:
        inputs["attention_mask"] = present.long()
    output = body(**inputs, **without_cache(body), output_hidden_states=True)
    states: Sequence[Tensor] = getattr(output, "hidden_states", None) or ()
    shapes = {tuple(state.shape[:2]) for state in states}
    if shapes != {tuple(ids.shape)}:
        raise CaptureError(
            f"{model.name} does not give the states of its layers, one for each token, so there is "
            "nothing to probe."
        )
    return tuple(states)


def _headlight_states(
    network: HeadlightModel, ids: Int[Tensor, "text token"], present: Tensor
) -> tuple[Float[Tensor, "_ _ _"], ...]:
    """The states of our own Transformer, whose layers are there to be called."""
    transformer = network.transformer
    stack: Any = transformer.decoder if transformer.encoder is None else transformer.encoder
    # A decoder never looks to the right, where padding is.
    mask = None if stack.causal or present.all() else present[:, None, None, :]
    states = [transformer.embedding(ids)]
    for layer in stack.layers:
        states.append(layer(states[-1], None, mask, None, None))
    return (*states[:-1], stack.norm(states[-1]))


def _pooled(
    state: Float[Tensor, "text token d_model"],
    present: Tensor,
    lengths: Int[Tensor, " text"],
    pool: Pool,
) -> Float[Tensor, "text d_model"]:
    if pool == "last":
        return state[torch.arange(len(state), device=state.device), lengths - 1]
    kept = state.masked_fill(~present[..., None], 0)
    return kept.sum(dim=1) / lengths[:, None]
