"""The commands that everybody starts with: what they say, and what they say when they cannot."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.support import browser, javascript

ROOT = Path(__file__).resolve().parent.parent
VENV_SCRIPT = ROOT / "tests" / "support" / "venv.sh"
CLEAN_MAKE = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


def said_by_make(*arguments: str) -> str:
    """What `make` prints for these arguments."""
    done = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory", *arguments],
        env=CLEAN_MAKE, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def folder_with(folder: Path, scripts: dict[str, str], *, real: Iterable[str] = ()) -> Path:
    """A folder to be the whole PATH: shell scripts by name, and links to real programs."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    for name in real:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def test_make_alone_says_what_can_be_made() -> None:
    said = said_by_make()
    for target in ("help", "run", "test", "models", "check", "bench"):
        assert re.search(rf"^  make {target} +[A-Z].*\.$", said, re.MULTILINE), target
    assert said == said_by_make("help")


def test_continuous_integration_runs_the_two_commands_of_the_readme_and_needs_a_browser() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    text = script.read_text(encoding="utf-8")
    assert re.findall(r"^make .*$", text, re.MULTILINE) == ["make check", "make test"]
    assert "HEADLIGHT_REQUIRE_BROWSER=1" in text


def _make_environment(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh") or "sh"
    return subprocess.run(
        [shell, VENV_SCRIPT, folder],
        env={"PATH": str(path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_only_an_old_python_errors(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "bin", {"python3": "exit 1"})
    done = _make_environment(path, tmp_path / "new")
    assert done.returncode == 1
    assert done.stderr == (
        "Headlight needs Python 3.11 or newer with its venv module; older, or not working: "
        "python3. Install a newer one and run make again.\n"
    )
    assert not (tmp_path / "new").exists()


def test_no_python_errors(tmp_path: Path) -> None:
    done = _make_environment(folder_with(tmp_path / "bin", {}), tmp_path / "new")
    assert done.returncode == 1
    assert done.stderr == (
        "Headlight needs Python 3.11 or newer with its venv module, and none was found on PATH. "
        "Install one and run make again.\n"
    )


def test_a_python_without_venv_is_passed_over_for_one_that_has_it(tmp_path: Path) -> None:
    without = 'case "$2" in *ensurepip*) exit 1;; esac'
    has = 'case "$1" in --version) echo Python 3.12.1;; -m) mkdir "$3";; esac'
    path = folder_with(
        tmp_path / "bin", {"python3": without, "python3.12": has}, real=["mkdir", "rm"]
    )
    done = _make_environment(path, tmp_path / "my new")
    assert done.returncode == 0
    assert done.stdout == (
        "python3 has no venv module with pip (on Debian and Ubuntu: apt install python3-venv); "
        f"looking for another …\nMaking a virtual environment in {tmp_path / 'my new'} "
        "with Python 3.12.1 …\n"
    )
    assert (tmp_path / "my new").is_dir()


def test_an_environment_that_could_not_be_finished_is_not_left_behind(tmp_path: Path) -> None:
    breaks = 'case "$1" in -m) mkdir "$3"; exit 1;; esac'
    path = folder_with(tmp_path / "bin", {"python3": breaks}, real=["mkdir", "rm"])
    assert _make_environment(path, tmp_path / "new").returncode == 1
    assert not (tmp_path / "new").exists()


def test_the_browser_on_path_is_taken_if_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = {"chromium": "exit 127", "google-chrome": "echo Google Chrome 140"}
    monkeypatch.setenv("PATH", str(folder_with(tmp_path / "bin", scripts)))
    assert browser.find_browser() == str(tmp_path / "bin" / "google-chrome")


def test_without_any_way_to_a_browser_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser, "get_browser", lambda: None)
    assert browser.main() == 1
    assert capsys.readouterr().err == (
        "No Chromium was found, and none could be installed: install Chromium or Chrome so that "
        "`chromium` is on PATH, or run `.venv/bin/python -m playwright install --with-deps "
        "chromium`, then run `make test` again.\n"
    )


def test_a_user_who_may_not_install_is_not_asked_for_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(folder_with(tmp_path / "bin", {"sudo": "exit 1"})))
    assert browser.privilege() is None
    monkeypatch.setenv("PATH", str(folder_with(tmp_path / "other", {"sudo": "exit 0"})))
    assert browser.privilege() == ("sudo", "-n")


def test_a_wrong_type_in_javascript_is_found(tmp_path: Path) -> None:
    tsc = next(ROOT.glob(".cache/typescript-*/node_modules/typescript/bin/tsc"), None)
    if tsc is None:
        skip_or_fail(
            "TypeScript is not there: `make check` fetches it.", required="CI" in os.environ
        )
    (tmp_path / "tsconfig.json").write_text(
        f'{{"extends": "{javascript.TSCONFIG.as_posix()}", "include": ["*.js"]}}', encoding="utf-8"
    )
    (tmp_path / "good.js").write_text("/** @type {number} */\nexport const a = 1;\n")
    assert javascript.complaints(tsc, tmp_path / "tsconfig.json") == ""
    (tmp_path / "bad.js").write_text('/** @type {number} */\nexport const b = "1";\n')
    assert "not assignable to type 'number'" in javascript.complaints(
        tsc, tmp_path / "tsconfig.json"
    )
