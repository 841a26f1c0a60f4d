"""Rescoring: which hypothesis wins at which weight, exactly; errors are counted as jiwer does."""

from typing import Any

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vizcore
from vizcore.rescoring import upper_envelope
from vizcore.transcript_errors import plain_words, usual_unit

SCORE = st.integers(-6, 6).map(float) | st.floats(-100, 0, width=32)
LINES = st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=12)
WORDS = st.lists(st.sampled_from("a b c d".split()), max_size=8)


@pytest.fixture(scope="module")
def lm() -> vizcore.Model:
    return vizcore.load("tatoeba-lm")


def rescoring(*rows: tuple[str, float, float], **options: Any) -> vizcore.Rescoring:
    texts, scores, likelihoods = zip(*rows, strict=True)
    return vizcore.Rescoring("x", texts, scores, likelihoods, **options)


SPEECH = rescoring(
    ("wreck a nice beach", -4.0, -40.0),
    ("recognise speech", -6.0, -24.0),
    ("recognise peach", -5.5, -36.0),
    reference="Recognise speech!",
)


@given(LINES, st.floats(0, 1))
def test_at_every_weight_the_winner_is_the_highest(
    lines: list[tuple[float, float]], weight: float
) -> None:
    at_zero, at_one = np.array(lines).T
    stretches = upper_envelope(at_zero, at_one)
    assert (stretches[0][0], stretches[-1][1]) == (0, 1)
    assert all(one[1] == other[0] for one, other in zip(stretches, stretches[1:], strict=False))
    assert all(low < high for low, high, _ in stretches)
    assert len({place for _, _, place in stretches}) == len(stretches)
    totals = (1 - weight) * at_zero + weight * at_one
    winner = next(place for low, high, place in stretches if low <= weight <= high)
    assert totals[winner] == pytest.approx(totals.max(), rel=1e-9, abs=1e-9)


def test_the_weight_at_which_the_winner_changes_is_where_two_lines_cross() -> None:
    winners = SPEECH.winners()
    # -4 + w (-40 + 4) = -6 + w (-24 + 6)  at  w = 2 / 18
    assert list(winners["high"]) == [pytest.approx(1 / 9), 1.0]
    assert list(winners["hypothesis"]) == ["wreck a nice beach", "recognise speech"]
    assert list(winners["error_rate"]) == [2.0, 0.0]


def test_a_hypothesis_that_wins_nowhere_is_no_winner() -> None:
    assert 2 not in list(SPEECH.winners()["place"])
    alone = rescoring(("a", -1.0, -1.0), ("b", -2.0, -2.0))
    assert alone.winners().to_dict("records") == [
        {"low": 0.0, "high": 1.0, "hypothesis": "a", "place": 0}
    ]


def test_the_table_at_a_weight_is_sorted_by_the_weighted_mean() -> None:
    table = SPEECH.table(0.25)
    expected = {
        "wreck a nice beach": 0.75 * -4 + 0.25 * -40,
        "recognise speech": 0.75 * -6 + 0.25 * -24,
        "recognise peach": 0.75 * -5.5 + 0.25 * -36,
    }
    assert dict(zip(table["hypothesis"], table["total"], strict=True)) == pytest.approx(expected)
    assert list(table["rank"]) == [1, 2, 3]
    assert table["total"].is_monotonic_decreasing
    assert list(table["place"]) == [1, 0, 2]
    assert list(table["error_rate"]) == [0.0, 2.0, 0.5]
    assert list(SPEECH.table(0)["place"]) == [0, 2, 1]
    assert list(SPEECH.table(1)["place"]) == [1, 2, 0]


def test_a_weight_outside_errors() -> None:
    with pytest.raises(vizcore.SelectionError) as caught:
        SPEECH.table(1.5)
    assert str(caught.value) == "The weight of the language model is between 0 and 1, not 1.5."


