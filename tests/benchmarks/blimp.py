"""BLiMP on SmolLM2, paradigm by paradigm, by Headlight and by minicons on the same weights.

Printed is the table of docs/blimp.md. All pairs would take an hour or two, so of each paradigm 100
are taken unless --rows says otherwise. What was answered is kept in a folder, from which a run that
was stopped goes on. Without BLiMP's folder (HEADLIGHT_SHARED, or ../shared/data beside the
checkout) there is nothing to ask.

    python tests/benchmarks/blimp.py [FOLDER_OF_JSONL] [--kept FOLDER] [--rows N]
"""

import argparse
import copy
import importlib.util
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recording import network_copy

import vizcore

ROOT = Path(__file__).resolve().parent.parent.parent
BATCH_SIZE = 32


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="BLiMP by Headlight and by minicons.")
    shared = Path(os.environ.get("HEADLIGHT_SHARED", ROOT.parent / "shared" / "data"))
    parser.add_argument("folder", type=Path, nargs="?", default=shared / "blimp")
    parser.add_argument("--kept", type=Path, help="a folder for what was answered so far")
    parser.add_argument("--rows", type=int, default=100, help="of each paradigm; 0 for all")
    chosen = parser.parse_args()
    files = sorted(chosen.folder.glob("*.jsonl"))
    if not files or importlib.util.find_spec("minicons") is None:
        print(f"There is no BLiMP in {chosen.folder}, or no minicons.")
        return
    from minicons.scorer import IncrementalLMScorer

    kept = chosen.kept or Path(tempfile.mkdtemp())
    kept.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    model = vizcore.load("smollm2-135m")
    benchmarks = [_some(vizcore.read_benchmark(file), chosen.rows) for file in files]
    ours = vizcore.evaluate(
        model,
        benchmarks,
        out=kept / "headlight.parquet",
        progress=lambda said, _share: print(f"\r{said:<60}", end="", flush=True),
    )
    plain = network_copy(model.network, "sdpa")
    scorer = IncrementalLMScorer(plain, "cpu", tokenizer=copy.deepcopy(model.tokenizer))
    theirs = {one.name: _asked(scorer, one, kept) for one in benchmarks}
    print("\n\n| paradigm | pairs | Headlight | minicons | other winner | largest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    shares = []
    for name, its in theirs.items():
        mine = ours.items[ours.items["benchmark"] == name]
        good, bad = np.array(its["good"]), np.array(its["bad"])
        right = mine["correct"].to_numpy()
        distance = max(
            np.abs(mine["good_log_likelihood"] - good).max(),
            np.abs(mine["bad_log_likelihood"] - bad).max(),
        )
        row = (right.mean(), (good > bad).mean(), (right != (good > bad)).sum(), distance)
        shares.append(row)
        print(f"| {name} | {len(mine)} | {row[0]:.1%} | {row[1]:.1%} | {row[2]} | {row[3]:.1e} |")
    table = pd.DataFrame(shares)
    print(
        f"| **all** | {len(ours.items)} | {table[0].mean():.1%} | {table[1].mean():.1%} | "
        f"{table[2].sum()} | {table[3].max():.1e} |"
    )


def _some(benchmark: Any, n_rows: int) -> Any:
    return benchmark.sample(n_rows, seed=0) if n_rows else benchmark


def _asked(scorer: Any, benchmark: Any, kept: Path) -> dict[str, list[float]]:
    """What minicons finds for all pairs of a paradigm; read again if it is there."""
    path = kept / f"{benchmark.name}.minicons.json"
    if path.exists():
        found: dict[str, list[float]] = json.loads(path.read_text())
        return found
    print(f"\r{benchmark.name + ', minicons':<60}", end="", flush=True)
    found = {}
    for side in ("good", "bad"):
        texts = benchmark.items[side].tolist()
        found[side] = []
        for start in range(0, len(texts), BATCH_SIZE):
            with torch.inference_mode():
                found[side] += scorer.sequence_score(
                    texts[start : start + BATCH_SIZE], reduction=lambda one: one.sum(0).item()
                )
    path.write_text(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
