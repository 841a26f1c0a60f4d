"""What `vizcore attend` and `vizcore heads` show: heads by what they do, weights, scores.

Heads of a kind are listed together, since in most models most heads do the same dull thing and a
plain ranking would show nothing else. Maps are looked at one after the other, so that never more
than one layer's are in memory. For the layout of tables see `vizcore.terminal`.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from vizcore import terminal
from vizcore.cache import Progress
from vizcore.errors import SelectionError
from vizcore.head_metrics import COLUMN_OF_HABIT, COLUMNS, head_scores
from vizcore.maps import AttentionMap
from vizcore.model import Model
from vizcore.patterns import Pattern, describe
from vizcore.terminal import HeadRow
from vizcore.trace import Trace

# These describe how weights are spread, not where they go, and their scores mean something else.
_UNNAMED = ("focused", "spread", "alone", "undefined", "values")

HEADS_OF_A_HABIT = 3
"""How many heads of each pattern `vizcore heads` lists, unless --rows says otherwise."""

HEADS_OF_A_SCORE = 10
"""How many it lists by one score, likewise."""


def show_heads(
    trace: Trace, layer: int | None, kind: Any, *, sort: str, rows: int, as_json: bool
) -> None:
    """All heads (of a layer), grouped by what they do or layer by layer."""
    found: list[HeadRow] = []
    with terminal.progress() as report:
        n_heads = trace.n_heads(kind) * (len(trace.layers(kind)) if layer is None else 1)
        for shown in _maps(trace, layer, kind):
            found.append((shown.layer or 0, shown.head or 0, describe(shown)))
            report("Describing what each head does", len(found) / n_heads)
    if sort == "pattern":
        found = [row for group in _by_pattern(found) for row in group]
    if as_json:
        terminal.print_json(
            {
                "model": trace.model.name,
                "kind": shown.kind,
                "query_tokens": trace.query_tokens(kind),
                "key_tokens": trace.key_tokens(kind),
                "heads": [
                    {"layer": at, "head": head} | _described(pattern) for at, head, pattern in found
                ],
            }
        )
        return
    groups = [found] if sort == "layer" else _by_pattern(found)
    limit = None if sort == "layer" or rows == 0 else rows
    terminal.console().print(terminal.heads_table(groups, limit=limit))
    terminal.print_note(trace.model)


def _by_pattern(found: list[HeadRow]) -> list[list[HeadRow]]:
    """Heads that do the same together, the clearest first; those that do nothing nameable last."""
    groups: dict[str, list[HeadRow]] = {}
    for row in sorted(found, key=lambda row: -row[2].score):
        groups.setdefault(row[2].name, []).append(row)
    return sorted(groups.values(), key=lambda group: group[0][2].name in _UNNAMED)


def _described(pattern: Pattern) -> dict[str, object]:
    return {"pattern": pattern.name, "score": pattern.score, "text": pattern.text}


def measure(
    model: Model, texts: list[str] | None, by: str | None, kind: Any, seed: int, report: Progress
) -> pd.DataFrame:
    """The scores of all heads, over texts; a score that does not exist is refused first."""
    if by is not None and by not in COLUMNS:
        raise SelectionError(f"There is no score {by!r}. Scores are: {', '.join(COLUMNS)}.")
    return head_scores(model, texts or None, kind=kind, seed=seed, progress=report)


def show_scores(model: Model, scores: pd.DataFrame, by: str | None, rows: int | None) -> None:
    """Heads grouped by what they do in general, or those with the most of one score."""
    if by is None:
        groups = _by_habit(scores)
        limit = HEADS_OF_A_HABIT if rows is None else rows or None
    else:
        groups = [scores[scores[by].notna()].sort_values(by, ascending=False, kind="stable")]
        limit = None
        if rows != 0:
            groups = [groups[0].head(HEADS_OF_A_SCORE if rows is None else rows)]
        if groups[0].empty:
            print(f"{by} does not apply to these heads.")
            return
    table = terminal.scores_table(groups, by=by, kinds=scores["kind"].nunique() > 1, limit=limit)
    terminal.console().print(table)
    terminal.print_note(model)


def _by_habit(scores: pd.DataFrame) -> list[pd.DataFrame]:
    """Heads that do the same together, those that do it most first."""
    groups = []
    for (_kind, pattern), group in scores.groupby(["kind", "pattern"], sort=False):
        column = COLUMN_OF_HABIT.get(str(pattern))
        groups.append(
            group if column is None else group.sort_values(column, ascending=False, kind="stable")
        )
    return sorted(groups, key=lambda group: group["pattern"].iloc[0] in _UNNAMED)


def write_scores(scores: pd.DataFrame, path: Path) -> None:
    """All scores, one row a head."""
    _write(path, [scores.to_csv(index=False)])


def show_map(trace: Trace, shown: AttentionMap, *, top: int, as_json: bool) -> None:
    """One head: what it mostly does, and its weights with their tokens."""
    pattern = describe(shown)
    if as_json:
        terminal.print_json(
            {
                "model": trace.model.name,
                "kind": shown.kind,
                "layer": shown.layer,
                "head": shown.head,
                "query_tokens": list(shown.query_tokens),
                "key_tokens": list(shown.key_tokens),
                "values": shown.values.tolist(),
            }
            | _described(pattern)
        )
        return
    output = terminal.console()
    print(f"{trace.model.name}, {shown.name}: {terminal.plain(pattern.text)}\n")
    output.print(terminal.map_table(shown, top=top, width=output.width))
    terminal.print_note(trace.model)


def _maps(trace: Trace, layer: int | None, kind: Any) -> Iterator[AttentionMap]:
    if layer is None:
        yield from trace.maps(kind)
        return
    for head in range(trace.n_heads(kind)):
        yield trace.map(layer, head, kind)


def write_html(trace: Trace, layer: int | None, head: int | None, kind: Any, path: Path) -> None:
    """All heads as a page that works offline; a chosen one stands out."""
    from vizcore.views.model_view import model_view

    selected = None if layer is None or head is None else (layer, head)
    with terminal.progress() as report:
        report("Drawing all heads", None)
        page = model_view(trace.maps(kind), selected=selected).to_html()
    _write(path, [page])


def write_csv(trace: Trace, layer: int | None, head: int | None, kind: Any, path: Path) -> None:
    """The weights of the chosen heads, head after head, one row a cell."""
    if layer is not None and head is not None:
        chosen = iter([trace.map(layer, head, kind)])
    else:
        chosen = _maps(trace, layer, kind)

    def parts() -> Iterator[str]:
        for number, shown in enumerate(chosen):
            frame = shown.to_frame()
            for place, name in enumerate(("kind", "layer", "head")):
                frame.insert(place, name, getattr(shown, name))
            yield frame.to_csv(index=False, header=number == 0)

    _write(path, parts())


def _write(path: Path, parts: Iterable[str]) -> None:
    if str(path) == "-":
        sys.stdout.writelines(parts)
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(parts)
    except OSError as error:
        terminal.print_error(f"{path} cannot be written: {error.strerror}.")
        raise typer.Exit(1) from error
    print(f"Wrote {path}")
