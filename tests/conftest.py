"""What every test may ask for: real models, a real browser, and data that lies beside the checkout.

A fixture either gives the real thing or skips with the reason; under HEADLIGHT_REQUIRE_BROWSER=1
(as in continuous integration) a missing browser fails instead.
"""

import importlib
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.browser import NOT_FOUND, find_browser

ROOT = Path(__file__).resolve().parent.parent
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
]


def pytest_configure(config: pytest.Config) -> None:
    """One thread a process: workers share the cores, and sums come out the same every time."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/browser needs a browser, and says so without being told."""
    for item in items:
        if "browser" in item.path.relative_to(ROOT / "tests").parts[:-1]:
            item.add_marker(pytest.mark.browser)


def skip_or_fail(reason: str, *, required: bool) -> NoReturn:
    """The one place that skips: what is missing is named, and is no excuse where it is required."""
    if required:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def transformer_lens() -> Any:
    """The module of TransformerLens that loads a network of transformers."""
    if importlib.util.find_spec("transformer_lens") is None:
        skip_or_fail("TransformerLens is not installed: pip install '.[bench]'.", required=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("transformer_lens.model_bridge")


@pytest.fixture(scope="session")
def browser_executable() -> str:
    """The path of a Chromium that starts."""
    path = find_browser()
    if path is None:
        skip_or_fail(NOT_FOUND, required=os.environ.get("HEADLIGHT_REQUIRE_BROWSER") == "1")
    return path


@pytest.fixture(scope="session")
def browser(browser_executable: str) -> Iterator[Any]:
    """One running Chromium for the whole session (a playwright Browser)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=browser_executable, headless=True, args=BROWSER_ARGUMENTS
        )
        yield running
        running.close()


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    """A fresh browser profile, 1280 × 720 at two device pixels a CSS pixel."""
    fresh = browser.new_context(viewport={"width": 1280, "height": 720}, device_scale_factor=2)
    fresh.set_default_timeout(30_000)
    yield fresh
    fresh.close()


@pytest.fixture
def page(context: Any) -> Any:
    """A fresh page. For one that also watches the console, ask for `quiet_page`."""
    return context.new_page()


@pytest.fixture
def quiet_page(page: Any) -> Iterator[Any]:
    """A fresh page on which any uncaught error or line of console.error fails the test."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on(
        "console",
        lambda line: complaints.append(f"console: {line.text}") if line.type == "error" else None,
    )
    yield page
    assert not complaints, complaints


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Benchmark files that are too large for the repository, in ../shared/data beside it."""
    given = os.environ.get("HEADLIGHT_SHARED")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        skip_or_fail(
            f"There is no folder {folder}: set HEADLIGHT_SHARED to the one that has the data.",
            required=bool(given),
        )
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The real decoder: SmolLM2 with 135 million parameters, 30 layers of 9 heads."""
    return _catalogue_model("smollm2-135m")


@pytest.fixture(scope="session")
def minilm() -> Any:
    """The real encoder: MiniLM, 6 layers of 12 heads, with no language-model head."""
    return _catalogue_model("minilm-l6")


def _catalogue_model(name: str) -> Any:
    import torch

    import vizcore

    torch.set_num_threads(1)
    return vizcore.load(name)
