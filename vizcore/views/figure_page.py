"""The hosts of a Plotly figure: a notebook and a stand-alone HTML file, both without the internet.

The idea: Plotly's JavaScript travels with every figure, deflated, and a page that has it already
does not run it again, so each figure works on its own, whichever others are there. In Streamlit
use `FigureView.figure`, which needs none of this.
"""

import base64
import json
import uuid
import zlib
from dataclasses import dataclass
from functools import cache

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from vizcore.views.figure_axes import Style
from vizcore.views.page import document


@dataclass(frozen=True, eq=False)
class FigureView:
    """A Plotly figure that a notebook shows without the internet.

    Args:
        figure: Plotly's own, with its background left to the page.
        title: one line for people.
        background: the page's colour that the figure's are chosen for.
    """

    figure: go.Figure
    title: str
    background: str

    def __repr__(self) -> str:
        return f"<figure: {self.title}>"

    def _repr_html_(self) -> str:
        """Plain HTML with Plotly's own JavaScript in it, deflated: 1.9 MB instead of 4.9 MB.

        A page that has that Plotly already (from the figure before) does not run it again.
        """
        identifier = f"headlight-{uuid.uuid4().hex}"
        figure = self.figure.to_json().replace("<", "\\u003c")
        return (
            f'<div id="{identifier}" style="height:{self.figure.layout.height}px;'
            f'background:{self.background}"></div>\n'
            f'<script type="module">\n{_LOAD}'
            f"const Plotly = await load({json.dumps(get_plotlyjs_version())}, "
            f'"{_packed_plotly()}");\n'
            f"const {{ data, layout }} = {figure};\n"
            f'Plotly.newPlot("{identifier}", data, layout, '
            "{ responsive: true, displaylogo: false });\n</script>\n"
        )

    def to_html(self) -> str:
        """A complete HTML page, light or dark as the figure is."""
        # The page has that title already.
        bare = go.Figure(self.figure)
        if bare.layout.title.text:
            bare.update_layout(title=None, margin_t=10)
        scheme = "dark" if self.background == Style.of(True).page else "light"
        shown = FigureView(bare, self.title, self.background)
        return document(self.title, shown._repr_html_(), scheme=scheme)


# The text runs as a function's body with `define` and `module` shadowed, or a page with a module
# loader of its own (classic Jupyter) would hand Plotly to that loader instead of to us.
_LOAD = """const load = async (version, packed) => {
  if (globalThis.Plotly?.version === version) return globalThis.Plotly;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const text = await new Response(stream).text();
  if (globalThis.Plotly?.version === version) return globalThis.Plotly;
  const module = { exports: {} };
  new Function("module", "exports", "define", text)(module, module.exports, undefined);
  globalThis.Plotly ??= module.exports;
  return module.exports;
};
"""


@cache
def _packed_plotly() -> str:
    compressor = zlib.compressobj(level=9, wbits=-15)
    text = get_plotlyjs().encode("utf-8")
    return base64.b64encode(compressor.compress(text) + compressor.flush()).decode("ascii")
