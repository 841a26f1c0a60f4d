"""The project's files, as the guards read them. Needs no git: it works in an unpacked archive."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOP_LEVEL = (
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "app",
    "assets",
    "constraints.txt",
    "docs",
    "pyproject.toml",
    "tests",
    "vizcore",
)
# What building and testing leave behind, and git ignores.
LEFT_BEHIND = ("build", "dist", "__pycache__")
TEXT_SUFFIXES = {
    ".css", ".html", ".js", ".json", ".md", ".po", ".py", ".sh", ".toml", ".txt", ".yml",
}  # fmt: skip


def files(*folders: str, suffix: str) -> Iterator[tuple[str, str]]:
    """Each file with that suffix in the folders: its path from the root, and its text."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(f"*{suffix}")):
            if "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def texts() -> Iterator[tuple[str, str]]:
    """Every text that people wrote: its path from the root, and what it says."""
    for name in TOP_LEVEL:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            readable = path.suffix in TEXT_SUFFIXES or path.parent == ROOT
            if path.is_file() and readable and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / ".ci").iterdir()):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def module_name(path: str) -> str:
    """The dotted name of the module at a path from the root: "vizcore.views.page"."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
