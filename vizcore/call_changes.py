"""From edits of heads to what they do in an attention call.

One function for each thing that can happen to heads; each returns the `CallEdit` that the tap
applies. All of them know where a call's queries and keys stand in the text, so they also hold where
a text is read on with a cache, a token at a time. What is taken from other runs is given to them:
who gets it is `vizcore.editing`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.attention import visible_keys
from vizcore.attention_calls import AttentionCall, CallEdit
from vizcore.capture import Kind

Places = tuple[int, ...] | None
"""Positions in the text, counted from 0; None for all, also for those that are yet to come."""


def scaled(heads: Sequence[int], factor: float | int, *, at: Places = None) -> CallEdit:
    """Multiply what these heads give, at these queries."""

    def outputs(call: AttentionCall, given: Tensor) -> Tensor:
        if factor == 0 and at is None:
            return torch.zeros_like(given)  # also where it was not a number
        rows, _ = rows_at(at, call.first_query, given.shape[1])
        given[:, rows] *= factor
        return given

    return CallEdit(tuple(heads), outputs=outputs)


def replaced(
    heads: Sequence[int], values: Float[Tensor, "query head d_value"], *, at: Places
) -> CallEdit:
    """Put other outputs in place of what these heads give.

    Args:
        values: of each of these queries; or one row, which all queries get.
        at: which queries.
    """

    def outputs(call: AttentionCall, given: Tensor) -> Tensor:
        rows, its = rows_at(at, call.first_query, given.shape[1])
        given[:, rows] = (values if at is None else values[its]).to(given)
        return given

    return CallEdit(tuple(heads), outputs=outputs)


def cut(heads: Sequence[int], kind: Kind, *, queries: Places, keys: Places) -> CallEdit:
    """Cut every edge from one of these queries to one of these keys."""

    def scores(call: AttentionCall) -> Tensor:
        n_queries, n_keys = call.query.shape[2], call.key.shape[2]
        rows, _ = rows_at(queries, call.first_query, n_queries)
        columns, _ = rows_at(keys, first_key(call, kind), n_keys)
        added = torch.zeros(n_queries, n_keys, device=call.query.device)
        added[rows[:, None], columns[None, :]] = -torch.inf
        return added

    return CallEdit(tuple(heads), scores=scores)


def uniform(heads: Sequence[int]) -> CallEdit:
    """Let these heads look at all keys that they may see alike."""

    def weights(call: AttentionCall, given: Tensor) -> Tensor:
        seen = visible_keys(
            call.mask_of(heads),
            causal=call.causal,
            n_queries=given.shape[-2],
            n_keys=given.shape[-1],
            device=given.device,
        ).to(given)
        return (seen / seen.sum(-1, keepdim=True).clamp(min=1)).expand_as(given)

    return CallEdit(tuple(heads), weights=weights)


def previous(heads: Sequence[int], kind: Kind) -> CallEdit:
    """Let these heads look at the token before; at the first token, at itself."""

    def weights(call: AttentionCall, given: Tensor) -> Tensor:
        rows = torch.arange(given.shape[-2], device=given.device)
        keys = (rows + call.first_query - 1).clamp(min=0) - first_key(call, kind)
        pattern = torch.zeros_like(given)
        pattern[..., rows, keys] = 1
        return pattern

    return CallEdit(tuple(heads), weights=weights)


def patterned(
    heads: Sequence[int], patterns: Float[Tensor, "head row key"], *, at: tuple[int, ...]
) -> CallEdit:
    """Put other weights in place of these heads' own.

    Args:
        patterns: for each head, for each of `at`, the weights of all keys that there are then.
        at: which queries.
    """

    def weights(call: AttentionCall, given: Tensor) -> Tensor:
        rows, its = rows_at(at, call.first_query, given.shape[2])
        if len(rows):
            n_keys = min(patterns.shape[-1], given.shape[-1])
            given[:, :, rows] = 0
            given[:, :, rows, :n_keys] = patterns[:, its, :n_keys].to(given)
        return given

    return CallEdit(tuple(heads), weights=weights)


def rows_at(at: Places, first: int, n_rows: int) -> tuple[Tensor, Tensor]:
    """Which of the rows that begin at a position are at these places, and which place each is."""
    if at is None:
        return torch.arange(n_rows), torch.arange(n_rows)
    pairs = [(place - first, number) for number, place in enumerate(at)]
    pairs = [(row, number) for row, number in pairs if 0 <= row < n_rows]
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.long)
    return rows, torch.tensor([number for _, number in pairs], dtype=torch.long)


def first_key(call: AttentionCall, kind: Kind) -> int:
    """The position of a call's first key: a decoder's cache may have let go of earlier ones."""
    if kind != "decoder":
        return 0
    return max(0, call.first_query + call.query.shape[2] - call.key.shape[2])
