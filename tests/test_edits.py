"""Edits against plain hooks on the plain network, in twelve architectures; and what they leave."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import vizcore
from tests.support import tiny
from tests.support.plain_edits import CROSS, ENCODER, NAMES, PlainNetwork, listened
from vizcore import AblateHead, AblateLayer, KnockOut, Patch, Scale, SetPattern, Steer

CLEAN, CORRUPTED = [17, 8, 40, 23, 61, 9, 30], [17, 8, 77, 23, 61, 52, 30]
TARGET, OTHER_TARGET = [2, 50, 31, 12, 44], [2, 50, 90, 12, 13]
DIRECTION = torch.linspace(-1, 2, 32)


class Pair:
    """A model of ours, and the same network as transformers runs it."""

    def __init__(self, model_type: str, stack: str = "main") -> None:
        network = tiny.tiny_network(model_type)
        names = {"main": NAMES, "cross": CROSS, "encoder": ENCODER}[stack][model_type]
        self.plain = PlainNetwork(network, names)
        self.model = vizcore.Model.of(network, None)
        two = self.model.kind == "encoder-decoder"
        self.ids = (CLEAN, TARGET) if two else (CLEAN,)
        self.others = (CORRUPTED, OTHER_TARGET) if two else (CORRUPTED,)
        self.kind = None if stack == "main" else stack

    def edited(self, *edits: Any) -> Tensor:
        return self.model.trace(*self.ids, edits=edits).logits

    def by_hand(self, *hooks: Callable[..., None]) -> Tensor:
        with self.plain.hooked(*hooks):
            return self.plain.logits(*self.ids)

    def n_queries(self) -> int:
        return len(self.ids[-1] if self.kind != "encoder" else self.ids[0])

    def n_keys(self) -> int:
        return len(self.ids[0] if self.kind in ("cross", "encoder") else self.ids[-1])


def near(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def differ(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() > 1e-3


STACKS = [(name, "main") for name in NAMES] + [
    (name, stack) for stack, names in (("cross", CROSS), ("encoder", ENCODER)) for name in names
]


@pytest.fixture(scope="module", params=STACKS, ids=[" ".join(one) for one in STACKS])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(*request.param)


def test_a_run_without_edits_is_what_transformers_computes(pair: Pair) -> None:
    near(pair.model.trace(*pair.ids).logits, pair.by_hand())


def test_no_edits_change_no_bit(pair: Pair) -> None:
    assert torch.equal(pair.edited(), pair.model.trace(*pair.ids).logits)


def test_a_head_ablated_is_a_zero_before_the_projection(pair: Pair) -> None:
    def zero(heads: Tensor) -> Tensor:
        heads[:, :, 2] = 0
        return heads

    expected = pair.by_hand(pair.plain.heads(1, zero))
    near(pair.edited(AblateHead(1, 2, kind=pair.kind)), expected)
    differ(expected, pair.by_hand())


def test_a_head_ablated_to_its_mean_gives_the_mean_over_all_tokens_of_the_reference(
    pair: Pair,
) -> None:
    given = listened(lambda change: pair.plain.heads(1, change), pair.plain, *pair.others)

    def mean(heads: Tensor) -> Tensor:
        heads[:, :, 2] = given[:, :, 2].mean(1, keepdim=True)
        return heads

    expected = pair.by_hand(pair.plain.heads(1, mean))
    reference = pair.model.trace(*pair.others)
    near(pair.edited(AblateHead(1, 2, pair.kind, "mean", reference)), expected)
    differ(expected, pair.by_hand())


def test_a_head_resampled_gives_what_it_gives_in_the_other_text(pair: Pair) -> None:
    given = listened(lambda change: pair.plain.heads(0, change), pair.plain, *pair.others)

    def other(heads: Tensor) -> Tensor:
        heads[:, :, 3] = given[:, :, 3]
        return heads

    expected = pair.by_hand(pair.plain.heads(0, other))
    reference = pair.model.trace(*pair.others)
    near(pair.edited(AblateHead(0, 3, pair.kind, "resample", reference)), expected)
    differ(expected, pair.by_hand())


def test_an_edge_knocked_out_is_an_edge_that_the_mask_forbids(pair: Pair) -> None:
    added = torch.zeros(4, pair.n_queries(), pair.n_keys())
    added[2, [2, -1], 0] = added[2, [2, -1], 2] = torch.finfo(torch.float32).min
    expected = pair.by_hand(pair.plain.mask(1, added))
    near(pair.edited(KnockOut(1, 2, [2, -1], [0, 2], kind=pair.kind)), expected)
    differ(expected, pair.by_hand())


def test_a_key_knocked_out_of_a_layer_is_seen_by_none_of_its_heads(pair: Pair) -> None:
    added = torch.zeros(4, pair.n_queries(), pair.n_keys())
    added[:, 1:, 0] = torch.finfo(torch.float32).min
    expected = pair.by_hand(pair.plain.mask(0, added))
    queries = range(1, pair.n_queries())
    near(pair.edited(KnockOut(0, None, queries, 0, kind=pair.kind)), expected)


def test_a_block_ablated_adds_nothing(pair: Pair) -> None:
    parts = {"attention": pair.plain.adds(), "feed-forward": pair.plain.names.feed_forward}
    for part, name in parts.items():
        expected = pair.by_hand(pair.plain.returned(1, name, torch.zeros_like))
        near(pair.edited(AblateLayer(1, part, kind=pair.kind)), expected)
        differ(expected, pair.by_hand())


def test_a_block_scaled_adds_so_much_more(pair: Pair) -> None:
    parts = {"attention": pair.plain.adds(), "feed-forward": pair.plain.names.feed_forward}
    for part, name in parts.items():
        expected = pair.by_hand(pair.plain.returned(0, name, lambda given: 1.5 * given))
        near(pair.edited(Scale(0, 1.5, part, kind=pair.kind)), expected)


def test_heads_are_patched_at_chosen_tokens(pair: Pair) -> None:
    given = listened(lambda change: pair.plain.heads(1, change), pair.plain, *pair.others)

    def other(heads: Tensor) -> Tensor:
        heads[:, [2, 4], 1] = given[:, [2, 4], 1]
        return heads

    expected = pair.by_hand(pair.plain.heads(1, other))
    source = pair.model.trace(*pair.others)
    near(pair.edited(Patch(source, "head", 1, 1, [2, 4], pair.kind)), expected)


def test_the_residual_stream_is_patched_at_chosen_tokens(pair: Pair) -> None:
    given = listened(lambda change: pair.plain.read(1, change), pair.plain, *pair.others)

    def other(stream: Tensor) -> Tensor:
        stream = stream.clone()
        stream[:, [2, -1]] = given[:, [2, -1]]
        return stream

    expected = pair.by_hand(pair.plain.read(1, other))
    source = pair.model.trace(*pair.others)
    patch = Patch(source, "residual", 1, positions=[2, -1], kind=pair.kind)
    near(pair.edited(patch), expected)


def test_blocks_are_patched_at_chosen_tokens(pair: Pair) -> None:
    parts = {"attention": pair.plain.adds(), "feed-forward": pair.plain.names.feed_forward}
    source = pair.model.trace(*pair.others)
    for part, name in parts.items():
        given = listened(
            lambda change, name=name: pair.plain.returned(1, name, change), pair.plain, *pair.others
        )

        def other(vectors: Tensor, given: Tensor = given) -> Tensor:
            vectors = vectors.clone()
            vectors[..., 2, :] = given[..., 2, :]
            return vectors

        expected = pair.by_hand(pair.plain.returned(1, name, other))
        near(pair.edited(Patch(source, part, 1, positions=2, kind=pair.kind)), expected)


def test_a_direction_is_added_to_what_a_layer_reads(pair: Pair) -> None:
    def steer(stream: Tensor) -> Tensor:
        stream = stream.clone()
        stream[:, 3] += 2 * DIRECTION
        return stream

    expected = pair.by_hand(pair.plain.read(1, steer))
    kind = pair.kind
    near(pair.edited(Steer(1, DIRECTION, positions=3, factor=2, kind=kind)), expected)
    differ(expected, pair.by_hand())


def test_a_patch_from_the_same_text_changes_nothing(pair: Pair) -> None:
    same = pair.model.trace(*pair.ids)
    for where in ("residual", "head", "pattern", "attention", "feed-forward"):
        for layer in (0, 1):
            patched = pair.edited(Patch(same, where, layer, kind=pair.kind))
            torch.testing.assert_close(patched, same.logits, atol=2e-5, rtol=1e-5)


def test_the_whole_stream_patched_at_layer_0_gives_the_other_run(pair: Pair) -> None:
    other = pair.model.trace(*pair.others)
    kinds = ("encoder", "decoder") if len(pair.ids) == 2 else (None,)
    patched = pair.edited(*(Patch(other, "residual", 0, kind=kind) for kind in kinds))
    near(patched, other.logits)


def test_the_whole_stream_patched_after_the_last_layer_gives_the_other_run(pair: Pair) -> None:
    other = pair.model.trace(*pair.others)
    near(pair.edited(Patch(other, "residual", pair.model.n_layers)), other.logits)


def test_a_trace_with_edits_shows_the_edited_patterns(pair: Pair) -> None:
    kind = pair.kind or pair.model.trace(*pair.ids).kinds[-1]
    kind = "decoder" if pair.kind is None and len(pair.ids) == 2 else kind
    plain = pair.model.trace(*pair.ids)
    matrix = torch.zeros(pair.n_queries(), pair.n_keys())
    matrix[:, 0] = 1
    edits = (
        SetPattern(1, 0, matrix, kind=kind),
        SetPattern(1, 1, "uniform", kind=kind),
        KnockOut(1, 2, -1, -2, kind=kind),
    )
    trace = pair.model.trace(*pair.ids, edits=edits)
    weights = trace.attention(1, None, kind)
    assert trace.edits == edits
    assert torch.equal(weights[0], matrix)
    seen = weights[1] > 0
    torch.testing.assert_close(weights[1][seen], (seen / seen.sum(1, keepdim=True))[seen])
    assert weights[2, -1, -2] == 0
    assert plain.attention(1, 2, kind)[-1, -2] > 0
    near(weights[2, :-1], plain.attention(1, 2, kind)[:-1])
    near(trace.attention_rows(1, 0, [1, 3], kind), matrix[[1, 3]])
    assert torch.equal(trace.attention(0, None, kind), plain.attention(0, None, kind))
