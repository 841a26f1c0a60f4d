"""What each layer makes a token's state of: other tokens, its own before, the feed-forward block.

The idea: a layer adds things up, so its result is a sum of vectors, one from each token by way of
attention, one that was there before, one from the feed-forward block; each counts for as much as
the result would lose without it (ALTI, Ferrando et al. 2022; information-flow routes, Ferrando &
Voita 2024). Weights of attention say neither how long those vectors are nor what the residual
stream keeps. For networks whose layers and Wᴼ are found, and whose sums are seen to come out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.blocks import Blocks, Layer, Site, Stack, blocks_of, stack_of
from vizcore.capture import Kind, without_cache
from vizcore.errors import CaptureError, SelectionError
from vizcore.layer_runs import LayerRun, Norm
from vizcore.maps import AttentionMap
from vizcore.selection import check_unedited
from vizcore.stream_editor import StreamEdit, StreamEditor
from vizcore.surroundings import surroundings
from vizcore.trace import Trace
from vizcore.weighted import moved_by_heads

EXACT = 1e-3
"""How far the parts may be from what the layer returned, beside its longest state."""
ROUNDED = 0.03
"""The same for networks that run in half precision."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """Where every state came from, layer by layer. Shares of a state sum to 1.

    Args:
        tokens: the text.
        layers: their numbers.
        attention: (layer, position, from): by attention, from each token, itself among them.
        residual: (layer, position): what was there before.
        feed_forward: (layer, position).
        source: (layer, position, source token): by cross-attention; None in a model of one stack.
        error: the largest distance between the sum of the parts and what a layer returned, beside
            the length of the longest state there.
        kind: of attention.
    """

    tokens: tuple[str, ...]
    layers: tuple[int, ...]
    attention: Float[np.ndarray, "layer position from"]
    residual: Float[np.ndarray, "layer position"]
    feed_forward: Float[np.ndarray, "layer position"]
    source: Float[np.ndarray, "layer position source"] | None
    error: float
    kind: Kind

    def to_frame(self) -> pd.DataFrame:
        """One row a share above 0: layer, position, part, from_position (of tokens), share.

        Parts are "token" (another token, or the same by way of attention), "source" (a token of the
        source), "residual" and "feed-forward".
        """
        rows: list[tuple[int, int, str, int | None, float]] = []
        for at, layer in enumerate(self.layers):
            for position in range(len(self.tokens)):
                rows.append((layer, position, "residual", None, self.residual[at, position]))
                rows.append(
                    (layer, position, "feed-forward", None, self.feed_forward[at, position])
                )
                for part, shares in (("token", self.attention), ("source", self.source)):
                    for key in [] if shares is None else np.flatnonzero(shares[at, position]):
                        assert shares is not None  # noqa: S101
                        rows.append((layer, position, part, int(key), shares[at, position, key]))
        names = ["layer", "position", "part", "from_position", "share"]
        return pd.DataFrame(rows, columns=names).astype({"from_position": "Int64"})

    def maps(self) -> list[AttentionMap]:
        """One map a layer, rows summing to 1: what comes from each place.

        A place's own residual and feed-forward block stand on the diagonal, with what it gives
        itself by attention; in an encoder-decoder so does what comes from the source. Give them to
        `flow_view(maps, residual=0)` or `rollout(maps, residual=0)`.
        """
        found = []
        for at, layer in enumerate(self.layers):
            values = self.attention[at].copy()
            own = self.residual[at] + self.feed_forward[at]
            if self.source is not None:
                own = own + self.source[at].sum(axis=1)
            values[np.diag_indices(len(own))] += own
            found.append(
                AttentionMap(
                    values,
                    self.tokens,
                    self.tokens,
                    quantity="contribution",
                    layer=layer,
                    kind=self.kind,
                )
            )
        return found

    def routes(self, position: int = -1, *, threshold: float | int = 0.03) -> pd.DataFrame:
        """The graph from a token's last state down to the text, without what counts for little.

        A state after a layer is a node; an edge leads to a state before it. Whatever is reached
        from the position by edges of at least the threshold is kept (Ferrando & Voita 2024).

        Args:
            position: whose state after the last layer is followed; negative from the end.
            threshold: edges of a smaller share are left out.

        Returns:
            One row an edge, from the top: layer, position (of the state after it), from_position
            (of the state before it), part ("token", "residual" or "feed-forward", which both lead
            to the same position), share (of the state), flow (of the position's last state, what
            passes there).

        Raises:
            SelectionError: if there is no such position.
        """
        n_tokens = len(self.tokens)
        if not -n_tokens <= position < n_tokens:
            raise SelectionError(
                f"There is no position {position}: the text has {n_tokens} tokens, so positions go "
                f"from 0 to {n_tokens - 1}, or from -1 backwards."
            )
        flow = np.zeros(n_tokens)
        flow[position % n_tokens] = 1
        rows = []
        for at in reversed(range(len(self.layers))):
            below = np.zeros(n_tokens)
            for here in np.flatnonzero(flow).tolist():
                own = (
                    ("residual", self.residual[at, here], here),
                    ("feed-forward", self.feed_forward[at, here], here),
                )
                others = (("token", self.attention[at, here, key], key) for key in range(n_tokens))
                for part, share, key in (*own, *others):
                    if share >= threshold and share > 0:
                        passed = flow[here] * share
                        below[key] += passed
                        rows.append((self.layers[at], here, key, part, share, passed))
            flow = below
        names = ["layer", "position", "from_position", "part", "share", "flow"]
        return pd.DataFrame(rows, columns=names)


def contributions(trace: Trace, kind: str | None = None) -> Contributions:
    """What each layer makes of every token.

    With y the sum of some vectors z (and constants, such as biases), each z counts

        max(0, ‖y‖₁ - ‖y - z‖₁)

    and shares are these divided by their sum. A layer is two such sums: the stream and what each
    token brings by attention (weight · value · Wᴼ, summed over heads); then that and what the
    feed-forward block adds. The stream's share of the second is divided as the first was. Norms
    between are linear once their scales are taken as they came out; cross-attention is a sum of its
    own. Takes a run of the text, and time and memory for (position, position, d_model) numbers.

    Args:
        kind: "decoder" or "encoder"; None: the model's main kind.

    Raises:
        SelectionError: if there is no such kind, or the trace was run with edits.
        CaptureError: if this network's layers, their parts or Wᴼ are not found, or don't add up.
    """
    its_kind = trace._kind(kind)
    if its_kind == "cross":
        raise SelectionError(
            "Contributions are of a stack: take kind='decoder', in which those of the source are "
            "listed, too, or kind='encoder'."
        )
    check_unedited(trace, "Contributions")
    model = trace.model
    if model.capture == "eager":
        raise _not_found(trace, "its values are not seen")
    stack = stack_of(its_kind)
    blocks = blocks_of(model.network, model._capture)
    if stack not in blocks.layers or len(blocks.layers[stack]) != len(trace.layers(its_kind)):
        raise _not_found(trace, "its layers were not found")
    run = _run_again(trace, blocks, stack)
    kinds: list[Kind] = [its_kind]
    if its_kind == "decoder" and "cross" in trace.kinds:
        kinds.append("cross")
    layers = [
        _layer(trace, run, number, kinds, layer)
        for number, layer in enumerate(trace.layers(its_kind))
    ]
    return Contributions(
        tokens=tuple(trace.query_tokens(its_kind)),
        layers=tuple(trace.layers(its_kind)),
        attention=np.stack([one.by_kind[its_kind] for one in layers]),
        residual=np.stack([one.residual for one in layers]),
        feed_forward=np.stack([one.feed_forward for one in layers]),
        source=np.stack([one.by_kind["cross"] for one in layers]) if len(kinds) > 1 else None,
        error=max(one.error for one in layers),
        kind=its_kind,
    )


@dataclass(frozen=True, eq=False)
class _Shares:
    """Of one layer; see `Contributions`."""

    by_kind: dict[Kind, np.ndarray]
    residual: np.ndarray
    feed_forward: np.ndarray
    error: float


def _run_again(trace: Trace, blocks: Blocks, stack: Stack) -> LayerRun:
    run = LayerRun()
    edits: dict[bool, dict[Any, list[list[StreamEdit]]]] = {True: {}, False: {}}

    def keep(name: str, number: int, site: Site, before: bool) -> None:
        calls = edits[before].setdefault(site.module, [[] for _ in range(site.n_calls)])
        calls[site.number].append(run.keeping(name, number))

    for number, layer in enumerate(blocks.layers[stack]):
        keep("before", number, layer.site, True)
        keep("after", number, layer.site, False)
        for part in (*_kinds(layer), "feed-forward"):
            site = blocks.part(stack, number, part)  # type: ignore[arg-type]
            if site is None:
                raise _not_found(trace, f"what {part} adds in layer {number} was not found")
            keep(part, number, site, False)
    body: Any = blocks.network
    if blocks.trunk is not None and "decoder_input_ids" not in trace.inputs:
        body = blocks.trunk
    with torch.no_grad(), StreamEditor(before=edits[True], after=edits[False]), run:
        body(**trace.inputs, **without_cache(body))
    return run


def _kinds(layer: Layer) -> list[Kind]:
    return list(layer.callers)


def _layer(trace: Trace, run: LayerRun, number: int, kinds: list[Kind], layer: int) -> _Shares:
    """The shares of one layer, sum by sum."""
    before, after = run.states["before", number], run.states["after", number]
    exact = EXACT if trace.model.network.dtype == torch.float32 else ROUNDED
    close = exact * float(after.norm(dim=-1).max())
    names = [*kinds, "feed-forward"]
    added = [run.states[name, number].reshape(before.shape) for name in names]
    norms = _norms(run, before, added, after, close)
    if norms is None:
        raise _not_found(trace, f"the parts of layer {layer} don't add up to what it returns")
    factors, between = norms
    of_tokens = {
        kind: _split(trace, layer, kind, one, close)
        for kind, one in zip(kinds, added[:-1], strict=True)
    }
    n = len(before)
    by_kind = {kind: np.zeros((n, split.n_keys)) for kind, split in of_tokens.items()}
    residual, feeding, error = np.ones(n), np.zeros(n), 0.0
    for position in range(n):
        state, sum_of_parts = before[position], before[position]
        for step, name in enumerate(names):
            vector = factors[step] * added[step][position]
            is_last = name == "feed-forward"
            parts = vector[None] if is_last else factors[step] * of_tokens[kinds[step]].of(position)
            constant = vector - parts.sum(dim=0)
            norm = between[step]
            whole = state + vector
            if norm is not None:
                shown = norm.part(torch.cat([state[None], parts]), position)
                rest = norm.part(constant, position)
                rest = rest if norm.bias is None else rest + norm.bias.detach().float()
                whole = norm.made[position]
            else:
                shown, rest = torch.cat([state[None], parts]), constant
            sum_of_parts = shown.sum(dim=0) + rest
            error = max(error, float((sum_of_parts - whole).norm()))
            shares = _shares(whole, shown)
            residual[position] *= shares[0]
            feeding[position] *= shares[0]
            for its in by_kind.values():
                its[position] *= shares[0]
            if is_last:
                feeding[position] = shares[1]
            else:
                by_kind[kinds[step]][position] = shares[1:]
            state = whole
        error = max(error, float((state - after[position]).norm()))
    return _Shares(by_kind, residual, feeding, error / float(after.norm(dim=-1).max()))


def _shares(whole: Float[Tensor, " d_model"], parts: Float[Tensor, "part d_model"]) -> np.ndarray:
    """Of each part; all to the first if none brings the whole nearer."""
    nearer = (whole.abs().sum() - (whole - parts).abs().sum(dim=-1)).clamp(min=0).double()
    total = float(nearer.sum())
    found: np.ndarray = nearer.cpu().numpy()
    return found / total if total > 0 else np.eye(len(found))[0]


def _norms(
    run: LayerRun, before: Tensor, added: list[Tensor], after: Tensor, close: float
) -> tuple[list[float], list[Norm | None]] | None:
    """By what each addition is multiplied, and which norm follows on it; None if nothing fits."""
    columns = torch.stack([one.flatten() for one in added], dim=1).double()
    solved = torch.linalg.lstsq(columns, (after - before).flatten().double()[:, None]).solution
    factors = [float(one) for one in solved[:, 0]]
    total = before + sum(factor * one for factor, one in zip(factors, added, strict=True))
    if (total - after).norm(dim=-1).max() <= close:
        return factors, [None] * len(added)
    found: list[Norm | None] = []
    state = before
    for one in added:
        fitting = [
            norm
            for norm in run.norms
            if norm.given.shape == state.shape
            and float((norm.given - state - one).norm(dim=-1).max()) <= close
        ]
        if not fitting:
            return None
        found.append(fitting[0])
        state = fitting[0].made
    return ([1.0] * len(added), found) if (state - after).norm(dim=-1).max() <= close else None


@dataclass(frozen=True, eq=False)
class _Split:
    """What attention adds, as a sum over the tokens that are looked at."""

    weights: Float[Tensor, "head query key"]
    moved: Float[Tensor, "head key d_model"]
    gain: Callable[[int], Tensor | float]

    @property
    def n_keys(self) -> int:
        """How many tokens."""
        return self.weights.shape[2]

    def of(self, position: int) -> Float[Tensor, "key d_model"]:
        """What each token brings to a position."""
        return torch.einsum("hk,hkm->km", self.weights[:, position], self.moved) * self.gain(
            position
        )


def _split(trace: Trace, layer: int, kind: Kind, added: Tensor, close: float) -> _Split:
    """By the weights, the values and Wᴼ; and a norm without a bias after that, if there is one."""
    weights = trace.attention(layer, None, kind).cpu()
    moved = moved_by_heads(trace, layer, kind)
    projection = surroundings(trace, kind)[trace._place(layer, kind)].projection
    whole = torch.einsum("hqk,hkm->qm", weights, moved)
    if projection is not None and projection.bias is not None:
        whole = whole + projection.bias.detach().cpu().float()
    added = added.cpu()
    if (whole - added).norm(dim=-1).max() <= close:
        return _Split(weights, moved, lambda position: 1.0)
    scaled = whole * (whole.square().mean(dim=-1, keepdim=True) + 1e-12).rsqrt()
    gain = (scaled * added).sum(dim=0) / scaled.square().sum(dim=0).clamp(min=1e-12)
    if (scaled * gain - added).norm(dim=-1).max() > close:
        raise _not_found(trace, f"what attention adds in layer {layer} is no sum over tokens")
    length = (whole.square().mean(dim=-1) + 1e-12).rsqrt()
    return _Split(weights, moved, lambda position: gain * length[position])


def _not_found(trace: Trace, what: str) -> CaptureError:
    return CaptureError(
        f"{trace.model.name} cannot be taken apart layer by layer: {what}. Attention alone can be "
        "followed through its layers: vizcore.rollout."
    )
