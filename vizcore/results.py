"""Results of an evaluation as Parquet: kept as they come, resumed, and read again.

While a run goes on its results lie beside the file to be, in a folder of parts, each whole or not
there at all; so a run that is killed loses the part that it was working on. At the end the parts
become one file, which carries the settings that it was made with, and a run with others never mixes
with it.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from vizcore.errors import DataError

METADATA = b"headlight"
"""Under which key the file carries its settings."""
SETTINGS = "settings.json"
PARTS = ".parts"
"""What is put after the file's name for the folder of an unfinished run."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model answered. Made by `evaluate` and `read_evaluation`.

    Args:
        items: one row an item (and layer, of probes): `benchmark`, `line`, the item's own columns,
            and what the model made of it.
        settings: what it was made with: "model", "method", and more.
        complete: whether all items are there.
    """

    items: pd.DataFrame
    settings: dict[str, Any]
    complete: bool = True

    def __repr__(self) -> str:
        unfinished = "" if self.complete else ", unfinished"
        what = f"{self.settings.get('model')}, {self.settings.get('method')}"
        return f"Evaluation({what}, {len(self.items)} rows{unfinished})"


class KeptRun:
    """A run whose results are kept in parts until it is done. Close it, or use it with `with`.

    Args:
        path: the Parquet file that it becomes.
        settings: what would make its results others, as JSON has it.

    Raises:
        DataError: if there are results of another run there, another process is at work on it, or
            nothing can be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        self.folder = path.with_name(path.name + PARTS)
        self.finished = False
        # Beside the folder, which goes away while the lock is held.
        self._lock = FileLock(path.with_name(path.name + ".lock"), timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise DataError(
                f"Another process is writing {path}. Wait for it, or give another name."
            ) from error
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror}.") from error
        try:
            self._open()
        except (OSError, DataError):
            self.close()
            raise

    def __enter__(self) -> "KeptRun":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others at the file. What is kept stays."""
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    @property
    def parts(self) -> list[Path]:
        """The parts that are there, in order."""
        return sorted(self.folder.glob("*.parquet"))

    @property
    def n_done(self) -> int:
        """How many rows are in the parts."""
        return sum(pq.read_metadata(part).num_rows for part in self.parts)

    def add(self, rows: pa.Table) -> None:
        """Keep some rows more."""
        target = self.folder / f"{len(self.parts):06}.parquet"
        _write_whole(target, lambda unfinished: pq.write_table(rows, unfinished))

    def finish(self, frames: Iterable[pd.DataFrame], found: dict[str, Any]) -> None:
        """Make the file of these frames, and do away with the parts.

        Args:
            frames: what the file is to hold, in order.
            found: what was found out on the way and belongs to the settings, such as a threshold.
        """
        stated = json.dumps({**self.settings, **found}).encode()

        def write(unfinished: Path) -> None:
            writer = None
            try:
                for frame in frames:
                    table = table_of(frame)
                    if writer is None:
                        schema = table.schema.with_metadata({METADATA: stated})
                        writer = pq.ParquetWriter(unfinished, schema)
                    writer.write_table(table.replace_schema_metadata({METADATA: stated}))
            finally:
                if writer is not None:
                    writer.close()

        _write_whole(self.path, write)
        self.finished = True
        shutil.rmtree(self.folder)

    def _open(self) -> None:
        if self.path.exists():
            self._check(_settings_of(self.path), self.path)
            self.finished = True
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        stated = self.folder / SETTINGS
        if stated.exists():
            self._check(json.loads(stated.read_text("utf-8")), self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            text = json.dumps(self.settings)
            _write_whole(stated, lambda unfinished: unfinished.write_text(text, "utf-8"))
        for leftover in self.folder.glob("*.unfinished"):
            leftover.unlink()

    def _check(self, there: dict[str, Any], where: Path) -> None:
        differing = [name for name in self.settings if self.settings[name] != there.get(name)]
        if differing:
            name = differing[0]
            raise DataError(
                f"{where} holds the results of another run ({name}: {_shown(there.get(name))}, now "
                f"{_shown(self.settings[name])}). Give another name, or remove it."
            )


def read_evaluation(path: str | Path) -> Evaluation:
    """Read results again, of a run that is done or, if it was interrupted, so far.

    Raises:
        DataError: if there are none, or the file is not Headlight's.
    """
    path = Path(path)
    folder = path.with_name(path.name + PARTS)
    if path.is_file():
        settings = _settings_of(path)
        return Evaluation(_frame(path), settings)
    if not (folder / SETTINGS).is_file():
        raise DataError(f"There are no results {path}. Check the path.")
    settings = json.loads((folder / SETTINGS).read_text("utf-8"))
    parts = [_frame(part) for part in sorted(folder.glob("*.parquet"))]
    items = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return Evaluation(items, settings, complete=False)


def table_of(frame: pd.DataFrame) -> pa.Table:
    """As an Arrow table, in which a column without any value is one of numbers or text still."""
    fields = []
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_bool_dtype(values.dtype):
            kind = pa.bool_()
        elif pd.api.types.is_integer_dtype(values.dtype):
            kind = pa.int64()
        elif pd.api.types.is_float_dtype(values.dtype):
            kind = pa.float64()
        else:
            kind = pa.string()
        fields.append(pa.field(name, kind))
    return pa.Table.from_pandas(frame, schema=pa.schema(fields), preserve_index=False)


def part_frames(parts: Iterable[Path]) -> Iterator[pd.DataFrame]:
    """The parts one after the other."""
    for part in parts:
        yield _frame(part)


def read_columns(parts: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """Some columns of all parts, one after the other."""
    return pa.concat_tables(
        pq.read_table(part, columns=[*columns], partitioning=None) for part in parts
    )


def column_names(part: Path) -> list[str]:
    """Which columns a part has."""
    names: list[str] = pq.read_schema(part).names
    return names


def _frame(path: Path) -> pd.DataFrame:
    # Else a folder in its path that is called "a=b" would become a column.
    frame: pd.DataFrame = pq.read_table(path, partitioning=None).to_pandas()
    return frame


def _settings_of(path: Path) -> dict[str, Any]:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no Parquet file that can be read.") from error
    if METADATA not in metadata:
        raise DataError(f"{path} was not written by Headlight: it does not say how it was made.")
    settings: dict[str, Any] = json.loads(metadata[METADATA])
    return settings


def _write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, and give it its own when it is whole."""
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        write(unfinished)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror}.") from error


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
