"""`vizcore score`, `surprisal`, `compare`, `rescore` and `benchmark`, as somebody types them."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import vizcore
from vizcore.cli import app

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = ["I love you.", "I you love.", "The cat sat on the mat."]
COMMANDS = ["score", "surprisal", "compare", "rescore", "benchmark", "tune-lens"]


def run(*arguments: str, **options: Any) -> Result:
    options.setdefault("env", {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    return CliRunner().invoke(
        app, arguments, prog_name="vizcore", catch_exceptions=False, **options
    )


def succeeds(*arguments: str, **options: Any) -> str:
    result = run(*arguments, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(*arguments: str, code: int = 1) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert "Traceback" not in result.stderr
    return re.sub(r"[\s│]+", " ", result.stderr) if code == 2 else result.stderr


@pytest.fixture(scope="module")
def lm() -> vizcore.Model:
    return vizcore.load("tatoeba-lm")


@pytest.fixture
def blimp(tmp_path: Path) -> list[str]:
    """Two files of minimal pairs, five pairs each."""
    paths = []
    for name, verbs in (("first", ("is", "are")), ("second", ("was", "were"))):
        rows = [
            {
                "sentence_good": f"The {noun} {verbs[0]} here.",
                "sentence_bad": f"The {noun} {verbs[1]} here.",
                "UID": name,
                "linguistics_term": "agreement",
            }
            for noun in ("cat", "dog", "book", "man", "house")
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(str(path))
    return paths


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_that_name_its_options(command: str) -> None:
    page = succeeds(command, "--help")
    examples = page.split("Examples:")[1]
    assert f"vizcore {command} " in examples
    for line in re.findall(rf"vizcore {command} (.*)", examples):
        assert all(option in page for option in re.findall(r"(?<= )--[a-z]+", line)), line


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys\nfrom vizcore.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'sklearn', 'pyarrow', 'jiwer'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-c", program, command, "--help"], capture_output=True, text=True
        )
        assert done.stdout.endswith("HEAVY []\n"), done.stdout + done.stderr


# --- score ---------------------------------------------------------------------------------------


def test_sentences_are_scored_a_line_each_in_their_order(lm: vizcore.Model, tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("\n\n".join(SENTENCES) + "\r\n", encoding="utf-8-sig")
    printed = pd.read_csv(io.StringIO(succeeds("score", "tatoeba-lm", str(path))), sep="\t")
    expected = vizcore.score(lm, SENTENCES)
    assert list(printed["sentence"]) == SENTENCES
    assert list(printed["n_tokens"]) == list(expected["n_tokens"])
    for name in ("log_likelihood", "perplexity"):
        assert list(printed[name]) == pytest.approx(list(expected[name]), abs=1e-3)


def test_sentences_come_from_a_pipe_and_go_out_as_json_lines(lm: vizcore.Model) -> None:
    printed = succeeds("score", "tatoeba-lm", "-", "--json", input="\n".join(SENTENCES))
    rows = [json.loads(line) for line in printed.splitlines()]
    expected = vizcore.score(lm, SENTENCES).to_dict("records")
    for row, known in zip(rows, expected, strict=True):
        assert {*row} == {*known}
        assert row["sentence"] == known["sentence"]
        assert row["log_likelihood"] == pytest.approx(known["log_likelihood"], abs=1e-4)


def test_what_stands_before_is_not_scored(lm: vizcore.Model) -> None:
    printed = succeeds("score", "tatoeba-lm", "-", "--json", "--given", "I", input="love you.\n")
    expected = vizcore.score(lm, ["love you."], given="I")["log_likelihood"].item()
    assert json.loads(printed)["log_likelihood"] == pytest.approx(expected, abs=1e-4)


def test_a_sentence_cannot_steer_the_terminal() -> None:
    printed = succeeds("score", "tatoeba-lm", "-", input="a\x1b[2Jb\tc\n")
    assert printed.splitlines()[1].endswith("\ta\\u001b[2Jb\\u0009c")


def test_files_that_cannot_be_read_errors(tmp_path: Path) -> None:
    missing, broken = tmp_path / "no.txt", tmp_path / "b.txt"
    assert fails("score", "tatoeba-lm", str(missing)) == (
        f"Error: {missing} cannot be read: No such file or directory.\n"
    )
    broken.write_bytes(b"fine\nbro\xffken\n")
    assert fails("score", "tatoeba-lm", str(broken)) == (
        f"Error: Line 2 of {broken} is not UTF-8 (byte 4 of the line). Save the file as UTF-8 "
        "text.\n"
    )


def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("I love you.\n" * 6000)
    command = f"{sys.executable} -m vizcore.cli score tatoeba-lm {path} | head -n 2"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


# --- surprisal and compare -----------------------------------------------------------------------


def test_surprisal_is_listed_token_by_token(lm: vizcore.Model) -> None:
    expected = vizcore.surprisal(lm, SENTENCES[0])
    printed = succeeds("surprisal", "tatoeba-lm", SENTENCES[0])
    for row in expected.iloc[1:].to_dict("records"):
        assert re.search(
            rf"{re.escape(row['token'])} .*{row['surprisal']:.2f}.*{row['rank']} ", printed
        )
    assert f"log-likelihood {expected['log_probability'].sum():.3f} nats" in printed
    tokens = json.loads(succeeds("surprisal", "tatoeba-lm", "-", "--json", input=SENTENCES[0]))
    assert [row["token"] for row in tokens["tokens"]] == list(expected["token"])
    assert tokens["tokens"][0]["surprisal"] is None


def test_surprisal_is_listed_by_word_in_either_reading_of_spaces(smollm2: vizcore.Model) -> None:
    text = "Unbelievably late."
    for spaces in ("leading", "trailing"):
        expected = vizcore.surprisal(smollm2, text, by="word", spaces=spaces)
        options = ("--by", "word", "--spaces", spaces)
        words = json.loads(succeeds("surprisal", "smollm2-135m", text, *options, "--json"))
        assert [row["word"] for row in words["words"]] == list(expected["word"])
        found = [row["log_probability"] for row in words["words"]][1:]
        assert found == pytest.approx(expected["log_probability"].iloc[1:].tolist(), abs=1e-6)
        printed = succeeds("surprisal", "smollm2-135m", text, *options)
        assert re.search(rf"late .*{expected['surprisal'].iloc[1]:.2f}", printed)


def test_sentences_are_compared_the_likeliest_first(lm: vizcore.Model) -> None:
    printed = succeeds("compare", "tatoeba-lm", SENTENCES[1], SENTENCES[0])
    lines = printed.splitlines()
    scores = vizcore.score(lm, SENTENCES[:2])["log_likelihood"]
    assert lines[2].split()[:3] == SENTENCES[0].split()
    assert f"{scores[0] - scores[1]:.3f}" in lines[3]
    assert "They part in column 2." in printed
    found = json.loads(succeeds("compare", "tatoeba-lm", "-", "--json", input="\n".join(SENTENCES)))
    assert [row["sentence"] for row in found["sentences"]] == SENTENCES
    assert found["parting"] == 1


def test_two_models_are_compared_on_the_same_sentences() -> None:
    printed = succeeds("compare", "tatoeba-lm", *SENTENCES[:2], "--with", "induction")
    assert printed.count("tatoeba-lm  ") == printed.count("induction  ") == 2


# --- rescore -------------------------------------------------------------------------------------


def test_hypotheses_are_rescored_and_their_winners_told(lm: vizcore.Model) -> None:
    content = "I you love.\t-1\nI love you.\t-2\n"
    arguments = ("rescore", "tatoeba-lm", "-", "--weight", "0.25")
    printed = succeeds(*arguments, "--reference", "I love you", input=content)
    (expected,) = vizcore.rescore(lm, vizcore.parse_nbest(content, "x"))
    change = expected.winners()["high"].iloc[0]
    assert f"0.0000 – {change:.4f}   I you love." in printed
    assert re.search(r"1   I love you\. .* 0%", printed)
    found = json.loads(succeeds(*arguments, "--json", input=content))
    totals = [row["total"] for row in found["lists"][0]["hypotheses"]]
    assert totals == pytest.approx(list(expected.table(0.25)["total"]), abs=1e-4)
    assert found["error_rates"] is None


def test_a_list_that_is_malformed_errors(tmp_path: Path) -> None:
    path = tmp_path / "n.tsv"
    path.write_text("no score\n")
    assert fails("rescore", "tatoeba-lm", str(path)) == (
        "Error: Line 1 of n.tsv has no tab. A line is a hypothesis, a tab, and its score.\n"
    )


# --- benchmark -----------------------------------------------------------------------------------


def test_a_benchmark_is_counted_by_paradigm_and_kept(
    lm: vizcore.Model, blimp: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "r.parquet"
    printed = succeeds("benchmark", "tatoeba-lm", *blimp, "--out", str(out))
    expected = vizcore.evaluate(lm, [vizcore.read_benchmark(path) for path in blimp])
    for row in vizcore.accuracy_table(expected).to_dict("records"):
        assert re.search(rf"{row['paradigm']} +{row['n']} +{row['n_correct']} ", printed)
    assert printed.endswith(f"10 rows are in {out}\n")
    kept = vizcore.read_evaluation(out)
    assert list(kept.items["correct"]) == list(expected.items["correct"])
    found = json.loads(succeeds("benchmark", "tatoeba-lm", *blimp, "--out", str(out), "--json"))
    assert [row["paradigm"] for row in found["results"]] == ["first", "second", "all"]
    compared = json.loads(
        succeeds("benchmark", "induction", *blimp, "--against", str(out), "--json")
    )["compared"]
    assert compared[-1]["accuracy_b"] == pytest.approx(expected.items["correct"].mean())
    words = succeeds("benchmark", "induction", *blimp, "--against", str(out))
    assert "induction (a) and tatoeba-lm (b) on the same items:" in words


def test_how_far_it_is_goes_to_standard_error(blimp: list[str]) -> None:
    result = run("benchmark", "tatoeba-lm", *blimp, "--json")
    assert result.stderr.splitlines() == [
        "first: 0 of 10 items",
        "first: 5 of 10 items",
        "second: 10 of 10 items",
    ]
    json.loads(result.stdout)


def test_labels_by_a_prompt_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('said,truth\n"I love you.",a\n"No, I don\'t.",b\nbroken\n')
    arguments = ["benchmark", "tatoeba-lm", str(path), "--column", "text=said"]
    arguments += ["--column", "label=truth", "--template", "{text} {word}"]
    arguments += ["--word", "a=yes", "--word", "b=no"]
    assert fails(*arguments) == (
        "Error: Line 4 of mine.csv has 1 column and not 2. Mend the file, or leave such rows out "
        "(skip_malformed=True; in the terminal --skip-malformed).\n"
    )
    result = run(*arguments, "--skip-malformed", "--json")
    assert "Left out: line 4 of mine has 1 column and not 2.\n" in result.stderr
    found = json.loads(result.stdout)
    assert [row["metric"] for row in found["results"]] == ["accuracy", "matthews"]
    assert fails(*arguments, "--skip-malformed", "--word", "c=x") == (
        "Error: mine has no label 'c'. It has: a, b.\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--template", "{text} {word}"], "Give --template and a --word for each label together."),
        (["--column", "text"], "--column takes ROLE=NAME, not 'text'."),
        (["--sample", "0"], "Invalid value for '--sample'"),
    ],
)
def test_mistakes_in_use_errors(options: list[str], said: str, blimp: list[str]) -> None:
    assert said in fails("benchmark", "tatoeba-lm", blimp[0], *options, code=2)


def started(*arguments: str) -> "subprocess.Popen[str]":
    program = (
        "from vizcore import evaluation\nevaluation.ITEMS_AT_ONCE = 4\n"
        "from vizcore.cli import main\nmain()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_ended_goes_on_with_the_same_command(
    by: signal.Signals, tmp_path: Path
) -> None:
    path, out = tmp_path / "many.tsv", tmp_path / "r.parquet"
    rows = [f"I love {n} cats and dogs.\tI loves {n} cats and dogs." for n in range(400)]
    path.write_text("good\tbad\n" + "\n".join(rows))
    arguments = ("benchmark", "tatoeba-lm", str(path), "--out", str(out))
    with started(*arguments) as process:
        while len([*tmp_path.glob("r.parquet.parts/*.parquet")]) < 3 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(by)
        _, said = process.communicate(timeout=120)
    n_kept = len(vizcore.read_evaluation(out).items)
    assert 12 <= n_kept < 400
    if by == signal.SIGINT:
        assert process.returncode == 130
        assert f"Stopped. {n_kept} items are kept beside {out}" in said
    else:
        assert process.returncode == -by
    result = run(*arguments)
    assert result.stderr.startswith(f"many: {n_kept} of 400 items\n")
    items = vizcore.read_evaluation(out).items
    assert list(items["line"]) == list(range(2, 402))
