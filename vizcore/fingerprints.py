"""Short names for what a result depends on: a model's weights, a benchmark's items.

Two runs may be joined only if both are the same. Weights are looked at in samples, spread over
each tensor: quick, and different after any training. No protection against forgery.
"""

import hashlib

import pandas as pd

from vizcore.benchmark_files import Benchmark
from vizcore.model import Model

SAMPLES = 256
"""How many numbers of each tensor are looked at."""


def weights_fingerprint(model: Model) -> str:
    """16 hexadecimal digits that differ for networks with other shapes or weights."""
    digest = hashlib.sha256(type(model.network).__name__.encode())
    for name, tensor in model.network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().reshape(-1)
        chosen = flat[:: max(1, len(flat) // SAMPLES)].double().cpu().numpy()
        digest.update(chosen.tobytes())
    return digest.hexdigest()[:16]


def items_fingerprint(benchmark: Benchmark) -> str:
    """16 hexadecimal digits that differ for other items, another order, or another prompt."""
    digest = hashlib.sha256(benchmark.sha256.encode())
    hashed = pd.util.hash_pandas_object(benchmark.items.astype(str), index=False)
    digest.update(hashed.to_numpy().tobytes())
    if benchmark.task is not None:
        digest.update(repr((benchmark.task.template, benchmark.task.words)).encode())
    return digest.hexdigest()[:16]
