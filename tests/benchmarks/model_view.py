"""What a page of all heads weighs, and whether it keeps up with the reader, in Chromium offline.

Bytes are of stand-alone pages of real attention (MiniLM, 6 × 12 heads, a text in English). Frames
are counted by the browser's own performance interface while the grid of 30 × 9 heads is dragged;
a head switch is timed in the page, from the key press to the frame with the new picture.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _table import show
from playwright.sync_api import sync_playwright

import vizcore
from tests.support.browser import find_browser
from vizcore.maps import AttentionMap

LENGTHS = (32, 128, 256, 512)
LONG = 1024
DRAGGED = 120
"""Frames of one measurement."""

WORDS = (
    "The cathedral stood at the edge of the town, where the road bent towards the river. Every "
    "morning, before the market opened, an old woman walked past its doors with a basket of bread, "
    "and every morning the same grey cat followed her as far as the bridge. Nobody knew where the "
    "cat lived. Some said it belonged to the miller, whose house had burned down three winters "
    "ago; others, that it had come with the boats from the north. "
)

SWITCH = """() => new Promise((resolve) => {
    const host = document.querySelector("[id^=headlight-]").shadowRoot;
    const began = performance.now();
    host.querySelector("canvas.all").dispatchEvent(
        new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
})"""
"""The frame after the one in which the picture was put there: it is on the screen then."""

DRAG = """(frames) => new Promise((resolve) => {
    const grid = document.querySelector("[id^=headlight-]").shadowRoot.querySelector(".grid");
    const times = [];
    const step = () => {
        times.push(performance.now());
        grid.scrollTop += times.length % 60 < 30 ? 9 : -9;
        grid.scrollLeft += times.length % 40 < 20 ? 7 : -7;
        if (times.length < frames) requestAnimationFrame(step);
        else resolve(times);
    };
    requestAnimationFrame(step);
})"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        context = browser.new_context(
            viewport={"width": 1280, "height": 720}, offline=True, device_scale_factor=1
        )
        page = context.new_page()
        rows = [_page(page, Path(folder), f"6 × 12, {n} tokens", _real(n)) for n in LENGTHS]
        rows.append(_page(page, Path(folder), f"6 × 12, {LONG} tokens", _random(6, 12, LONG)))
        rows.append(_page(page, Path(folder), "30 × 9, 128 tokens", _random(30, 9, 128)))
        browser.close()
    show(f"a page of all heads, on {os.cpu_count()} cores", pd.DataFrame(rows).set_index("page"))


def _page(page: Any, folder: Path, name: str, maps: Iterator[AttentionMap]) -> dict[str, object]:
    began = time.perf_counter()
    html = vizcore.model_view(maps).to_html()
    built = time.perf_counter() - began
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector(".model-view[data-drawn]")
    drawn = page.evaluate("() => performance.now()")
    page.locator("canvas.all").focus()
    switches = [page.evaluate(SWITCH) for _ in range(11)]
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_timeout(500)
    times = np.diff(page.evaluate(DRAG, DRAGGED))
    return {
        "page": name,
        "MB": len(html.encode()) / 1e6,
        "built (s)": built,
        "drawn (ms)": drawn,
        "head switch (ms)": statistics.median(switches),
        "worst": max(switches),
        "frames a second": 1000 / float(np.mean(times)),
        "longest frame (ms)": float(times.max()),
    }


def _real(n_tokens: int) -> Iterator[AttentionMap]:
    model = vizcore.load("minilm-l6")
    ids = model.tokenizer(WORDS * 12, add_special_tokens=False)["input_ids"][: n_tokens - 2]
    return model.trace(model.tokenizer.decode(ids)).maps()


def _random(n_layers: int, n_heads: int, n_tokens: int) -> Iterator[AttentionMap]:
    """Attention about as sharp as that of real models, of a text that no model here can read."""
    generator = np.random.default_rng(0)
    tokens = tuple(f"t{position}" for position in range(n_tokens))
    masked = np.triu(np.ones((n_tokens, n_tokens), bool), 1)
    for layer in range(n_layers):
        for head in range(n_heads):
            scores = 3 * generator.standard_normal((n_tokens, n_tokens), dtype=np.float32)
            weights = np.where(masked, 0, np.exp(scores))
            weights /= weights.sum(axis=1, keepdims=True)
            yield AttentionMap(
                weights, tokens, tokens, layer=layer, head=head, kind="decoder", masked=masked
            )


if __name__ == "__main__":
    sys.exit(main())
