"""Likelihoods of a file of sentences as Parquet, which an interrupted run goes on from.

A window of sentences is a part, and the parts become one file, as those of a benchmark do. What is
kept is compared with the sentences that come, so that a run never goes on with another file. For
sentences that fit into memory, `vizcore.score` returns the same table.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from vizcore.errors import DataError
from vizcore.fingerprints import weights_fingerprint
from vizcore.likelihood import score_stream
from vizcore.model import Model
from vizcore.results import KeptRun, part_frames, table_of


def keep_scores(
    model: Model, sentences: Iterable[str], out: Path, **settings: str | bool | None
) -> Iterator[int]:
    """Score sentences into a file, as `score` would; those that are there are left out.

    Args:
        out: the Parquet file: the columns that `score` returns.
        settings: bos, given, masking and precision, as `score` takes them.

    Yields:
        How many sentences are done. Closing the iterator keeps them.

    Raises:
        DataError: if the file is there and of other sentences, another model or other settings, or
            cannot be written.
        TextError, SelectionError: as `score`.
    """
    stated = {
        "model": model.name,
        "weights": weights_fingerprint(model),
        "method": "score",
        **settings,
    }
    with KeptRun(out, stated) as kept:
        rest = iter(sentences)
        n_done = 0
        for part in part_frames([out] if kept.finished else kept.parts):
            there = part["sentence"].tolist()
            _check_same(there, [*islice(rest, len(there))], n_done, out)
            n_done += len(there)
        yield n_done
        if kept.finished:
            if next(rest, None) is not None:
                raise DataError(
                    f"{out} is finished and holds the first {n_done} of these sentences. Give "
                    "another name, or remove it."
                )
            return
        options: dict[str, Any] = settings
        for table in score_stream(model, rest, **options):
            kept.add(table_of(table))
            n_done += len(table)
            yield n_done
        kept.finish(part_frames(kept.parts), {})


def _check_same(there: list[str], given: list[str], n_before: int, out: Path) -> None:
    if there == given:
        return
    pairs = zip(there, [*given, *[None] * len(there)], strict=False)
    number = next(at for at, (kept, now) in enumerate(pairs) if kept != now)
    raise DataError(
        f"{out} holds scores of other sentences: sentence {n_before + number + 1} differs. Give "
        "the same file as then, another name, or remove it."
    )
