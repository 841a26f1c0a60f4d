"""Times ways of doing one thing in turns, and prints them as a table of ratios."""

import gc
import statistics
import time
from collections.abc import Callable

import pandas as pd

ROUNDS = 7


def in_turns(ways: dict[str, Callable[[], object]], *, rounds: int = ROUNDS) -> pd.DataFrame:
    """Time each way once a round, all in each round, after one round that does not count.

    Returns:
        One row a way: seconds (median) and ratio (the median over the rounds of its time through
        that of the first way in the same round).
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            gc.collect()
            began = time.perf_counter()
            result = way()
            taken = time.perf_counter() - began
            del result
            if number:
                seconds[name].append(taken)
    first = next(iter(seconds.values()))
    return pd.DataFrame(
        {
            "seconds": {name: statistics.median(taken) for name, taken in seconds.items()},
            "ratio": {
                name: statistics.median(a / b for a, b in zip(taken, first, strict=True))
                for name, taken in seconds.items()
            },
        }
    )


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table under its title."""
    print(f"\n{title}\n{table.to_string(float_format='{:.3f}'.format)}", flush=True)