def test_over_several_lists_the_error_rate_is_piecewise_constant() -> None:
    other = rescoring(("yes it is", -1.0, -5.0), ("yes it was", -2.0, -4.0), reference="yes it was")
    rates = vizcore.error_rates([SPEECH, other])
    assert list(rates["low"]) == [0.0, pytest.approx(1 / 9), 0.5]
    assert list(rates["n_errors"]) == [5, 1, 0]
    assert list(rates["n_reference"]) == [5, 5, 5]
    assert list(rates["error_rate"]) == pytest.approx([1.0, 0.2, 0.0])
    for row in rates.to_dict("records"):
        middle = (row["low"] + row["high"]) / 2
        best = [one.table(middle)["hypothesis"].iloc[0] for one in (SPEECH, other)]
        assert row["error_rate"] == jiwer.wer(["recognise speech", "yes it was"], best)


def test_without_references_errors_cannot_be_counted_errors() -> None:
    bare = rescoring(("a", -1.0, -1.0))
    assert "error_rate" not in bare.table(0)
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.error_rates([SPEECH, bare])
    assert str(caught.value) == (
        "x has no reference, so errors cannot be counted. Give what is right."
    )


# --- the language model --------------------------------------------------------------------------


def test_hypotheses_get_the_likelihoods_that_score_gives_them(lm: vizcore.Model) -> None:
    lists = [
        vizcore.NBest("a", ("I love you.", "I you love."), (-1.0, -0.5)),
        vizcore.NBest("b", ("He is tired.",), (-2.0,), "He was tired."),
    ]
    found = vizcore.rescore(lm, lists)
    expected = vizcore.score(lm, ["I love you.", "I you love.", "He is tired."], bos=True)
    likelihoods = [value for one in found for value in one.log_likelihoods]
    np.testing.assert_allclose(likelihoods, expected["log_likelihood"], atol=1e-4)
    assert [one.scores for one in found] == [(-1.0, -0.5), (-2.0,)]
    assert [one.reference for one in found] == [None, "He was tired."]
    assert found[0].winners()["hypothesis"].iloc[-1] == "I love you."


def test_what_was_said_before_counts(lm: vizcore.Model) -> None:
    hypotheses = vizcore.NBest("a", ("is tired.", "are tired."), (0.0, 0.0))
    (after_he,) = vizcore.rescore(lm, hypotheses, given="He")
    (after_they,) = vizcore.rescore(lm, hypotheses, given="They")
    assert after_he.winners()["hypothesis"].iloc[-1] == "is tired."
    assert after_they.winners()["hypothesis"].iloc[-1] == "are tired."


def test_nothing_to_rescore_errors(lm: vizcore.Model) -> None:
    for nothing in ([], [vizcore.NBest("a", (), ())]):
        with pytest.raises(vizcore.DataError) as caught:
            vizcore.rescore(lm, nothing)
        assert str(caught.value) == "There are no hypotheses to rescore."


def test_one_token_with_nothing_before_it_errors(lm: vizcore.Model) -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.rescore(lm, vizcore.NBest("a", ("I", "Yes I do."), (0.0, 0.0)), bos=False)
    assert str(caught.value) == (
        "'I' is one token with nothing before it, so tatoeba-lm cannot score it. Give `bos=True`, "
        "or what was said before (`given`)."
    )


# --- lists of hypotheses from files --------------------------------------------------------------


def test_a_line_is_a_hypothesis_a_tab_and_its_score_and_a_blank_line_begins_a_list() -> None:
    content = "\ufeffa b\t-1.5\r\nc\td\t-2e0\n\n\n你好\t0\n"
    first, second = vizcore.parse_nbest(content, "lists.tsv")
    assert (first.hypotheses, first.scores) == (("a b", "c\td"), (-1.5, -2.0))
    assert (second.name, second.hypotheses, second.scores) == ("2", ("你好",), (0.0,))


