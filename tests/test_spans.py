"""Maps of words, sentences and spans, against plain loops over tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.maps import SEEDS, random_map
from tests.support.tiny import (
    byte_level_tokenizer,
    sentence_piece_tokenizer,
    tiny_network,
    word_piece_tokenizer,
)
from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.model import Model
from vizcore.rollouts import rollout
from vizcore.spans import by_sentences, by_spans, by_words
from vizcore.trace import Trace

TEXT = "the cats' tables didn't look. Shut, nobody!"


@pytest.fixture(scope="module")
def translated() -> Trace:
    model = Model.of(tiny_network("t5"), sentence_piece_tokenizer())
    return model.trace(TEXT, "nobody looked at 我们")


def by_loops(
    map: AttentionMap, rows: list[tuple[int, int]], columns: list[tuple[int, int]]
) -> list[list[float]]:
    """Sum over the keys of a span, mean over its queries: one cell after the other."""
    found = []
    for first, last in rows:
        row = []
        for start, stop in columns:
            total = 0.0
            for query in range(first, last):
                for key in range(start, stop):
                    total += float(map.values[query, key])
            row.append(total / (last - first))
        found.append(row)
    return found


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
def test_words_get_the_sum_over_keys_and_the_mean_over_queries(
    translated: Trace, kind: str
) -> None:
    map = translated.map(1, 2, kind)
    words = by_words(map)
    queries, keys = translated.query_words(kind), translated.key_words(kind)
    assert queries is not None
    assert keys is not None
    np.testing.assert_allclose(words.values, by_loops(map, queries.spans, keys.spans), atol=1e-6)
    np.testing.assert_allclose(words.values.sum(axis=1), 1, atol=1e-5)
    source = ("the", "cats", "'", "tables", "didn't", "look", ".", "Shut", ",", "nobody", "!")
    target = ("<pad>", "nobody", "looked", "at", "我", "们")
    assert words.query_tokens == (source + ("</s>",) if kind == "encoder" else target)
    assert words.key_tokens == (target if kind == "decoder" else source + ("</s>",))
    assert (words.layer, words.head, words.kind, words.quantity) == (1, 2, kind, "attention")


def test_a_word_may_not_look_where_none_of_its_tokens_may(translated: Trace) -> None:
    map = translated.map(0, 0, "decoder")
    words = by_words(map)
    assert map.masked is not None
    np.testing.assert_array_equal(words.masked, np.triu(np.ones(words.values.shape), 1) == 1)


def test_a_cell_of_a_span_is_masked_if_all_its_tokens_are() -> None:
    values = np.full((3, 3), 1 / 3)
    masked = [[False, True, True], [True, True, True], [True, True, False]]
    map = AttentionMap(values, ["a", "b", "c"], ["a", "b", "c"], masked=masked)
    found = by_spans(map, [(0, 2)])
    # Of a and b together only a sees a, and neither sees c; c sees neither of them.
    np.testing.assert_array_equal(found.masked, [[False, True], [True, False]])


def test_sentences_are_aggregated_the_same_way(translated: Trace) -> None:
    map = translated.map(0, 1, "encoder")
    found = by_sentences(map)
    first, second = "the cats' tables didn't look.", "Shut, nobody!"
    assert found.query_tokens == found.key_tokens == (first, second, "</s>")
    words = translated.query_words("encoder")
    assert words is not None
    end = words.spans[6][1]
    n = len(map.query_tokens)
    spans = [(0, end), (end, n - 1), (n - 1, n)]
    np.testing.assert_allclose(found.values, by_loops(map, spans, spans), atol=1e-6)
    np.testing.assert_allclose(by_sentences(by_words(map)).values.sum(axis=1), 1, atol=1e-5)


def test_words_of_words_and_sentences_of_sentences_are_themselves(translated: Trace) -> None:
    for once in (by_words(translated.map(0, 1, "cross")), by_sentences(translated.map(0, 1))):
        again = by_words(once)
        np.testing.assert_array_equal(again.values, once.values)
        assert (again.query_tokens, again.key_tokens) == (once.query_tokens, once.key_tokens)


def test_whatever_is_a_map_can_be_aggregated(translated: Trace) -> None:
    assert by_words(rollout(translated, "cross")).quantity == "rollout"
    assert by_words(rollout(translated, "encoder")).query_tokens[0] == "the"


@pytest.mark.parametrize(
    ("architecture", "tokenizer"),
    [("llama", byte_level_tokenizer()), ("bert", word_piece_tokenizer())],
)
def test_every_tokenizer_gives_the_words_of_the_text(architecture: str, tokenizer: object) -> None:
    trace = Model.of(tiny_network(architecture), tokenizer).trace(TEXT)  # type: ignore[arg-type]
    found = by_words(trace.map(0, 0))
    texts = [text for text in found.query_tokens if text not in ("[CLS]", "[SEP]")]
    assert texts == "the cats ' tables didn't look . Shut , nobody !".split()
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-5)


def test_spans_of_ones_own_have_names_and_leave_other_tokens_as_they_are() -> None:
    map = random_map(5, seed=3)
    found = by_spans(map, {"subject": (0, 2), "end": (3, 5)})
    assert found.query_tokens == found.key_tokens == ("subject", "k2", "end")
    spans = [(0, 2), (2, 3), (3, 5)]
    np.testing.assert_allclose(found.values, by_loops(map, spans, spans), atol=1e-6)
    assert by_spans(map, [(1, 4)]).query_tokens == ("k0", "k1k2k3", "k4")


def test_spans_of_queries_and_keys_are_given_apart_where_they_are_different_tokens() -> None:
    map = random_map(3, 4)
    assert by_spans(map, [(0, 2)]).values.shape == (2, 4)
    found = by_spans(map, [(0, 2)], [(1, 4)])
    np.testing.assert_allclose(
        found.values, by_loops(map, [(0, 2), (2, 3)], [(0, 1), (1, 4)]), atol=1e-6
    )
    square = by_spans(random_map(4), [], [(0, 4)])
    np.testing.assert_allclose(square.values, np.ones((4, 1)), atol=1e-6)


def test_spans_of_whole_words_are_labelled_with_their_words(translated: Trace) -> None:
    map = translated.map(0, 0, "encoder")
    words = translated.query_words("encoder")
    assert words is not None
    assert by_spans(map, [(0, words.spans[2][1])]).query_tokens[0] == "the cats'"
    assert by_spans(map, [(1, 3)]).query_tokens[1] == "".join(translated.source_tokens[1:3])


@given(n=st.integers(1, 6), seed=SEEDS)
def test_spans_of_single_tokens_change_nothing(n: int, seed: int) -> None:
    map = random_map(n, n + 1, seed=seed)
    found = by_spans(map, [(i, i + 1) for i in range(n)], [(j, j + 1) for j in range(n + 1)])
    np.testing.assert_array_equal(found.values, map.values)
    assert (found.query_tokens, found.key_tokens) == (map.query_tokens, map.key_tokens)
    np.testing.assert_array_equal(by_spans(map, []).values, map.values)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), n=st.integers(1, 8), seed=SEEDS)
def test_rows_still_sum_to_one_whatever_the_spans(data: st.DataObject, n: int, seed: int) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, n), max_size=6)))
    spans = [(start, stop) for start, stop in zip(cuts, cuts[1:], strict=False)]
    for map in (random_map(n, seed=seed), random_map(n, seed=seed, causal=True)):
        found = by_spans(map, spans)
        np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-5)
        assert map.masked is None or not found.values[found.masked].any()  # type: ignore[index]


def test_a_map_that_knows_no_words_says_what_to_do_errors() -> None:
    for aggregate in (by_words, by_sentences):
        with pytest.raises(SelectionError) as unknown:
            aggregate(random_map(2))
        assert str(unknown.value) == (
            "This map does not say which of its tokens make a word; maps of a trace do, if the "
            "model has a tokenizer. Say it yourself: by_spans(map, [(0, 2), (2, 3)])."
        )
    untold = Model.of(tiny_network("llama"), None).trace([5, 6, 7])
    assert untold.query_words() is None
    with pytest.raises(SelectionError, match="if the model has a tokenizer"):
        by_words(untold.map(0, 0))


def test_spans_that_are_not_there_or_overlap_are_refused_errors() -> None:
    map = random_map(4)
    for span in [(0, 5), (2, 2), (-1, 2)]:
        with pytest.raises(SelectionError) as missing:
            by_spans(map, [span])
        assert str(missing.value) == (
            f"There is no span {span}: a span goes from its first token to the one after its last, "
            "and the map has 4 tokens here, counted from 0."
        )
    with pytest.raises(SelectionError) as overlap:
        by_spans(map, [(1, 3), (2, 4)])
    assert str(overlap.value) == (
        "The span (2, 4) overlaps the one before it, which ends at 3: a token can be in one span "
        "only."
    )
    with pytest.raises(SelectionError) as twice:
        by_spans(map, {"a": (1, 3), "b": (1, 3)})
    assert str(twice.value) == ("Two spans are the same tokens: a token can be in one span only.")
