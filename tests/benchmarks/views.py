"""What a page of attention maps weighs, and how long it takes: Headlight, BertViz, CircuitsVis.

The same maps for all of them: MiniLM's 6 layers × 12 heads at 32, 128 and 256 tokens, and at 1,024
tokens as many heads of SmolLM2 (8 layers × 9). Each page is built in a process of its own, written
to a file, and opened in Chromium without a network; a page counts as drawn when it has a picture.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from _table import show
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import sync_playwright

from tests.support.browser import find_browser

LENGTHS = (32, 128, 256, 1024)
MODELS = {32: "minilm-l6", 128: "minilm-l6", 256: "minilm-l6", 1024: "smollm2-135m"}
N_LAYERS = {"minilm-l6": 6, "smollm2-135m": 8}
TEXT = "The old man and the sea is a story about a fisherman who goes far out to catch a fish. "
MOST_MEMORY = 16 * 2**30
"""Bytes of address space that building a page may take."""
PATIENCE = 60_000
"""Milliseconds until a page that has drawn nothing is given up."""
DRAWN = """() => {
    const roots = [document, ...[...document.querySelectorAll("*")].map((one) => one.shadowRoot)];
    const found = (root) => root ? [...root.querySelectorAll("canvas, svg, img")] : [];
    const pictures = roots.flatMap(found);
    const ours = roots.some((root) => root?.querySelector("[data-drawn]"));
    const theirs = pictures.some((one) => one.tagName !== "svg" || one.childElementCount > 1);
    return (ours || theirs) && pictures.length > 0;
}"""


def main() -> None:
    """Measure and print, or with arguments build one page."""
    if len(sys.argv) > 1:
        _build(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(),
            args=["--no-sandbox", "--disable-background-networking", "--disable-sync"],
        )
        for length in LENGTHS:
            rows = {}
            for name in PAGES:
                rows[name] = _measured(browser, name, length, Path(folder))
                print(f"{length} tokens, {name}: {rows[name]}", flush=True)
            show(f"{length} tokens, 72 heads", pd.DataFrame(rows).T)
        browser.close()


def _measured(browser: Any, name: str, length: int, folder: Path) -> dict[str, Any]:
    file = folder / f"{length}.html"
    command = [sys.executable, __file__, name, str(length), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines() or ["killed"]
        return {"megabytes": None, "seconds to build": None, "seconds to draw, offline": why[-1]}
    built = json.loads(done.stdout.splitlines()[-1])
    drawn = _seconds_to_draw(browser, file)
    return {
        "megabytes": f"{file.stat().st_size / 1e6:.2f}",
        "seconds to build": f"{built:.2f}",
        "seconds to draw, offline": "draws nothing" if drawn is None else f"{drawn:.2f}",
    }


def _seconds_to_draw(browser: Any, file: Path) -> float | None:
    """From opening the file to the frame with a picture; None if none comes."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    began = time.perf_counter()
    try:
        page.goto(file.as_uri(), wait_until="commit")
        page.wait_for_function(DRAWN)
        page.evaluate("new Promise((resolve) => requestAnimationFrame(resolve))")
        return time.perf_counter() - began
    except PlaywrightTimeout:
        return None
    finally:
        context.close()


def _build(name: str, length: int, file: Path) -> None:
    """One page into a file; prints the seconds that took, without making the maps."""
    import torch

    import vizcore

    torch.set_grad_enabled(False)
    model = vizcore.load(MODELS[length])
    trace = model.trace(model.encode(TEXT * (length // 16 + 1))[:length])
    layers = range(N_LAYERS[MODELS[length]])
    maps = [trace.map(layer, head) for layer in layers for head in range(model.n_heads)]
    attention = [trace.attention(layer)[None] for layer in layers]
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    began = time.perf_counter()
    text = PAGES[name](maps, attention, list(trace.tokens))
    file.write_text(text, encoding="utf-8")
    print(json.dumps(time.perf_counter() - began))


def _model_view(maps: Any, attention: Any, tokens: list[str]) -> str:
    import vizcore

    return vizcore.model_view(maps).to_html()


def _head_view(maps: Any, attention: Any, tokens: list[str]) -> str:
    import vizcore

    return vizcore.head_view(maps).to_html()


def _bertviz_model_view(maps: Any, attention: Any, tokens: list[str]) -> str:
    from bertviz import model_view

    return _page(model_view(attention, tokens, html_action="return").data)


def _bertviz_head_view(maps: Any, attention: Any, tokens: list[str]) -> str:
    from bertviz import head_view

    return _page(head_view(attention, tokens, html_action="return").data)


def _circuitsvis(maps: Any, attention: Any, tokens: list[str]) -> str:
    import torch
    from circuitsvis.attention import attention_heads

    return _page(attention_heads(torch.cat(attention, dim=1)[0], tokens)._repr_html_())


def _page(body: str) -> str:
    return f'<!doctype html><html><head><meta charset="utf-8"></head><body>{body}</body></html>'


PAGES: dict[str, Callable[[Any, Any, list[str]], str]] = {
    "Headlight, model view": _model_view,
    "Headlight, head view": _head_view,
    "BertViz, model_view": _bertviz_model_view,
    "BertViz, head_view": _bertviz_head_view,
    "CircuitsVis, attention_heads": _circuitsvis,
}

if __name__ == "__main__":
    main()
