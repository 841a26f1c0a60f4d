"""Runs a batch through a network and makes logits of the hidden states at the asked places alone.

The language-model head is a large part of a small network, and its rows a large part of the memory:
so a place is made logits once, however many tokens are asked after there, a few places at a time,
and what leaves is one number for each asked token. Whatever an architecture's head does (soft caps,
scaling, transforms) is done by the network itself.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.capture import Relay, relay_of_thread, without_cache
from vizcore.edited_runs import EditedRun
from vizcore.model import Model
from vizcore.tree_mask import Tree, attending_along

LOGITS_AT_ONCE = 1 << 24
"""How many logits are held at a time: 64 MB."""


@dataclass(frozen=True, eq=False)
class Runner:
    """What runs a batch: the model's own network, or a copy of it in another precision.

    Args:
        network: the network.
        trunk: as in `vizcore.capture.Capture`.
        half: whether matrices are multiplied in bfloat16.
        edited: what is changed while it runs; None for nothing.
    """

    network: PreTrainedModel
    trunk: nn.Module | None
    half: bool = False
    edited: EditedRun | None = None

    @classmethod
    def of(cls, model: Model) -> "Runner":
        """The model as it is."""
        return cls(model.network, model._capture.trunk)

    @classmethod
    def with_edits(cls, edited: EditedRun) -> "Runner":
        """What runs with these changes."""
        return cls(edited.network, edited.capture.trunk, edited=edited)

    def context(self) -> AbstractContextManager[Any]:
        """The context in which it runs: its precision, or its changes."""
        if self.edited is not None:
            return self.edited.open()
        if not self.half:
            return nullcontext()
        return torch.autocast(self.network.device.type, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Batch:
    """What is run in one forward pass, and what is asked of it.

    Args:
        inputs: keyword arguments of the network's forward.
        places: the places at which something is asked, in the flattened batch, each once.
        at: for each question the number of its place in `places`, ascending.
        token_ids: for each question the token that it is about.
        tree: along what tokens attend; None for plain rows.
    """

    inputs: dict[str, Tensor]
    places: Int[Tensor, " place"]
    at: Int[Tensor, " question"]
    token_ids: Int[Tensor, " question"]
    tree: Tree | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """What came out, in the order of the questions.

    Args:
        log_probabilities: of each asked token, in nats.
        ranks: 1 for the likeliest token; None if not asked for.
        masses: the log-probability, in nats, that some token of a set comes there; None if not
            asked for.
    """

    log_probabilities: np.ndarray
    ranks: np.ndarray | None = None
    masses: np.ndarray | None = None


def questions(
    asked: Sequence[tuple[int, int]], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
    """Places and tokens, sorted so that each place is there once.

    Args:
        asked: for each question its place in the flattened batch, and its token.

    Returns:
        `places`, `at` and `token_ids` of a `Batch`, and for each question its number among them.
    """
    pairs = np.array(asked, np.int64).reshape(-1, 2)
    distinct, number = np.unique(pairs, axis=0, return_inverse=True)
    places, at = np.unique(distinct[:, 0], return_inverse=True)
    tensors = (torch.from_numpy(one).to(device) for one in (places, at, distinct[:, 1].copy()))
    first, second, third = tensors
    return first, second, third, number.reshape(-1)


def ask(
    runner: Runner,
    batch: Batch,
    *,
    ranks: bool = False,
    among: Bool[Tensor, " vocab"] | None = None,
) -> Answers:
    """Run a batch and answer what is asked of it.

    Args:
        ranks: also say how many tokens are likelier.
        among: also say how likely it is that one of these tokens comes.
    """
    network, trunk = runner.network, runner.trunk
    along = nullcontext() if batch.tree is None else attending_along(batch.tree)
    parts: list[Answers] = []
    with torch.inference_mode(), runner.context():
        with along:
            if trunk is None:
                output = network(**batch.inputs, **without_cache(network))
                rows = output.logits.flatten(0, 1)[batch.places]
            else:
                output = _run_trunk(network, trunk, batch.inputs)
                rows = output.last_hidden_state.flatten(0, 1)[batch.places]
        step = max(1, LOGITS_AT_ONCE // n_logits(network))
        for start in range(0, len(rows), step):
            logits = rows[start : start + step]
            if trunk is not None:
                logits = _head(network, output, logits, batch.inputs)
            first, last = torch.searchsorted(
                batch.at, torch.tensor([start, start + step], device=batch.at.device)
            ).tolist()
            at = batch.at[first:last] - start
            parts.append(_answer(logits.float(), at, batch.token_ids[first:last], ranks, among))
    return joined(parts)


def joined(parts: Sequence[Answers]) -> Answers:
    """Answers, one after another."""
    ranks = [part.ranks for part in parts if part.ranks is not None]
    masses = [part.masses for part in parts if part.masses is not None]
    return Answers(
        np.concatenate([part.log_probabilities for part in parts]),
        np.concatenate(ranks) if ranks else None,
        np.concatenate(masses) if masses else None,
    )


def _answer(
    logits: Float[Tensor, "place vocab"],
    at: Int[Tensor, " question"],
    token_ids: Int[Tensor, " question"],
    ranks: bool,
    among: Bool[Tensor, " vocab"] | None,
) -> Answers:
    whole = logits.logsumexp(dim=1)
    actual = logits[at, token_ids]
    its_ranks = masses = None
    if ranks:
        step = max(1, LOGITS_AT_ONCE // logits.shape[1])
        pieces = zip(torch.split(at, step), torch.split(actual, step), strict=True)
        likelier = [(logits[its_at] > its_actual[:, None]).sum(1) for its_at, its_actual in pieces]
        its_ranks = torch.cat(likelier).cpu().numpy() + 1
    if among is not None:
        mass = logits[:, among].logsumexp(dim=1) - whole
        masses = mass[at].double().cpu().numpy()
    return Answers((actual - whole[at]).double().cpu().numpy(), its_ranks, masses)


def _run_trunk(network: nn.Module, trunk: nn.Module, inputs: dict[str, Tensor]) -> Any:
    """What the trunk returns for this batch."""
    body = network if "decoder_input_ids" in inputs else trunk
    relay = Relay()
    token = relay_of_thread.set(relay)
    try:
        body(**inputs, **without_cache(body))
    finally:
        relay_of_thread.reset(token)
    return relay.taken


def _head(
    network: nn.Module, output: Any, hidden: Float[Tensor, "row d_model"], inputs: dict[str, Tensor]
) -> Float[Tensor, "row vocab"]:
    """The network's own logits for these hidden states."""
    token = relay_of_thread.set(Relay(given=type(output)(last_hidden_state=hidden[None])))
    try:
        logits: Tensor = network(**inputs, **without_cache(network)).logits[0]
    finally:
        relay_of_thread.reset(token)
    return logits


def n_logits(network: Any) -> int:
    """How many logits a row has: the size of the vocabulary, as the head has it."""
    return int(network.get_output_embeddings().weight.shape[0])
