"""Sentences in columns: what is matched, and that every number is that of the sentence alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vizcore
from vizcore.errors import SelectionError
from vizcore.sentence_columns import MOST, aligned, side_by_side


def longest_common(one: str, other: str) -> int:
    """The length of a longest common subsequence, by the recursion of the textbooks."""
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 1 + longest_common(one[1:], other[1:])
    return max(longest_common(one[1:], other), longest_common(one, other[1:]))


@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=5))
def test_every_part_has_a_column_of_its_own_and_parts_keep_their_order(lines: list[str]) -> None:
    places, n_columns = aligned(lines)
    assert [len(one) for one in places] == [len(line) for line in lines]
    for one in places:
        assert one == sorted(set(one))
    used = {place for one in places for place in one}
    assert used == set(range(n_columns))


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_two_lines_share_as_many_columns_with_equal_parts_as_is_possible(
    one: str, other: str
) -> None:
    places, _n = aligned([one, other])
    first = dict(zip(places[0], one, strict=True))
    shared = [first.get(place) == part for place, part in zip(places[1], other, strict=True)]
    assert sum(shared) >= longest_common(one, other)


def test_what_lies_between_two_matches_stands_side_by_side() -> None:
    lines = ["the keys are here".split(), "the big key is here".split()]
    assert aligned(lines) == ([[0, 1, 2, 4], [0, 1, 2, 3, 4]], 5)
    assert aligned([["a", "b"], ["a", "x", "b"], ["x", "b"]]) == ([[0, 2], [0, 1, 2], [1, 2]], 3)
    assert aligned([]) == ([], 0)


PAIR = ["They are here.", "They is here."]


@pytest.fixture(scope="module")
def lm() -> "vizcore.Model":
    return vizcore.load("tatoeba-lm")


def test_numbers_are_those_of_each_sentence_alone(lm: "vizcore.Model") -> None:
    found = side_by_side(lm, PAIR)
    scores = vizcore.score(lm, PAIR)
    np.testing.assert_allclose(found.lines["log_likelihood"], scores["log_likelihood"], atol=1e-4)
    assert found.lines["n_tokens"].tolist() == scores["n_tokens"].tolist()
    for line, sentence in enumerate(PAIR):
        mine = found.parts[found.parts["line"] == line]
        alone = vizcore.surprisal(lm, sentence)
        assert mine["text"].tolist() == alone["token"].tolist()
        np.testing.assert_allclose(mine["surprisal"], alone["surprisal"], atol=1e-4)
        np.testing.assert_allclose(
            mine["cumulative"].iloc[-1], scores["log_likelihood"][line], atol=1e-4
        )
    assert found.lines["rank"].tolist() == [1, 2]


def test_sentences_part_where_they_first_differ_and_not_at_all_if_they_are_the_same(
    lm: "vizcore.Model",
) -> None:
    found = side_by_side(lm, PAIR)
    assert found.parting is not None
    at = found.parts[found.parts["column"] == found.parting]["text"].tolist()
    assert at == ["·are", "·is"]
    before = found.parts[found.parts["column"] < found.parting]
    for _column, group in before.groupby("column"):
        assert group["log_probability"].nunique() <= 1
    assert side_by_side(lm, [PAIR[0]] * 2).parting is None


def test_words_have_the_sum_of_their_tokens(lm: "vizcore.Model") -> None:
    text = "Unbelievable astronauts are here."
    tokens, words = (side_by_side(lm, [text], by=by) for by in ("token", "word"))
    assert len(words.parts) < len(tokens.parts)
    for word in words.parts.itertuples():
        inside = tokens.parts.iloc[word.first : word.last + 1]["log_probability"]
        if not math.isnan(word.log_probability):
            assert word.log_probability == pytest.approx(inside.sum(), abs=1e-9)
    row = words.lines.iloc[0]
    assert row["per_word"] == pytest.approx(row["log_likelihood"] / row["n_words"])
    assert row["n_characters"] == len(text)
    assert row["per_character"] == pytest.approx(row["log_likelihood"] / len(text))


def test_two_models_read_each_sentence_in_lines_of_their_own(lm: "vizcore.Model") -> None:
    other = vizcore.load("smollm2-135m")
    found = side_by_side([lm, other], PAIR, by="word")
    assert found.lines["model"].tolist() == [lm.name, other.name] * 2
    assert found.lines["sentence"].tolist() == [PAIR[0]] * 2 + [PAIR[1]] * 2
    for column, texts in found.parts[~found.parts["special"]].groupby("column")["text"]:
        assert texts.nunique() <= 2, column


def test_a_beginning_of_text_token_lets_the_first_token_count() -> None:
    model = vizcore.load("smollm2-135m")
    bare, begun = (side_by_side(model, ["Cats sleep."], bos=bos) for bos in (None, True))
    assert math.isnan(bare.parts["surprisal"][0])
    assert begun.parts["special"].tolist()[:2] == [True, False]
    assert begun.parts["surprisal"][1] > 0
    assert begun.lines["n_tokens"][0] == bare.lines["n_tokens"][0] + 1


def test_a_translation_is_scored_given_its_source() -> None:
    model = vizcore.load("tatoeba-translator")
    found = side_by_side(model, ["我爱你。", "我恨你。"], source="I love you.")
    assert found.lines["rank"].tolist() == [1, 2]
    with pytest.raises(SelectionError) as caught:
        side_by_side(model, ["我爱你。"])
    assert str(caught.value) == (
        "tatoeba-translator writes about a source: say by `source` what the sentences translate."
    )


def test_too_few_or_too_many_sentences_are_refused(lm: "vizcore.Model") -> None:
    with pytest.raises(SelectionError) as caught:
        side_by_side(lm, [])
    assert str(caught.value) == f"Give 1 to {MOST} sentences to compare, not 0."
    with pytest.raises(SelectionError) as caught:
        side_by_side([lm, lm], ["a"] * 11)
    assert str(caught.value) == (
        f"Give 1 to {MOST} sentences to compare, not 22 (11 for each of 2 models)."
    )


def test_a_masked_model_is_asked_for_each_token_with_all_others_in_sight() -> None:
    model = vizcore.load("tatoeba-mlm")
    sentences = ["They are here.", "They is here."]
    found = vizcore.side_by_side(model, sentences)
    expected = vizcore.score(model, sentences)
    assert found.lines["log_likelihood"].tolist() == pytest.approx(
        expected["log_likelihood"].tolist(), abs=1e-5
    )
    assert found.lines["n_tokens"].tolist() == expected["n_tokens"].tolist()
    assert found.parts.loc[found.parts["special"], "log_probability"].isna().all()
    assert found.parts.loc[~found.parts["special"], "log_probability"].notna().all()
    with pytest.raises(vizcore.SelectionError, match="does not read from left to right"):
        vizcore.side_by_side(model, sentences, bos=True)
