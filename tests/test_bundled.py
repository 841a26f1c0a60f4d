"""Models that come with Headlight: always there, with no network, no cache, and no waiting."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import vizcore
from tests.support.catalogue import use_catalogue
from vizcore import cli
from vizcore.catalog import CatalogEntry, find
from vizcore.fetch import fetch


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Assets with a bundled tiny translator, an empty cache, and no way to fetch anything."""
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return use_catalogue(tmp_path, monkeypatch)


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs `vizcore …` in this process, and returns what it prints."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vizcore", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    return run


def entry(name: str) -> CatalogEntry:
    found = find(name)
    assert found is not None
    return found


def test_a_bundled_model_is_loaded_by_its_name(assets: Path) -> None:
    model = vizcore.load("tiny-translator")
    assert (model.name, model.kind, model.n_layers) == ("tiny-translator", "encoder-decoder", 2)
    assert model.note == "Writes nonsense about everything"
    assert {weights.dtype for weights in model.network.parameters()} == {torch.float32}
    assert model.trace("the cat").kinds == ("encoder", "decoder", "cross")


def test_it_is_used_where_it_lies_and_nothing_is_put_into_the_cache(
    assets: Path, tmp_path: Path
) -> None:
    assert fetch(entry("tiny-translator")) == assets / "models" / "tiny-translator"
    vizcore.load("tiny-translator")
    assert not (tmp_path / "cache").exists()


def test_only_what_is_on_this_machine_counts_as_fetched(assets: Path) -> None:
    assert vizcore.is_fetched(entry("tiny-translator"))
    assert not vizcore.is_fetched(entry("far-away"))
    (assets / "models" / "tiny-translator" / "model.safetensors").unlink()
    assert not vizcore.is_fetched(entry("tiny-translator"))


def test_a_bundled_model_that_an_installation_lacks_is_said_to_be_missing_errors(
    assets: Path,
) -> None:
    (assets / "models" / "tiny-translator").rename(assets / "moved")
    with pytest.raises(vizcore.ModelFilesError) as raised:
        vizcore.load("tiny-translator")
    assert str(raised.value) == (
        f"tiny-translator comes with Headlight and should lie in {assets}/models/tiny-translator, "
        "but is not there: this installation is incomplete. Install headlight-viz again."
    )


def test_the_terminal_lists_it_as_always_there(assets: Path, printed: Callable[..., str]) -> None:
    rows = [" ".join(line.split()) for line in printed("models").splitlines()]
    assert "tiny-translator encoder-decoder 2 × 4 CC-BY-2.0-FR bundled" in rows
    assert "far-away decoder 3 × 5 Apache-2.0 12 MB to fetch" in rows


def test_other_programs_are_told_its_folder_and_that_nothing_is_fetched(
    assets: Path, printed: Callable[..., str]
) -> None:
    far, near = json.loads(printed("models", "--json"))
    assert (near["requirement"], near["sha256"], near["download_size"]) == (None, None, 0)
    assert near["folder"] == str(assets / "models" / "tiny-translator")
    assert (far["requirement"], far["folder"]) == ("far-away==1.0", None)


def test_fetching_it_says_where_it_is(assets: Path, printed: Callable[..., str]) -> None:
    assert printed("fetch", "tiny-translator") == (
        f"tiny-translator: {assets}/models/tiny-translator\n"
    )
