"""Every word that the model view shows, in English.

The idea: the page has no words of its own; a host in another language replaces entries by name.
Words in braces are filled in by the view.
"""

from vizcore.views.head_facts import PATTERNS

TEXTS = {
    "quantity": "weight",
    "masked": "masked",
    "undefined": "not a number",
    "infinite": "infinite",
    "above": "above the scale",
    "below": "below the scale",
    "sinkGrey": "first token, left out of the picture",
    "tooLittle": "under {least} left beside the first token: not renormalised",
    "reduced": "",
    "reducedFrom": "reduced from {queries} × {keys} tokens",
    "inFull": "{full} of {maps} heads in full, others reduced to {rows} × {columns} cells",
    "allInFull": "every head in full, small maps reduced to {rows} × {columns} cells",
    "oneReduced": "This head is reduced to {rows} × {columns} cells.",
    "steps": "colours within {error} of the value",
    "itsLargest": "its largest",
    "logBelow": "≤ {floor}",
    "within": "within ±{floor}",
    "order": "Order",
    "byLayer": "by layer",
    "by": "by {name}",
    "clearness": "how clear the pattern is",
    "entropy": "entropy",
    "highest": "highest first",
    "lowest": "lowest first",
    "show": "Show",
    "all": "all heads ({n})",
    "some": "{pattern} ({n})",
    "onlyFull": "in full detail ({n})",
    "colours": "Colours",
    "oneScale": "one scale for all heads",
    "ownScale": "one scale for each head",
    "linear": "linear",
    "log": "logarithmic",
    "firstToken": "First token",
    "keep": "left in",
    "grey": "greyed out",
    "renormalise": "renormalised away",
    "firstGreyed": "first token greyed out",
    "firstGone": "first token left out, the rest of each row scaled up to 1",
    "zoomIn": "Zoom in (+, or Ctrl and the wheel)",
    "zoomOut": "Zoom out (−)",
    "zoomReset": "All heads (0)",
    "layer": "Layer",
    "head": "Head",
    "label": (
        "{maps} attention maps, {layers} layers of {heads} heads. "
        "Arrow keys move, Enter opens the map in large, plus and minus zoom."
    ),
    "hint": "Point at a map to see what that head does. Click to open it.",
    "named": "Layer {layer} · Head {head}: {text}",
    "layerOnly": "Layer {layer}: {text}",
    "map": "Map {map}: {text}",
    "score": "{name} {value}",
    "noScore": "no {name}",
    "queryAxis": "query ↓",
    "keyAxis": "key →",
    "cell": "“{query}” looks at “{key}”: {value}",
    "reducedCell": "Mean of this cell: {value}",
    "error": "This picture cannot be drawn: {reason}",
    **{f"pattern_{name}": words for name, words in PATTERNS.items()},
}
"""`model_view(texts=...)` replaces any of them."""
