"""Edits in everything that runs: their order, scores, writing, many threads, TransformerLens."""

import copy
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

import vizcore
from tests.support import tiny
from vizcore import AblateHead, AblateLayer, KnockOut, Patch, Scale, SetPattern, Steer
from vizcore.blocks import blocks_of

CLEAN, CORRUPTED = [17, 8, 40, 23, 61, 9, 30], [17, 8, 77, 23, 61, 52, 30]
DIRECTION = tuple(torch.linspace(-1, 2, 32).tolist())
EVERYWHERE = (AblateHead(1, 2), Steer(1, DIRECTION, factor=0.5), SetPattern(0, 1, "uniform"))
PLACED = (
    KnockOut(1, 0, -1, 0),
    Scale(1, 2.0, "feed-forward", positions=1),
    AblateHead(2, 3, how="mean"),
)


def model_of(model_type: str, *, tokenizer: bool = False) -> vizcore.Model:
    network = tiny.tiny_network(model_type)
    return vizcore.Model.of(network, tiny.tokenizer_for(network) if tokenizer else None)


@pytest.fixture(scope="module")
def llama() -> vizcore.Model:
    return model_of("llama", tokenizer=True)


@pytest.fixture(scope="module")
def bart() -> vizcore.Model:
    return model_of("bart", tokenizer=True)


@pytest.fixture(scope="module")
def bert() -> vizcore.Model:
    return model_of("bert", tokenizer=True)


# --- Their order ----------------------------------------------------------------------------------


def test_edits_of_different_quantities_may_stand_in_any_order(llama: vizcore.Model) -> None:
    edits = [*EVERYWHERE, *PLACED]
    one = llama.trace(CLEAN, edits=edits).logits
    assert torch.equal(one, llama.trace(CLEAN, edits=edits[::-1]).logits)


def test_of_the_same_quantity_the_last_one_wins(llama: vizcore.Model) -> None:
    same = Patch(CLEAN, "head", 1, 2)
    plain = llama.trace(CLEAN).logits
    ablated = llama.trace(CLEAN, edits=[AblateHead(1, 2)]).logits
    assert torch.equal(llama.trace(CLEAN, edits=[AblateHead(1, 2), same]).logits, plain)
    assert torch.equal(llama.trace(CLEAN, edits=[same, AblateHead(1, 2)]).logits, ablated)


def test_a_patch_from_an_edited_trace_gives_what_was_there_with_its_edits(
    llama: vizcore.Model,
) -> None:
    edited = llama.trace(CLEAN, edits=EVERYWHERE)
    patched = llama.trace(CLEAN, edits=[Patch(edited, "residual", 3)])
    torch.testing.assert_close(patched.logits, edited.logits, atol=1e-5, rtol=1e-5)


def test_an_edit_below_changes_what_an_edit_above_is_given(llama: vizcore.Model) -> None:
    both = llama.trace(CLEAN, edits=[AblateHead(0, 1), Scale(2, 2.0, head=0)]).logits
    for alone in (AblateHead(0, 1), Scale(2, 2.0, head=0)):
        assert not torch.allclose(both, llama.trace(CLEAN, edits=[alone]).logits, atol=1e-4)


def test_layers_that_share_their_modules_are_edited_one_by_one() -> None:
    albert = model_of("albert")
    plain = albert.trace(CLEAN)
    trace = albert.trace(CLEAN, edits=[SetPattern(1, None, "uniform"), AblateLayer(1)])
    uniform = torch.full((4, 7, 7), 1 / 7)
    torch.testing.assert_close(trace.attention(1), uniform)
    assert torch.equal(trace.attention(0), plain.attention(0))
    assert not torch.allclose(trace.attention(2), uniform, atol=1e-3)
    first, last = (albert.trace(CLEAN, edits=[AblateLayer(layer)]).logits for layer in (0, 2))
    assert not torch.allclose(first, last, atol=1e-3)


