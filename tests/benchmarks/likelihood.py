"""Likelihoods beside minicons: how far they are apart, the time that they take, and the memory.

Both read the same weights of SmolLM2 and the same sentences, in one run, in turns. minicons is run
at several batch sizes and its best one counts. Without the folder of BLiMP (HEADLIGHT_SHARED, or
../shared/data beside the checkout) sentences are put together here.

    python tests/benchmarks/likelihood.py [--pairs N] [--rounds N]
"""

import argparse
import copy
import importlib.metadata
import importlib.util
import itertools
import json
import logging
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _table import in_turns, show
from recording import network_copy

import vizcore
from vizcore import word_likelihood

ROOT = Path(__file__).resolve().parent.parent.parent
BATCH_SIZES = (8, 16, 32, 64, 128)
N_CONTINUATIONS = 1000
N_PREFIX_TOKENS = 200
N_LINES = 100_000
VOCABULARY = 150_000
TEXTS = (
    "The cats aren't sleeping, though the dogs unquestionably are.",
    "The keys to the cabinet are on the table.",
    "Nobody knows how the river got its name.",
)


def main() -> None:
    """Compare and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--pairs", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--memory", action="store_true", help="measure the memory alone")
    chosen = options.parse_args()
    if chosen.memory:
        measure_memory()
        return
    if importlib.util.find_spec("minicons") is None:
        print("minicons is not installed (pip install 'headlight-viz[bench]').")
        return
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_grad_enabled(False)
    from minicons import scorer

    model = vizcore.load("smollm2-135m")
    theirs: Any = scorer.IncrementalLMScorer(
        network_copy(model.network, "sdpa"), "cpu", tokenizer=copy.deepcopy(model.tokenizer)
    )
    print(f"minicons {importlib.metadata.version('minicons')}, {torch.get_num_threads()} threads")
    compare_numbers(model, theirs, scorer)
    compare_pairs(model, theirs, chosen.pairs, chosen.rounds)
    compare_continuations(model, theirs, chosen.rounds)
    compare_single(model, theirs, chosen.rounds)
    arguments = [sys.executable, __file__, "--memory"]
    subprocess.run(arguments, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def compare_numbers(model: vizcore.Model, theirs: Any, scorer: Any) -> None:
    """The largest distance of each kind of number, in nats."""
    texts = list(TEXTS)
    rows = {}
    for bos in (False, True):
        name = "with" if bos else "without"
        sums = theirs.sequence_score(texts, reduction=total, bos_token=bos)
        mine = vizcore.score(model, texts, bos=bos)["log_likelihood"]
        rows[f"log-likelihood, {name} beginning of text"] = np.abs(mine - sums).max()
    given = theirs.conditional_score(["They say that"] * 3, texts, reduction=total)
    mine = vizcore.score(model, texts, given="They say that")["log_likelihood"]
    rows["given something"] = np.abs(mine - given).max()
    for spaces in ("leading", "trailing"):
        rows[f"surprisal by word, {spaces} spaces"] = max(
            _word_distance(model, theirs, text, spaces) for text in texts
        )
    masked = vizcore.load("tatoeba-mlm")
    tokenizer: Any = copy.deepcopy(masked.tokenizer)
    # It leaves out the tokens of these names alone.
    tokenizer.cls_token, tokenizer.sep_token = tokenizer.bos_token, tokenizer.eos_token
    others = scorer.MaskedLMScorer(copy.deepcopy(masked.network), "cpu", tokenizer=tokenizer)
    for masking in ("original", "within_word_l2r"):
        # One by one and encoded here: its own call to the tokenizer is gone from transformers 5.
        sums = [
            others.sequence_score(tokenizer([text]), reduction=total, PLL_metric=masking)[0]
            for text in texts
        ]
        mine = vizcore.score(masked, texts, masking=masking)["log_likelihood"]
        rows[f"pseudo-log-likelihood, {masking}"] = np.abs(mine - sums).max()
    print("\nLargest distance to minicons, in nats")
    print(pd.Series(rows).to_string(float_format="{:.1e}".format), flush=True)


def total(scores: torch.Tensor) -> float:
    """What minicons is to make of a sentence's scores."""
    return scores.sum(0).item()


def _word_distance(model: vizcore.Model, theirs: Any, text: str, spaces: str) -> float:
    """With a beginning of text: without one, minicons gives each word the score of the next."""
    ((*words,),) = theirs.word_score_tokenized(
        text, str.split, bow_correction=spaces == "trailing", bos_token=True
    )
    beginnings = word_likelihood.word_beginnings

    def of_minicons(model: vizcore.Model, size: int) -> torch.Tensor:
        chosen = torch.zeros(size, dtype=torch.bool)
        chosen[theirs.bow_subword_idx] = True  # no line breaks, no end of text
        return chosen

    import vizcore.likelihood as likelihood

    likelihood.word_beginnings = of_minicons  # type: ignore[assignment]
    try:
        table = vizcore.surprisal(model, text, bos=True, by="word", spaces=spaces)
    finally:
        likelihood.word_beginnings = beginnings
    mine = [0.0]
    rest = text.split()[0]
    for word in table.itertuples():  # theirs are split at spaces alone
        if not rest:
            mine.append(0.0)
            rest = text.split()[len(mine) - 1]
        mine[-1] += word.log_probability
        rest = rest.removeprefix(word.word)
    return max(abs(a - b) for a, (_, b) in zip(mine, words, strict=True))


