"""Finds a Chromium for the browser tests, and gets one when run as a script.

The order is the one that asks least of the machine: what is on PATH, then what Playwright already
has, then `playwright install chromium`, then the system's package manager when this user may use
it. A candidate counts only if it starts: a browser whose libraries are missing is no browser.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAMES_ON_PATH = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
INSTALL_SECONDS = 900


@dataclass(frozen=True)
class PackageManager:
    """How a system's package manager installs something without asking anything.

    Args:
        install: the command, to which names of packages are added.
        browser: its package with Chromium.
        font: its package with a font that has Chinese, Japanese and Korean letters.
        refresh: what brings its lists up to date before, if it does not do so itself.
    """

    install: tuple[str, ...]
    browser: str
    font: str
    refresh: tuple[str, ...] = ()


PACKAGE_MANAGERS = (
    PackageManager(
        ("apt-get", "install", "-y", "-q", "--no-install-recommends"),
        "chromium",
        "fonts-noto-cjk",
        refresh=("apt-get", "update", "-q"),
    ),
    PackageManager(("dnf", "install", "-y"), "chromium", "google-noto-sans-cjk-fonts"),
    PackageManager(("pacman", "-Sy", "--noconfirm"), "chromium", "noto-fonts-cjk"),
    PackageManager(("apk", "add"), "chromium", "font-noto-cjk"),
    PackageManager(("zypper", "--non-interactive", "install"), "chromium", "noto-sans-cjk-fonts"),
)
NOT_FOUND = (
    "No Chromium was found, and none could be installed: install Chromium or Chrome so that "
    "`chromium` is on PATH, or run `.venv/bin/python -m playwright install --with-deps chromium`, "
    "then run `make test` again."
)


def starts(executable: str) -> bool:
    """Whether the browser at this path gets as far as telling its version."""
    try:
        done = subprocess.run(
            [executable, "--version"], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() != b""


def find_browser() -> str | None:
    """The path of a Chromium that starts, or None. Installs nothing."""
    for name in NAMES_ON_PATH:
        path = shutil.which(name)
        if path and starts(path):
            return path
    path = _playwrights_own()
    return path if path and starts(path) else None


def _playwrights_own() -> str | None:
    # Asked in a process of its own: Playwright's synchronous driver leaves an event loop behind
    # in the process that asks.
    question = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p: print(p.chromium.executable_path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=False
    )
    path = done.stdout.strip()
    return path if done.returncode == 0 and Path(path).is_file() else None


def privilege() -> tuple[str, ...] | None:
    """What to put before a command that needs root: nothing, sudo, or None if it cannot be had."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo"):
        probe = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return ("sudo", "-n")
    return None


def _run(command: Sequence[str]) -> bool:
    print(f"  $ {' '.join(command)}", flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"  {error}", flush=True)
        return False
    return done.returncode == 0


def get_browser() -> str | None:
    """The path of a Chromium that starts, installing one if need be; None if there is no way."""
    found = find_browser()
    if found:
        return found
    print("No Chromium on PATH: asking Playwright for one (about 170 MB) …", flush=True)
    _run([sys.executable, "-m", "playwright", "install", "chromium"])
    found = find_browser()
    if found:
        return found
    before = privilege()
    if before is None:
        return None
    if _playwrights_own():
        print("It lacks libraries of the system: asking Playwright for those …", flush=True)
        _run([*before, sys.executable, "-m", "playwright", "install-deps", "chromium"])
        found = find_browser()
    return found or (find_browser() if _install("browser", "Chromium", before) else None)


def has_chinese_font() -> bool:
    """Whether Chinese text would be drawn as letters; True where it cannot be found out."""
    if shutil.which("fc-list") is None:
        return True
    listed = subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False)
    return listed.returncode != 0 or bool(listed.stdout.strip())


def _install(what: str, name: str, before: Sequence[str]) -> bool:
    managers = (manager for manager in PACKAGE_MANAGERS if shutil.which(manager.install[0]))
    manager = next(managers, None)
    if manager is None:
        return False
    print(f"Asking {manager.install[0]} for {name} …", flush=True)
    if manager.refresh:
        _run([*before, *manager.refresh])
    return _run([*before, *manager.install, getattr(manager, what)])


def main() -> int:
    """Make sure that there is a browser; 1 and one clear line if there is none."""
    path = get_browser()
    if path is None:
        print(NOT_FOUND, file=sys.stderr)
        return 1
    before = privilege()
    if not has_chinese_font() and not (before is not None and _install("font", "a font", before)):
        print("There is no font with Chinese letters: pictures of such texts will show boxes.")
    print(f"Browser tests run in {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
