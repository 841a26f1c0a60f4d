"""The difference of two maps: what is the same place in both, and what has no counterpart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vizcore
from tests.support.maps import SEEDS, labels, layers_of_heads, random_map
from tests.support.tiny import byte_level_tokenizer, tiny_network, word_piece_tokenizer
from vizcore.comparison import difference, differences
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.model import Model
from vizcore.spans import by_sentences, by_words
from vizcore.words import Words

TEXT = "The cats didn't look."


@pytest.fixture(scope="module")
def decoder() -> Model:
    return Model.of(tiny_network("llama"), byte_level_tokenizer())


@pytest.fixture(scope="module")
def encoder() -> Model:
    return Model.of(tiny_network("bert"), word_piece_tokenizer())


def worded(values: object, words: list[str], special: tuple[int, ...] = ()) -> AttentionMap:
    """A map of words that are single tokens."""
    n = len(words)
    texts = Words(tuple(range(n)), tuple(words), tuple(i in special for i in range(n)), ("",) * n)
    return AttentionMap(values, words, words, query_words=texts, key_words=texts)


# --- The same tokens ------------------------------------------------------------------------------


def test_a_difference_is_the_first_minus_the_second() -> None:
    one, two = random_map(3, 4, seed=1, layer=2, head=0), random_map(3, 4, seed=2, layer=2, head=5)
    found = difference(one, two)
    for query in range(3):
        for key in range(4):
            expected = float(one.values[query, key]) - float(two.values[query, key])
            assert found.values[query, key] == pytest.approx(expected, abs=1e-7)
    assert (found.layer, found.head, found.quantity) == (2, None, "difference of attention")
    assert (found.query_tokens, found.key_tokens) == (one.query_tokens, one.key_tokens)


@given(n=st.integers(1, 6), seed=SEEDS)
def test_the_difference_of_the_same_is_zero_and_rows_of_any_sum_to_zero(n: int, seed: int) -> None:
    map, other = random_map(n, seed=seed), random_map(n, seed=seed + 1)
    for align in ("tokens", "positions"):
        assert not difference(map, map, align=align).values.any()  # type: ignore[arg-type]
        found = difference(map, other, align=align)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.values.sum(axis=1), 0, atol=1e-5)
        back = difference(other, map, align=align)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.values, -back.values)


@pytest.mark.parametrize("align", ["tokens", "positions", "words", "common"])
def test_a_map_does_not_differ_from_itself(decoder: Model, encoder: Model, align: str) -> None:
    for map in (decoder.trace(TEXT).map(0, 0), encoder.trace(TEXT).map(0, 0)):
        found = difference(map, map, align=align)  # type: ignore[arg-type]
        assert not found.values.any()
        whole = map if align in ("tokens", "positions") else by_words(map)
        assert found.query_tokens == whole.query_tokens
        np.testing.assert_array_equal(found.masked, whole.masked)


def test_a_difference_of_unlike_quantities_names_both() -> None:
    one = random_map(2)
    two = AttentionMap(one.values, one.query_tokens, one.key_tokens, quantity="rollout")
    assert difference(one, two).quantity == "attention − rollout"


def test_a_difference_of_tokens_keeps_its_words_and_can_be_aggregated(decoder: Model) -> None:
    trace = decoder.trace(TEXT)
    found = by_words(difference(trace.map(0, 0), trace.map(0, 1)))
    expected = by_words(trace.map(0, 0)).values - by_words(trace.map(0, 1)).values
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_a_cell_is_masked_where_it_is_in_both() -> None:
    causal, free = random_map(3, causal=True), random_map(3)
    assert difference(causal, free).masked is None
    np.testing.assert_array_equal(difference(causal, causal).masked, causal.masked)


# --- Positions ------------------------------------------------------------------------------------


def test_position_by_position_two_labels_are_shown_where_they_differ() -> None:
    one = AttentionMap(np.eye(2), ["the", "cat"], ["the", "cat"])
    two = AttentionMap(np.eye(2)[::-1], ["the", "dog"], ["the", "dog"])
    found = difference(one, two, align="positions")
    assert found.query_tokens == found.key_tokens == ("the", "cat | dog")
    assert found.values.tolist() == [[1, -1], [-1, 1]]


# --- Words of one text ----------------------------------------------------------------------------


def test_models_with_other_tokens_are_compared_word_by_word(decoder: Model, encoder: Model) -> None:
    one, two = decoder.trace(TEXT).map(1, 2), encoder.trace(TEXT).map(1, 2)
    assert one.query_tokens != two.query_tokens
    found = difference(one, two, align="words")
    words = ("The", "cats", "didn't", "look", ".")
    assert found.query_tokens == ("− [CLS]", *words, "− [SEP]")
    inner = found.values[1:-1, 1:-1]
    np.testing.assert_allclose(
        inner, by_words(one).values - by_words(two).values[1:-1, 1:-1], atol=1e-6
    )
    alone = np.isnan(found.values)
    assert alone[[0, -1]].all()
    assert alone[:, [0, -1]].all()
    assert not np.isnan(inner).any()


def test_words_that_one_tokenizer_joins_are_compared_joined() -> None:
    joined = worded([[0.5, 0.5], [0.25, 0.75]], ["我们", "走"])
    apart = worded([[0.6, 0.2, 0.2], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]], ["我", "们", "走"])
    found = difference(joined, apart, align="words")
    assert found.query_tokens == found.key_tokens == ("我们", "走")
    # Sum over keys, mean over queries: (0.8 + 0.4) / 2 and 0.2.
    np.testing.assert_allclose(
        found.values, [[0.5 - 0.6, 0.5 - 0.4], [0.25 - 0.2, 0.75 - 0.8]], atol=1e-6
    )
    np.testing.assert_allclose(
        difference(apart, joined, align="words").values, -found.values, atol=1e-7
    )


def test_boundaries_that_cross_are_left_out_and_special_tokens_matched_by_name() -> None:
    one = worded(np.eye(4), ["[CLS]", "ab", "c", "[SEP]"], special=(0, 3))
    two = worded(np.eye(4), ["a", "bc", "[SEP]", "</s>"], special=(2, 3))
    found = difference(one, two, align="words")
    assert found.query_tokens == ("+ [CLS]", "abc", "[SEP]", "− </s>")
    assert found.values[1:3, 1:3].tolist() == [[0, 0], [0, 0]]
    assert np.isnan(found.values[[0, 3]]).all()


def test_capitals_and_line_breaks_are_no_difference_of_text(decoder: Model) -> None:
    one = decoder.trace("The cat\n\nsat").map(0, 0)
    found = difference(one, worded(np.eye(3), ["the", "cat", "sat"]), align="words")
    assert [token for token in found.query_tokens if "⏎" not in token] == ["The", "cat", "sat"]
    assert all(token.startswith("+ ") for token in found.query_tokens if "⏎" in token)


def test_sentences_can_be_compared_too(decoder: Model, encoder: Model) -> None:
    text = "The cat sat. Nobody looked."
    maps = [by_sentences(model.trace(text).map(0, 0)) for model in (decoder, encoder)]
    found = difference(*maps, align="words")
    assert found.query_tokens == ("− [CLS]", "The cat sat.", "Nobody looked.", "− [SEP]")


# --- Two texts ------------------------------------------------------------------------------------


def test_of_two_texts_the_words_in_common_are_compared_and_the_others_marked() -> None:
    one = worded(np.full((3, 3), 1 / 3), ["the", "cat", "sat"])
    two = worded(np.full((4, 4), 1 / 4), ["the", "big", "cats", "sat"])
    found = difference(one, two, align="common")
    assert found.query_tokens == ("the", "+ cat", "− big", "− cats", "sat")
    kept = found.values[np.ix_([0, 4], [0, 4])]
    np.testing.assert_allclose(kept, np.full((2, 2), 1 / 3 - 1 / 4), atol=1e-6)
    assert int(np.isfinite(found.values).sum()) == 4


def test_what_only_one_text_has_is_masked_as_it_is_there(decoder: Model) -> None:
    found = difference(
        decoder.trace("the cat sat").map(0, 0), decoder.trace("the dog").map(0, 0), align="common"
    )
    assert found.query_tokens == found.key_tokens == ("the", "+ cat", "+ sat", "− dog")
    assert found.masked is not None
    # "cat" sees "the" and itself; what no text has, "cat" and "dog" together, nothing can see.
    assert found.masked.tolist() == [
        [False, True, True, True],
        [False, False, True, True],
        [False, False, False, True],
        [False, True, True, False],
    ]


# --- All heads ------------------------------------------------------------------------------------


def test_all_heads_are_compared_one_by_one() -> None:
    base, tuned = layers_of_heads(2, 2, 3, seed=1), layers_of_heads(2, 2, 3, seed=2)
    found = list(differences(base, tuned))
    assert [(map.layer, map.head) for map in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for map, one, two in zip(found, base, tuned, strict=True):
        np.testing.assert_allclose(map.values, one.values - two.values, atol=1e-7)


def test_the_difference_of_all_heads_of_two_traces_can_be_looked_at(decoder: Model) -> None:
    other = Model.of(tiny_network("llama", seed=1), byte_level_tokenizer())
    one, two = decoder.trace(TEXT), other.trace(TEXT)
    assert isinstance(vizcore.model_view(differences(one, two)), vizcore.View)
    found = list(differences(one, two))
    expected = (one.attention(1) - two.attention(1)).numpy()
    n_heads = one.n_heads()
    np.testing.assert_allclose(
        [map.values for map in found[n_heads : 2 * n_heads]], expected, atol=1e-6
    )


# --- Refusals -------------------------------------------------------------------------------------


def test_maps_that_do_not_correspond_are_refused_errors() -> None:
    with pytest.raises(ShapeError) as shapes:
        difference(random_map(3), random_map(4))
    assert str(shapes.value) == (
        "One map has shape (3, 3), the other (4, 4), so their cells do not correspond. For one "
        'text in different tokens take align="words"; for different texts align="common".'
    )
    with pytest.raises(ShapeError, match="so their cells do not correspond"):
        difference(random_map(3), random_map(4), align="positions")
    with pytest.raises(SelectionError) as tokens:
        difference(random_map(2), AttentionMap(np.eye(2), labels("k", 2), ["k0", "x"]))
    assert str(tokens.value) == (
        "The maps are over different tokens: key 1 is 'k1' in one and 'x' in the other. Take "
        'align="positions" to compare them position by position, "words" if it is the same text, '
        'or "common" for the words that both have.'
    )


def test_texts_that_differ_are_not_compared_word_by_word_errors() -> None:
    one = worded(np.eye(3), ["the", "cat", "sat"])
    for other, shown in [("dog", "'dog'"), ("cats", "'cats'")]:
        with pytest.raises(SelectionError) as words:
            difference(one, worded(np.eye(3), ["the", other, "sat"]), align="words")
        assert str(words.value) == (
            f"The maps are of different texts: word 1 is 'cat' in one and {shown} in the other. "
            'Take maps of one text, or align="common" for the words that both have.'
        )
    with pytest.raises(SelectionError, match="word 2 is 'sat' in one and nothing in the other"):
        difference(one, worded(np.eye(2), ["the", "cat"]), align="words")
    with pytest.raises(SelectionError, match="does not say which of its tokens make a word"):
        difference(random_map(2), random_map(2), align="words")


def test_sources_with_different_heads_are_refused_errors() -> None:
    with pytest.raises(SelectionError) as heads:
        list(differences(layers_of_heads(1, 2, 3), layers_of_heads(1, 1, 3)))
    assert str(heads.value) == (
        "The two have different heads: layer 0, head 1 in one, nothing more in the other. Take "
        "difference(map, other) of the heads that you want to compare."
    )