# --- What is not touched --------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llama", "bert", "bart", "albert"])
def test_the_shared_network_is_never_touched(model_type: str) -> None:
    model = model_of(model_type)
    target = [2, 50, 31] if model.kind == "encoder-decoder" else None
    before = copy.deepcopy(model.network.state_dict())
    hooks = _hooks(model)
    plain = model.trace(CLEAN, target).logits
    edits = [AblateLayer(1), AblateLayer(0, "feed-forward"), AblateHead(1, 1), Steer(1, DIRECTION)]
    assert not torch.allclose(model.trace(CLEAN, target, edits=edits).logits, plain, atol=1e-3)
    assert torch.equal(model.trace(CLEAN, target).logits, plain)
    assert _hooks(model) == hooks
    after = model.network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def _hooks(model: vizcore.Model) -> list[Any]:
    return [
        (len(module._forward_hooks), len(module._forward_pre_hooks), "forward" in vars(module))
        for module in model.network.modules()
    ]


def test_the_copy_in_which_layers_are_edited_has_no_weights_of_its_own(
    llama: vizcore.Model,
) -> None:
    copied = blocks_of(llama.network, llama._capture).network
    pairs = zip(copied.parameters(), llama.network.parameters(), strict=True)
    assert all(mine is theirs for mine, theirs in pairs)


def test_layers_are_found_inside_inference_mode_too() -> None:
    model = model_of("llama")
    with torch.inference_mode():
        edited = model.trace(CLEAN, edits=[AblateLayer(1, "feed-forward")]).logits
    again = model.trace(CLEAN, edits=[AblateLayer(1, "feed-forward")]).logits
    assert torch.equal(edited, again)
    assert not torch.equal(edited, model.trace(CLEAN).logits)


@pytest.mark.parametrize("model_type", ["llama", "t5"])
def test_eight_threads_with_and_without_edits_on_one_network(model_type: str) -> None:
    model = model_of(model_type)
    two = model.kind == "encoder-decoder"
    targets: list[list[int] | None] = [[2, 50, 31 + n] if two else None for n in range(8)]
    texts = [[17 + n, 8, 40, *range(60, 61 + n)] for n in range(8)]
    edits: list[list[Any]] = [
        [],
        [AblateHead(0, 1)],
        [AblateLayer(1)],
        [],
        [KnockOut(1, None, -1, 0)],
        [Steer(1, DIRECTION)],
        [SetPattern(1, 2, "uniform"), AblateLayer(0, "feed-forward")],
        [Patch([99] * 11, "residual", 1, positions=0)] if not two else [],
    ]

    def run(place: int) -> Tensor:
        return model.trace(texts[place], targets[place], edits=edits[place]).logits

    alone = [run(place) for place in range(8)]
    fresh = model_of(model_type)  # in which the layers have not been found yet
    start = threading.Barrier(8)

    def run_often(place: int) -> None:
        start.wait()
        for _ in range(5):
            logits = fresh.trace(texts[place], targets[place], edits=edits[place]).logits
            assert torch.equal(logits, alone[place])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run_often, range(8)))


# --- Scores ---------------------------------------------------------------------------------------

SENTENCES = ["the cat sat on the mat", "the cat looked at the door", "nobody saw the cat"]


def by_trace(model: vizcore.Model, sentence: str, edits: Any) -> float:
    ids = model.encode(sentence)
    log_probabilities = model.trace(ids, edits=edits).logits.log_softmax(-1)
    return sum(float(log_probabilities[place - 1, ids[place]]) for place in range(1, len(ids)))


@pytest.mark.parametrize("edits", [EVERYWHERE, PLACED, (AblateLayer(1),)])
def test_a_score_is_the_sum_of_what_an_edited_trace_says(llama: vizcore.Model, edits: Any) -> None:
    scores = vizcore.score(llama, SENTENCES, edits=edits).log_likelihood
    expected = [by_trace(llama, sentence, edits) for sentence in SENTENCES]
    assert scores.tolist() == pytest.approx(expected, abs=1e-3)
    plain = vizcore.score(llama, SENTENCES).log_likelihood
    assert (scores - plain).abs().max() > 1e-3


