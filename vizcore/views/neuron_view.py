"""The neuron view: one query against all keys, dimension by dimension, down to the weights.

The idea (after BertViz' view of that name): a score of attention is a sum of products, so one sees
which dimensions of query and key match by drawing them as strips of colour, the products beside
them, and the scores and weights that come of them as bars. The queries and keys are sent, and the
page computes all else from them, so it can show every token as the query without a server. For
values and what follows the softmax take `steps_view`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from vizcore.errors import SelectionError
from vizcore.views import colours, page
from vizcore.views.payload import pack, pack_exactly

MAX_BYTES = 2_000_000
"""Of queries, keys and biases, before they are written in base64: more text gets fewer queries."""

MAX_QUERIES = 1_000
"""So many tokens can be the query of one page, however small their vectors."""

HEIGHT = 620
"""Of the view, in CSS pixels, where the host does not say otherwise."""

TEXTS = {
    "query": "query of {token}, below it the keys",
    "key": "Key",
    "product": "query × key of {token}",
    "dot": "q·k",
    "score": "Score",
    "weight": "Weight",
    "previous": "Previous query",
    "next": "Next query",
    "queries": "The token that looks",
    "look": "Look from {token}, token {position}",
    "away": "This page holds the queries of tokens {first} to {last}.",
    "awayOne": "This page holds the query of this token alone.",
    "sortDimensions": "Dimensions: largest product first",
    "sortKeys": "Keys: largest weight first",
    "vectors": "query, key",
    "products": "query × key",
    "label": (
        "{keys} keys against the query of {token}. Up and down choose a key, left and right a "
        "dimension, Enter looks from that token."
    ),
    "row": "{token}, token {position}: score {score}, weight {weight}",
    "hiddenRow": "{token}, token {position}: hidden by the mask",
    "sum": "sum of {n} products",
    "scaling": "× scaling {scaling}",
    "softcap": "soft cap {softcap}",
    "bias": "position bias {bias}",
    "masked": "mask: −∞",
    "softmax": "softmax",
    "hint": (
        "Point at a dimension to see its numbers. Click a key to add up its score, double-click it "
        "to look from there."
    ),
    "hintCross": "Point at a dimension to see its numbers. Click a key to add up its score.",
    "dimension": (
        "Dimension {place}: query {query} × key {key} of {token} = {product}, rank {rank} of {n} "
        "in the sum."
    ),
    "sink": "no token (sink)",
    "rest": "{n} keys of least weight, not in this page",
    "shared": "Heads {first} to {last} share these keys.",
    "undefined": "not a number",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view shows, in English; `texts` replaces any of them."""


