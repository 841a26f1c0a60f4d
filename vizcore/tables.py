"""Files of rows -> rows with their line numbers, or what is wrong with a line.

JSONL, CSV, and tab-separated text as GLUE has it, in which quotation marks are letters and a line
ends at a newline and nowhere else. A line that cannot be read costs that line alone. Rows come one
by one; what their columns mean is for others to say.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Format = Literal["jsonl", "csv", "tsv"]


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Args:
        line: on which line of the file it begins, from 1.
        values: by column; empty if the row could not be read.
        problem: what is wrong with it, as the end of a sentence that begins with "Line 7"; "" if
            nothing is.
    """

    line: int
    values: dict[str, object]
    problem: str = ""


def format_of(name: str) -> Format:
    """By a file's name, how it is to be read."""
    ending = name.lower().rpartition(".")[2]
    if ending in ("jsonl", "ndjson", "json"):
        return "jsonl"
    return "csv" if ending == "csv" else "tsv"


def json_rows(content: bytes) -> Iterator[Row]:
    """One JSON object a line."""
    for line, text, problem in _lines(content):
        if problem:
            yield Row(line, {}, problem)
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            yield Row(line, {}, f"is not JSON: {error.msg} at character {error.colno}")
            continue
        except RecursionError:
            yield Row(line, {}, "is not JSON that can be read: it is nested too deeply")
            continue
        if isinstance(values, dict):
            yield Row(line, values)
        else:
            yield Row(line, {}, "is JSON, but no object with named values, {…}")


def tab_rows(content: bytes, headings: Sequence[str] | None = None) -> Iterator[Row]:
    """One row a line, between tabs.

    Args:
        content: the file.
        headings: the columns' names if the file does not begin with a line of them.
    """
    for line, text, problem in _lines(content):
        cells = text.split("\t")
        if problem:
            yield Row(line, {}, problem)
        elif headings is None:
            headings = [cell.strip() for cell in cells]
        else:
            yield _row(line, cells, headings)


def comma_rows(content: bytes) -> Iterator[Row]:
    """Rows as spreadsheets write them: between commas, in quotation marks where need be."""
    unread: dict[int, str] = {}

    def texts() -> Iterator[str]:
        for line, text, problem in _lines(content, blank=True):
            if problem:
                unread[line] = problem
            yield text + "\n"

    reader = csv.reader(texts(), strict=True)
    headings: list[str] | None = None
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Row(first, {}, f"is not CSV: {error}")
            continue
        if cells is None:
            return
        problem = next((unread.pop(line) for line in [*unread] if line <= reader.line_num), "")
        if problem:
            yield Row(first, {}, problem)
        elif headings is None and cells:
            headings = [cell.strip() for cell in cells]
        elif headings is not None and cells:
            yield _row(first, cells, headings)


def first_rows(content: bytes, n: int) -> list[list[str]]:
    """The cells of the first lines of a tab-separated file."""
    found: list[list[str]] = []
    for _line, text, problem in _lines(content):
        if len(found) == n:
            break
        if not problem:
            found.append(text.split("\t"))
    return found


def _row(line: int, cells: Sequence[str], headings: Sequence[str]) -> Row:
    if len(cells) == len(headings):
        return Row(line, dict(zip(headings, cells, strict=True)))
    columns = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
    return Row(line, {}, f"has {columns} and not {len(headings)}")


def _lines(content: bytes, *, blank: bool = False) -> Iterator[tuple[int, str, str]]:
    """Line number, text, and what is wrong with it. Blank lines are left out, unless asked for."""
    start, line = 0, 0
    content = content.removeprefix(b"\xef\xbb\xbf")
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        line += 1
        raw = content[start:end].removesuffix(b"\r")
        start = end + 1
        try:
            text, problem = raw.decode("utf-8"), ""
        except UnicodeDecodeError as error:
            text = raw.decode("utf-8", errors="replace")
            problem = f"is not UTF-8: byte {error.start + 1} of it cannot be read"
        if text.strip() or blank:
            yield line, text, problem
