"""`vizcore heads`, as somebody types it: what it lists, in what order, and what it writes."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import vizcore
from vizcore.cli import app
from vizcore.terminal import plain

TEXTS = ("apple bell bird apple bell bird", "boat book bread boat")


def run(*arguments: str, **options: str) -> Result:
    return CliRunner().invoke(
        app,
        ["heads", *arguments],
        prog_name="vizcore",
        env={"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"},
        catch_exceptions=False,
        **options,  # type: ignore[arg-type]
    )


def succeeds(*arguments: str, **options: str) -> str:
    result = run(*arguments, **options)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return vizcore.head_scores(vizcore.load("induction"), TEXTS)


def listed(printed: str) -> list[tuple[int, int]]:
    """Layer and head of each row of a table without a column for the kind."""
    rows = [line.split() for line in printed.splitlines()]
    return [(int(row[0]), int(row[1])) for row in rows if len(row) > 2 and row[0].isdigit()]


def test_heads_are_listed_by_what_they_do_with_their_words(scores: pd.DataFrame) -> None:
    printed = succeeds("induction", *TEXTS, "--rows", "0")
    assert sorted(listed(printed)) == [(layer, head) for layer in range(2) for head in range(4)]
    for row in scores.to_dict("records"):
        assert plain(row["summary"]) in printed
    order = [scores.set_index(["layer", "head"])["pattern"][place] for place in listed(printed)]
    groups = [name for place, name in enumerate(order) if name not in order[:place]]
    assert order == [name for group in groups for name in order if name == group]


def test_of_each_pattern_only_a_few_are_listed_and_the_rest_counted(scores: pd.DataFrame) -> None:
    printed = succeeds("induction", *TEXTS, "--rows", "1")
    sizes = scores["pattern"].value_counts()
    assert len(listed(printed)) == len(sizes)
    for size in sizes[sizes > 1]:
        more = "1 more head like it" if size == 2 else f"{size - 1} more heads like these"
        assert f"… and {more}" in printed


def test_by_a_score_the_highest_come_first_with_their_number(scores: pd.DataFrame) -> None:
    printed = succeeds("induction", *TEXTS, "--by", "induction", "--rows", "3")
    best = scores.nlargest(3, "induction")
    assert listed(printed) == [*zip(best["layer"], best["head"], strict=True)]
    for score in best["induction"]:
        assert f"{score:.3f}" in printed


def test_texts_may_come_from_standard_input_one_a_line(scores: pd.DataFrame) -> None:
    read = json.loads(succeeds("induction", "-", "--json", input="\n\n".join(TEXTS)))
    assert read["model"] == "induction"
    assert [row["entropy"] for row in read["heads"]] == pytest.approx([*scores["entropy"]])
    assert read["heads"][0]["next_token"] is None


def test_all_scores_are_written_one_row_a_head(scores: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    assert succeeds("induction", *TEXTS, "--csv", str(file)) == f"Wrote {file}\n"
    pd.testing.assert_frame_equal(pd.read_csv(file), scores, check_dtype=False)
    printed = succeeds("induction", *TEXTS, "--csv", "-")
    assert [*pd.read_csv(io.StringIO(printed)).columns] == [*scores.columns]


def test_of_an_encoder_decoder_each_row_says_the_kind_of_attention() -> None:
    texts = ("I love you.", "He is here.")
    printed = succeeds("tatoeba-translator", *texts, "--rows", "0")
    for kind in ("encoder", "decoder", "cross"):
        assert sum(line.split()[:1] == [kind] for line in printed.splitlines()) == 12
    cross = succeeds("tatoeba-translator", *texts, "--kind", "cross", "--by", "mutual_information")
    assert len(listed(cross)) == 10


def test_a_score_that_means_nothing_for_these_heads_is_said_to() -> None:
    printed = succeeds("induction", *TEXTS, "--by", "next_token")
    assert printed.startswith("next_token does not apply to these heads.\n")


def test_a_score_that_does_not_exist_is_named_with_those_that_do_errors() -> None:
    result = run("induction", "--by", "cleverness")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: There is no score 'cleverness'. Scores are: previous_token, next_token, itself, "
        "first_token, last_token, same_token, separator, punctuation, local_window, induction, "
        "prefix_matching, entropy, effective_tokens, mean_distance, mutual_information, alignment, "
        "duplicate_token, previous_on_texts, position.\n"
    )


def test_csv_and_json_at_once_are_a_mistake_in_use_errors() -> None:
    result = run("induction", "--csv", "-", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--csv and --json exclude each other." in result.stderr


def test_the_help_has_examples_that_name_the_command_and_its_options() -> None:
    printed = succeeds("--help")
    examples = printed.split("Examples:")[1]
    assert examples.count("vizcore heads ") == 4
    for option in ("--by", "--kind", "--csv"):
        assert option in examples
