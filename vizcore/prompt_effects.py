"""Effects over many prompts: the mean of each head's, or each cell's, and how sure one can be.

A prompt may name its own token, and the one that it is held against; for patches it has a corrupted
twin. What was measured is kept prompt by prompt in a Parquet file, so that a run that is stopped or
killed goes on from there. For one prompt, `vizcore.ablation_effects` and `patching_effects`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vizcore.effect_metrics import LogitDifference, LogProbability, Metric, token_of
from vizcore.errors import DataError, SelectionError, VizcoreError
from vizcore.fingerprints import weights_fingerprint
from vizcore.interventions import ablation_effects
from vizcore.model import Model
from vizcore.paired import bootstrap_interval
from vizcore.patching import patching_effects
from vizcore.results import KeptRun, part_frames, table_of
from vizcore.tables import comma_rows, format_of, json_rows, tab_rows

COLUMNS = ("text", "corrupted", "token", "against", "target")


@dataclass(frozen=True)
class Prompt:
    """A text that is run, and what is asked of it.

    Args:
        text: the text; of a patch, the clean one.
        corrupted: of a patch, the other one.
        token, against: a word that is one token, with or without the space before it; what is
            measured is the log-probability of the first, or with both the difference of their
            logits. None for the likeliest token.
        target: of an encoder-decoder, what the decoder reads.
    """

    text: str
    corrupted: str | None = None
    token: str | None = None
    against: str | None = None
    target: str | None = None


def read_prompts(path: str | Path, *, patches: bool = False) -> list[Prompt]:
    """Prompts from a file: .csv, .tsv or .jsonl with columns, or else a text a line.

    Args:
        path: columns are text (or clean), and if wanted corrupted, token, against, target.
        patches: whether each must have a corrupted text.

    Raises:
        DataError: if there is no such file, nothing in it, or a line cannot be used; it says which.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    readers = {"jsonl": json_rows, "csv": comma_rows, "tsv": tab_rows}
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".json"):
        rows = list(readers[format_of(path.name)](content))
    else:
        rows = list(tab_rows(content, ["text"]))
    prompts = []
    for row in rows:
        if row.problem:
            raise DataError(f"Line {row.line} of {path} {row.problem}.")
        values = {name.replace("clean", "text"): value for name, value in row.values.items()}
        given = {name: str(values[name]) for name in COLUMNS if values.get(name) not in (None, "")}
        needed = ("text", "corrupted") if patches else ("text",)
        missing = next((name for name in needed if name not in given), None)
        if missing is not None:
            raise DataError(
                f"Line {row.line} of {path} has no {missing}. Name the columns in its first line: "
                f"{', '.join(needed)}, and if wanted token, against and target."
            )
        prompts.append(Prompt(**given))
    if not prompts:
        raise DataError(f"There are no prompts in {path}. Give one a line, or a table of them.")
    return prompts


def prompt_metric(model: Model, prompt: Prompt, metric: Metric | None = None) -> Metric | None:
    """What is measured of a prompt: what it says itself, else what is given for all.

    Raises:
        SelectionError: if a word is not one token.
    """
    if prompt.token is None:
        if prompt.against is not None:
            raise SelectionError(
                "To hold a word against another one, give both: token and against."
            )
        return metric
    token = word_token(model, prompt.token)
    if prompt.against is None:
        return LogProbability(token)
    return LogitDifference(token, word_token(model, prompt.against))


def word_token(model: Model, word: str) -> int:
    """The id of a word, with the space before it if that makes one token.

    Raises:
        SelectionError: if it is not one token in either way.
    """
    size = 1 << 62  # the tokenizer's own ids are in the vocabulary
    try:
        return token_of(model, f" {word}", size)
    except SelectionError:
        return token_of(model, word, size)


def ablated_prompts(
    model: Model,
    prompts: Sequence[Prompt],
    metric: Metric | None = None,
    *,
    kind: str | None = None,
    how: str = "zero",
    reference: Any = None,
    out: Path | None = None,
) -> Iterator[pd.DataFrame]:
    """The effect of each head's ablation on each prompt, a prompt at a time.

    Args:
        metric: of prompts that name no token; as in `vizcore.ablation_effects`.
        kind, how, reference: as in `vizcore.ablation_effects`.
        out: a Parquet file to keep them in, from which a run goes on. What is there comes first.

    Yields:
        prompt (its number, from 0), layer, head, metric, original, effect. Closing it keeps them.

    Raises:
        DataError: if the file is there and of other prompts or another model.
        VizcoreError: if a prompt cannot be run; it says which.
    """

    def effects(prompt: Prompt) -> pd.DataFrame:
        asked = prompt_metric(model, prompt, metric)
        return ablation_effects(
            model, prompt.text, asked, target=prompt.target, kind=kind, how=how, reference=reference
        )

    settings = {"method": "ablate", "kind": kind, "how": how, "reference": reference}
    settings["metric"] = repr(metric)
    yield from _kept(model, prompts, effects, settings, out)


