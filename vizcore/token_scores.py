"""How likely a network finds the tokens of many passages, each given those before it.

The idea: run no more than is asked for. Passages are sorted by length, so that little is padded;
the last token of each is not run, since nobody asks what follows it; hidden states become logits
only at the places that are scored, a few rows at a time. Padding stands on the right, where a
decoder never looks, so the numbers don't depend on what else is in a batch. Not for encoders.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vizcore.capture import Relay, relay_of_thread, text_inputs, without_cache
from vizcore.errors import MissingHeadError
from vizcore.model import Model
from vizcore.sentences import Passage

TOKENS_AT_ONCE = 1024
"""How many tokens are run in one forward pass, if one passage does not have more."""
LOGITS_AT_ONCE = 1 << 24
"""How many logits are held at a time: 64 MB."""


def check_predicts(model: Model) -> None:
    """Refuse a model that predicts no token.

    Raises:
        MissingHeadError: if it has no language-model head.
    """
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it has no logits and predicts no tokens. "
            'Load a model with one, such as "smollm2-135m".'
        )


def token_scores(model: Model, passages: Sequence[Passage]) -> list[np.ndarray]:
    """The log-probability of every scored token, in nats, one array a passage."""
    order = sorted(range(len(passages)), key=lambda at: len(passages[at].ids))
    found: list[np.ndarray] = [np.empty(0)] * len(passages)
    for places in _batches(order, passages):
        batch = [passages[at] for at in places]
        for at, scores in zip(places, _score_batch(model, batch), strict=True):
            found[at] = scores
    return found


def _batches(order: Sequence[int], passages: Sequence[Passage]) -> list[list[int]]:
    """Runs of passages of similar length that fit into one forward pass."""
    batches: list[list[int]] = []
    for at in order:
        if passages[at].n_scored < 1:
            continue
        longest = len(passages[at].ids) - 1
        if not batches or (len(batches[-1]) + 1) * longest > TOKENS_AT_ONCE:
            batches.append([])
        batches[-1].append(at)
    return batches


def _score_batch(model: Model, batch: Sequence[Passage]) -> list[np.ndarray]:
    n_run = max(len(passage.ids) for passage in batch) - 1
    ids = torch.tensor(
        [
            (*passage.ids[:-1], *[passage.ids[0]] * (n_run + 1 - len(passage.ids)))
            for passage in batch
        ],
        device=model.network.device,
    )
    rows = [
        number * n_run + place - 1
        for number, passage in enumerate(batch)
        for place in range(passage.first, len(passage.ids))
    ]
    following = [token_id for passage in batch for token_id in passage.ids[passage.first :]]
    device = model.network.device
    scores = score_rows(
        model,
        text_inputs(model.network, ids),
        torch.tensor(rows, device=device),
        torch.tensor(following, device=device),
    )
    ends = accumulate(passage.n_scored for passage in batch)
    return [scores[end - one.n_scored : end] for one, end in zip(batch, ends, strict=True)]


def score_rows(
    model: Model,
    inputs: dict[str, Tensor],
    rows: Int[Tensor, " row"],
    following: Int[Tensor, " row"],
) -> np.ndarray:
    """Run a batch, and say how likely each of these tokens is after each of these places.

    Args:
        inputs: keyword arguments of the network's forward.
        rows: places in the batch, flattened.
        following: the token after each.

    Returns:
        Log-probabilities in nats, float64, in the order of `rows`.
    """
    network, trunk = model.network, model._capture.trunk
    with torch.inference_mode():
        if trunk is None:
            logits = network(**inputs, **without_cache(network)).logits.flatten(0, 1)
            parts = [_chosen(logits[rows], following)]
        else:
            output, hidden = _run_trunk(network, trunk, inputs)
            hidden = hidden.flatten(0, 1)
            step = max(1, LOGITS_AT_ONCE // max(1, _n_logits(network)))
            parts = [
                _chosen(_head(network, output, hidden[its_rows], inputs), its_following)
                for its_rows, its_following in zip(
                    rows.split(step), following.split(step), strict=True
                )
            ]
    return torch.cat(parts).double().cpu().numpy()


def _run_trunk(
    network: nn.Module, trunk: nn.Module, inputs: dict[str, Tensor]
) -> tuple[Any, Float[Tensor, "batch token d_model"]]:
    body = network if "decoder_input_ids" in inputs else trunk
    relay = Relay()
    token = relay_of_thread.set(relay)
    try:
        body(**inputs, **without_cache(body))
    finally:
        relay_of_thread.reset(token)
    output: Any = relay.taken
    return output, output.last_hidden_state


def _head(
    network: nn.Module, output: Any, hidden: Float[Tensor, "row d_model"], inputs: dict[str, Tensor]
) -> Float[Tensor, "row vocab"]:
    """The network's own logits for these hidden states, whatever its head does to them."""
    given = type(output)(last_hidden_state=hidden[None])
    token = relay_of_thread.set(Relay(given=given))
    try:
        logits: Tensor = network(**inputs, **without_cache(network)).logits[0]
    finally:
        relay_of_thread.reset(token)
    return logits


def _chosen(
    logits: Float[Tensor, "row vocab"], following: Int[Tensor, " row"]
) -> Float[Tensor, " row"]:
    logits = logits.float()
    actual = logits.gather(1, following[:, None])[:, 0]
    return actual - logits.logsumexp(dim=1)


def _n_logits(network: Any) -> int:
    return int(network.get_output_embeddings().weight.shape[0])
