"""What a long text costs: SmolLM2 on 4,096 tokens, beside a plain forward pass.

Time in turns; memory as the peak above the loaded model, each in a process of its own. Then what
the app does with such a trace: all heads at a glance, and one head's map whole and in part.
"""

import copy
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pandas as pd
import psutil
import torch
from _table import in_turns, show

import vizcore

LENGTH = 4096
TEXT = "The old man and the sea is a story about a fisherman who goes far out to catch a fish. "
ROUNDS = 3
WAYS = ("plain forward pass", "model.trace", "model.trace and head_overview")
SAMPLING = 0.002
"""Seconds between two looks at the memory."""


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        print(_peak(sys.argv[1]))
        return
    torch.set_grad_enabled(False)
    memory = pd.DataFrame({"megabytes": {way: _in_a_process(way) / 1e6 for way in WAYS}})
    memory["ratio"] = memory["megabytes"] / memory["megabytes"].iloc[0]
    show(f"{LENGTH} tokens, peak memory above the loaded model", memory)
    model, ids = _loaded()
    plain = _copy(model.network)
    batch = torch.tensor([ids])
    ways: dict[str, Callable[[], object]] = {
        "transformers, sdpa, nothing recorded": lambda: plain(batch, use_cache=False),
        "the same without logits": lambda: plain.base_model(batch, use_cache=False),
        "vizcore, model.trace (logits on demand)": lambda: model.trace(ids),
    }
    show(f"{LENGTH} tokens, time", in_turns(ways, rounds=ROUNDS))
    trace = model.trace(ids)
    part = vizcore.MapRegion(2000, 1000, 400, 400)
    looks: dict[str, Callable[[], object]] = {
        "one head's map in full, trace.map": lambda: trace.map(3, 2),
        "one head's map for the screen, tile_view": lambda: vizcore.tile_view(trace, 3, 2),
        "400 × 400 tokens of it": lambda: vizcore.tile_view(
            trace, 3, 2, region=part, live=True, earlier=whole
        ),
        "all 270 heads, head_overview": lambda: vizcore.head_overview(trace),
    }
    whole = vizcore.tile_view(trace, 3, 2, live=True)
    show(f"{LENGTH} tokens, looking", in_turns(looks, rounds=ROUNDS))


def _loaded() -> tuple[vizcore.Model, list[int]]:
    model = vizcore.load("smollm2-135m")
    return model, model.encode(TEXT * 250)[:LENGTH]


def _copy(network: torch.nn.Module) -> torch.nn.Module:
    """The same weights in a network of its own, with none of our functions in it."""
    config = copy.deepcopy(network.config)
    config._attn_implementation = "sdpa"
    fresh = type(network)(config).eval()
    fresh.load_state_dict(network.state_dict())
    return fresh


def _in_a_process(way: str) -> float:
    done = subprocess.run(
        [sys.executable, __file__, way], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def _peak(way: str) -> int:
    """Bytes that a way needs at most beside the loaded model, in this process."""
    model, ids = _loaded()
    model.trace(ids[:64])  # what is set up once
    process = psutil.Process()
    before = process.memory_info().rss
    peak, ended = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.is_set():
            peak = max(peak, process.memory_info().rss)
            time.sleep(SAMPLING)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with torch.inference_mode():
        if way == WAYS[0]:
            model.network(torch.tensor([ids]), use_cache=False)
        else:
            trace = model.trace(ids)
            if way == WAYS[2]:
                vizcore.head_overview(trace)
    ended.set()
    watcher.join()
    return peak - before


if __name__ == "__main__":
    main()
