"""The folder on this machine in which fetched and converted models are kept.

A model is built in a temporary place beside its own and renamed when it is whole, under a file
lock: so presence means completeness, two processes never build the same model twice, and one
that was killed half-way leaves only rubbish that the next one sweeps away. Not for traces or
results: nothing here depends on a text.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from vizcore.errors import FetchError, VizcoreError

Progress = Callable[[str, float | None], None]
"""Told what is being done, and how far it is: from 0 to 1, or None where that is unknown."""


def cache_folder() -> Path:
    """Where models and answers to benchmarks are kept: $HEADLIGHT_CACHE, else the platform's."""
    chosen = os.environ.get("HEADLIGHT_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("headlight", appauthor=False))


def quiet(message: str, fraction: float | None) -> None:
    """A progress callback for callers who want none."""


def build_once(
    target: Path,
    build: Callable[[Path], Path],
    *,
    progress: Progress,
    is_complete: Callable[[Path], bool] = Path.is_dir,
) -> Path:
    """Return `target`, built first if it is not there yet.

    Args:
        target: the folder wanted, inside the cache.
        build: given an empty temporary folder, makes the model's folder somewhere inside it and
            returns that. If it raises, nothing is kept.
        progress: told when another process is building the same folder and we wait for it.
        is_complete: whether the folder found at `target` can be used. If not, it is built anew.

    Raises:
        FetchError: if the cache cannot be written to.
        VizcoreError: whatever `build` raises.
    """
    if is_complete(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.parent / f".{target.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress(f"Waiting for another process that is preparing {target.name}", None)
            lock.acquire()
        try:
            return _build_locked(target, build, is_complete)
        finally:
            lock.release()
    except VizcoreError:
        raise
    except OSError as error:
        raise FetchError(
            f"The model could not be written to {target.parent}: {error.strerror or error}. Free "
            "some space or permit writing there, or set HEADLIGHT_CACHE to a folder that can hold "
            "it, and try again. Nothing was left behind."
        ) from error


def _build_locked(
    target: Path, build: Callable[[Path], Path], is_complete: Callable[[Path], bool]
) -> Path:
    if is_complete(target):
        return target
    prefix = f".{target.name}.part-"
    # Whoever holds the lock is the only one who builds this, so any older part is a dead one's.
    for stale in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        built = build(part)
        if target.exists():
            # Moved aside, not deleted in place: a reader sees the old folder, none, or the new.
            target.rename(part / "replaced")
        built.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target
