"""`make conformance`: tries every text architecture and writes docs/conformance.md.

Each one runs in a process of its own, so that a crash, an endless loop or too much memory of one
does not end the sweep. What is done is kept in .cache, by what it was done with, so a sweep that
was stopped goes on, and a second one has nothing to do. Not part of `make test`: it takes minutes.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from tests.conformance.architectures import text_architectures
from tests.conformance.page import PAGE, page
from tests.conformance.result import Result

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "conformance"
MAX_SECONDS = 240
MAX_BYTES = 12 * 2**30
"""Of address space; PyTorch alone takes some of it without using it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Try what has not been tried yet, and write the page if that was everything."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="model types to try alone; the page stays as it is")
    parser.add_argument("--fresh", action="store_true", help="try also what has been tried before")
    options = parser.parse_args(arguments)
    names = options.only or text_architectures()
    kept = CACHE / made_with()
    kept.mkdir(parents=True, exist_ok=True)
    results = []
    for number, name in enumerate(names, start=1):
        path = kept / f"{name}.json"
        if options.fresh or options.only:
            path.unlink(missing_ok=True)
        known = path.is_file()
        result = read(path) if known else tried(name, path)
        results.append(result)
        again = " (known)" if known else ""
        print(f"[{number}/{len(names)}] {name}: {result.in_words()}{again}", flush=True)
    if options.only:
        return
    PAGE.write_text(page(results), encoding="utf-8")
    n_exact = sum(result.outcome == "exact" for result in results)
    print(f"{n_exact} of {len(results)} are exact. Written: {PAGE.relative_to(ROOT)}")


def tried(name: str, path: Path) -> Result:
    """Run one in a process of its own, which leaves its result at that path."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["tests.conformance.warm"])
    process = context.Process(target=_try, args=(name, path))
    process.start()
    process.join(MAX_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return Result(name, "failed", reason=f"there was no answer within {MAX_SECONDS} seconds")
    if not path.is_file():
        reason = f"its process ended with code {process.exitcode}"
        return Result(name, "failed", reason=reason)
    return read(path)


def _try(name: str, path: Path) -> None:
    from tests.conformance.checking import check

    _bound_memory()
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - progress bars
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    path.write_text(json.dumps(asdict(check(name))), encoding="utf-8")


def _bound_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))


def read(path: Path) -> Result:
    """A result as it was kept."""
    return Result(**json.loads(path.read_text(encoding="utf-8")))


def made_with() -> str:
    """A name for all that a result depends on: the code here, and the versions it runs with."""
    digest = hashlib.sha256(f"{transformers.__version__} {torch.__version__}".encode())
    files = [*(ROOT / "vizcore").glob("*.py"), *(ROOT / "tests" / "conformance").glob("*.py")]
    for file in sorted([*files, ROOT / "tests" / "support" / "tiny.py"]):
        if file.name not in ("page.py", "sweep.py", "warm.py", "test_page.py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
