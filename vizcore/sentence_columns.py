"""Sentences one above the other: what they share in columns, and how likely each part of each is.

The idea: two sentences part where they first differ, and up to there a model that reads from left
to right finds them equally likely; after it, likelihoods tell them apart. So the parts of all are
matched in columns, and each part keeps its own log-probability. For pairs by the thousand, take
`vizcore.score`: here each sentence is run by itself, to be looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from vizcore.errors import SelectionError
from vizcore.likelihood import trace_surprisal
from vizcore.masked_likelihood import clozes, masked_scores
from vizcore.model import Model
from vizcore.sentences import passages
from vizcore.token_words import token_words

Unit = Literal["token", "word"]
MOST = 20
"""More sentences than this are a table, not a picture."""


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Some sentences, compared.

    Args:
        parts: a row for each token or word of each sentence: line (which sentence, counted from
            0), part (counted from 0 in it), text, column, first, last (its tokens, counted from 0
            in what the model read), special (whether it is no part of the sentence),
            log_probability (nats), surprisal (bits), cumulative (nats: the sum up to here).
            Of what has nothing before it, log_probability and surprisal are missing.
        lines: a row for each sentence: line, sentence, model, log_likelihood (nats), n_tokens,
            n_words, n_characters (scored ones), per_token, per_word, per_character (nats), rank (1
            for the likeliest by log_likelihood).
        n_columns: how many columns there are.
        parting: the first column that is not the same in all sentences; None if all are the same.
    """

    parts: pd.DataFrame
    lines: pd.DataFrame
    n_columns: int
    parting: int | None


def side_by_side(
    models: Model | Sequence[Model],
    sentences: Sequence[str],
    *,
    by: Unit = "token",
    bos: bool | None = None,
    source: str | None = None,
) -> SideBySide:
    """How likely sentences are, part by part, with what they share in the same columns.

    Args:
        models: one, or several that each read all sentences: then a line is a sentence as read by
            a model.
        sentences: the sentences.
        by: what a part is: a token, or a word (whose log-probability is the sum of its tokens').
        bos: whether a beginning-of-text token stands in front, as of `vizcore.surprisal`.
            Masked models are asked for each token with all others in sight, as in `vizcore.score`.
        source: of encoder-decoders, the text that the sentences are translations of.

    Raises:
        MissingHeadError: if a model predicts no tokens.
        SelectionError: if there is no sentence, or there are too many; if an encoder-decoder has no
            source.
        TextError: if a sentence cannot be run.
    """
    models = [models] if isinstance(models, Model) else list(models)
    n_lines = len(models) * len(sentences)
    if not 1 <= n_lines <= MOST:
        raise SelectionError(
            f"Give 1 to {MOST} sentences to compare, not {n_lines}"
            + (f" ({len(sentences)} for each of {len(models)} models)." if len(models) > 1 else ".")
        )
    tables, rows = [], []
    for number, (sentence, model) in enumerate(
        (sentence, model) for sentence in sentences for model in models
    ):
        table, row = _line(model, sentence, by, bos, source)
        tables.append(table.assign(line=number))
        rows.append({"line": number, "sentence": sentence, "model": model.name} | row)
    columns, n_columns = aligned([tuple(table["text"]) for table in tables])
    for table, places in zip(tables, columns, strict=True):
        table["column"] = np.array(places, dtype=np.int64)
    parts = pd.concat(tables, ignore_index=True)[list(_PARTS)]
    lines = pd.DataFrame(rows)
    lines["rank"] = lines["log_likelihood"].rank(ascending=False, method="min").astype("Int64")
    return SideBySide(parts, lines, n_columns, _parting(parts, n_lines))


def aligned(lines: Sequence[Sequence[str]]) -> tuple[list[list[int]], int]:
    """A column for each part of each line, so that equal parts share columns where they can.

    Lines are added one after the other: each is matched with the columns so far, as many of its
    parts as possible keeping their order (a longest common subsequence), and what lies between two
    matches shares columns from the left.

    Returns:
        The columns of each line's parts, rising; and how many columns there are.
    """
    columns: list[set[str]] = []
    placed: list[list[int]] = []
    for line in lines:
        mine: list[int] = []
        grown: list[set[str]] = []
        moved: list[int] = []  # where each column so far comes to stand
        column = part = 0
        for match_column, match_part in [*_matches(columns, line), (len(columns), len(line))]:
            new, old = line[part : match_part + 1], columns[column : match_column + 1]
            # What lies before the match, side by side; then the match itself.
            n_before = max(match_column - column, match_part - part)
            places = [*range(len(grown), len(grown) + n_before + 1)]
            moved += [*places[: match_column - column], places[-1]][: len(old)]
            mine += [*places[: match_part - part], places[-1]][: len(new)]
            grown += [set() for _ in places]
            column, part = match_column + 1, match_part + 1
        grown.pop()  # behind the end there is no match
        for place, known in zip(moved, columns, strict=True):
            grown[place] |= known
        for place, text in zip(mine, line, strict=True):
            grown[place].add(text)
        columns = grown
        placed = [[moved[place] for place in earlier] for earlier in placed]
        placed.append(mine)
    return placed, len(columns)


