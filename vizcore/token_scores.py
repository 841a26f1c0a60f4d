"""How likely a network finds the tokens of many passages, each given those before it.

The idea: run no more than is asked for. Where the network can do it, passages that share a
beginning are packed as a tree, so that each distinct beginning is run once; else they are sorted by
length and padded on the right, where a decoder never looks. The last token of each is not run,
since nobody asks what follows it. What a network can do is found out by trying, so that the numbers
never depend on what else is in a batch. Not for encoders.
"""

import inspect
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from vizcore.asked_rows import Answers, Batch, Runner, ask, questions
from vizcore.capture import text_inputs, vocabulary_size
from vizcore.model import Model
from vizcore.prefix_tree import Forest, n_tokens_of_tree, pack
from vizcore.sentences import Passage
from vizcore.tree_mask import Tree
from vizcore.trial import CANNOT_RUN, EXACT, ROUNDED

TOKENS_AT_ONCE = 512
"""How many tokens are run in one forward pass, if one passage does not have more."""
WORTH_A_TREE = 0.95
"""A tree is packed if it has at most this share of the tokens that would be run without."""
CHEAP_TRIAL = 64
"""A trial of so many tokens is always made."""
WORTH_A_TRIAL = 8
"""A longer one only if so many times as many tokens are to be run."""
Way = Literal["tree", "batch", "single"]


def token_scores(
    model: Model,
    passages: Sequence[Passage],
    *,
    runner: Runner | None = None,
    ranks: bool = False,
    among: Bool[Tensor, " vocab"] | None = None,
) -> list[Answers]:
    """What the model expected of every scored token, one `Answers` a passage.

    Args:
        runner: what runs them; None for the model as it is.
        ranks, among: as in `vizcore.asked_rows.ask`.
    """
    runner = runner or Runner.of(model)
    found = [Answers(np.empty(0), np.empty(0, np.int64), np.empty(0))] * len(passages)
    asked = [number for number, passage in enumerate(passages) if passage.n_scored > 0]
    chosen = [passages[number] for number in asked]
    if chosen:
        way = way_of(model, chosen)
        for members, answers in run_all(runner, chosen, way, ranks=ranks, among=among):
            for member, its in zip(members, answers, strict=True):
                found[asked[member]] = its
    return found


def run_all(
    runner: Runner, passages: Sequence[Passage], way: Way, **asked: Any
) -> Iterator[tuple[Sequence[int], list[Answers]]]:
    """Run passages in one of the ways.

    Yields:
        The numbers of some passages, and their answers.
    """
    if way == "tree":
        for forest in pack(passages, tokens_at_once=TOKENS_AT_ONCE):
            its = [passages[member] for member in forest.members]
            yield forest.members, _ask_forest(runner, forest, its, **asked)
        return
    for members in _batches(passages, TOKENS_AT_ONCE if way == "batch" else 1):
        yield members, _ask_rows(runner, [passages[member] for member in members], **asked)


def _batches(passages: Sequence[Passage], tokens_at_once: int) -> list[list[int]]:
    """Runs of passages of similar length that fit into one forward pass."""
    batches: list[list[int]] = []
    for number in sorted(range(len(passages)), key=lambda number: len(passages[number].ids)):
        longest = len(passages[number].run)
        if not batches or (len(batches[-1]) + 1) * longest > tokens_at_once:
            batches.append([])
        batches[-1].append(number)
    return batches


def _ask_rows(runner: Runner, passages: Sequence[Passage], **asked: Any) -> list[Answers]:
    """Run a batch in rows, padded on the right."""
    width = max(len(passage.run) for passage in passages)
    rows = [(*one.run, *[one.ids[0]] * (width - len(one.run))) for one in passages]
    device = runner.network.device
    inputs = text_inputs(runner.network, torch.tensor(rows, device=device))
    pairs = [
        (number * width + place - 1, passage.ids[place])
        for number, passage in enumerate(passages)
        for place in range(passage.first, len(passage.ids))
    ]
    places, at, token_ids, numbers = questions(pairs, device)
    answers = ask(runner, Batch(inputs, places, at, token_ids), **asked)
    return _split(answers, numbers, passages)


def _ask_forest(
    runner: Runner, forest: Forest, passages: Sequence[Passage], **asked: Any
) -> list[Answers]:
    """Run a batch along a tree."""
    device = runner.network.device
    depths = torch.from_numpy(forest.depths).to(device)
    inputs = text_inputs(runner.network, torch.from_numpy(forest.token_ids).to(device))
    inputs["position_ids"] = depths
    pairs = [
        pair
        for passage, path in zip(passages, forest.paths, strict=True)
        for pair in zip(
            path[passage.first - 1 :].tolist(), passage.ids[passage.first :], strict=True
        )
    ]
    places, at, token_ids, numbers = questions(pairs, device)
    tree = Tree(torch.from_numpy(forest.ancestors).to(device), depths)
    answers = ask(runner, Batch(inputs, places, at, token_ids, tree), **asked)
    return _split(answers, numbers, passages)


