"""Starts the server. `vizcore app` runs this file; `streamlit run main.py` works too, a bit later.

PyTorch and transformers take seconds to import. Here that begins at once, while the server starts
and the browser opens, rather than when the first page asks for a model.
"""

import sys
import threading
from importlib import import_module
from pathlib import Path

from streamlit.web import cli

SLOW = (
    "vizcore.loading",
    "vizcore.likelihood",
    "vizcore.views.figures",
    "vizcore.views.model_view",
)
"""What the first page needs. An import that fails here fails again, in words, on that page."""


def main() -> None:
    """Run the app with the options that `streamlit run` takes."""
    threading.Thread(target=_import_what_is_slow, daemon=True).start()
    sys.argv = ["streamlit", "run", str(Path(__file__).with_name("main.py")), *sys.argv[1:]]
    cli.main()


def _import_what_is_slow() -> None:
    for name in SLOW:
        import_module(name)


if __name__ == "__main__":
    main()
