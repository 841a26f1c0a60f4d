"""Lists of hypotheses, as speech recognisers and translators give them, from files.

A line is a hypothesis, a tab and its score; a blank line begins the next list. Or it is JSON with
"text" and "score", and perhaps "id" (of the list) and "reference" (what is right). Scores are
logarithms of probabilities, or anything of which more is better. Not for lattices.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vizcore.errors import DataError
from vizcore.tables import Row, format_of, json_rows


@dataclass(frozen=True)
class NBest:
    """What a recogniser or translator took into account, with its own scores.

    Args:
        name: of the list.
        hypotheses: texts.
        scores: one for each; more is better. To be weighed against log-likelihoods they should be
            natural logarithms.
        reference: what is right, if that is known.
    """

    name: str
    hypotheses: tuple[str, ...]
    scores: tuple[float, ...]
    reference: str | None = None


def read_nbest(path: str | Path) -> list[NBest]:
    """Read lists of hypotheses: .jsonl, or text with a tab before each score.

    Raises:
        DataError: if the file is not there, empty, or a line is malformed; the message says which.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check the path.")
    return parse_nbest(path.read_bytes(), path.name)


def parse_nbest(content: bytes | str, name: str) -> list[NBest]:
    """The same from a file's content, an upload or what was pasted.

    Args:
        content: its bytes, or text.
        name: what it is called; what ends in .jsonl is JSON, and so is what begins with a brace.

    Raises:
        DataError: as `read_nbest`.
    """
    raw = content.encode("utf-8", errors="replace") if isinstance(content, str) else content
    begins = raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if format_of(name) == "jsonl" or begins == b"{":
        found = _from_json(raw, name)
    else:
        found = _from_text(raw, name)
    if not found:
        raise DataError(f"{name} has no hypotheses. A line is a hypothesis, a tab, and its score.")
    return found


def _from_json(content: bytes, name: str) -> list[NBest]:
    groups: dict[str, list[tuple[str, float]]] = {}
    references: dict[str, str] = {}
    for row in json_rows(content):
        if row.problem:
            raise DataError(f"Line {row.line} of {name} {row.problem}.")
        text, score = row.values.get("text"), row.values.get("score")
        if not isinstance(text, str) or not isinstance(score, int | float):
            raise DataError(
                f'Line {row.line} of {name} needs "text" and "score" (a number); it has '
                f"{json.dumps(row.values, ensure_ascii=False)[:80]}."
            )
        group = str(row.values.get("id", ""))
        groups.setdefault(group, []).append(
            (_usable(text, row.line, name), _number(score, row, name))
        )
        reference = row.values.get("reference")
        if isinstance(reference, str) and reference.strip():
            references[group] = reference.strip()
    return [_list(group or name, rows, references.get(group)) for group, rows in groups.items()]


def _from_text(content: bytes, name: str) -> list[NBest]:
    groups: list[list[tuple[str, float]]] = [[]]
    for line, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Line {line} of {name} is not UTF-8. Save the file as UTF-8."
            ) from error
        if not text.strip():
            groups.append([])
            continue
        hypothesis, tab, score = text.rpartition("\t")
        if not tab:
            raise DataError(
                f"Line {line} of {name} has no tab. A line is a hypothesis, a tab, and its score."
            )
        groups[-1].append((_usable(hypothesis, line, name), _number(score, Row(line, {}), name)))
    filled = [group for group in groups if group]
    names = [name] if len(filled) == 1 else [str(number) for number in range(1, len(filled) + 1)]
    return [_list(its_name, rows, None) for its_name, rows in zip(names, filled, strict=True)]


def _usable(text: str, line: int, name: str) -> str:
    if not text.strip():
        raise DataError(f"Line {line} of {name} has a score and no hypothesis before it.")
    if "\x00" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise DataError(
            f"Line {line} of {name} has a character that is no text (NUL, or half of a surrogate "
            "pair)."
        )
    return text.strip()


def _number(value: object, row: Row, name: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        shown = value.strip() if isinstance(value, str) else value
        raise DataError(f"Line {row.line} of {name} has the score {shown!r}, which is no number.")
    return number


def _list(name: str, rows: Sequence[tuple[str, float]], reference: str | None) -> NBest:
    return NBest(
        name, tuple(text for text, _ in rows), tuple(score for _, score in rows), reference
    )
