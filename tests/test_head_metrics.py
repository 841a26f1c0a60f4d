"""Scores of all heads of a model, against loops over eager attention."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import T5Model

import vizcore
from tests.support.tiny import byte_level_tokenizer, tiny_network, tokenizer_for
from vizcore.head_metrics import COLUMNS, head_scores
from vizcore.probes import N_COPIES, N_TOKENS

TEXTS = (
    "the cat sat on the mat, and the dog sat on the cat",
    "the door was open",
    "nobody saw what the other cat did. the cat did it",
)
ALL_KINDS = {"gpt2": ("decoder",), "bert": ("encoder",), "t5": ("encoder", "decoder", "cross")}


def tiny(model_type: str, **changes: Any) -> vizcore.Model:
    network = tiny_network(model_type, **changes)
    return vizcore.Model.of(network, tokenizer_for(network))


def eager(model: vizcore.Model, ids: list[int], target: list[int] | None = None) -> dict[str, Any]:
    """What transformers itself returns: for each kind, (layer, head, query, key) as an array."""
    inputs: dict[str, Any] = {"input_ids": torch.tensor([ids])}
    if target is not None:
        inputs["decoder_input_ids"] = torch.tensor([target])
    before = model.network.config._attn_implementation
    model.network.set_attn_implementation("eager")
    with torch.inference_mode():
        output = model.network(**inputs, output_attentions=True)
    model.network.set_attn_implementation(before)
    names = {"encoder": "encoder_attentions", "decoder": "decoder_attentions"}
    if target is None:
        names = {model.kinds[0]: "attentions"}
    else:
        names["cross"] = "cross_attentions"
    return {kind: torch.cat(output[name]).double().numpy() for kind, name in names.items()}


def followers(ids: list[int], at: int, *, causal: bool) -> set[int]:
    copies = [key for key in range(len(ids) - 1) if key != at and ids[key] == ids[at]]
    return {key + 1 for key in copies if key + 1 != at and not (causal and key + 1 > at)}


def mean_over(rows: list[tuple[np.ndarray, dict[int, set[int]]]]) -> np.ndarray:
    """Over all queries of all texts: the mean weight of each head on its keys."""
    sums = [
        maps[:, :, query, sorted(keys)].sum(axis=-1)
        for maps, wanted in rows
        for query, keys in wanted.items()
    ]
    return np.mean(sums, axis=0).ravel()


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "bert", "t5"])
def test_there_is_one_row_a_head_of_every_kind_in_order(model_type: str) -> None:
    model = tiny(model_type)
    scores = head_scores(model, TEXTS, n_random=1)
    places = [*zip(scores["kind"], scores["layer"], scores["head"], strict=True)]
    assert places == [
        (kind, layer, head)
        for kind in ALL_KINDS.get(model_type, ("decoder",))
        for layer in model.layers(kind)
        for head in range(4)
    ]
    assert [*scores.columns] == ["kind", "layer", "head", *COLUMNS, "pattern", "summary"]


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "bert"])
def test_scores_on_texts_are_means_over_the_queries_of_all_texts(model_type: str) -> None:
    model = tiny(model_type)
    scores = head_scores(model, TEXTS, n_random=1)
    causal = model.kind == "decoder"
    rows: dict[str, list[Any]] = {"previous_on_texts": [], "itself": [], "same_token": []}
    entropies = []
    for text in TEXTS:
        ids = model.encode(text)
        maps = eager(model, ids)[model.kinds[0]]
        n = len(ids)
        rows["previous_on_texts"].append((maps, {at: {at - 1} for at in range(2, n)}))
        rows["itself"].append((maps, {at: {at} for at in range(1, n)}))
        copies = {
            at: {key for key in range(at if causal else n) if ids[key] == ids[at] and key != at}
            for at in range(n)
        }
        rows["same_token"].append((maps, {at: keys for at, keys in copies.items() if keys}))
        logs = np.log(maps, out=np.zeros_like(maps), where=maps > 0)
        entropies.append(-(maps * logs).sum(axis=-1)[:, :, 1 if causal else 0 :])
    for name, measured in rows.items():
        np.testing.assert_allclose(scores[name], mean_over(measured), atol=1e-5)
    expected = np.concatenate(entropies, axis=2).mean(axis=2).ravel()
    np.testing.assert_allclose(scores["entropy"], expected, atol=1e-5)


def test_a_neighbour_that_may_not_be_seen_has_no_score() -> None:
    assert head_scores(tiny("gpt2"), TEXTS, n_random=1)["next_token"].isna().all()
    assert head_scores(tiny("bert"), TEXTS, n_random=1)["next_token"].between(0, 1).all()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], list[int] | None]]:
    """Everything that the model is run on, in order."""
    runs: list[tuple[list[int], list[int] | None]] = []
    trace = vizcore.Model.trace

    def watched(self: vizcore.Model, text: Any, target: Any = None, **options: Any) -> Any:
        runs.append((list(text), None if target is None else list(target)))
        return trace(self, text, target, **options)

    monkeypatch.setattr(vizcore.Model, "trace", watched)
    return runs


def is_repeated(ids: list[int]) -> bool:
    """Whether it holds a row of tokens that comes N_COPIES times."""
    return any(
        ids[start : start + N_TOKENS] * N_COPIES == ids[start : start + N_TOKENS * N_COPIES]
        for start in range(len(ids) - N_TOKENS * N_COPIES + 1)
    )


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "bert", "t5"])
def test_induction_is_measured_on_rows_of_random_tokens_that_come_again(
    model_type: str, seen: list[tuple[list[int], list[int] | None]]
) -> None:
    model = tiny(model_type)
    pairs = [(text, text) for text in TEXTS] if model_type == "t5" else TEXTS
    scores = head_scores(model, pairs, n_random=3)
    rows = [(ids, target) for ids, target in seen if is_repeated(ids)]
    assert len(rows) == 3
    assert len({tuple(ids) for ids, _ in rows}) == 3
    for kind in ALL_KINDS.get(model_type, ("decoder",)):
        here = scores[scores["kind"] == kind]
        if kind == "cross":
            assert here[["induction", "prefix_matching", "previous_token"]].isna().all(axis=None)
            continue
        causal = kind == "decoder"
        latest, every, copies, previous = [], [], [], []
        for ids, target in rows:
            read = ids if target is None or kind == "encoder" else target
            maps = eager(model, ids, target)[kind]
            after = {at: followers(read, at, causal=causal) for at in range(len(read))}
            every.append((maps, {at: keys for at, keys in after.items() if keys}))
            before = {at: followers(read[: at + 1], at, causal=True) for at in range(len(read))}
            latest.append((maps, {at: {max(keys)} for at, keys in before.items() if keys}))
            last = [at + 1 if causal else len(read) for at in range(len(read))]
            same = {
                at: {key for key in range(last[at]) if read[key] == read[at] and key != at}
                for at in range(len(read))
            }
            previous.append((maps, {at: {at - 1} for at in range(2, len(read))}))
            copies.append((maps, {at: keys for at, keys in same.items() if keys}))
        np.testing.assert_allclose(here["prefix_matching"], mean_over(every), atol=1e-5)
        np.testing.assert_allclose(here["induction"], mean_over(latest), atol=1e-5)
        np.testing.assert_allclose(here["duplicate_token"], mean_over(copies), atol=1e-5)
        np.testing.assert_allclose(here["previous_token"], mean_over(previous), atol=1e-5)


def test_random_tokens_are_words_and_come_after_the_beginning_of_text_token(
    seen: list[tuple[list[int], list[int] | None]],
) -> None:
    model = tiny("gpt2")
    head_scores(model, TEXTS, n_random=2)
    for ids, _ in seen:
        if not is_repeated(ids):
            continue
        assert ids[0] == model.tokenizer.bos_token_id  # type: ignore[union-attr]
        labels = model.labels(ids[1:])
        assert len({*labels}) == N_TOKENS
        assert all(label.strip("·").isalpha() for label in labels)


def test_the_special_tokens_of_an_encoder_stand_around_random_tokens(
    seen: list[tuple[list[int], list[int] | None]],
) -> None:
    model = tiny("bert")
    head_scores(model, TEXTS, n_random=1)
    (ids,) = [ids for ids, _ in seen if is_repeated(ids)]
    assert (model.labels(ids)[0], model.labels(ids)[-1]) == ("[CLS]", "[SEP]")


def test_rows_are_as_long_and_come_as_often_as_asked_for(
    seen: list[tuple[list[int], list[int] | None]],
) -> None:
    head_scores(tiny("gpt2"), TEXTS[0], n_random=1, n_tokens=7, n_copies=5)
    ids = seen[-1][0]
    assert ids[1:] == ids[1:8] * 5
    assert len({*ids}) == 8


def test_the_same_seed_gives_the_same_table_and_another_seed_other_random_tokens() -> None:
    model = tiny("gpt2")
    first, again = (head_scores(model, TEXTS, n_random=2, seed=1) for _ in range(2))
    other = head_scores(model, TEXTS, n_random=2, seed=2)
    pd.testing.assert_frame_equal(first, again)
    assert (first["induction"] != other["induction"]).any()
    pd.testing.assert_series_equal(first["entropy"], other["entropy"])


@pytest.mark.parametrize("model_type", ["gpt2", "bert"])
def test_position_is_how_much_each_text_looks_where_the_others_do(
    model_type: str, seen: list[tuple[list[int], list[int] | None]]
) -> None:
    model = tiny(model_type)
    scores = head_scores(model, TEXTS, n_random=1)
    cut = [ids for ids, _ in seen if not is_repeated(ids)][len(TEXTS) :]
    whole = [model.encode(text) for text in TEXTS]
    n = sorted(map(len, whole))[1]  # at least half of three texts are as long as the middle one
    ends = 1 if model_type == "bert" else 0
    assert cut == [ids[: n - ends] + ids[len(ids) - ends :] for ids in whole if len(ids) >= n]
    maps = [eager(model, ids)[model.kinds[0]] for ids in cut]
    overlaps = []
    for at in range(len(maps)):
        others = np.mean([one for place, one in enumerate(maps) if place != at], axis=0)
        first = 1 if model.kind == "decoder" else 0
        overlaps.append(np.minimum(maps[at], others).sum(axis=-1)[:, :, first:])
    expected = np.concatenate(overlaps, axis=2).mean(axis=2).ravel()
    np.testing.assert_allclose(scores["position"], expected, atol=1e-5)


def test_heads_of_a_network_that_knows_nothing_but_positions_look_where_position_says() -> None:
    network = tiny_network("gpt2")
    with torch.no_grad():
        network.transformer.wte.weight.zero_()  # type: ignore[union-attr, operator]
    scores = head_scores(vizcore.Model.of(network, byte_level_tokenizer()), TEXTS, n_random=1)
    np.testing.assert_allclose(scores["position"], 1, atol=1e-6)


def test_one_text_says_nothing_about_position() -> None:
    assert head_scores(tiny("gpt2"), TEXTS[0], n_random=1)["position"].isna().all()


def test_what_the_query_decides_in_cross_attention_is_its_mutual_information() -> None:
    model = tiny("t5")
    pairs = [("the cat sat", "a cat that can open doors"), ("the door", "nobody saw the cat")]
    scores = head_scores(model, pairs, kind="cross", n_random=1)
    information, n_queries = 0.0, 0
    for source, target in pairs:
        trace = model.trace(source, target)
        maps = eager(model, trace.source_ids, trace.target_ids)["cross"]
        mean = maps.mean(axis=2)
        rows = -(maps * np.log(maps)).sum(axis=-1).mean(axis=2)
        information = information + maps.shape[2] * (-(mean * np.log(mean)).sum(axis=-1) - rows)
        n_queries += maps.shape[2]
    expected = np.ravel(information / n_queries)
    np.testing.assert_allclose(scores["mutual_information"], expected, atol=1e-5)


def test_an_encoder_decoder_writes_the_targets_that_it_is_not_given() -> None:
    scores = head_scores(tiny("t5"), TEXTS, n_random=1)
    assert {*scores["kind"]} == {"encoder", "decoder", "cross"}
    assert scores["entropy"].notna().all()


def test_token_ids_are_run_as_they_are() -> None:
    model = tiny("gpt2")
    ids = [model.encode(text) for text in TEXTS]
    given = head_scores(model, ids, n_random=1)
    pd.testing.assert_frame_equal(given, head_scores(model, TEXTS, n_random=1))
    alone = head_scores(model, ids[0], n_random=1)
    pd.testing.assert_frame_equal(alone, head_scores(model, TEXTS[0], n_random=1))


def test_a_model_without_a_tokenizer_is_measured_on_random_tokens() -> None:
    scores = head_scores(vizcore.Model.of(tiny_network("gpt2"), None), n_random=2)
    assert scores[["previous_token", "induction", "position"]].notna().all(axis=None)


def test_a_network_that_reads_few_tokens_gets_shorter_rows(
    seen: list[tuple[list[int], list[int] | None]],
) -> None:
    model = tiny("gpt2", n_positions=21, max_position_embeddings=21)
    scores = head_scores(model, "the cat", n_random=1)
    assert scores["induction"].notna().all()
    ids = seen[-1][0]
    assert len(ids) == 21
    assert ids[1:11] == ids[11:]


def test_a_long_run_says_how_far_it_is() -> None:
    told: list[tuple[str, float | None]] = []
    head_scores(tiny("gpt2"), TEXTS, n_random=2, progress=lambda *now: told.append(now))
    fractions = [fraction for _, fraction in told if fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert len(fractions) == 3 + 2 + 2  # texts, rows, and two that can be cut to one length
    assert {message for message, _ in told} == {
        "Choosing texts",
        "Measuring what each head does",
        "Measuring what position decides",
    }


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"texts": []},
            vizcore.EmptyTextError,
            "There are no texts. Give at least one, or None for the built-in ones.",
        ),
        (
            {"texts": [("the cat", "a cat")]},
            vizcore.TextError,
            "tiny has one stack, so it takes one text at a time: give texts, not pairs of texts.",
        ),
        (
            {"n_random": 0},
            vizcore.SelectionError,
            "n_random must be at least 1 row of random tokens, not 0.",
        ),
        (
            {"n_tokens": 1},
            vizcore.SelectionError,
            "n_tokens must be at least 2 tokens to a row, not 1.",
        ),
        (
            {"n_copies": 1},
            vizcore.SelectionError,
            "n_copies must be at least 2, not 1: else nothing repeats.",
        ),
        (
            {"window": -2},
            vizcore.SelectionError,
            "window must be at least 0 tokens, not -2.",
        ),
        (
            {"kind": "cross"},
            vizcore.SelectionError,
            "tiny has no attention of kind 'cross': it has 'decoder'.",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_errors(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = vizcore.Model.of(tiny_network("gpt2"), byte_level_tokenizer(), name="tiny")
    with pytest.raises(error) as caught:
        head_scores(model, **arguments)
    assert str(caught.value) == message


def test_a_network_that_cannot_write_asks_for_pairs_errors() -> None:
    whole = tiny_network("t5")
    model = vizcore.Model.of(T5Model(whole.config).eval(), tokenizer_for(whole), name="headless")
    with pytest.raises(vizcore.MissingHeadError) as caught:
        head_scores(model, TEXTS)
    assert str(caught.value) == (
        "headless has no language-model head, so it cannot write a target by itself. Give texts "
        "as pairs: [(source, target), …]."
    )
    assert math.isfinite(head_scores(model, [TEXTS[:2]], n_random=1)["entropy"].sum())
