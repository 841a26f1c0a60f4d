"""Edits of heads in networks that compute attention by themselves, against plain hooks."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import vizcore
from tests.support import tiny
from tests.support.plain_edits import EAGER, PlainNetwork, listened
from vizcore import AblateHead, AblateLayer, KnockOut, Patch, Scale, SetPattern, Steer

CLEAN, CORRUPTED = [17, 8, 40, 23, 61, 9, 30], [17, 8, 77, 23, 61, 52, 30]


class Pair:
    """A model of ours, and the same network as transformers runs it."""

    def __init__(self, model_type: str) -> None:
        network = tiny.tiny_network(model_type)
        self.plain = PlainNetwork(network, EAGER[model_type])
        self.model = vizcore.Model.of(network, None)

    def edited(self, *edits: Any) -> Tensor:
        return self.model.trace(CLEAN, edits=edits).logits

    def by_hand(self, *hooks: Any) -> Tensor:
        with self.plain.hooked(*hooks):
            return self.plain.logits(CLEAN)


@pytest.fixture(scope="module", params=EAGER)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def near(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_these_networks_do_not_call_the_tap(pair: Pair) -> None:
    assert pair.model.capture == "eager"
    near(pair.edited(), pair.by_hand())


def test_a_head_ablated_is_a_zero_before_the_projection(pair: Pair) -> None:
    def zero(heads: Tensor) -> Tensor:
        heads[:, :, 2] = 0
        return heads

    expected = pair.by_hand(pair.plain.heads(1, zero))
    near(pair.edited(AblateHead(1, 2)), expected)
    assert (expected - pair.by_hand()).abs().max() > 1e-3


def test_heads_are_patched_resampled_and_averaged(pair: Pair) -> None:
    given = listened(lambda change: pair.plain.heads(1, change), pair.plain, CORRUPTED)

    def patched(heads: Tensor) -> Tensor:
        heads[:, [2, 4], 1] = given[:, [2, 4], 1]
        heads[:, :, 0] = given[:, :, 0].mean(1, keepdim=True)
        heads[:, :, 3] = given[:, :, 3]
        return heads

    edits = (
        Patch(CORRUPTED, "head", 1, 1, [2, 4]),
        AblateHead(1, 0, how="mean", reference=[CORRUPTED]),
        AblateHead(1, 3, how="resample", reference=CORRUPTED),
    )
    near(pair.edited(*edits), pair.by_hand(pair.plain.heads(1, patched)))


def test_patterns_are_what_is_asked_for(pair: Pair) -> None:
    plain = pair.model.trace(CLEAN)
    matrix = torch.zeros(7, 7)
    matrix[:, 0] = 1
    edits = (SetPattern(1, 0, matrix), SetPattern(1, 1, "uniform"), KnockOut(1, 2, [3, -1], [1, 2]))
    trace = pair.model.trace(CLEAN, edits=edits)
    weights, before = trace.attention(1), plain.attention(1)
    near(weights[0], matrix)
    seen = before[1] > 0
    near(weights[1], seen / seen.sum(-1, keepdim=True))
    left = before[2].clone()
    left[3, [1, 2]] = left[-1, [1, 2]] = 0
    near(weights[2], left / left.sum(-1, keepdim=True))
    near(weights[3], before[3])


def test_all_heads_looking_at_one_token_all_give_what_it_holds(pair: Pair) -> None:
    first = torch.zeros(7, 7)
    first[:, 0] = 1
    plain = listened(lambda change: pair.plain.heads(0, change), pair.plain, CLEAN)
    if pair.model.kind == "decoder":  # whose first token looks at itself alone

        def held(heads: Tensor) -> Tensor:
            return plain[:, :1].expand_as(heads).clone()

        near(pair.edited(SetPattern(0, None, first)), pair.by_hand(pair.plain.heads(0, held)))


def test_the_stream_is_steered_and_patched(pair: Pair) -> None:
    direction = torch.linspace(-1, 2, 32)

    def steered(stream: Tensor) -> Tensor:
        stream = stream.clone()
        stream[:, 3] += 2 * direction
        return stream

    expected = pair.by_hand(pair.plain.read(1, steered))
    near(pair.edited(Steer(1, direction, positions=3, factor=2)), expected)
    other = pair.model.trace(CORRUPTED)
    near(pair.edited(Patch(other, "residual", 0)), other.logits)


def test_a_block_ablated_adds_nothing(pair: Pair) -> None:
    parts = {"attention": pair.plain.adds(), "feed-forward": pair.plain.names.feed_forward}
    for part, name in parts.items():
        expected = pair.by_hand(pair.plain.returned(1, name, torch.zeros_like))
        near(pair.edited(AblateLayer(1, part)), expected)
        assert (expected - pair.by_hand()).abs().max() > 1e-3


def test_a_patch_from_the_same_text_changes_nothing(pair: Pair) -> None:
    same = pair.model.trace(CLEAN)
    for where in ("residual", "head", "pattern"):
        near(pair.edited(Patch(same, where, 1)), same.logits)


def test_what_is_written_under_edits_is_what_the_whole_text_would_go_on_with() -> None:
    model = vizcore.Model.of(tiny.tiny_network("gptj"), None)
    edits = (AblateHead(1, 2), KnockOut(0, 1, None, 0), Scale(1, 2.0, head=0))
    for step in vizcore.generate(model, CLEAN, max_new_tokens=4, edits=edits):
        again = step.trace().next_tokens(k=1).log_probability[0]
        assert again == pytest.approx(step.log_probability, abs=1e-4)


def test_a_network_whose_heads_cannot_be_edited_says_so() -> None:
    model = vizcore.Model.of(tiny.tiny_network("xlnet"), None, name="tiny xlnet")
    message = (
        "Single heads of tiny xlnet cannot be edited exactly: its architecture computes its "
        "attention by itself, in a way that is not known. What whole layers do can: AblateLayer, "
        'Steer, Patch of "residual". Or load a model whose `capture` is "tap", such as '
        "smollm2-135m."
    )
    with pytest.raises(vizcore.CaptureError, match=f"^{re.escape(message)}$"):
        model.trace(CLEAN, edits=[AblateHead(0, 0)])