def compare_pairs(model: vizcore.Model, theirs: Any, n_pairs: int, rounds: int) -> None:
    """BLiMP's pairs: time, and who gets how many right."""
    good, bad = pairs(n_pairs)
    texts = [text for pair in zip(good, bad, strict=True) for text in pair]

    def of_minicons(size: int) -> list[float]:
        found = []
        for start in range(0, len(texts), size):
            found += theirs.sequence_score(texts[start : start + size], reduction=total)
        return found

    few = texts[: min(len(texts), 256)]
    trial = in_turns(
        {
            str(size): lambda size=size: [
                theirs.sequence_score(few[start : start + size], reduction=total)
                for start in range(0, len(few), size)
            ]
            for size in BATCH_SIZES
        },
        rounds=rounds,
    )
    best = int(trial["seconds"].idxmin())
    vizcore.score(model, texts[:8], precision="fast")  # makes the copy
    found: dict[str, list[float]] = {}

    def keep(name: str, values: list[float]) -> None:
        found[name] = values

    ways = {
        "vizcore": lambda: keep("vizcore", vizcore.score(model, texts)["log_likelihood"].tolist()),
        'vizcore, precision="fast"': lambda: keep(
            'vizcore, precision="fast"',
            vizcore.score(model, texts, precision="fast")["log_likelihood"].tolist(),
        ),
        f"minicons, batches of {best}": lambda: keep(
            f"minicons, batches of {best}", of_minicons(best)
        ),
    }
    table = in_turns(ways, rounds=rounds)
    table["times as fast as minicons"] = table["seconds"].iloc[-1] / table["seconds"]
    table["accuracy in %"] = {
        name: 100 * np.greater(values[::2], values[1::2]).mean() for name, values in found.items()
    }
    exact = found["vizcore"]
    table["largest distance to vizcore"] = {
        name: np.abs(np.subtract(values, exact)).max() for name, values in found.items()
    }
    show(f"{len(good)} pairs of BLiMP", table)


def compare_continuations(model: vizcore.Model, theirs: Any, rounds: int) -> None:
    """Many ends of one long beginning."""
    words = itertools.cycle(TEXTS)
    prefix = next(words)
    while len(model.encode(prefix)) < N_PREFIX_TOKENS:
        prefix += " " + next(words)
    good, bad = pairs(N_CONTINUATIONS)
    ends = list(dict.fromkeys(" ".join(text.split()[:3]) for text in good + bad))
    ends = ends[: N_CONTINUATIONS // 10]

    def of_minicons() -> list[float]:
        found = []
        for start in range(0, len(ends), 16):
            part = ends[start : start + 16]
            found += theirs.conditional_score([prefix] * len(part), part, reduction=total)
        return found

    ways = {
        "vizcore": lambda: vizcore.score(model, ends, given=prefix)["log_likelihood"],
        "minicons": of_minicons,
    }
    show(
        f"{len(ends)} continuations of {N_PREFIX_TOKENS} tokens (the advantage grows with them)",
        in_turns(ways, rounds=1),
    )
    every = list(dict.fromkeys(" ".join(text.split()[:3]) for text in good + bad))
    every = [*every, *(f"{text} {n}" for n, text in enumerate(every))][:N_CONTINUATIONS]
    show(
        f"{len(every)} continuations",
        in_turns({"vizcore": lambda: vizcore.score(model, every, given=prefix)}, rounds=1),
    )


def compare_single(model: vizcore.Model, theirs: Any, rounds: int) -> None:
    """One sentence a call."""
    good, _ = pairs(20)
    ways = {
        "vizcore": lambda: [vizcore.score(model, [text]) for text in good],
        "minicons": lambda: [theirs.sequence_score([text], reduction=total) for text in good],
    }
    show("20 sentences, one a call", in_turns(ways, rounds=rounds))


def pairs(n_pairs: int) -> tuple[list[str], list[str]]:
    """Good and bad sentences, from all paradigms alike."""
    folder = Path(os.environ.get("HEADLIGHT_SHARED", ROOT.parent / "shared" / "data")) / "blimp"
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        nouns = ("cats", "dogs", "teachers", "rivers", "doors", "ships", "poets", "stones")
        rest = ("asleep", "on the table", "in the old house", "better than the others", "late")
        subjects = [f"The {a} near the {b}" for a, b in itertools.permutations(nouns, 2)]
        every = [(a, b) for a in subjects for b in rest][:n_pairs]
        return [f"{a} are {b}." for a, b in every], [f"{a} is {b}." for a, b in every]
    each = -(-n_pairs // len(files))
    lines = [
        json.loads(line)
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()[:each]
    ][:n_pairs]
    return [line["sentence_good"] for line in lines], [line["sentence_bad"] for line in lines]


def measure_memory() -> None:
    """A large file through a large vocabulary; the network is small, so that it does not take long.

    Printed is by how much the process has grown at most.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = vizcore.load("smollm2-135m").tokenizer
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
    )
    model = vizcore.Model.of(LlamaForCausalLM(config), tokenizer, name="small")
    vizcore.score(model, ["The cats are asleep.", "The cats is asleep."])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = (f"{TEXTS[n % 3]} {n} {n * 7919 % 100_003}" for n in range(N_LINES))
    n_scored = sum(len(table) for table in vizcore.score_stream(model, lines))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"\n{n_scored:,} lines, vocabulary of {VOCABULARY:,}: {grown:,.0f} MB above the model")


if __name__ == "__main__":
    main()
