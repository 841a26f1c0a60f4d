"""How long a reader of 4,096 tokens waits for a head, and whether its map follows the hand.

SmolLM2 in the app, in Chromium: from a click on a head in the grid to the frame that shows its map;
then the map is zoomed in and dragged, and frames are counted by the browser's own performance
interface while tiles are being fetched.
"""

import os
import statistics
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from _server import running
from _table import show
from length import TEXT
from playwright.sync_api import sync_playwright

import vizcore
from tests.support.browser import find_browser

N_TOKENS = 4096
REPEATS = 7
DRAGGED = 240
"""Frames of one measurement."""
MINUTES = 5
"""How long the first picture of all heads may take."""

MAP_SHOWN = """([start, before]) => new Promise((resolve) => {
    const root = () => [...document.querySelectorAll("*")].find(
        (one) => one.shadowRoot?.querySelector(".tile-view"))?.shadowRoot;
    const look = () => {
        const view = root()?.querySelector(".tile-view[data-drawn]");
        const label = view?.querySelector("canvas").getAttribute("aria-label");
        if (label && label !== before)
            requestAnimationFrame(() => requestAnimationFrame(
                () => resolve([performance.now() - start, label])));
        else requestAnimationFrame(look);
    };
    look();
})"""
"""Resolves with the milliseconds since the start when another head's map has been drawn."""

DRAG = """(frames) => new Promise((resolve) => {
    const host = [...document.querySelectorAll("*")].find(
        (one) => one.shadowRoot?.querySelector(".tile-view"));
    const canvas = host.shadowRoot.querySelector("canvas");
    const box = canvas.getBoundingClientRect();
    let x = box.left + box.width / 2, y = box.top + box.height / 2;
    const tell = (type) => canvas.dispatchEvent(new PointerEvent(type,
        { pointerId: 1, button: 0, buttons: 1, clientX: x, clientY: y, bubbles: true }));
    canvas.setPointerCapture = () => {};
    tell("pointerdown");
    const times = [];
    const step = () => {
        times.push(performance.now());
        x += times.length % 80 < 40 ? 4 : -4;
        y += times.length % 120 < 60 ? 3 : -3;
        tell("pointermove");
        if (times.length < frames) requestAnimationFrame(step);
        else { tell("pointerup"); resolve(times); }
    };
    requestAnimationFrame(step);
})"""


def main() -> None:
    """Measure and print."""
    command = [sys.executable, "-m", "vizcore.cli", "app", "--port", "{port}", "--no-browser"]
    with running(command) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(60_000 * MINUTES)
        _measure(page, address)
        browser.close()


def _measure(page: Any, address: str) -> None:
    page.goto(f"{address}/?model=smollm2-135m&text=A")
    page.wait_for_selector(".model-view[data-drawn]")
    field = page.get_by_role("textbox", name="Text", exact=True)
    field.fill(_text())
    began = time.perf_counter()
    field.press("Control+Enter")
    label = page.evaluate(MAP_SHOWN, [0, None])[1]
    first = time.perf_counter() - began
    page.get_by_text("Looking at every head").wait_for()
    page.get_by_text("Looking at every head").wait_for(state="detached")
    page.wait_for_selector(".model-view[data-drawn]")
    overview = time.perf_counter() - began
    page.wait_for_timeout(2000)
    waits = []
    for number in range(REPEATS):
        box = page.locator("canvas.all").bounding_box()
        start = page.evaluate("performance.now()")
        page.mouse.click(box["x"] + 60 + 42 * number, box["y"] + 42)
        taken, label = page.evaluate(MAP_SHOWN, [start, label])
        waits.append(taken / 1000)
    canvas = page.locator(".tile-view canvas")
    canvas.focus()
    for _ in range(4):
        canvas.press("+")
    page.wait_for_timeout(1000)
    times = np.diff(page.evaluate(DRAG, DRAGGED))
    rows = {
        "a new text to its first map (s)": first,
        "a new text to the grid of all heads (s)": overview,
        "a click on a head to its map: median (s)": statistics.median(waits),
        "the slowest of them (s)": max(waits),
        "frames a second while dragging": 1000 / float(np.mean(times)),
        "longest frame (ms)": float(times.max()),
    }
    table = pd.DataFrame({"measured": rows})
    show(f"{N_TOKENS:,} tokens in the app, on {os.cpu_count()} cores", table)


def _text() -> str:
    """The repeated sentence, cut where it has as many tokens as are asked for."""
    tokenizer = vizcore.load("smollm2-135m").tokenizer
    ids = tokenizer(TEXT * 220, add_special_tokens=False)["input_ids"][:N_TOKENS]
    text: str = tokenizer.decode(ids)
    return text.strip()


if __name__ == "__main__":
    sys.exit(main())
