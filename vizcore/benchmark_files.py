"""Benchmark files -> items: minimal pairs as in BLiMP, texts with labels as in GLUE, or your own.

What a file is follows from its columns. A row that cannot be used is named with its line and what
is wrong; the rest goes on if that is asked for. A file is checked whole before any model is run.
Not for files larger than memory.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from vizcore.errors import DataError, SelectionError
from vizcore.tables import Row, comma_rows, first_rows, format_of, json_rows, tab_rows
from vizcore.tasks import COLA_COLUMNS, Task, glue_task, lacks_labels, recognised

PAIR_ROLES = ("good", "bad", "paradigm", "phenomenon")
LABEL_ROLES = ("text", "second", "label")
BLIMP_COLUMNS = {
    "good": "sentence_good",
    "bad": "sentence_bad",
    "paradigm": "UID",
    "phenomenon": "linguistics_term",
}
"""In which columns BLiMP (Warstadt et al. 2020) and benchmarks made like it have what."""
ROWS_LOOKED_AT = 50
"""Of how many rows the labels are looked at to recognise a task."""
LABELS_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What a model is asked. Made by `read_benchmark`.

    Args:
        name: the file's, without its ending; of GLUE's files with the task's in front.
        items: one row an item, with the `line` on which it stands. Minimal pairs have `good`,
            `bad`, `paradigm` and `phenomenon`; others `text`, `label` (a number if graded), and
            `second` if there are two texts.
        task: what is asked about labelled rows; None for minimal pairs.
        malformed: rows that were left out: `line`, `problem`.
        sha256: of the file's bytes, in hexadecimal.
    """

    name: str
    items: pd.DataFrame
    task: Task | None
    malformed: pd.DataFrame
    sha256: str

    def __repr__(self) -> str:
        kind = "minimal pairs" if self.task is None else f"rows of {self.task.name}"
        return f"Benchmark({self.name}, {len(self.items)} {kind})"

    @property
    def has_pairs(self) -> bool:
        """Whether its items are minimal pairs: a good sentence and a bad one."""
        return self.task is None

    def head(self, n: int) -> "Benchmark":
        """The same with its first n items alone."""
        return replace(self, items=self.items.head(n))

    def sample(self, n: int, *, seed: int = 0) -> "Benchmark":
        """The same with n items chosen by chance, in the order of the file; all if it has fewer."""
        chosen = self.items.sample(min(n, len(self.items)), random_state=seed).sort_index()
        return replace(self, items=chosen.reset_index(drop=True))

    def with_prompt(self, template: str, words: Sequence[str]) -> "Benchmark":
        """The same with another prompt, see `Task`.

        Args:
            template: with {text}, {word}, and {second} where there are two texts.
            words: one for each of `task.labels`, in that order.

        Raises:
            SelectionError: if these are minimal pairs, or the prompt cannot be filled in.
        """
        if self.task is None:
            raise SelectionError(f"{self.name} has minimal pairs, about which nothing is asked.")
        task = replace(self.task, template=template, words=tuple(words))
        task.check_prompt(pairs="second" in self.items)
        return replace(self, task=task)


