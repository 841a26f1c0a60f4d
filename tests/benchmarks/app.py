"""How long somebody in front of the app waits, measured in Chromium.

From `make run` (models in the cache) to a page that answers; from a new sentence of 20 words to
all of its maps on the screen; from a click on another head to its map. Each is timed inside the
page, from the event to the frame in which the new picture is there.
"""

import os
import statistics
import sys
import time
from typing import Any

import pandas as pd
from _server import running
from _table import show
from playwright.sync_api import sync_playwright

from tests.support.browser import find_browser

REPEATS = 7
WORDS = (
    "the quick brown fox jumps over a lazy dog while seven old friends watch from under the big "
    "tree and laugh"
).split()

PICTURE = """() => {
    const host = [...document.querySelectorAll("*")].find(
        (one) => one.shadowRoot?.querySelector(".model-view"));
    const root = host?.shadowRoot.querySelector(".model-view");
    if (!root?.dataset.drawn) return null;
    root.dataset.name ??= String(Math.random());
    const plot = document.querySelector(".js-plotly-plot");
    const cells = plot?._fullData?.find((trace) => trace.type === "heatmap");
    if (!cells) return null;
    const grid = `${root.dataset.name} ${root.dataset.drawn}`;
    return { grid, map: [...cells.z].map((row) => [...row].join()).join() };
}"""
"""What is on the screen: which drawing of the grid, and the values of the large map."""

WHEN_NEW = f"""([part, start, before]) => new Promise((resolve) => {{
    const picture = {PICTURE};
    const look = () => {{
        const now = picture();
        if (now && now.map !== before?.map && (part === "map" || now.grid !== before?.grid))
            requestAnimationFrame(() => resolve(performance.now() - start));
        else requestAnimationFrame(look);
    }};
    look();
}})"""
"""Resolves, with the milliseconds since the start, when the map, or all, has been drawn anew."""


def main() -> None:
    """Measure and print."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(),
            args=["--no-sandbox", "--disable-background-networking", "--disable-sync"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(60_000)
        began = time.perf_counter()
        with running(["make", "run", "ARGS=--no-browser --port {port}"]) as address:
            _measure(page, address, began)
        browser.close()


def _measure(page: Any, address: str, began: float) -> None:
    page.goto(address)
    page.evaluate(WHEN_NEW, ["all", 0, None])
    first = time.perf_counter() - began
    rows = {
        "make run to a page that answers (s)": [first],
        "a new sentence of 20 words to all maps (s)": [
            _new_sentence(page, number) / 1000 for number in range(REPEATS)
        ],
        "another head (ms)": [_another_head(page, number) for number in range(REPEATS)],
    }
    table = pd.DataFrame(
        {name: {"median": statistics.median(of), "worst": max(of)} for name, of in rows.items()}
    )
    show(f"waiting, on {os.cpu_count()} cores", table.T)


def _new_sentence(page: Any, number: int) -> float:
    words = WORDS[number:] + WORDS[:number]
    field = page.get_by_role("textbox", name="Text", exact=True)
    field.fill(" ".join(words))
    before, start = page.evaluate(PICTURE), page.evaluate("performance.now()")
    field.press("Control+Enter")
    return float(page.evaluate(WHEN_NEW, ["all", start, before]))


def _another_head(page: Any, number: int) -> float:
    box = page.locator("canvas.all").bounding_box()
    before, start = page.evaluate(PICTURE), page.evaluate("performance.now()")
    page.mouse.click(box["x"] + 60 + 42 * number, box["y"] + 42)
    return float(page.evaluate(WHEN_NEW, ["map", start, before]))


if __name__ == "__main__":
    sys.exit(main())