def test_json_can_hold_several_lists_with_references() -> None:
    content = (
        '{"id": 7, "text": "a", "score": -1, "reference": "b"}\n'
        '{"id": 8, "text": "c", "score": -2}\n{"id": 7, "text": "b", "score": -3}\n'
    )
    for given_as in (content, content.encode()):
        first, second = vizcore.parse_nbest(given_as, "pasted")
        assert first == vizcore.NBest("7", ("a", "b"), (-1.0, -3.0), "b")
        assert second == vizcore.NBest("8", ("c",), (-2.0,), None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "n.tsv has no hypotheses. A line is a hypothesis, a tab, and its score."),
        (
            "a\t1\nb 2\n",
            "Line 2 of n.tsv has no tab. A line is a hypothesis, a tab, and its score.",
        ),
        ("a\tone\n", "Line 1 of n.tsv has the score 'one', which is no number."),
        ("a\tnan\n", "Line 1 of n.tsv has the score 'nan', which is no number."),
        (" \t1\n", "Line 1 of n.tsv has a score and no hypothesis before it."),
        (
            "a\x00\t1\n",
            "Line 1 of n.tsv has a character that is no text (NUL, or half of a surrogate pair).",
        ),
        (b"\xff\t1\n", "Line 1 of n.tsv is not UTF-8. Save the file as UTF-8."),
        (
            '{"text": "a"}\n',
            'Line 1 of n.tsv needs "text" and "score" (a number); it has {"text": "a"}.',
        ),
        (
            '{"text": "a", "score": 1}\n{\n',
            "Line 2 of n.tsv is not JSON: Expecting property name enclosed in double quotes at "
            "character 2.",
        ),
    ],
    ids=range(9),
)
def test_a_list_that_cannot_be_read_says_why_errors(content: str | bytes, said: str) -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.parse_nbest(content, "n.tsv")
    assert str(caught.value) == said


# --- errors --------------------------------------------------------------------------------------


@given(WORDS.filter(bool), WORDS)
def test_errors_are_counted_as_jiwer_counts_them(right: list[str], said: list[str]) -> None:
    found = vizcore.word_errors(" ".join(right), " ".join(said))
    expected = jiwer.process_words(" ".join(right), " ".join(said))
    assert found.rate == pytest.approx(expected.wer)
    assert found.n_reference == len(right)
    by_letter = vizcore.word_errors("".join(right), "".join(said), unit="character")
    assert by_letter.rate == pytest.approx(jiwer.cer("".join(right), "".join(said)))


def test_case_and_punctuation_are_no_errors_but_apostrophes_are_letters() -> None:
    assert vizcore.word_errors("Don't stop, John!", "don\u2019t STOP john").rate == 0
    assert vizcore.word_errors("it's", "its").rate == 1
    assert plain_words("'Quoted' rock 'n' roll") == ["quoted", "rock", "n", "roll"]


def test_chinese_is_compared_by_characters() -> None:
    assert usual_unit("我爱你。") == "character"
    assert usual_unit("I love you, 爱") == "word"
    found = vizcore.word_errors("我爱你。", "我很爱他")
    assert (found.n_reference, found.substitutions, found.insertions) == (3, 1, 1)
    assert found.rate == pytest.approx(2 / 3)


def test_a_reference_without_words_errors() -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.word_errors(" ?! ", "yes")
    assert str(caught.value) == (
        "The reference has no words to compare with. Give the words that were really said."
    )


# --- the recorded lists --------------------------------------------------------------------------


def test_the_recorded_translations_have_the_scores_of_the_bundled_translator() -> None:
    translator = vizcore.load("tatoeba-translator")
    lists = vizcore.read_nbest(vizcore.asset("rescoring/translations.jsonl"))
    assert len(lists) == 10
    for one in lists[:4]:
        assert list(one.scores) == sorted(one.scores, reverse=True)
        for text, score in zip(one.hypotheses, one.scores, strict=True):
            found = vizcore.translate(translator, one.name, target=text)
            assert found.log_likelihood == pytest.approx(score, abs=2e-3), (
                "made anew by: python -m vizcore.recipes.nbest"
            )


def test_a_language_model_prefers_to_recognise_speech(smollm2: vizcore.Model) -> None:
    lists = vizcore.read_nbest(vizcore.asset("rescoring/recognise-speech.jsonl"))
    (found,) = vizcore.rescore(smollm2, lists)
    winners = found.winners()
    assert "wreck a nice beach" in winners["hypothesis"].iloc[0]
    assert "recognise speech" in winners["hypothesis"].iloc[-1]
    assert winners["error_rate"].iloc[-1] == 0
