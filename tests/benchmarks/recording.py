"""What it costs to record attention, beside a plain forward pass and beside other tools.

SmolLM2 at 512 and 1,024 tokens, float32. The plain pass is transformers' own with sdpa; eager with
`output_attentions` is what BertViz needs; TransformerLens (in the `bench` extra) caches activations
by hooks. Prints, too, the memory that a recorder holds, and the time of one head's map on demand.
"""

import copy
import importlib.util
import logging
import statistics
import time
import warnings
from collections.abc import Callable

import pandas as pd
import torch
from _table import in_turns, show

import vizcore

LENGTHS = (512, 1024)
TEXT = "The old man and the sea is a story about a fisherman who goes far out to catch a fish. "


def main() -> None:
    """Measure and print."""
    torch.set_grad_enabled(False)
    model = vizcore.load("smollm2-135m")
    others = {name: network_copy(model.network, name) for name in ("sdpa", "eager")}
    for length in LENGTHS:
        ids = model.encode(TEXT * 200)[:length]
        show(f"{length} tokens, time", in_turns(_ways(model, others, ids)))
        _memory_and_maps(model, ids)


def _ways(
    model: vizcore.Model, others: dict[str, torch.nn.Module], ids: list[int]
) -> dict[str, Callable[[], object]]:
    batch = torch.tensor([ids])
    plain, eager = others["sdpa"], others["eager"]
    return {
        "transformers, sdpa, nothing recorded": lambda: plain(batch, use_cache=False),
        "vizcore, through the tap, nothing recorded": lambda: model.network(batch, use_cache=False),
        "vizcore, recorded while the logits are computed": lambda: _recorded(model, batch),
        "vizcore, model.trace (logits on demand)": lambda: model.trace(ids),
        "transformers, eager, output_attentions": lambda: eager(
            batch, use_cache=False, output_attentions=True
        ),
    } | _transformer_lens(model, batch)


def _recorded(model: vizcore.Model, batch: torch.Tensor) -> object:
    with vizcore.Recorder() as recorder:
        logits = model.network(batch, use_cache=False).logits
    return recorder, logits


def network_copy(network: torch.nn.Module, implementation: str) -> torch.nn.Module:
    """The same weights in a network of its own, with none of our functions in it."""
    config = copy.deepcopy(network.config)
    config._attn_implementation = implementation
    fresh = type(network)(config).eval()
    fresh.load_state_dict(network.state_dict())
    return fresh


def _transformer_lens(model: vizcore.Model, batch: torch.Tensor) -> dict[str, Callable[[], object]]:
    if importlib.util.find_spec("transformer_lens") is None:
        print("TransformerLens is not installed (pip install 'headlight-viz[bench]').")
        return {}
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        hf_model=network_copy(model.network, "eager"),
        tokenizer=model.tokenizer,
    )

    def patterns(name: str) -> bool:
        return name.endswith("hook_pattern")

    return {
        "TransformerLens, run_with_cache": lambda: bridge.run_with_cache(batch),
        "TransformerLens, run_with_cache, patterns alone": lambda: bridge.run_with_cache(
            batch, names_filter=patterns
        ),
    }


def _memory_and_maps(model: vizcore.Model, ids: list[int]) -> None:
    trace = model.trace(ids)
    calls = [call for layers in trace.run.calls.values() for call in layers]
    tensors = [
        tensor
        for call in calls
        for tensor in (call.query, call.key, call.value, call.mask, call.position_bias, call.sinks)
        if tensor is not None
    ]
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}
    asked = sum(call.query.nbytes + call.key.nbytes for call in calls)
    memory = pd.DataFrame(
        {"megabytes": {"queries and keys": asked / 1e6, "all that is held": _bytes(held) / 1e6}}
    )
    memory["ratio"] = memory["megabytes"] / memory["megabytes"].iloc[0]
    show(f"{len(ids)} tokens, memory of the recorder", memory)

    taken = []
    for layer in trace.layers():
        began = time.perf_counter()
        trace.attention(layer, layer % trace.n_heads())
        taken.append(1000 * (time.perf_counter() - began))
    times = {"median": statistics.median(taken), "worst": max(taken)}
    table = pd.DataFrame({"milliseconds": times})
    show(f"{len(ids)} tokens, one head's map on demand", table)


def _bytes(storages: dict[int, torch.UntypedStorage]) -> int:
    return sum(storage.nbytes() for storage in storages.values())


if __name__ == "__main__":
    main()