def test_scores_without_edits_stay_as_they_are_after_scores_with_edits(
    llama: vizcore.Model,
) -> None:
    before = vizcore.score(llama, SENTENCES)
    vizcore.score(llama, SENTENCES, edits=[*EVERYWHERE, *PLACED])
    assert vizcore.score(llama, SENTENCES).equals(before)


def test_a_fresh_model_that_is_scored_with_edits_first_scores_without_them_the_same() -> None:
    first, second = model_of("llama", tokenizer=True), model_of("llama", tokenizer=True)
    vizcore.score(first, SENTENCES, edits=EVERYWHERE)
    mine, theirs = (vizcore.score(model, SENTENCES).log_likelihood for model in (first, second))
    assert mine.tolist() == theirs.tolist()


@pytest.mark.parametrize("edits", [EVERYWHERE, PLACED])
@pytest.mark.parametrize("by", ["token", "word"])
def test_surprisal_is_what_an_edited_trace_says(llama: vizcore.Model, by: str, edits: Any) -> None:
    table = vizcore.surprisal(llama, SENTENCES[0], bos=True, by=by, edits=edits)
    ids = [1, *llama.encode(SENTENCES[0])]
    log_probabilities = llama.trace(ids, edits=edits).logits.log_softmax(-1)
    expected = sum(float(log_probabilities[at - 1, ids[at]]) for at in range(1, len(ids)))
    assert table.log_probability.sum() == pytest.approx(expected, abs=1e-3)


def test_masked_models_and_targets_are_scored_with_edits(
    bert: vizcore.Model, bart: vizcore.Model
) -> None:
    for edits in ([AblateHead(1, 2)], [KnockOut(1, None, None, 0)], [AblateHead(1, 0, how="mean")]):
        plain = vizcore.score(bert, SENTENCES).log_likelihood
        together = vizcore.score(bert, SENTENCES, edits=edits).log_likelihood
        alone = [vizcore.score(bert, [one], edits=edits).log_likelihood[0] for one in SENTENCES]
        assert together.tolist() == pytest.approx(alone, abs=1e-3)
        assert (together - plain).abs().max() > 1e-3
    kinds = [{"kind": "encoder"}, {"kind": "cross"}, {}]
    for kind in kinds:
        edits = [KnockOut(1, None, None, 0, **kind)]
        plain = vizcore.score(bart, SENTENCES, given=SENTENCES[::-1])
        edited = vizcore.score(bart, SENTENCES, given=SENTENCES[::-1], edits=edits)
        assert (edited.log_likelihood - plain.log_likelihood).abs().max() > 1e-3


def test_a_position_that_a_sentence_has_not_is_refused(llama: vizcore.Model) -> None:
    with pytest.raises(vizcore.SelectionError, match="There is no position 50: the text has"):
        vizcore.score(llama, SENTENCES, edits=[KnockOut(0, 0, 50, 0)])


# --- Writing --------------------------------------------------------------------------------------

PATCHED = (
    Patch(CORRUPTED, "residual", 1),
    AblateHead(2, 1, how="resample", reference=CORRUPTED),
    SetPattern(0, 2, torch.eye(7)),
    KnockOut(1, 1, [8, 9], [0, 7]),
)


@pytest.mark.parametrize("edits", [EVERYWHERE, PLACED, PATCHED, (SetPattern(1, None, "previous"),)])
def test_what_is_written_with_a_cache_is_what_the_whole_text_would_go_on_with(
    llama: vizcore.Model, edits: Any
) -> None:
    steps = list(vizcore.generate(llama, CLEAN, max_new_tokens=6, edits=edits))
    assert len(steps) > 3
    for step in steps:
        assert step.edits == tuple(edits)
        trace = step.trace()
        assert trace.edits == tuple(edits)
        again = trace.next_tokens(k=5)
        assert again.token_id[0] == step.token_id
        expected = step.alternatives.log_probability[:5].tolist()
        assert again.log_probability.tolist() == pytest.approx(expected, abs=1e-4)
    plain = next(vizcore.generate(llama, CLEAN))
    assert abs(plain.log_probability - steps[0].log_probability) > 1e-4


