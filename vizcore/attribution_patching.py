"""Attribution patching: all patches at once, estimated from one gradient.

What a patch would bring back is, to first order, the difference between the clean and the corrupted
activation times the slope of the metric in the corrupted run (Nanda 2023; Syed et al. 2023). Two
runs and a backward one give all cells. A network is not linear, so some of the estimates are wrong,
those of the residual stream's first layers most of all; therefore a part of the cells is patched
exactly, and the error is said. For exact effects of all cells use `vizcore.patching_effects`.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vizcore.attention_calls import AttentionCall, CallEdit
from vizcore.blocks import stack_of
from vizcore.capture import Kind, Relay, only_hidden, relay_of_thread, without_cache
from vizcore.edit_checks import Text, check_edit
from vizcore.edited_runs import Changes, EditedRun, Place, edited_run, listening
from vizcore.edits import Patch
from vizcore.effect_metrics import LogitFunction, Measure, Metric, value
from vizcore.errors import CaptureError, SelectionError, VizcoreError
from vizcore.interventions import gathered
from vizcore.model import Model
from vizcore.patching import ORDER, Pair, cells_of, measured_between, pair_of, patched
from vizcore.trace import Trace
from vizcore.trial import CANNOT_RUN


def patching_estimates(
    model: Model,
    clean: str | Sequence[int] | Trace,
    corrupted: str | Sequence[int] | Trace,
    metric: Metric | LogitFunction | None = None,
    *,
    where: str = "residual",
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    positions: Sequence[int] | None = None,
    check: int = 16,
) -> pd.DataFrame:
    """What each patch would bring back, estimated from a gradient, and how far off that is.

    Args:
        where: as in `patching_effects`, but for "pattern".
        check: so many cells are patched exactly: half of them those with the largest estimates,
            half spread over the others.
        model, clean, corrupted, metric, target, kind, positions: as in `patching_effects`. A metric
            that is a function has to return a tensor with a gradient.

    Returns:
        One row a cell, as in `patching_effects`: layer, head, position, token, estimate, and
        effect, the exact one, where it was checked (else missing). In `attrs`, beside metric,
        original and clean: checked (how many cells were), mean_error and largest_error (of their
        estimates, in the metric's unit), correlation (of estimates and effects; not a number if
        there is none).

    Raises:
        As `patching_effects`, and CaptureError if the network has no gradients.
    """
    if where == "pattern":
        raise SelectionError(
            'Patterns have no estimate: patch "head", "residual", "attention" or "feed-forward".'
        )
    the_kind = model._kind(kind)
    pair = pair_of(model, clean, corrupted, target)
    cells = cells_of(pair, where, the_kind, positions)
    measured = measured_between(pair, metric)
    estimates = _estimates(pair, cells, where, the_kind, measured)
    table = cells.assign(estimate=estimates, effect=np.nan)
    attrs: dict[Hashable | None, Any] = {
        "metric": measured.label,
        "original": value(pair.corrupted, measured),
        "clean": value(pair.clean, measured),
    }
    chosen = _checked(estimates, check)
    if chosen:
        few = cells.iloc[chosen].reset_index(drop=True)
        few_effects = few.assign(effect=_exactly(pair, few, where, the_kind, measured))
        table.loc[chosen, "effect"] = few_effects["effect"].to_numpy()
        errors = (table["estimate"] - table["effect"])[chosen].abs()
        pairs = table.loc[chosen, ["estimate", "effect"]].to_numpy()
        varies = bool((pairs.std(axis=0) > 0).all())
        attrs |= {
            "checked": len(chosen),
            "mean_error": float(errors.mean()),
            "largest_error": float(errors.max()),
            "correlation": float(np.corrcoef(pairs.T)[0, 1]) if varies else float("nan"),
        }
    table.attrs = attrs
    return table


def _exactly(
    pair: Pair, cells: pd.DataFrame, where: str, kind: Kind, measured: Measure
) -> np.ndarray:
    """The exact effects of some cells, in their order."""
    table = gathered(
        (part.assign(number=part.index) for part in patched(pair, cells, where, kind, measured)),
        ORDER,
        None,
    )
    found: np.ndarray = table.sort_values("number")["effect"].to_numpy()
    return found


def _checked(estimates: np.ndarray, n: int) -> list[int]:
    """Which cells are patched exactly: half the largest, half spread over the rest."""
    if n < 0:
        raise SelectionError(f"check is a number of cells, not {n}.")
    order = np.argsort(-np.abs(estimates), kind="stable").tolist()
    if n >= len(order):
        return sorted(order)
    largest, rest = order[: n - n // 2], order[n - n // 2 :]
    spread = np.linspace(0, len(rest) - 1, n // 2).round().astype(int)
    return sorted({*largest, *(rest[one] for one in spread.tolist())})


def _estimates(
    pair: Pair, cells: pd.DataFrame, where: str, kind: Kind, measured: Measure
) -> np.ndarray:
    model = pair.clean.model
    layers = list(dict.fromkeys(cells["layer"].tolist()))
    for layer in layers:
        check_edit(model, Patch(pair.clean, where, layer, kind=kind))
    places: dict[int, Place] = {layer: _place(where, kind, layer) for layer in layers}
    changes, heard = listening(model, list(places.values()))
    model._run(Text(pair.clean.source_ids, pair.clean.target_ids), edited_run(model, changes))
    slopes = _slopes(pair.corrupted, list(places.values()), measured)
    found = np.zeros(len(cells))
    products: dict[int, Tensor] = {}
    for layer, place in places.items():
        here, slope = slopes[place]
        difference = heard[place].to(here) - here
        products[layer] = (difference.double() * slope.double()).sum(dim=-1).cpu()
    for number, (layer, head, position) in enumerate(
        zip(cells["layer"], cells["head"], cells["position"], strict=True)
    ):
        product = products[layer]  # (token) or, of heads, (query, head)
        found[number] = product[:, int(head)].sum() if where == "head" else product[int(position)]
    return found


def _place(where: str, kind: Kind, layer: int) -> Place:
    return where, kind if where in ("head", "attention") else stack_of(kind), layer


def _slopes(
    trace: Trace, places: Sequence[Place], measured: Measure
) -> dict[Place, tuple[Tensor, Tensor]]:
    """What is at these places in a run, and the slope of the metric there."""
    model = trace.model
    here: dict[Place, Tensor] = {}
    leaves: dict[Place, Tensor] = {}

    def moved(place: Place, given: Tensor) -> Tensor:
        here[place] = given[0].detach()
        leaves[place] = torch.zeros_like(given).requires_grad_()
        return given + leaves[place]

    changes = Changes()
    for place in places:
        what, its, layer = place
        if what == "head":
            kind = model._kind(its)

            def outputs(call: AttentionCall, given: Tensor, place: Place = place) -> Tensor:
                return moved(place, given)

            heads = tuple(range(model._capture.n_heads[kind]))
            changes.calls[kind, layer].append(CallEdit(heads, outputs=outputs))
        else:

            def vectors(given: Tensor, first: int, place: Place = place) -> Tensor:
                return moved(place, given)

            changes.stream[place].append(vectors)
    try:
        with torch.enable_grad():
            logits = _logits(trace, edited_run(model, changes), measured.positions)
            total = _total(measured, logits)
            order = list(leaves)
            slopes = torch.autograd.grad(
                total, [leaves[place] for place in order], allow_unused=True
            )
    except CANNOT_RUN as error:
        if isinstance(error, VizcoreError):
            raise
        raise CaptureError(
            f"What {model.name} predicts could not be differentiated by what its layers do: "
            f"{error}. Exact patches need no gradient: patching_effects."
        ) from error
    return {
        place: (here[place], torch.zeros_like(here[place]) if slope is None else slope[0])
        for place, slope in zip(order, slopes, strict=True)
    }


def _logits(trace: Trace, edited: EditedRun, positions: Sequence[int]) -> Tensor:
    """The logits of a run with changes, (position, vocab), with their gradients."""
    network, trunk = edited.network, edited.capture.trunk
    inputs = trace.inputs
    relay = Relay()
    token = relay_of_thread.set(relay)
    try:
        with edited.open():
            body = network if trunk is None or "decoder_input_ids" in inputs else trunk
            output = body(**inputs, **without_cache(body))
    finally:
        relay_of_thread.reset(token)
    if trunk is None:
        logits: Tensor = output.logits[0, list(positions)]
        return logits
    hidden = only_hidden(relay.taken)
    return _with_head(network, hidden, positions, inputs)


def _with_head(
    network: Any, hidden: Any, positions: Sequence[int], inputs: dict[str, Tensor]
) -> Tensor:
    chosen = type(hidden)(last_hidden_state=hidden.last_hidden_state[:, list(positions)])
    token = relay_of_thread.set(Relay(given=chosen))
    try:
        logits: Tensor = network(**inputs, **without_cache(network)).logits[0]
        return logits
    finally:
        relay_of_thread.reset(token)


def _total(measured: Measure, logits: Tensor) -> Tensor:
    logits = logits.float()
    if measured.whole is not None:
        found = measured.whole(logits)
        if not isinstance(found, Tensor) or not found.requires_grad:
            raise SelectionError(
                "An estimate needs a metric with a gradient: a function that returns a tensor "
                "computed from the logits."
            )
        return found
    assert measured.at is not None  # noqa: S101 - a measure has one or the other
    numbers = torch.arange(len(measured.positions), device=logits.device)
    each = measured.at(logits, numbers)
    return each.mean() if measured.mean else each.sum()
