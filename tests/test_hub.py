"""Hub ids: what the cache holds is used, what fails is said in words. No test needs a network."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub._snapshot_download as snapshot_download
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

import vizcore
from tests.support import tiny
from vizcore import hub
from vizcore.hub import hub_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def hub_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for HF_HOME that holds somebody/tiny: a main branch and a tag."""
    home: Path = tmp_path_factory.mktemp("huggingface")
    repository = home / "hub" / "models--somebody--tiny"
    for commit, ref, seed in ((COMMIT, "main", 0), (OLDER, "v1", 1)):
        tiny.save(tiny.tiny_network("gpt2", seed=seed), repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    return home


def in_a_process(script: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """The settings are read when huggingface_hub is imported, so each test needs a new process."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"} | more
    return subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_in_the_cache_is_loaded_without_a_network(hub_home: Path) -> None:
    script = (
        "import vizcore; model = vizcore.load('somebody/tiny'); "
        "print(model.name, model.kind, *model.trace('the cat').tokens)"
    )
    done = in_a_process(script, hub_home)
    assert (done.stdout, done.stderr) == ("somebody/tiny decoder the ·cat\n", "")


def test_a_revision_chooses_among_what_is_in_the_cache(hub_home: Path) -> None:
    script = (
        "from vizcore.hub import hub_folder\n"
        f"for revision in (None, 'main', 'v1', {OLDER!r}):\n"
        "    print(hub_folder('somebody/tiny', revision=revision).name)"
    )
    done = in_a_process(script, hub_home)
    assert done.stdout.split() == [COMMIT, COMMIT, OLDER, OLDER]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("'somebody/unknown'", "'somebody/unknown'"),
        ("'somebody/tiny', revision='v2'", "'somebody/tiny' at revision 'v2'"),
    ],
)
def test_what_is_not_in_the_cache_errors_offline(
    arguments: str, named: str, hub_home: Path
) -> None:
    script = (
        "import vizcore\n"
        f"try: vizcore.load({arguments})\n"
        "except vizcore.FetchError as error: print(error)"
    )
    done = in_a_process(script, hub_home)
    assert done.stdout == (
        f"{named} is not in the Hub's cache on this machine, and the Hub cannot be reached. "
        "Connect to the internet once (and unset HF_HUB_OFFLINE), or give the path of a local "
        "folder, or a name that `vizcore models` lists.\n"
    )
    assert done.stderr == ""


# --- What the Hub may answer ----------------------------------------------------------------------


def answer(kind: type[HfHubHTTPError]) -> HfHubHTTPError:
    """An error as huggingface_hub raises it, whichever HTTP client it uses."""
    error = kind.__new__(kind)
    Exception.__init__(error, "from the Hub")
    return error


def failing(error: Exception) -> Callable[..., str]:
    def download(*_: Any, **__: Any) -> str:
        raise error

    return download


NO_MODEL = (
    "There is no model 'a/b': it is no name of the catalogue (`vizcore models` lists them), no "
    "folder here, and no repository on the Hub that may be read without a token (set HF_TOKEN if "
    "it is private)."
)
UNREACHED = (
    "'a/b' is not in the Hub's cache on this machine, and the Hub cannot be reached. Connect to "
    "the internet once (and unset HF_HUB_OFFLINE), or give the path of a local folder, or a name "
    "that `vizcore models` lists."
)
ANSWERS: list[tuple[Exception, type[vizcore.VizcoreError], str]] = [
    (
        answer(GatedRepoError),
        vizcore.ModelNotFoundError,
        "'a/b' is a gated repository. Accept its terms on its page, then set HF_TOKEN to a token "
        "of yours that may read it.",
    ),
    (answer(RepositoryNotFoundError), vizcore.ModelNotFoundError, NO_MODEL),
    (HFValidationError("two slashes"), vizcore.ModelNotFoundError, NO_MODEL),
    (LocalEntryNotFoundError("no network"), vizcore.FetchError, UNREACHED),
    (OfflineModeIsEnabled("offline"), vizcore.FetchError, UNREACHED),
    (answer(HfHubHTTPError), vizcore.FetchError, UNREACHED),
    (
        OSError(28, "No space left on device"),
        vizcore.FetchError,
        "'a/b' could not be written to the Hub's cache: [Errno 28] No space left on device. Free "
        "some space, or set HF_HOME to a folder that can hold it.",
    ),
]


@pytest.mark.parametrize(
    ("error", "expected", "text"), ANSWERS, ids=[type(error).__name__ for error, _, _ in ANSWERS]
)
def test_the_hubs_errors_say_what_to_do(
    error: Exception,
    expected: type[vizcore.VizcoreError],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "snapshot_download", failing(error))
    with pytest.raises(expected) as raised:
        hub_folder("a/b")
    assert str(raised.value) == text


def test_a_revision_that_is_not_there_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "snapshot_download", failing(answer(RevisionNotFoundError)))
    with pytest.raises(vizcore.ModelNotFoundError) as raised:
        hub_folder("a/b", revision="v9")
    assert str(raised.value) == (
        "'a/b' has no revision 'v9'. Give a branch, a tag or a full commit hash."
    )


def test_a_repository_of_pickles_errors_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr(
        hub, "list_repo_files", lambda *_, **__: ["config.json", "pytorch_model.bin"]
    )
    with pytest.raises(vizcore.UnsafeWeightsError, match=r"^The weights of a/b are pickled \(pyt"):
        hub_folder("a/b")


# --- What is fetched ------------------------------------------------------------------------------


def test_neither_pickles_nor_code_nor_second_copies_are_fetched() -> None:
    from huggingface_hub.utils import filter_repo_objects

    files = """
        config.json model.safetensors model-00001-of-00002.safetensors tokenizer.json vocab.txt
        spiece.model source.spm model.safetensors.index.json chat_template.jinja
        pytorch_model.bin model.pt modeling_own.py tf_model.h5 flax_model.msgpack
        consolidated.safetensors original/model.safetensors onnx/config.json
    """.split()
    kept = filter_repo_objects(
        files, allow_patterns=list(hub.WANTED), ignore_patterns=list(hub.NOT_WANTED)
    )
    assert list(kept) == files[:9]


def test_progress_is_told_in_megabytes_and_draws_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told: list[tuple[str, float | None]] = []
    bar = hub._reporting_bar("a/b", lambda text, part: told.append((text, part)))
    on_disk = snapshot_download._create_progress_bar(
        cls=bar, log_level=20, name="x", desc="Reconstructing", total=0, initial=0, unit="B"
    )
    on_disk.total = 4_000_000
    on_disk.refresh()
    on_disk.update(1_000_000)
    on_disk.update(3_000_000)
    brought = snapshot_download._create_progress_bar(
        cls=bar, log_level=20, name="x", desc="Downloading bytes", total=9, initial=0, unit="B"
    )
    brought.update(5)
    assert told == [
        ("Fetching a/b from the Hub: 1 of 4 MB", 0.25),
        ("Fetching a/b from the Hub: 4 of 4 MB", 1.0),
    ]
    assert capfd.readouterr() == ("", "")