def test_a_sliding_window_lets_go_of_keys_and_edits_still_find_them() -> None:
    mistral = model_of("mistral")
    edits = (KnockOut(1, None, [8, 10], [6, 8]), SetPattern(2, 1, "previous"))
    steps = list(vizcore.generate(mistral, CLEAN, max_new_tokens=6, edits=edits))
    for step in steps:
        log_probability = step.trace().next_tokens(k=1).log_probability[0]
        assert log_probability == pytest.approx(step.log_probability, abs=1e-4)


@pytest.mark.parametrize("model_type", ["bart", "t5"])
def test_an_encoder_decoder_writes_under_edits_of_each_kind(model_type: str) -> None:
    model = model_of(model_type)
    for kind in ("encoder", "decoder", "cross"):
        edits = (AblateHead(1, 1, kind=kind), KnockOut(0, 2, None, 0, kind=kind))
        steps = list(vizcore.generate(model, CLEAN, max_new_tokens=4, edits=edits))
        for step in steps:
            log_probability = step.trace().next_tokens(k=1).log_probability[0]
            assert log_probability == pytest.approx(step.log_probability, abs=1e-4)


def test_one_of_our_own_networks_writes_under_edits() -> None:
    model = vizcore.load("tatoeba-translator")
    text = "I am very tired today."
    plain = list(vizcore.generate(model, text, max_new_tokens=6))
    edits = (AblateHead(1, 2, kind="cross"), AblateLayer(2, "feed-forward"))
    steps = list(vizcore.generate(model, text, max_new_tokens=6, edits=edits))
    for step in steps:
        log_probability = step.trace().next_tokens(k=1).log_probability[0]
        assert log_probability == pytest.approx(step.log_probability, abs=1e-4)
    assert abs(plain[0].log_probability - steps[0].log_probability) > 1e-6


def test_what_is_not_in_the_model_is_refused_before_anything_is_written(
    llama: vizcore.Model,
) -> None:
    with pytest.raises(vizcore.SelectionError, match="There is no head 9"):
        vizcore.generate(llama, CLEAN, edits=[AblateHead(0, 9)])


# --- TransformerLens ------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_transformer_lens_computes_the_same_from_the_same_weights(
    model_type: str, transformer_lens: Any
) -> None:
    network = tiny.tiny_network(model_type)
    model = vizcore.Model.of(copy.deepcopy(network), None)
    tokenizer = tiny.byte_level_tokenizer()
    tokenizer.bos_token = None  # with one, it would be looked for on the Hub
    bridge = transformer_lens.TransformerBridge.boot_transformers(
        {"gpt2": "gpt2", "llama": "meta-llama/Llama-3.2-1B"}[model_type],
        hf_model=network,
        tokenizer=tokenizer,
    )
    ids, others = torch.tensor([CLEAN]), torch.tensor([CORRUPTED])
    _, cache = bridge.run_with_cache(others)

    def zero(given: Tensor, hook: Any) -> Tensor:
        given = given.clone()
        given[:, :, 2] = 0
        return given

    def cut(given: Tensor, hook: Any) -> Tensor:
        given = given.clone()
        given[:, 1, -1, 0] = -math.inf
        return given

    def patch(given: Tensor, hook: Any) -> Tensor:
        given = given.clone()
        given[:, 3] = cache["blocks.1.hook_resid_pre"][:, 3]
        return given

    def nothing(given: Tensor, hook: Any) -> Tensor:
        return torch.zeros_like(given)

    asked: list[tuple[Any, str, Any]] = [
        (AblateHead(1, 2), "blocks.1.attn.hook_z", zero),
        (KnockOut(1, 1, -1, 0), "blocks.1.attn.hook_attn_scores", cut),
        (Patch(CORRUPTED, "residual", 1, positions=3), "blocks.1.hook_resid_pre", patch),
        (AblateLayer(1, "feed-forward"), "blocks.1.hook_mlp_out", nothing),
    ]
    plain = model.trace(CLEAN).logits
    for edit, name, hook in asked:
        theirs = bridge.run_with_hooks(ids, fwd_hooks=[(name, hook)])[0]
        mine = model.trace(CLEAN, edits=[edit]).logits
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
        assert (mine - plain).abs().max() > 1e-3
