"""Headlight's library: see what every attention head of a Transformer looks at.

    import vizcore
    trace = vizcore.load("smollm2-135m").trace("The cat sat")
    trace.attention(layer=3, head=2)

The names below are public, and nothing else is. They are imported when they are first used, so
that `import vizcore` is quick and needs neither PyTorch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vizcore.catalog import CatalogEntry, entries
    from vizcore.errors import (
        CaptureError,
        DeviceError,
        EmptyTextError,
        FetchError,
        MissingHeadError,
        ModelFilesError,
        ModelNotFoundError,
        SelectionError,
        ShapeError,
        TextError,
        TextTooLongError,
        UnencodableTextError,
        UnsafeWeightsError,
        VerificationError,
        VizcoreError,
    )
    from vizcore.likelihood import surprisal, trace_surprisal
    from vizcore.loading import load
    from vizcore.maps import AttentionMap
    from vizcore.model import Model
    from vizcore.patterns import Pattern, describe, is_telling
    from vizcore.resources import asset
    from vizcore.tap import AttentionCall, Recorder
    from vizcore.trace import Trace
    from vizcore.views.figures import heatmap
    from vizcore.views.model_view import model_view
    from vizcore.views.page import View
    from vizcore.views.tokens_view import tokens_view

__version__ = "0.1.0"

__all__ = [
    "AttentionCall",
    "AttentionMap",
    "CaptureError",
    "CatalogEntry",
    "DeviceError",
    "EmptyTextError",
    "FetchError",
    "MissingHeadError",
    "Model",
    "ModelFilesError",
    "ModelNotFoundError",
    "Pattern",
    "Recorder",
    "SelectionError",
    "ShapeError",
    "TextError",
    "TextTooLongError",
    "Trace",
    "UnencodableTextError",
    "UnsafeWeightsError",
    "VerificationError",
    "View",
    "VizcoreError",
    "asset",
    "describe",
    "entries",
    "heatmap",
    "is_telling",
    "load",
    "model_view",
    "surprisal",
    "tokens_view",
    "trace_surprisal",
]

_HOME = {
    "vizcore.catalog": ("CatalogEntry", "entries"),
    "vizcore.likelihood": ("surprisal", "trace_surprisal"),
    "vizcore.loading": ("load",),
    "vizcore.maps": ("AttentionMap",),
    "vizcore.model": ("Model",),
    "vizcore.patterns": ("Pattern", "describe", "is_telling"),
    "vizcore.resources": ("asset",),
    "vizcore.tap": ("AttentionCall", "Recorder"),
    "vizcore.trace": ("Trace",),
    "vizcore.views.figures": ("heatmap",),
    "vizcore.views.model_view": ("model_view",),
    "vizcore.views.page": ("View",),
    "vizcore.views.tokens_view": ("tokens_view",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_MODULE_OF |= {name: "vizcore.errors" for name in __all__ if name.endswith("Error")}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'vizcore' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