def patched_prompts(
    model: Model,
    prompts: Sequence[Prompt],
    metric: Metric | None = None,
    *,
    where: str = "residual",
    kind: str | None = None,
    out: Path | None = None,
) -> Iterator[pd.DataFrame]:
    """What each part of each clean run brings back, a pair of prompts at a time.

    Arguments and errors as `ablated_prompts`; `where` as in `vizcore.patching_effects`.

    Yields:
        prompt (its number, from 0), layer, head, position, token, effect, metric, original,
            restored.
    """

    def effects(prompt: Prompt) -> pd.DataFrame:
        asked = prompt_metric(model, prompt, metric)
        corrupted = prompt.text if prompt.corrupted is None else prompt.corrupted
        return patching_effects(
            model, prompt.text, corrupted, asked, target=prompt.target, kind=kind, where=where
        )

    settings = {"method": "patch", "kind": kind, "where": where, "metric": repr(metric)}
    yield from _kept(model, prompts, effects, settings, out)


def mean_effects(table: pd.DataFrame, *, confidence: float | int = 0.95) -> pd.DataFrame:
    """The mean effect of each head, or each cell, over prompts.

    Args:
        table: rows of `ablated_prompts` or `patched_prompts`.
        confidence: of the interval: a bootstrap over prompts (Efron & Tibshirani 1993). Of one
            prompt there is none, and its ends are missing.

    Returns:
        layer, and head or position, n_prompts, effect (the mean), low and high (its interval), and
        for patches restored (the mean share). The largest effects first.
    """
    by = ["layer", *(name for name in ("head", "position") if _is_there(table, name))]
    rows = []
    for cell, its in table.groupby(by, sort=True):
        effects = its["effect"].to_numpy(np.float64)
        ends = (np.nan, np.nan)
        if len(effects) > 1:
            ends = bootstrap_interval(effects, confidence=confidence)
        row = dict(zip(by, cell, strict=True)) | {"n_prompts": len(its)}
        row |= {"effect": effects.mean(), "low": ends[0], "high": ends[1]}
        if "restored" in its:
            row["restored"] = its["restored"].mean()
        rows.append(row)
    found = pd.DataFrame(rows)
    order = found["effect"].abs().sort_values(ascending=False, kind="stable").index
    return found.loc[order].reset_index(drop=True)


def _is_there(table: pd.DataFrame, name: str) -> bool:
    return name in table and bool(table[name].notna().all())


def _kept(
    model: Model,
    prompts: Sequence[Prompt],
    effects: Callable[[Prompt], pd.DataFrame],
    settings: Mapping[str, Any],
    out: Path | None,
) -> Iterator[pd.DataFrame]:
    """The effects of all prompts, those from the file first."""
    if out is None:
        for number in range(len(prompts)):
            yield _of_prompt(prompts, number, effects)
        return
    digest = hashlib.sha256(json.dumps([vars(one) for one in prompts]).encode()).hexdigest()[:16]
    stated = {"model": model.name, "weights": weights_fingerprint(model), "prompts": digest}
    with KeptRun(out, {**stated, **settings}) as kept:
        n_done = 0
        for part in part_frames([out] if kept.finished else kept.parts):
            for _, rows in part.groupby("prompt", sort=True):
                n_done += 1
                yield rows.reset_index(drop=True)
        for number in islice(range(len(prompts)), n_done, None):
            rows = _of_prompt(prompts, number, effects)
            kept.add(table_of(rows))
            yield rows
        if not kept.finished:
            kept.finish(part_frames(kept.parts), {})


def _of_prompt(
    prompts: Sequence[Prompt], number: int, effects: Callable[[Prompt], pd.DataFrame]
) -> pd.DataFrame:
    try:
        found = effects(prompts[number])
    except VizcoreError as error:
        if len(prompts) == 1:
            raise
        raise type(error)(f"Prompt {number + 1}: {error}") from error
    found.insert(0, "prompt", number)
    found.insert(len(found.columns) - 1, "metric", str(found.attrs["metric"]))
    found.insert(len(found.columns) - 1, "original", float(found.attrs["original"]))
    return found
