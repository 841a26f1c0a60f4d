"""The app, started once a test session as its users start it, and a visitor who looks at it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STARTING_TAKES_AT_MOST = 60


class Visitor:
    """Somebody in front of the app. Waits are for what is on the screen, never for a time."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.address = address

    def open(self, path: str = "/", **scene: object) -> None:
        """Follow a link, and wait until the page answers."""
        self.page.goto(f"{self.address}{path}?{urlencode(scene)}")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is being worked out any more."""
        self.page.wait_for_selector(
            ".js-plotly-plot .scatterlayer text, [data-testid=stDataFrame],"
            " [data-testid=stAlert], [data-testid=stException], .steps-view[data-drawn],"
            " .tile-view[data-drawn], .flow-view[data-drawn], .alternatives-view[data-drawn]"
        )
        self.page.wait_for_selector("[data-testid=stStatusWidget]", state="detached")
        assert self.page.get_by_test_id("stException").count() == 0

    def go(self, group: str, page: str) -> None:
        """Take another page from the menu of its group."""
        self.page.get_by_role("button", name=group, exact=True).click()
        self.page.get_by_role("menuitem", name=page, exact=True).click()

    def type(self, text: str) -> None:
        """Put another text into the side bar and run it."""
        field = self.page.get_by_role("textbox", name="Text", exact=True)
        field.fill(text)
        field.press("Control+Enter")

    def expect_map(self, expected: Any) -> None:
        """The large map shows these values, to the last digit that float32 has."""
        rows = expected.tolist()
        shown = self.page.wait_for_function(
            """(rows) => {
                const plot = document.querySelector(".js-plotly-plot");
                const cells = plot?._fullData?.find((trace) => trace.type === "heatmap");
                if (!cells || cells.z.length !== rows.length) return null;
                let worst = 0;
                for (const [i, row] of rows.entries())
                    for (const [j, value] of row.entries()) {
                        const drawn = cells.z[i][j];
                        const masked = drawn === null || Number.isNaN(drawn) || drawn === undefined;
                        worst = Math.max(worst, Math.abs((masked ? 0 : drawn) - value));
                    }
                return worst < 1e-6 ? { worst } : null;
            }""",
            arg=rows,
        )
        assert shown.json_value()["worst"] < 1e-6

    def address_has(self, **scene: object) -> None:
        """The address says so, within the usual patience."""
        wanted = {key: str(value) for key, value in scene.items()}
        self.page.wait_for_function(
            """(wanted) => Object.entries(wanted).every(
                ([key, value]) => new URLSearchParams(location.search).get(key) === value)""",
            arg=wanted,
        )


@pytest.fixture(scope="session")
def app(browser_executable: str) -> Iterator[str]:
    """The address of the running app, served from this checkout."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vizcore.cli", "app", "--port", str(port), "--no-browser"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as server:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/_stcore/health", server)
        yield address
        server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTING_TAKES_AT_MOST
    while time.monotonic() < deadline:
        assert server.poll() is None, "the app ended instead of starting"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the app did not answer at {url}")


@pytest.fixture
def visitor(page: Any, app: str) -> Iterator[Visitor]:
    """A new visitor; an uncaught error on the page fails the test."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(60_000)
    yield Visitor(page, app)
    assert not errors, errors


@pytest.fixture
def another_visitor(browser: Any, app: str) -> Iterator[Callable[..., Visitor]]:
    """More visitors, each with a browser profile of its own."""
    contexts = []

    def enter(**settings: Any) -> Visitor:
        context = browser.new_context(viewport={"width": 1280, "height": 720}, **settings)
        context.set_default_timeout(60_000)
        contexts.append(context)
        return Visitor(context.new_page(), app)

    yield enter
    for context in contexts:
        context.close()
