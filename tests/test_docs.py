"""The pages for users tell the truth: their Python runs, and their commands are there and work.

The Python blocks of a page are run one after another, as a reader would. Of a shell block every
line must be a command that is known here; those of `vizcore` are run, but for the app, which would
not end.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "sh", "text", "js"}


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of that language on a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The commands in a page's shell blocks, split into words, without comments."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_python(page: str, name: str) -> None:
    """Run a page's Python blocks one after another, as a reader would."""
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{name}, block {number}", "exec"), names)


def pages_with(language: str) -> list[Path]:
    """The pages that have a block of that language."""
    return [page for page in PAGES if blocks(page.read_text(encoding="utf-8"), language)]


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_the_python_on_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(page.read_text(encoding="utf-8"), page.name)


@pytest.mark.parametrize("page", pages_with("sh"), ids=lambda page: page.name)
def test_the_commands_on_a_page_work(page: Path, tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in commands(page.read_text(encoding="utf-8")):
        if words[0] == "make":
            assert re.search(rf"^{re.escape(words[1])}:", makefile, re.MULTILINE), words
            continue
        assert words[0] == "vizcore", f"{page.name} gives a command that no test knows: {words}"
        arguments = ["app", "--help"] if words[1] == "app" else words[1:]
        done = subprocess.run(
            [sys.executable, "-m", "vizcore.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_in_what_language_it_is(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {*fences[::2]} <= LANGUAGES
    assert {*fences[1::2]} <= {""}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_opens_with_a_picture_and_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.match(r"# Headlight\n\n!\[[^\]]+\]\(assets/screenshot\.png\)\n", readme)
    assert commands(readme)[:2] == [["make", "run"], ["make", "test"]]


def test_a_block_that_fails_would_be_seen() -> None:
    page = "```python\nx = 1\n```\n\ntext\n\n```sh\nmake run  # now\n```\n\n```python\nx + y\n```\n"
    assert blocks(page, "python") == ["x = 1\n", "x + y\n"]
    assert commands(page) == [["make", "run"]]
    with pytest.raises(NameError, match="'y'"):
        run_python(page, "a page")
