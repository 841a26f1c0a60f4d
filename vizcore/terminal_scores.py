"""How the terminal shows likelihoods: a line a sentence, tables of tokens, winners and accuracies.

Sentences come by the thousand, so they are printed as lines with tabs, which other programs take:
`sort -n`, `cut`, a spreadsheet. What is looked at by eye is a table. See `vizcore.terminal` for
what is never printed.
"""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vizcore import terminal
from vizcore.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from vizcore.rescoring import Rescoring

BITS_OF_A_BAR = 20
"""How many bits of surprisal fill a bar."""


def read_lines(path: str) -> Iterator[str]:
    """The lines of a file that are not blank, one by one; - is standard input.

    Raises:
        DataError: if there is no such file, or a line of it is not UTF-8.
    """
    if path == "-":
        yield from _decoded(sys.stdin.buffer, "standard input")
        return
    try:
        with Path(path).open("rb") as file:
            yield from _decoded(file, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _decoded(file: Iterable[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Line {number} of {name} is not UTF-8 (byte {error.start + 1} of the line). Save "
                "the file as UTF-8 text."
            ) from error
        if text.strip():
            yield text


def print_scores(frame: "pd.DataFrame", *, as_json: bool, heading: bool) -> None:
    """One line a sentence."""
    if heading and not as_json:
        print("log_likelihood\tn_tokens\tperplexity\tsentence")
    for row in frame.to_dict("records"):
        if as_json:
            terminal.print_json(row)
        else:
            numbers = f"{row['log_likelihood']:.4f}\t{row['n_tokens']}\t{row['perplexity']:.4f}"
            print(f"{numbers}\t{terminal.plain(row['sentence'])}")
    sys.stdout.flush()


def surprisal_table(frame: "pd.DataFrame") -> Table:
    """One row a token or word, with a bar of its surprisal."""
    by = "word" if "word" in frame else "token"
    last = {"token": "rank", "word": "n_tokens"}[by]
    table = _table()
    table.add_column(by.capitalize())
    table.add_column("", width=terminal.BAR_WIDTH, no_wrap=True)
    table.add_column("Surprisal (bits)", justify="right")
    table.add_column("Log p (nats)", justify="right")
    table.add_column({"rank": "Rank", "n_tokens": "Tokens"}[last], justify="right")
    for row in frame.to_dict("records"):
        known = not math.isnan(row["surprisal"])
        share = min(row["surprisal"] / BITS_OF_A_BAR, 1.0) if known else 0.0
        table.add_row(
            Text(terminal.plain(row[by])),
            Text(terminal.bar(share), style="cyan"),
            f"{row['surprisal']:.2f}" if known else "–",
            f"{row['log_probability']:.3f}" if known else "–",
            str(row[last]) if known or by == "word" else "–",
        )
    return table


def compared_table(lines: "pd.DataFrame", *, models: bool) -> Table:
    """Sentences, the likeliest first, and how far the others are behind."""
    table = _table()
    if models:
        table.add_column("Model")
    table.add_column("Sentence")
    for heading in ("Log-likelihood", "Behind", "Per token", "Tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, group in lines.groupby("model", sort=False):
        best = group["log_likelihood"].max()
        for row in group.sort_values("log_likelihood", ascending=False).to_dict("records"):
            table.add_row(
                *((row["model"],) if models else ()),
                Text(terminal.plain(row["sentence"])),
                _number(row["log_likelihood"], 3),
                _number(best - row["log_likelihood"], 3),
                _number(row["per_token"], 3),
                str(row["n_tokens"]),
            )
        table.add_section()
    return table


def parts_table(parts: "pd.DataFrame", n_sentences: int, *, width: int) -> Table | None:
    """What stands in each column, with its log-probability; None if it is too wide to be read."""
    table = _table()
    table.add_column("Column", justify="right")
    for number in range(1, n_sentences + 1):
        table.add_column(f"Sentence {number}", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
    cells = {(row["column"], row["line"]): row for row in parts.to_dict("records")}
    for column in sorted({column for column, _ in cells}):
        shown: list[Text] = []
        for line in range(n_sentences):
            row = cells.get((column, line))
            text = "" if row is None else terminal.plain(row["text"])
            value = "" if row is None else _number(row["log_probability"], 2)
            shown += [Text(text), Text(value)]
        table.add_row(str(column), *shown)
    wanted = Console(width=10_000).measure(table).maximum
    return table if wanted <= width else None


def rescored_table(rescoring: "Rescoring", weight: float) -> Table:
    """The hypotheses at a weight, best first."""
    frame = rescoring.table(weight)
    table = _table()
    table.add_column("Rank", justify="right")
    table.add_column("Hypothesis")
    for heading in ("Score", "Log-likelihood", "Total"):
        table.add_column(heading, justify="right", no_wrap=True)
    if "error_rate" in frame:
        table.add_column("Errors", justify="right")
    for row in frame.to_dict("records"):
        errors = (f"{row['error_rate']:.0%}",) if "error_rate" in row else ()
        table.add_row(
            str(row["rank"]),
            Text(terminal.plain(row["hypothesis"])),
            f"{row['score']:.3f}",
            f"{row['log_likelihood']:.3f}",
            f"{row['total']:.3f}",
            *errors,
        )
    return table


def winners_table(winners: "pd.DataFrame") -> Table:
    """Which hypothesis wins at which weights."""
    table = _table()
    table.add_column("Weight", no_wrap=True)
    table.add_column("Wins")
    for row in winners.to_dict("records"):
        between = f"{row['low']:.4f} – {row['high']:.4f}"
        table.add_row(between, Text(terminal.plain(row["hypothesis"])))
    return table


def frame_table(frame: "pd.DataFrame", *, words: Iterable[str] = ()) -> Table:
    """Any table of numbers: shares with three digits, counts as they are.

    Args:
        frame: what is shown.
        words: columns of text, which stand on the left.
    """
    left = {*words}
    table = _table()
    for name in frame.columns:
        # A heading takes a line a word, so that numbers stand close and are never cut off.
        heading = str(name).replace("_", "\n")
        if name in left:
            table.add_column(heading, overflow="fold", min_width=12)
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for values in frame.itertuples(index=False):
        cells = (_cell(name, value) for name, value in zip(frame.columns, values, strict=True))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def print_rescored(
    model: str, weight: float, found: Sequence["Rescoring"], rates: "pd.DataFrame | None"
) -> None:
    """All lists as JSON."""
    lists = [
        {
            "id": one.name,
            "reference": one.reference,
            "hypotheses": records(one.table(weight)),
            "winners": records(one.winners()),
        }
        for one in found
    ]
    terminal.print_json(
        {
            "model": model,
            "weight": weight,
            "lists": lists,
            "error_rates": None if rates is None else records(rates),
        }
    )


def records(frame: "pd.DataFrame") -> list[dict[str, object]]:
    """The rows of a table as JSON has them, with null where something is missing."""
    found: list[dict[str, object]] = json.loads(
        frame.to_json(orient="records", double_precision=15)
    )
    return found


def print_records(name: str, frame: "pd.DataFrame", **others: object) -> None:
    """A table as JSON, with what else belongs to it."""
    terminal.print_json({**others, name: records(frame)})


def _cell(name: str, value: object) -> str:
    if not isinstance(value, float):
        return terminal.plain(str(value))
    if name.startswith("p_") and value < 0.001:
        return "<0.001"
    return _number(value, 3)


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="bold", show_edge=False)