def read_benchmark(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    graded: bool = False,
    skip_malformed: bool = False,
) -> Benchmark:
    """Read a benchmark: .jsonl, .csv, or .tsv (in which quotation marks are letters).

    BLiMP's files and GLUE's nine tasks are recognised; of others the columns are named.

    Args:
        path: of the file. GLUE's tasks are told apart by headings, labels and, where these are the
            same, by the folder's name.
        columns: which column is what: "good" and "bad", perhaps "paradigm" and "phenomenon", for
            minimal pairs; "text" and "label", perhaps "second", for others. Columns that bear
            these names need not be named.
        task: one of GLUE's, if it is not to be recognised.
        graded: whether labels are numbers to be predicted, as in STS-B.
        skip_malformed: leave out rows that cannot be used, and list them in `malformed`.

    Raises:
        DataError: if the file is not there or empty, a column is missing, or a row is malformed.
        SelectionError: if a name in `columns` or `task` is not known.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check the path.")
    return parse_benchmark(
        path.read_bytes(),
        path.name,
        folder=path.absolute().parent.name,
        columns=columns,
        task=task,
        graded=graded,
        skip_malformed=skip_malformed,
    )


def parse_benchmark(
    content: bytes,
    name: str,
    *,
    folder: str = "",
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    graded: bool = False,
    skip_malformed: bool = False,
) -> Benchmark:
    """The same from a file's content, such as an upload. Arguments and errors as `read_benchmark`.

    Args:
        content: the file's bytes.
        name: what it is called; its ending says how it is read.
        folder: the name of the folder in which it lay, if that is known.
    """
    _check_roles(columns)
    headings = None
    known = None if task is None else glue_task(task)
    if format_of(name) == "tsv" and columns is None:
        rows = first_rows(content, ROWS_LOOKED_AT)
        first = [cell.strip() for cell in rows[0]] if rows else []
        labels = _labels(rows[1:], first)
        known = known or recognised(first, folder, labels)
        if known is None and lacks_labels(first):
            raise DataError(_no_labels(name))
        cola = known is not None and known.name == "CoLA" and "sentence" not in first
        headings = COLA_COLUMNS if cola else None
    found = _rows(content, name, headings)
    good = [row for row in found if not row.problem]
    if not found:
        raise DataError(f"{name} has no rows: there is nothing to ask.")
    roles = _roles(name, {key for row in good for key in row.values}, columns, known)
    items, malformed = _items(found, roles, known, graded=graded)
    _complain(name, malformed, none_left=not items, skip=skip_malformed)
    return Benchmark(
        name=_name(name, known),
        items=pd.DataFrame(items),
        task=None if "good" in roles else known or _task_of(name, items, graded=graded),
        malformed=pd.DataFrame(malformed, columns=["line", "problem"]),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _rows(content: bytes, name: str, headings: Sequence[str] | None) -> list[Row]:
    kind = format_of(name)
    if kind == "jsonl":
        return list(json_rows(content))
    return list(comma_rows(content) if kind == "csv" else tab_rows(content, headings))


def _labels(rows: Iterable[Sequence[str]], headings: Sequence[str]) -> set[str]:
    if "label" not in headings:
        return set()
    place = headings.index("label")
    return {row[place].strip() for row in rows if len(row) == len(headings)}


def _check_roles(columns: Mapping[str, str] | None) -> None:
    for role in columns or ():
        if role not in (*PAIR_ROLES, *LABEL_ROLES):
            raise SelectionError(
                f"A column cannot be {role!r}. Minimal pairs have {', '.join(PAIR_ROLES)}; texts "
                f"with labels {', '.join(LABEL_ROLES)}."
            )


def _roles(
    name: str, there: set[str], columns: Mapping[str, str] | None, task: Task | None
) -> dict[str, str]:
    """Which column plays which part."""
    for role, column in (columns or {}).items():
        if column not in there:
            raise DataError(f"{name} has no column {column!r} for {role}. {_has(there)}")
    if task is not None and columns is None:
        for role, column in task.columns.items():
            if column not in there and role == "label":
                raise DataError(_no_labels(name))
            if column not in there:
                raise DataError(
                    f"{name} has no column {column!r}, which {task.name} has. {_has(there)}"
                )
        return task.columns
    named = {role: role for role in (*PAIR_ROLES, *LABEL_ROLES) if role in there}
    blimp = {role: column for role, column in BLIMP_COLUMNS.items() if column in there}
    roles = {**named, **blimp, **(columns or {})}
    for both, allowed in ((("good", "bad"), PAIR_ROLES), (("text", "label"), LABEL_ROLES)):
        if all(role in roles for role in both):
            return {role: column for role, column in roles.items() if role in allowed}
    raise DataError(
        f"It is not known which columns of {name} are asked about. {_has(there)} Say which one is "
        '"good" and which "bad" (minimal pairs), or which is "text" and which "label".'
    )


def _no_labels(name: str) -> str:
    return (
        f"{name} has no column of labels. GLUE keeps those of its test files to itself: take a "
        "train or dev file."
    )


def _has(there: set[str]) -> str:
    shown = ", ".join(sorted(there)[:LABELS_SHOWN])
    return f"Its columns: {shown}." if shown else "It has no columns that could be read."


def _items(
    rows: Iterable[Row], roles: Mapping[str, str], task: Task | None, *, graded: bool
) -> tuple[list[dict[str, object]], list[tuple[int, str]]]:
    items: list[dict[str, object]] = []
    malformed: list[tuple[int, str]] = []
    graded = graded if task is None else task.graded
    for row in rows:
        item, problem = ({}, row.problem) if row.problem else _item(row, roles, task, graded)
        if problem:
            malformed.append((row.line, problem))
        else:
            items.append({"line": row.line, **item})
    return items, malformed


def _item(
    row: Row, roles: Mapping[str, str], task: Task | None, graded: bool
) -> tuple[dict[str, object], str]:
    """The item that a row holds, or what is wrong with it."""
    item: dict[str, object] = {}
    for role, column in roles.items():
        value = row.values.get(column)
        if value is None:
            return {}, f"has no {column!r}"
        if role == "label":
            item[role], problem = _label(value, task, graded)
        elif role in ("paradigm", "phenomenon"):
            item[role], problem = str(value), ""
        else:  # of a pair as it is: with a space more it would be another sentence
            item[role], problem = _text(value, column, strip="label" in roles)
        if problem:
            return {}, problem
    if "good" in roles:
        item.setdefault("paradigm", "all")
        item.setdefault("phenomenon", "")
    return item, ""


def _text(value: object, column: str, *, strip: bool) -> tuple[str, str]:
    if not isinstance(value, str):
        return "", f"has {value!r} in {column!r}, which is no text"
    if not value.strip():
        return "", f"has nothing in {column!r}"
    if "\x00" in value:
        return "", f"has a NUL character in {column!r}"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "", f"has half of a surrogate pair in {column!r}"
    return (value.strip() if strip else value), ""


def _label(value: object, task: Task | None, graded: bool) -> tuple[str | float, str]:
    if graded:
        try:
            number = float(value) if isinstance(value, str | int | float) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            return "", f"has {value!r} as its label, which is no number"
        return number, ""
    if isinstance(value, dict | list):
        return "", f"has {value!r} as its label"
    label = value.strip() if isinstance(value, str) else str(value)
    if not label:
        return "", "has no label"
    if task is not None and label not in task.labels:
        return "", f"has the label {label!r}, and {task.name} has {', '.join(task.labels)}"
    return label, ""


def _complain(
    name: str, malformed: Sequence[tuple[int, str]], *, none_left: bool, skip: bool
) -> None:
    if not malformed or (skip and not none_left):
        return
    line, problem = malformed[0]
    said = f"Line {line} of {name} {problem}."
    more = [line for line, _ in malformed[1:]]
    if len(more) == 1:
        said += f" Line {more[0]} is malformed, too."
    elif more:
        said += f" {len(more)} more lines are malformed, the last of them line {more[-1]}."
    if none_left:
        raise DataError(f"{said} No row of it can be used.")
    raise DataError(
        f"{said} Mend the file, or leave such rows out (skip_malformed=True; in the terminal "
        "--skip-malformed)."
    )


def _name(name: str, task: Task | None) -> str:
    stem = name.rpartition(".")[0] or name
    return stem if task is None else f"{task.name} {stem}"


def _task_of(name: str, items: Sequence[Mapping[str, object]], *, graded: bool) -> Task:
    """A task for labels as they are found."""
    if graded:
        return Task(_name(name, None), ("pearson", "spearman"))
    labels = tuple(sorted({str(item["label"]) for item in items}))
    if len(labels) < 2:
        raise DataError(
            f"All rows of {name} have the label {labels[0]!r}, so there is nothing to tell apart."
        )
    return Task(_name(name, None), ("accuracy", "matthews"), labels)