def neuron_view(
    trace: Any,
    layer: int,
    head: int,
    token: int = -1,
    *,
    kind: str | None = None,
    key: int | None = None,
    answers: bool = False,
    max_bytes: int = MAX_BYTES,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """A query, its keys, their products number by number, and the scores and weights they give.

    It works for every network that the tap sees: queries and keys are as they enter the product
    (after RoPE; those of grouped queries with the head that they serve), and soft cap, position
    bias, mask and sink are shown as parts, so that the numbers add up to the weights of
    `trace.attention`. `select` is told {token} when the reader takes another query.

    Args:
        trace: as `Model.trace` gives it.
        layer, head: counted from 0.
        token: the query's position, counted from 0; negative from the end.
        kind: "encoder", "decoder" or "cross"; as in `Trace.attention`.
        key: the key whose score is added up at first; None: the one with the largest weight.
        answers: whether the host answers `select` with the data of another token. A page by
            itself does not, so there only tokens whose queries it holds can be chosen.
        max_bytes: of queries, keys and biases. The keys come first; if not even they fit, those
            with the largest weights are taken, and the others counted.
        height: in CSS pixels.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is no such layer, head, token, key or kind.
        CaptureError: if the network is captured in eager mode, which returns no queries and keys.
    """
    from vizcore.query_key import queries_and_keys  # brings PyTorch, as traces do

    found = queries_and_keys(trace, layer, head, kind=kind)
    row = found.scores(token)
    n_keys = len(found.key_tokens)
    if key is not None and not -n_keys <= key < n_keys:
        raise SelectionError(f"There is no key {key}: there are {n_keys}, counted from 0.")
    largest = int(np.argmax(row.weights))
    data = _vectors(found, row, largest if key is None else key % n_keys, max_bytes)
    data |= {
        "layer": layer,
        "head": head,
        "kind": found.kind,
        "token": row.token,
        "key": largest if key is None else key % n_keys,
        "queryTokens": list(found.query_tokens),
        "keyTokens": list(found.key_tokens),
        "scaling": found.scaling,
        "softcap": found.softcap,
        "sink": found.sink,
        "sharedBy": _sharing(found),
        "answers": answers,
        "height": height,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": {**TEXTS, **(texts or {})},
    }
    return page.View(
        name="neuron_view",
        title=title or f"Queries and keys, layer {layer}, head {head}",
        data=data,
        js=page.script("neuron_view"),
        css=page.style("neuron_view"),
    )


def _vectors(found: Any, row: Any, key: int, max_bytes: int) -> dict[str, object]:
    """Queries, keys, and what is added to or hidden from their scores, within the budget."""
    n_keys, d_head = found.key.shape
    left = max_bytes - 4 * n_keys * d_head
    each = 4 * d_head + (0 if row.bias is None else 4 * n_keys)
    if left < each and n_keys > 1:
        each = 4 * (d_head if row.bias is None else d_head + 1)
        return _one_query(found, row, key, max((max_bytes - 4 * d_head) // each, 1))
    n_queries = min(max(left // each, 1), MAX_QUERIES)
    first = min(max(row.token - n_queries // 2, 0), max(len(found.query) - n_queries, 0))
    last = min(first + n_queries, len(found.query))
    rows = [found.scores(token) for token in range(first, last)]
    hidden = np.stack([one.hidden for one in rows])
    biased = any(one.bias is not None for one in rows)
    zeros: Float[np.ndarray, " key"] = np.zeros(n_keys, dtype=np.float32)
    biases = [zeros if one.bias is None else one.bias for one in rows]
    return {
        "first": first,
        "queries": pack_exactly(found.query[first:last]),
        "keys": pack_exactly(found.key),
        "positions": None,
        "hidden": pack(hidden.view(np.uint8)) if hidden.any() else None,
        "bias": pack_exactly(np.stack(biases)) if biased else None,
        "rest": None,
    }


def _one_query(found: Any, row: Any, key: int, n_kept: int) -> dict[str, object]:
    """The keys that matter to one query; what the others add to its softmax is one number."""
    n_kept = min(n_kept, len(found.key))
    kept: Int[np.ndarray, " kept"] = np.argsort(-row.weights, kind="stable")[:n_kept]
    if key not in kept:
        kept[-1] = key
    kept.sort()
    left = np.delete(row.scores, kept).astype(np.float64)
    left = left[np.isfinite(left)]
    largest = left.max(initial=-np.inf)
    logit = float(largest + np.log(np.exp(left - largest).sum())) if len(left) else None
    return {
        "first": row.token,
        "queries": pack_exactly(row.query[None]),
        "keys": pack_exactly(found.key[kept]),
        "positions": [int(place) for place in kept],
        "hidden": pack(row.hidden[None, kept].view(np.uint8)) if row.hidden.any() else None,
        "bias": None if row.bias is None else pack_exactly(row.bias[None, kept]),
        "rest": {"n": len(found.key) - len(kept), "logit": logit},
    }


def _sharing(found: Any) -> list[int] | None:
    """The first and the last head that use these keys; None if it is this one alone."""
    each = found.n_heads // found.n_key_heads
    return None if each == 1 else [found.key_head * each, found.key_head * each + each - 1]
