"""The sweep over all heads, beside a loop over edited runs, plain hooks, and TransformerLens.

SmolLM2, 270 heads, float32: the change of one token's log-probability if a head's output is zero.
All read the same weights, in one run, in turns. The loops are timed on every ninth head and their
time multiplied (each of their runs takes as long as any other); the sweep is timed on all heads.

    python tests/benchmarks/interventions.py [--rounds N] [--lengths N …] [--threads N]
"""

import argparse
import importlib.util
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from _table import in_turns, show
from recording import network_copy

import vizcore

SHORT = "When Mary and John went to the store, John gave a drink to"
LONG = (
    "The keys to the cabinet are on the table, and nobody knows how the river got its name. " * 12
)
EVERY = 9
"""Loops are timed on each so-manieth head."""
Loop = Callable[[list[tuple[int, int]]], list[float]]


def main() -> None:
    """Compare and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--lengths", type=int, nargs="+", default=(15, 200))
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    model = vizcore.load("smollm2-135m")
    print(f"{chosen.threads} threads")
    compare_first_results(model)
    others = {"plain hooks, a loop": network_copy(model.network, "sdpa")}
    bridge = transformer_lens(model)
    for length in chosen.lengths:
        ids = model.encode(SHORT)
        if len(ids) != length:
            ids = model.encode(LONG)[:length]
        compare(model, others, bridge, ids, chosen.rounds)


def compare(
    model: vizcore.Model, others: dict[str, Any], bridge: Any, ids: list[int], rounds: int
) -> None:
    """All heads of one text."""
    token = int(model.trace(ids).logits_at([-1])[0].argmax())
    loops: dict[str, Loop] = {
        "model.trace(edits=…), a loop": lambda heads: [
            log_probability(
                model.trace(ids, edits=[vizcore.AblateHead(layer, head)]).logits_at([-1])[0], token
            )
            for layer, head in heads
        ]
    }
    for name, network in others.items():
        loops[name] = lambda heads, network=network: with_hooks(network, ids, heads, token)
    if bridge is not None:
        loops["TransformerLens, a loop"] = lambda heads: with_lens(bridge, ids, heads, token)
    every = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    some = every[::EVERY]
    some = [(layer, (head + layer) % model.n_heads) for layer, head in some]
    ways: dict[str, Callable[[], object]] = {
        "vizcore.ablation_effects": lambda: vizcore.ablation_effects(model, ids)
    }
    ways |= {name: lambda loop=loop: loop(some) for name, loop in loops.items()}
    table = in_turns(ways, rounds=rounds)
    share = len(every) / len(some)
    table.loc[list(loops), ["seconds", "ratio"]] *= share
    effects = vizcore.ablation_effects(model, ids).set_index(["layer", "head"])["effect"]
    original = log_probability(model.trace(ids).logits_at([-1])[0], token)
    table["largest distance"] = pd.Series(
        {
            name: np.abs(np.subtract(loop(some), original) - effects[some]).max()
            for name, loop in loops.items()
        }
    ).map("{:.1e}".format)
    show(f"{len(ids)} tokens, {len(every)} heads", table)


def compare_first_results(model: vizcore.Model) -> None:
    """How long it takes to the first effects, in a fresh process and after."""
    for name in ("first sweep of a model", "another"):
        began = time.perf_counter()
        next(vizcore.ablation_effects_stream(model, SHORT))
        print(f"first results, {name}: {time.perf_counter() - began:.2f} s", flush=True)


def log_probability(logits: torch.Tensor, token: int) -> float:
    """Of one token."""
    return float(logits.log_softmax(dim=-1)[token])


def with_hooks(
    network: Any, ids: list[int], heads: list[tuple[int, int]], token: int
) -> list[float]:
    """Each head's columns of what is read by its output matrix set to zero, in a plain network."""
    width = network.config.hidden_size // network.config.num_attention_heads
    found = []
    for layer, head in heads:

        def ablate(module: Any, args: tuple[Any, ...], head: int = head) -> tuple[Any, ...]:
            z = args[0].clone()
            z[..., head * width : (head + 1) * width] = 0
            return (z, *args[1:])

        handle = network.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(ablate)
        with torch.inference_mode():
            logits = network(torch.tensor([ids]), use_cache=False).logits[0, -1]
        handle.remove()
        found.append(log_probability(logits, token))
    return found


def transformer_lens(model: vizcore.Model) -> Any:
    """The same weights in TransformerLens; None if that is not installed."""
    if importlib.util.find_spec("transformer_lens") is None:
        print("TransformerLens is not installed (pip install 'headlight-viz[bench]').")
        return None
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        hf_model=network_copy(model.network, "eager"),
        tokenizer=model.tokenizer,
    )


def with_lens(bridge: Any, ids: list[int], heads: list[tuple[int, int]], token: int) -> list[float]:
    """As its own demonstrations ablate heads: a hook on z."""
    found = []
    for layer, head in heads:

        def ablate(z: torch.Tensor, hook: Any, head: int = head) -> torch.Tensor:
            z[:, :, head] = 0
            return z

        hooks = [(f"blocks.{layer}.attn.hook_z", ablate)]
        logits = bridge.run_with_hooks(torch.tensor([ids]), fwd_hooks=hooks)
        found.append(log_probability(logits[0, -1], token))
    return found


if __name__ == "__main__":
    main()
