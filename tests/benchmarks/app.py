"""How long somebody in front of the app waits, measured in Chromium.

From `make run` (models in the cache) to a page that answers; from a new sentence of 20 words to
all of its maps on the screen; from a click on another head to its map. Each is timed inside the
page, from the event to the frame in which the new picture is there.
"""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd
from _table import show
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
REPEATS = 7
WORDS = (
    "the quick brown fox jumps over a lazy dog while seven old friends watch from under the big "
    "tree and laugh"
).split()

WHEN_DRAWN = """(start) => new Promise((resolve) => {
    const seen = () => {
        const grid = document.querySelector("[data-testid=stBidiComponentRegular]");
        const root = grid?.shadowRoot?.querySelector(".model-view")
            ?? document.querySelector(".model-view");
        const plot = document.querySelector(".js-plotly-plot");
        const cells = plot?._fullData?.find((trace) => trace.type === "heatmap");
        return `${root?.dataset.drawn} ${cells?.z?.length} ${Array.from(cells?.z?.at(-1) ?? [])}`;
    };
    const before = window.headlightSeen ?? "";
    const look = () => {
        const now = seen();
        const [drawn, rows] = now.split(" ");
        const complete = drawn !== "undefined" && Number(rows) > 0;
        const changed = window.headlightNeedsGrid ? drawn !== before.split(" ")[0] : now !== before;
        if (complete && changed) {
            window.headlightSeen = now;
            requestAnimationFrame(() => resolve(performance.now() - start));
        } else requestAnimationFrame(look);
    };
    look();
})"""


def main() -> None:
    """Measure and print."""
    port = _free_port()
    began = time.perf_counter()
    server = subprocess.Popen(
        [shutil.which("make") or "make", "run", f"ARGS=--no-browser --port {port}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _measure(f"http://127.0.0.1:{port}", began)
    finally:
        os.killpg(server.pid, signal.SIGTERM)


def _measure(address: str, began: float) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking", "--disable-sync"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(60_000)
        while not _answers(address):
            time.sleep(0.05)
        page.goto(address)
        page.evaluate(WHEN_DRAWN, 0)
        first = time.perf_counter() - began
        sentences = [_new_sentence(page, number) for number in range(REPEATS)]
        heads = [_another_head(page, number) for number in range(REPEATS)]
        browser.close()
    rows = {
        "make run to a page that answers (s)": [first],
        "a new sentence of 20 words to all maps (s)": [one / 1000 for one in sentences],
        "another head (ms)": heads,
    }
    table = pd.DataFrame(
        {name: {"median": statistics.median(of), "worst": max(of)} for name, of in rows.items()}
    )
    show(f"waiting, on {os.cpu_count()} cores", table.T)


def _new_sentence(page: Any, number: int) -> float:
    words = WORDS[number:] + WORDS[:number]
    field = page.get_by_role("textbox", name="Text", exact=True)
    field.fill(" ".join(words))
    page.evaluate("window.headlightNeedsGrid = true")
    start = page.evaluate("performance.now()")
    field.press("Control+Enter")
    return float(page.evaluate(WHEN_DRAWN, start))


def _another_head(page: Any, number: int) -> float:
    page.evaluate("window.headlightNeedsGrid = false")
    box = page.locator("canvas.all").bounding_box()
    start = page.evaluate("performance.now()")
    page.mouse.click(box["x"] + 50 + 40 * number, box["y"] + 60 + 12 * number)
    return float(page.evaluate(WHEN_DRAWN, start))


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
