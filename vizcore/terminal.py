"""How the terminal program shows things: tables, JSON, progress and errors.

Results go to standard output, everything else to standard error, so that a pipe carries results
alone. Tokens and model names are data: they are printed as plain text, never read as markup, and
with nothing in them that could steer a terminal. What is shown is decided in `vizcore.cli`.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from vizcore import cache
from vizcore.catalog import CatalogEntry

if TYPE_CHECKING:
    import pandas as pd

    from vizcore.maps import AttentionMap
    from vizcore.model import Model
    from vizcore.patterns import Pattern

HeadRow = tuple[int, int, "Pattern"]
"""Layer, head, and what the head mostly does."""

BAR_WIDTH = 24
"""Characters of a probability bar at probability 1."""

_EIGHTHS = " ▏▎▍▌▋▊▉"


def console() -> Console:
    """For results. Made anew each time, since standard output may have been redirected."""
    return Console(highlight=False, markup=False, soft_wrap=False)


def plain(text: str) -> str:
    """The text with every character spelled out that would not be seen or could do something."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )


def given_text(argument: str) -> str:
    """The text that was given, or what standard input holds if it is -."""
    return sys.stdin.read().removesuffix("\n") if argument == "-" else argument


def print_json(value: object) -> None:
    """Print as JSON, in ASCII; numbers that JSON does not have (NaN, infinity) become null."""
    sys.stdout.write(json.dumps(_finite(value), allow_nan=False) + "\n")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def print_error(message: str) -> None:
    """One paragraph on standard error."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    errors.print(Text("Error: ", style="bold red"), end="")
    errors.print("\n".join(plain(line) for line in message.split("\n")))


@contextmanager
def progress(*, beside: TextIO | None = None) -> Iterator[cache.Progress]:
    """A progress bar on standard error that goes away when done; nothing if it is no terminal.

    Args:
        beside: what is written to meanwhile; if that is a terminal, its lines show how far it is.
    """
    errors = Console(stderr=True)
    if not errors.is_terminal or (beside is not None and beside.isatty()):
        yield cache.quiet
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as bars:
        task = bars.add_task("Starting", total=None)

        def report(message: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            bars.update(task, description=plain(message), total=total, completed=fraction or 0.0)

        yield report


def models_table(rows: Sequence[tuple[CatalogEntry, bool]]) -> Sequence[Table]:
    """The catalogue: what each model is in numbers, then in words."""
    table = _table()
    for heading in ("Model", "Kind", "Layers × heads", "Licence", "Weights"):
        table.add_column(heading, no_wrap=heading != "Layers × heads")
    words = Table.grid(padding=(0, 2), pad_edge=True)
    for entry, is_fetched in rows:
        table.add_row(
            entry.name,
            entry.kind,
            f"{entry.n_layers} × {entry.n_heads}",
            entry.licence,
            _weights(entry, is_fetched),
        )
        words.add_row(entry.name, f"{entry.description}. From {entry.origin}.")
    return table, words


def _weights(entry: CatalogEntry, is_fetched: bool) -> str:
    """Where a model's weights are, or what it takes to have them."""
    if entry.bundled:
        return "bundled"
    return "fetched" if is_fetched else f"{entry.download_size / 1e6:.0f} MB to fetch"


def heads_table(groups: Sequence[Sequence[HeadRow]], *, limit: int | None) -> Table:
    """One row a head: what it mostly does. Of each group, at most `limit` are listed."""
    table = _table()
    table.add_column("Layer", justify="right")
    table.add_column("Head", justify="right")
    table.add_column("What it mostly does")
    for group in groups:
        listed = group[:limit]
        for layer, head, pattern in listed:
            table.add_row(str(layer), str(head), Text(plain(pattern.text)))
        if more := len(group) - len(listed):
            table.add_row("", "", Text(_and_more(more), style="dim"))
        table.add_section()
    return table


