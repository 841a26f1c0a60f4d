"""Rotary embeddings that adapt to the length of the text, made safe to share between runs.

Two kinds of scaling ("dynamic" and "longrope") write the frequencies for the current text onto the
network in every forward pass: a long text in one thread would change what a short one in another
computes, and even the next one. Here each pass gets a copy of its own. Nothing else of the
positions is touched; a network without such a module is left as it is.
"""

import copy
from functools import partial
from typing import Any

from torch import nn


class PrivateForward:
    """Runs a module's forward on a shallow copy, so that what it writes is thrown away."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        private = copy.copy(self.module)
        vars(private).pop("forward", None)
        buffers = self.module.named_buffers(recurse=False)
        vars(private)["_buffers"] = {name: buffer.clone() for name, buffer in buffers}
        return partial(type(private).forward, private)(*args, **kwargs)


def keep_rotary_frequencies_private(network: nn.Module) -> None:
    """Let no forward pass of this network write rotary frequencies that another one reads."""
    for module in network.modules():
        kinds = getattr(module, "rope_type", None)
        names = kinds.values() if isinstance(kinds, dict) else [kinds]
        if any(name == "longrope" or "dynamic" in str(name) for name in names):
            module.forward = PrivateForward(module)
