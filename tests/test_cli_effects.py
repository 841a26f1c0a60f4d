"""`vizcore ablate` and `patch`, as somebody types them; and effects over many prompts."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import vizcore
from vizcore.cli import app
from vizcore.effect_metrics import LogitDifference
from vizcore.prompt_effects import (
    Prompt,
    ablated_prompts,
    mean_effects,
    read_prompts,
    word_token,
)

PAIRS = [
    ("The keys to the house", "The key to the house"),
    ("The dogs in the garden", "The dog in the garden"),
    ("The girls in the room", "The girl in the room"),
]


def run(*arguments: str) -> Result:
    env = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    return CliRunner().invoke(app, arguments, prog_name="vizcore", catch_exceptions=False, env=env)


def succeeds(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(*arguments: str, code: int = 1) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    return re.sub(r"[\s│]+", " ", result.stderr)


@pytest.fixture(scope="module")
def lm() -> vizcore.Model:
    return vizcore.load("tatoeba-lm")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    rows = [
        {"clean": clean, "corrupted": corrupted, "token": "are", "against": "is"}
        for clean, corrupted in PAIRS
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_ablate_prints_the_largest_effects_of_a_text() -> None:
    printed = succeeds("ablate", "tatoeba-lm", PAIRS[0][0], "--token", "are", "--top", "4")
    assert "Measured: " in printed
    assert "Without the head it changes by:" in printed
    assert "The largest 4 of " in printed


def test_ablate_as_json_is_what_the_library_measures(lm: vizcore.Model) -> None:
    arguments = ["--token", "are", "--against", "is", "--json"]
    found = json.loads(succeeds("ablate", "tatoeba-lm", PAIRS[0][0], *arguments))
    are, its = word_token(lm, "are"), word_token(lm, "is")
    expected = vizcore.ablation_effects(lm, PAIRS[0][0], LogitDifference(are, its))
    mine = pd.DataFrame(found["effects"]).sort_values(["layer", "head"])
    assert mine["effect"].tolist() == pytest.approx(expected["effect"].tolist(), abs=1e-4)
    sizes = pd.DataFrame(found["effects"])["effect"].abs()
    assert sizes.is_monotonic_decreasing


def test_a_file_of_prompts_gives_means_with_their_intervals(lm: vizcore.Model, table: Path) -> None:
    found = pd.DataFrame(
        json.loads(succeeds("ablate", "tatoeba-lm", str(table), "--json"))["effects"]
    )
    metric = LogitDifference(word_token(lm, "are"), word_token(lm, "is"))
    each = [vizcore.ablation_effects(lm, clean, metric) for clean, _ in PAIRS]
    mean = pd.concat(each).groupby(["layer", "head"])["effect"].mean()
    mine = found.set_index(["layer", "head"]).sort_index()
    assert mine["effect"].tolist() == pytest.approx(mean.tolist(), abs=1e-4)
    assert (mine["n_prompts"] == 3).all()
    assert ((mine["low"] <= mine["effect"]) & (mine["effect"] <= mine["high"])).all()
    extremes = pd.concat(each).groupby(["layer", "head"])["effect"]
    assert (mine["low"] >= extremes.min() - 1e-4).all()
    assert (mine["high"] <= extremes.max() + 1e-4).all()


def test_patch_prints_what_brings_the_prediction_back(lm: vizcore.Model) -> None:
    clean, corrupted = PAIRS[0]
    printed = succeeds("patch", "tatoeba-lm", clean, corrupted, "--token", "are", "--top", "3")
    assert "In the corrupted text it is" in printed
    assert "restored" in printed
    found = json.loads(succeeds("patch", "tatoeba-lm", clean, corrupted, "--json"))
    first = [row for row in found["effects"] if row["layer"] == 0]
    assert len(first) == len(lm.encode(clean))


def test_patch_takes_a_file_of_pairs(table: Path) -> None:
    arguments = ["--where", "head", "--json"]
    found = json.loads(succeeds("patch", "tatoeba-lm", str(table), *arguments))
    assert {"layer", "head", "n_prompts", "effect", "low", "high", "restored"} <= set(
        found["effects"][0]
    )


def test_a_run_that_was_stopped_goes_on_where_it_was(
    lm: vizcore.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [Prompt(clean) for clean, _ in PAIRS]
    out = tmp_path / "effects.parquet"
    whole = pd.concat(list(ablated_prompts(lm, prompts)), ignore_index=True)
    begun = ablated_prompts(lm, prompts, out=out)
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    assert not out.exists()
    ran: list[str] = []
    measured = vizcore.prompt_effects.ablation_effects

    def counted(model: Any, text: str, *rest: Any, **options: Any) -> pd.DataFrame:
        ran.append(text)
        return measured(model, text, *rest, **options)

    monkeypatch.setattr("vizcore.prompt_effects.ablation_effects", counted)
    resumed = pd.concat(list(ablated_prompts(lm, prompts, out=out)), ignore_index=True)
    assert ran == [prompt.text for prompt in prompts[1:]]
    pd.testing.assert_frame_equal(resumed, whole, check_dtype=False)
    again = pd.concat(list(ablated_prompts(lm, prompts, out=out)), ignore_index=True)
    assert len(ran) == 2
    pd.testing.assert_frame_equal(again, whole, check_dtype=False)
    with pytest.raises(vizcore.DataError, match="holds the results of another run"):
        next(ablated_prompts(lm, prompts[:2], out=out))


def test_one_prompt_has_no_interval(lm: vizcore.Model) -> None:
    means = mean_effects(next(ablated_prompts(lm, [Prompt(PAIRS[0][0])])))
    assert means["low"].isna().all()
    assert means["high"].isna().all()


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.jsonl", "prompts.tsv"])
def test_prompts_are_read_from_lines_and_from_tables(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    contents = {
        "prompts.txt": "One here.\n\nAnother, with a comma.\n",
        "prompts.jsonl": '{"text": "One here."}\n{"text": "Another, with a comma."}\n',
        "prompts.tsv": "text\ttoken\nOne here.\t\nAnother, with a comma.\t\n",
    }
    path.write_text(contents[name], "utf-8")
    assert read_prompts(path) == [Prompt("One here."), Prompt("Another, with a comma.")]


def test_what_is_missing_is_said(tmp_path: Path, table: Path) -> None:
    assert "Give two texts, clean and corrupted, or a file of pairs." in fails(
        "patch", "tatoeba-lm", "One text.", code=2
    )
    assert "--against goes with --token." in fails(
        "ablate", "tatoeba-lm", "One text.", "--against", "is", code=2
    )
    assert "leave out the second argument" in fails(
        "patch", "tatoeba-lm", str(table), "Another.", code=2
    )
    lines = tmp_path / "lines.csv"
    lines.write_text("text\nOne.\n", "utf-8")
    assert fails("patch", "tatoeba-lm", str(lines)) == (
        f"Error: Line 2 of {lines} has no corrupted. Name the columns in its first line: text, "
        "corrupted, and if wanted token, against and target. "
    ).replace("  ", " ")
    empty = tmp_path / "empty.csv"
    empty.write_text("text\n", "utf-8")
    assert "There are no prompts in" in fails("ablate", "tatoeba-lm", str(empty))


def test_a_prompt_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    lines = tmp_path / "lines.csv"
    lines.write_text("text,corrupted\nThe dog,The cat\nThe dog here,The\n", "utf-8")
    assert "Prompt 2: " in fails("patch", "tatoeba-lm", str(lines))
