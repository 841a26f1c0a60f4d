"""Edits made by hand: hooks of PyTorch on a network as transformers runs it, in its eager mode.

A reference for `vizcore.edits` that shares nothing with it: which module is which is written down
here for each architecture, and nothing of ours is near the network.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Names:
    """What the modules of an architecture are called.

    Args:
        layers: the row of layers of the decoder, or of the only stack.
        attention: in a layer, the module that is given the mask.
        projection: in a layer, Wᴼ.
        feed_forward: in a layer, what returns what feed-forward adds.
        mask: what the attention module calls its mask.
        adds: in a layer, what returns what attention adds; "" for Wᴼ.
    """

    layers: str
    attention: str
    projection: str
    feed_forward: str
    mask: str = "attention_mask"
    adds: str = ""


NAMES = {
    "llama": Names("model.layers", "self_attn", "self_attn.o_proj", "mlp"),
    "mistral": Names("model.layers", "self_attn", "self_attn.o_proj", "mlp"),
    "qwen2": Names("model.layers", "self_attn", "self_attn.o_proj", "mlp"),
    "gpt_oss": Names("model.layers", "self_attn", "self_attn.o_proj", "mlp"),
    "gemma2": Names(
        "model.layers",
        "self_attn",
        "self_attn.o_proj",
        "post_feedforward_layernorm",
        adds="post_attention_layernorm",
    ),
    "gpt2": Names("transformer.h", "attn", "attn.c_proj", "mlp"),
    "gpt_neox": Names("gpt_neox.layers", "attention", "attention.dense", "mlp"),
    "opt": Names("model.decoder.layers", "self_attn", "self_attn.out_proj", "fc2"),
    "bert": Names("bert.encoder.layer", "attention.self", "attention.output.dense", "output.dense"),
    "roberta": Names(
        "roberta.encoder.layer", "attention.self", "attention.output.dense", "output.dense"
    ),
    "bart": Names("model.decoder.layers", "self_attn", "self_attn.out_proj", "fc2"),
    "t5": Names(
        "decoder.block",
        "layer.0.SelfAttention",
        "layer.0.SelfAttention.o",
        "layer.2.DenseReluDense",
        mask="mask",
    ),
}
"""One architecture of each kind of attention, norm and block that transformers has."""
EAGER = {
    "falcon": Names("transformer.h", "self_attention", "self_attention.dense", "mlp"),
    "gptj": Names("transformer.h", "attn", "attn.out_proj", "mlp"),
    "bloom": Names("transformer.h", "self_attention", "self_attention.dense", "mlp.dense_4h_to_h"),
    "mpt": Names("transformer.blocks", "attn", "attn.out_proj", "ffn.down_proj"),
    "deberta-v2": Names(
        "deberta.encoder.layer", "attention.self", "attention.output.dense", "output.dense"
    ),
}
"""Architectures that compute their attention by themselves."""
CROSS = {
    "bart": Names("model.decoder.layers", "encoder_attn", "encoder_attn.out_proj", "fc2"),
    "t5": Names(
        "decoder.block",
        "layer.1.EncDecAttention",
        "layer.1.EncDecAttention.o",
        "layer.2.DenseReluDense",
        mask="mask",
    ),
}
ENCODER = {
    "bart": Names("model.encoder.layers", "self_attn", "self_attn.out_proj", "fc2"),
    "t5": Names(
        "encoder.block",
        "layer.0.SelfAttention",
        "layer.0.SelfAttention.o",
        "layer.1.DenseReluDense",
        mask="mask",
    ),
}


class PlainNetwork:
    """A network in transformers' eager mode, with what can be hooked into it."""

    def __init__(self, network: PreTrainedModel, names: Names, *, n_heads: int = 4) -> None:
        self.network = copy.deepcopy(network).eval()
        self.network.set_attn_implementation("eager")
        self.names, self.n_heads = names, n_heads

    def layer(self, number: int) -> nn.Module:
        return self.network.get_submodule(f"{self.names.layers}.{number}")

    def part(self, number: int, name: str) -> nn.Module:
        return self.layer(number).get_submodule(name)

    def logits(self, *ids: list[int]) -> Tensor:
        """(token, vocabulary)."""
        inputs = {"input_ids": torch.tensor([ids[0]])}
        if len(ids) > 1:
            inputs["decoder_input_ids"] = torch.tensor([ids[1]])
        with torch.no_grad():
            logits: Tensor = self.network(**inputs, use_cache=False).logits[0]
            return logits

    @contextmanager
    def hooked(self, *hooks: Callable[[ExitStack], None]) -> Iterator[None]:
        with ExitStack() as stack:
            for hook in hooks:
                hook(stack)
            yield

    # --- What a hook does, given the stack that takes it away again ---

    def heads(self, layer: int, change: Callable[[Tensor], Tensor]) -> Callable[[ExitStack], None]:
        """Change what heads give: (batch, query, head, d_value), before Wᴼ."""

        def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            split = args[0].unflatten(-1, (self.n_heads, -1)).clone()
            return (change(split).flatten(-2), *args[1:])

        module = self.part(layer, self.names.projection)
        return lambda stack: _until(stack, module.register_forward_pre_hook(before))

    def mask(self, layer: int, added: Tensor) -> Callable[[ExitStack], None]:
        """Add to the mask that a layer's attention is given; (head, query, key)."""

        def before(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            given, args = kwargs.get(self.names.mask), list(args)
            if given is None and len(args) > 1 and isinstance(args[1], Tensor):
                given = args[1]
                args = [args[0]]
            whole = added[None] if given is None else given + added[None]
            return tuple(args), {**kwargs, self.names.mask: whole}

        module = self.part(layer, self.names.attention)
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
        return lambda stack: _until(stack, handle)

    def returned(
        self, layer: int, name: str, change: Callable[[Tensor], Tensor]
    ) -> Callable[[ExitStack], None]:
        """Change what a module of a layer returns; "" for the layer itself."""

        def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if isinstance(output, tuple):
                return (change(output[0]), *output[1:])
            return change(output)

        module = self.part(layer, name) if name else self.layer(layer)
        return lambda stack: _until(stack, module.register_forward_hook(after))

    def read(self, layer: int, change: Callable[[Tensor], Tensor]) -> Callable[[ExitStack], None]:
        """Change the residual stream that a layer reads."""

        def before(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if args:
                return (change(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

        handle = self.layer(layer).register_forward_pre_hook(before, with_kwargs=True)
        return lambda stack: _until(stack, handle)

    def adds(self) -> str:
        """The name of what returns what attention adds."""
        return self.names.adds or self.names.projection


def _until(stack: ExitStack, handle: Any) -> None:
    stack.callback(handle.remove)


def listened(
    hook: Callable[[Callable[[Tensor], Tensor]], Callable[[ExitStack], None]],
    plain: PlainNetwork,
    *ids: list[int],
) -> Tensor:
    """What a hook is given in a run of another text."""
    heard: list[Tensor] = []

    def listen(given: Tensor) -> Tensor:
        heard.append(given.clone())
        return given

    with plain.hooked(hook(listen)):
        plain.logits(*ids)
    return heard[0]
