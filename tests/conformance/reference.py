"""What plain transformers says: the maps and logits that everything here is compared with.

The saved network is loaded once more, in transformers' eager mode, and nothing of ours is near it:
maps are what it returns for `output_attentions=True`, or, where it returns none, what its attention
modules hand back inside it. Bands of keys (Longformer) are laid into full maps by a plain loop.
"""

import inspect
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

TWO_STACKS = {
    "encoder": "encoder_attentions",
    "decoder": "decoder_attentions",
    "cross": "cross_attentions",
}


@dataclass
class Reference:
    """What one network says about one text.

    Args:
        maps: for each kind of attention (of one stack: "text") one (head, query, key) a layer.
        numbers: the numbers of those layers, read from the names of the modules that made them;
            empty where those don't tell.
        logits: (token, vocabulary), or None if it predicts no tokens.
    """

    maps: dict[str, list[Tensor]] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    logits: Tensor | None = None


def eager_copy(network: PreTrainedModel, folder: Path) -> tuple[PreTrainedModel, set[str]]:
    """The saved network again, in transformers' eager mode, and the weights that it did not find.

    Nothing of ours is near it.
    """
    loaded: PreTrainedModel
    loaded, info = type(network).from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    return loaded.eval(), set(info["missing_keys"])


def reference(
    network: PreTrainedModel, source_ids: list[int], target_ids: list[int] | None
) -> Reference:
    """Run the network on a text, and collect what it says about attention."""
    inputs: dict[str, Any] = {"input_ids": torch.tensor([source_ids])}
    if "use_cache" in inspect.signature(network.forward).parameters:
        inputs["use_cache"] = False  # FSMT lets its decoder look ahead with a cache
    if target_ids is not None:
        inputs["decoder_input_ids"] = torch.tensor([target_ids])
    made: list[tuple[str, Tensor]] = []
    with torch.no_grad():
        network(**inputs)  # BigBird exchanges its layers at its first short text
        hooks = [
            module.register_forward_hook(_keeper(name, made))
            for name, module in network.named_modules()
            if name
        ]
        output = network(**inputs, output_attentions=True)
    for hook in hooks:
        hook.remove()
    sizes = (len(source_ids), len(target_ids or source_ids))
    found = Reference(logits=_first(output.get("logits")))
    fields = {"text": "attentions"} if target_ids is None else TWO_STACKS
    for kind, name in fields.items():
        layers = output.get(name) or ()
        returned = [one for one in layers if isinstance(one, Tensor) and _is_map(one, kind, sizes)]
        if returned:
            maps = [_square(layer[0], network, kind) for layer in returned]
            found.maps[kind] = maps
            found.numbers[kind] = _numbers(returned, made)
    for kind in set(fields) - set(found.maps):
        inner = _innermost([(name, one) for name, one in made if _is_map(one, kind, sizes)])
        if inner:
            found.maps[kind] = [one[0] for _, one in inner]
            found.numbers[kind] = _in_order([_number(name) for name, _ in inner])
    return found


def _keeper(name: str, made: list[tuple[str, Tensor]]) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, tuple):
            made.extend((name, one) for one in output if isinstance(one, Tensor) and one.ndim == 4)

    return keep


def _first(logits: Any) -> Tensor | None:
    return logits[0] if isinstance(logits, Tensor) and logits.ndim == 3 else None


def _is_map(tensor: Tensor, kind: str, sizes: tuple[int, int]) -> bool:
    """Not the state of a linear attention; a band of keys around each query is one, too."""
    n_queries = sizes[0] if kind == "encoder" else sizes[1]
    n_keys = sizes[1] if kind == "decoder" else sizes[0]
    if tensor.shape[0] != 1 or tensor.shape[2] != n_queries:
        return False
    return tensor.shape[3] == n_keys or kind in ("text", "encoder") and tensor.shape[3] % 2 == 1


def _innermost(made: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Each map once, by the module that made it and not those around it that pass it on."""
    seen: set[int] = set()
    found = []
    for name, tensor in made:  # a module is done before those around it
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found.append((name, tensor))
    return found


def _numbers(returned: list[Tensor], made: list[tuple[str, Tensor]]) -> list[int]:
    makers = {id(tensor): name for name, tensor in reversed(made)}
    return _in_order([_number(makers.get(id(layer), "")) for layer in returned])


def _number(name: str) -> int | None:
    found = re.search(r"\.(\d+)(\.|$)", f".{name}")
    return int(found[1]) if found else None


def _in_order(numbers: list[int | None]) -> list[int]:
    """The numbers if they can be those of layers; one module that is run again has only one."""
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) and known == sorted(set(known)) else []


def _square(weights: Tensor, network: PreTrainedModel, kind: str) -> Tensor:
    if getattr(network.config, "attention_window", None) is None or kind in ("decoder", "cross"):
        return weights
    n_heads, n_tokens, width = weights.shape
    full = torch.zeros(n_heads, n_tokens, n_tokens)
    for query in range(n_tokens):
        for column in range(width):
            key = query - width // 2 + column
            if 0 <= key < n_tokens:
                full[:, query, key] = weights[:, query, column]
    return full