def scores_table(
    groups: Sequence["pd.DataFrame"], *, by: str | None, kinds: bool, limit: int | None
) -> Table:
    """One row a head: its place, one score if heads are listed by it, and what it mostly does."""
    table = _table()
    if kinds:
        table.add_column("Kind")
    for heading in ("Layer", "Head", *(() if by is None else (by,))):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("What it mostly does")
    for group in groups:
        for row in group.head(limit if limit else len(group)).to_dict("records"):
            kind = (row["kind"],) if kinds else ()
            score = () if by is None else (f"{row[by]:.3f}",)
            place = (str(row["layer"]), str(row["head"]))
            table.add_row(*kind, *place, *score, Text(plain(row["summary"])))
        if limit and len(group) > limit:
            blank = ("",) * (len(table.columns) - 1)
            table.add_row(*blank, Text(_and_more(len(group) - limit), style="dim"))
        table.add_section()
    return table


def _and_more(n_heads: int) -> str:
    return "… and 1 more head like it" if n_heads == 1 else f"… and {n_heads} more heads like these"


def map_table(shown: "AttentionMap", *, top: int, width: int) -> Table:
    """One head's weights: the whole matrix where it fits, else what each token looks at most."""
    keys = [plain(token) for token in shown.key_tokens]
    queries = [plain(token) for token in shown.query_tokens]
    columns = [max(4, _cells(key)) + 2 for key in keys]
    if max(map(_cells, queries)) + 3 + sum(columns) <= width:
        return _matrix(shown, queries, keys)
    return _most(shown, queries, keys, top=top, width=width)


def _matrix(shown: "AttentionMap", queries: Sequence[str], keys: Sequence[str]) -> Table:
    table = _table(padding=(0, 1))
    table.add_column("")
    for key in keys:
        table.add_column(Text(key), justify="right", no_wrap=True)
    for row, (query, values) in enumerate(zip(queries, shown.values, strict=True)):
        cells = [Text(f"{value:.2f}") for value in values]
        for column, cell in enumerate(cells):
            if shown.masked is not None and shown.masked[row, column]:
                cells[column] = Text("·", style="dim")
            elif values[column] == values.max():
                cell.stylize("bold")
        table.add_row(Text(query), *cells)
    return table


def _most(
    shown: "AttentionMap", queries: Sequence[str], keys: Sequence[str], *, top: int, width: int
) -> Table:
    rows: list[list[str]] = []
    for values in shown.values:
        best = [int(key) for key in (-values).argsort(kind="stable")[:top] if values[key] > 0]
        rows.append([f"{key} {keys[key]} {values[key]:.2f}" for key in best])
    # As many as fit, but for the first: an entry that is broken in two cannot be read.
    taken = [
        max((_cells(row[place]) for row in rows if place < len(row)), default=0) + 2
        for place in range(max(map(len, rows)))
    ]
    room = width - max(map(_cells, queries)) - 14
    while len(taken) > 1 and sum(taken) > room:
        taken.pop()
    table = _table()
    table.add_column("Position", justify="right")
    table.add_column("Token", no_wrap=True)
    for place in range(len(taken)):
        table.add_column("" if place else "Looks most at", no_wrap=True)
    for position, (query, entries) in enumerate(zip(queries, rows, strict=True)):
        cells = (Text(entry) for entry in entries[: len(taken)])
        table.add_row(str(position), Text(query), *cells)
    return table


def next_table(frame: "pd.DataFrame") -> Table:
    """The likeliest tokens with a bar each."""
    table = _table()
    table.add_column("Rank", justify="right")
    table.add_column("Token")
    table.add_column("", width=BAR_WIDTH, no_wrap=True)
    table.add_column("Probability", justify="right")
    table.add_column("Log-probability", justify="right")
    for row in frame.to_dict("records"):
        table.add_row(
            str(row["rank"]),
            Text(plain(row["token"])),
            Text(bar(row["probability"]), style="cyan"),
            f"{row['probability']:.2%}",
            f"{row['log_probability']:.3f}",
        )
    return table


def print_note(model: "Model") -> None:
    """What people should know about these weights, if there is something."""
    if model.note:
        print(f"\nAbout {model.name}: {model.note}.")


def bar(share: float, *, width: int = BAR_WIDTH) -> str:
    """A bar in eighths of a character; anything above zero is at least a sliver."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes: some characters take two."""
    return Text(text).cell_len


def _table(*, padding: tuple[int, int] = (0, 1)) -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=padding, header_style="bold", show_edge=False)