_PARTS = (
    "line",
    "part",
    "text",
    "column",
    "first",
    "last",
    "special",
    "log_probability",
    "surprisal",
    "cumulative",
)


def _line(
    model: Model, sentence: str, by: Unit, bos: bool | None, source: str | None
) -> tuple[pd.DataFrame, dict[str, float | int]]:
    """The parts of one sentence, and what they come to."""
    ids, values = _scored(model, sentence, bos, source)
    special = set(model.special_positions(ids))
    tokenizer: Any = model.tokenizer  # one that has encoded a sentence is there
    with model._tokenizing:
        words = token_words(tokenizer, ids)
    spans = words.spans if by == "word" else [(place, place + 1) for place in range(len(ids))]
    summed = np.array([_sum(values[first:end]) for first, end in spans])
    texts = words.texts if by == "word" else model.labels(ids)
    table = pd.DataFrame(
        {
            "part": range(len(spans)),
            "text": list(texts),
            "first": [first for first, _end in spans],
            "last": [end - 1 for _first, end in spans],
            "special": [all(place in special for place in range(*span)) for span in spans],
            "log_probability": summed,
            "surprisal": -summed / math.log(2),
            "cumulative": np.nancumsum(summed),
        }
    )
    n_scored = int((~np.isnan(values)).sum())
    n_words = sum(not one for one in words.special)
    total = float(np.nansum(values)) if n_scored else math.nan
    n_characters = len(sentence)
    return table, {
        "log_likelihood": total,
        "n_tokens": n_scored,
        "n_words": n_words,
        "n_characters": n_characters,
        "per_token": total / n_scored if n_scored else math.nan,
        "per_word": total / n_words if n_words else math.nan,
        "per_character": total / n_characters,
    }


def _scored(
    model: Model, sentence: str, bos: bool | None, source: str | None
) -> tuple[list[int], Float[np.ndarray, " token"]]:
    """The tokens of a sentence, and the log-probability of each; none of what is not scored."""
    if model.kind == "encoder" and model.has_head:
        if bos is not None:
            raise SelectionError(
                f"{model.name} does not read from left to right, so no beginning-of-text token can "
                "be put in front: leave out `bos`."
            )
        (text,) = clozes(model, [sentence], None, start=0, separator=" ", masking="within_word_l2r")
        values = np.full(len(text.ids), math.nan)
        values[list(text.asked)] = masked_scores(model, [text])[0].log_probabilities
        return list(text.ids), values
    if model.kind != "encoder-decoder":
        trace = model.trace(list(passages(model, [sentence], bos=bos)[0].ids))
    elif source is not None:
        trace = model.trace(source, sentence)
    else:
        raise SelectionError(
            f"{model.name} writes about a source: say by `source` what the sentences translate."
        )
    scored = trace_surprisal(trace)
    return scored["token_id"].tolist(), scored["log_probability"].to_numpy()


def _sum(values: np.ndarray) -> float:
    """What is scored of a word; nothing if nothing is."""
    return math.nan if np.isnan(values).all() else float(np.nansum(values))


def _parting(parts: pd.DataFrame, n_lines: int) -> int | None:
    """Special tokens, of which one model may put some where another has none, part nothing."""
    for column, texts in parts[~parts["special"]].groupby("column")["text"]:
        if len(texts) < n_lines or texts.nunique() > 1:
            return int(str(column))
    return None


def _matches(columns: Sequence[set[str]], line: Sequence[str]) -> list[tuple[int, int]]:
    """A longest common subsequence: pairs of a column and a part that it already has."""
    n_columns, n_parts = len(columns), len(line)
    longest = np.zeros((n_columns + 1, n_parts + 1), dtype=np.int64)
    same = np.array([[part in column for part in line] for column in columns], dtype=bool)
    for i in range(n_columns - 1, -1, -1):
        for j in range(n_parts - 1, -1, -1):
            longest[i, j] = (
                1 + longest[i + 1, j + 1]
                if same[i, j]
                else max(longest[i + 1, j], longest[i, j + 1])
            )
    found, i, j = [], 0, 0
    while i < n_columns and j < n_parts:
        if same[i, j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1, j] >= longest[i, j + 1]:
            i += 1
        else:
            j += 1
    return found