def _split(answers: Answers, numbers: np.ndarray, passages: Sequence[Passage]) -> list[Answers]:
    """The answers of each passage, from those of the distinct questions."""
    ends = np.cumsum([passage.n_scored for passage in passages])
    found = []
    for passage, end in zip(passages, ends.tolist(), strict=True):
        its = numbers[end - passage.n_scored : end]
        found.append(
            Answers(
                answers.log_probabilities[its],
                None if answers.ranks is None else answers.ranks[its],
                None if answers.masses is None else answers.masses[its],
            )
        )
    return found


def way_of(model: Model, passages: Sequence[Passage]) -> Way:
    """The quickest way to run these passages that gives what they have by themselves."""
    if len(passages) == 1:
        return "single"
    lengths = [len(passage.run) for passage in passages]
    n_in_tree = n_tokens_of_tree(passages)
    shares = n_in_tree <= WORTH_A_TREE * sum(lengths)
    if not shares and min(lengths) > TOKENS_AT_ONCE // 2:
        return "single"  # nothing to share, and no two fit into one batch
    size = 1 << max(4, (max(lengths) - 1).bit_length())
    if size > CHEAP_TRIAL and sum(lengths) < WORTH_A_TRIAL * size:
        return "single"
    can = _tried(model, size)
    if can == "tree":
        padded = sum(
            len(members) * lengths[members[-1]] for members in _batches(passages, TOKENS_AT_ONCE)
        )
        if n_in_tree > WORTH_A_TREE * padded:
            return "batch"
    return can


_tried_ways: WeakKeyDictionary[nn.Module, dict[int, Way]] = WeakKeyDictionary()
_trying = threading.Lock()


def _tried(model: Model, n_tokens: int) -> Way:
    """What the network can do with passages of up to so many tokens, found out once."""
    with _trying:
        ways = _tried_ways.setdefault(model.network, {})
        if n_tokens not in ways:
            ways[n_tokens] = _try(model, n_tokens)
        return ways[n_tokens]


def runs_together(model: Model) -> bool:
    """Whether texts of one length have the same scores run together as one by one.

    Networks that route tokens to experts of limited capacity don't. For encoders and
    encoder-decoders; it is found out once.
    """
    with _trying:
        ways = _tried_ways.setdefault(model.network, {})
        if 0 not in ways:
            ways[0] = "batch" if _same_together(model) else "single"
        return ways[0] == "batch"


def _same_together(model: Model) -> bool:
    rows = [one.ids[:12] for one in trial_passages(model, 16) if len(one.ids) >= 12]
    source = torch.tensor(rows, device=model.network.device)
    target = source if model.kind == "encoder-decoder" else None
    runner = Runner.of(model)

    def run(rows: slice) -> np.ndarray:
        pairs = [
            (place, token_id) for place, token_id in enumerate(source[rows].flatten().tolist())
        ]
        places, at, token_ids, numbers = questions(pairs, source.device)
        inputs = text_inputs(model.network, source[rows], None if target is None else target[rows])
        answers = ask(runner, Batch(inputs, places, at, token_ids))
        found: np.ndarray = answers.log_probabilities[numbers]
        return found

    alone = [run(slice(row, row + 1)) for row in range(len(rows))]
    return _same(model, alone, [run(slice(None))])


def _try(model: Model, n_tokens: int) -> Way:
    n_tokens = min(n_tokens, model.max_tokens or n_tokens)
    passages = trial_passages(model, n_tokens)
    runner = Runner.of(model)
    alone = _scores(runner, passages, "single")
    takes = inspect.signature(model.network.forward).parameters
    if (
        model.capture == "tap"
        and {"position_ids", "attention_mask"} <= set(takes)
        and _same(model, alone, _scores(runner, passages, "tree"))
    ):
        return "tree"
    return "batch" if _same(model, alone, _scores(runner, passages, "batch")) else "single"


def trial_passages(model: Model, n_tokens: int) -> list[Passage]:
    """Random ones that branch early and late, and one that begins elsewhere and goes first."""
    special = set(getattr(model.tokenizer, "all_special_ids", ()))
    config = model.network.config
    special |= {getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos")}
    size = vocabulary_size(model.network)
    ids = [i for i in range(size) if i not in special] or [0]
    draws = np.random.default_rng(0).integers(0, len(ids), n_tokens + 12)
    drawn = [ids[draw] for draw in draws.tolist()]
    whole = drawn[:n_tokens]
    extra = drawn[n_tokens:]
    late, early = 3 * n_tokens // 4, n_tokens // 3
    return [
        Passage(tuple(one), 1)
        for one in (whole, whole[:late] + extra[:3], whole[:early] + extra[3:7], extra[7:])
    ]


def _scores(runner: Runner, passages: Sequence[Passage], way: Way) -> list[np.ndarray] | None:
    found: list[np.ndarray] = [np.empty(0)] * len(passages)
    try:
        for members, answers in run_all(runner, passages, way):
            for member, its in zip(members, answers, strict=True):
                found[member] = its.log_probabilities
    except CANNOT_RUN:
        return None
    return found


def _same(model: Model, mine: list[np.ndarray] | None, theirs: list[np.ndarray] | None) -> bool:
    if mine is None or theirs is None:
        return False
    exact = model.network.dtype in (torch.float32, torch.float64)
    one, other = np.concatenate(mine), np.concatenate(theirs)
    scale = max(1.0, float(np.abs(one).max()))
    return bool(np.allclose(one, other, rtol=0, atol=(EXACT if exact else ROUNDED) * scale))
