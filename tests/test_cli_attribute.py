"""`vizcore attribute`, as somebody types it."""

import json
from pathlib import Path

import pytest

import vizcore
from tests.test_cli_scores import run, succeeds

TEXT = "I love you"


def test_a_text_gives_a_table_and_says_which_method_to_trust() -> None:
    printed = succeeds("attribute", "tatoeba-lm", TEXT, "--token", ".", "--against", "!")
    assert printed.startswith('Why "." rather than "!" after token 3: ')
    for word in ("·love", "occlusion", "rollout", "comprehensiveness", "random"):
        assert word in printed
    assert "Integrated gradients should add up to " in printed


def test_json_has_the_librarys_numbers() -> None:
    printed = succeeds("attribute", "tatoeba-lm", TEXT, "--json", "--method", "occlusion")
    found = json.loads(printed)
    model = vizcore.load("tatoeba-lm")
    expected = vizcore.attributions(model.trace(TEXT), methods=["occlusion"])
    assert found["value"] == pytest.approx(expected.attrs["value"])
    values = [row["attribution"] for row in found["attributions"]]
    assert values[0] is None
    assert values[1:] == pytest.approx(expected["attribution"][1:].tolist(), abs=1e-6)
    assert [row["method"] for row in found["faithfulness"]] == ["occlusion", "random"]


def test_a_file_gives_an_object_a_line(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("I love you\n\nYou love me\n", "utf-8")
    command = ("tatoeba-lm", str(file), "--json", "--method", "rollout", "--no-faithful")
    lines = succeeds("attribute", *command).splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["I love you", "You love me"]
    piped = succeeds("attribute", command[0], "-", *command[2:], input=file.read_bytes())
    assert piped.splitlines() == lines


def test_a_likelihood_and_a_translation_can_be_explained() -> None:
    method = ("--method", "gradient_x_input", "--no-faithful")
    printed = succeeds("attribute", "tatoeba-lm", TEXT, "--likelihood", *method)
    assert printed.startswith("Why this text is as likely as it is: -")
    printed = succeeds("attribute", "tatoeba-translator", TEXT, "--target", "我爱你", *method)
    assert "source" in printed
    assert "target" in printed


def test_what_cannot_be_explained_is_said() -> None:
    result = run("attribute", "tatoeba-lm", TEXT, "--method", "lime")
    assert result.exit_code == 1
    assert "There is no method 'lime'" in result.stderr
