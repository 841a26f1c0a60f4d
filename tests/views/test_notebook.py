"""Every view in a saved notebook: all in one page, each drawn, none in another's way."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.support.tiny import save, tiny_network
from tests.views.synthetic import attention_maps
from vizcore.loading import load
from vizcore.map_metrics import map_scores
from vizcore.views.figures import heatmap
from vizcore.views.flow_view import flow_view
from vizcore.views.head_view import head_view
from vizcore.views.model_view import model_view
from vizcore.views.neuron_view import neuron_view
from vizcore.views.scatter_view import head_scatter
from vizcore.views.text_view import text_view
from vizcore.views.tile_view import tile_view

pytestmark = pytest.mark.browser

DRAWN = """(view) =>
    view.shadowRoot?.querySelector("[data-drawn]") || view.querySelector(".main-svg")"""


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    maps = list(attention_maps(2, 3, 6))
    folder = save(tiny_network("llama"), tmp_path_factory.mktemp("llama"))
    trace = load(folder).trace("the cat looked at the door")
    return {
        "model": model_view(maps),
        "head": head_view(maps, 1),
        "text": text_view(maps[0]),
        "heatmap": heatmap(maps[0]),
        "neuron": neuron_view(trace, 1, 2),
        "flow": flow_view(maps),
        "scatter": head_scatter(map_scores(maps)),
        "tiles": tile_view(maps[1]),
        "model again": model_view(maps, selected=(1, 2)),
    }


@pytest.fixture
def notebook(views: dict[str, Any], quiet_page: Any, tmp_path: Path) -> Any:
    """The page, with all views in it and no network."""
    cells = [
        nbformat.v4.new_code_cell(
            name,
            outputs=[
                nbformat.v4.new_output(
                    "execute_result",
                    data={"text/html": view._repr_html_(), "text/plain": repr(view)},
                    execution_count=number,
                )
            ],
            execution_count=number,
        )
        for number, (name, view) in enumerate(views.items(), start=1)
    ]
    language = {"name": "python", "pygments_lexer": "python3"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"language_info": language})
    text, _resources = HTMLExporter().from_notebook_node(book)
    path = tmp_path / "notebook.html"
    path.write_text(text, encoding="utf-8")
    # What the notebook's own page asks for (MathJax) comes empty.
    quiet_page.route(lambda url: not url.startswith("file:"), lambda route: route.fulfill(body=""))
    quiet_page.goto(path.as_uri())
    for view in quiet_page.query_selector_all("[id^=headlight-]"):
        view.scroll_into_view_if_needed()  # they are drawn when they are seen
        quiet_page.wait_for_function(DRAWN, arg=view)
    return quiet_page


def test_every_view_of_a_saved_notebook_is_drawn(notebook: Any, views: dict[str, Any]) -> None:
    assert notebook.locator("[id^=headlight-]").count() == len(views)
    assert notebook.locator("[id^=headlight-] .error").count() == 0


def test_moving_in_one_view_leaves_its_twin_alone(notebook: Any) -> None:
    first, again = (notebook.locator(".model-view").nth(n) for n in (0, 1))
    before = again.locator(".status").inner_text()
    first.locator("canvas.all").focus()
    notebook.keyboard.press("ArrowRight")
    notebook.keyboard.press("ArrowDown")
    notebook.wait_for_function(
        "(before) => document.querySelector('[id^=headlight-]').shadowRoot"
        ".querySelector('.status').textContent !== before",
        arg=before,
    )
    assert again.locator(".status").inner_text() == before
