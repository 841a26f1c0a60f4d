"""Looks through a network's modules for what can tell it positions: tables, rotations, biases.

It goes by what is there, not by a list of architectures: a table of numbers is compared with the
formula of sinusoids, rotary frequencies and bias buckets are read from the modules that hold them,
ALiBi's slopes from the function that the network itself calls. Names decide only where numbers
cannot. Which layers really are told is measured in `vizcore.positional`.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.capture import text_config
from vizcore.encodings import (
    AlibiPositions,
    BiasPositions,
    PositionalEncoding,
    RotaryPositions,
)
from vizcore.position_tables import as_array, find_tables, frequencies_of, table_of
from vizcore.transformer import Transformer, alibi, rotate, sinusoids

N_UNLIMITED = 512
"""Rows to show of a table that is computed and has no end."""
NOT_TEXT = re.compile(r"vision|visual|image|audio|speech|video|entity")

Modules = list[tuple[str, nn.Module]]
"""The modules of a network with their paths in it."""


@dataclass(frozen=True)
class Stacks:
    """The stacks of a model: for each kind of attention in itself the layers that have it."""

    layers: dict[str, tuple[int, ...]]

    def of(self, path: str) -> tuple[str, ...]:
        """The stacks that a module at this path serves: one, or all if it is outside of them."""
        if len(self.layers) > 1:
            for part in path.split("."):
                for kind in self.layers:
                    if kind in part.lower():
                        return (kind,)
        return tuple(self.layers)


def find_encodings(network: PreTrainedModel, stacks: Stacks) -> list[PositionalEncoding]:
    """Everything positional that the network has, each once, in the order of reading."""
    for module in network.modules():
        if isinstance(module, Transformer):
            ours = _of_ours(module, stacks)
            return [] if ours is None else [ours]
    modules = [
        (path, module)
        for path, module in network.named_modules()
        if not NOT_TEXT.search(path.lower())
    ]
    slopes = list(_alibi(network, modules, stacks))
    found = [
        *_from_tables(network, modules, stacks),
        # Falcon has a module to rotate with even where it takes ALiBi instead.
        *([] if slopes else _rotary(network, modules, stacks)),
        *slopes,
        *_biases(modules, stacks),
        *_relative(modules, stacks),
    ]
    return merged(found)


# --- Rotations ----------------------------------------------------------------------------------


def _from_tables(
    network: PreTrainedModel, modules: Modules, stacks: Stacks
) -> Iterator[PositionalEncoding]:
    for table in find_tables(network, modules):
        kinds = stacks.of(table.path)
        frequencies, values = table.frequencies, table.values
        if not (table.is_sinusoidal and table.is_narrow):
            yield table_of(
                values[table.n_skipped :],
                kinds,
                frequencies=frequencies,
                is_sinusoidal=table.is_sinusoidal,
                n_skipped=table.n_skipped,
            )
            continue
        # GPT-J, CodeGen and RoFormer keep the sines and cosines to rotate by in a table.
        if frequencies is None:  # numbers that were written over: what the second row turns by
            half = values.shape[1] // 2
            frequencies = np.arctan2(values[1, :half], values[1, half : 2 * half])
        yield rotation_of(
            frequencies,
            kinds,
            stacks.layers[kinds[0]],
            d_head=_d_head(network),
            base=10000.0,
        )


def _rotary(
    network: PreTrainedModel, modules: Modules, stacks: Stacks
) -> Iterator[RotaryPositions]:
    types = getattr(text_config(network), "layer_types", None) or ()
    for path, module in modules:
        kinds = stacks.of(path)
        layers = stacks.layers[kinds[0]]
        for name, buffer in module.named_buffers(recurse=False):
            if not name.endswith("inv_freq") or "original" in name:
                continue
            # "full_attention_inv_freq": layers of this type have frequencies of their own.
            prefix = name.removesuffix("inv_freq")
            mine = layers
            if prefix:
                mine = tuple(
                    layer
                    for layer in layers
                    if layer < len(types) and types[layer] == prefix.removesuffix("_")
                )
            if not mine:
                continue
            settings = _rope_settings(network, prefix.removesuffix("_"))
            scaling = settings.get("rope_type", "default")
            base = settings.get("rope_theta")
            yield rotation_of(
                as_array(buffer),
                kinds,
                mine,
                d_head=_d_head(network),
                base=None if base is None else float(base),
                scaling=str(scaling),
                attention_scaling=float(getattr(module, f"{prefix}attention_scaling", 1.0)),
            )


def _rope_settings(network: PreTrainedModel, layer_type: str) -> dict[str, Any]:
    config = text_config(network)
    settings = getattr(config, "rope_parameters", None) or {}
    if layer_type and isinstance(settings.get(layer_type), dict):
        settings = settings[layer_type]
    if not settings and isinstance(getattr(config, "rope_theta", None), float | int):
        settings = {"rope_theta": config.rope_theta}
    return dict(settings)


def rotation_of(
    frequencies: Float[np.ndarray, " pair"],
    kinds: tuple[str, ...],
    layers: tuple[int, ...],
    *,
    d_head: int,
    base: float | int | None,
    scaling: str = "default",
    attention_scaling: float | int = 1.0,
) -> RotaryPositions:
    """RoPE with these frequencies, described."""
    n_rotated = 2 * len(frequencies)
    part = "" if n_rotated >= d_head else f", {n_rotated} of a head's {d_head} dimensions"
    details = [] if base is None else [f"base {base:,.0f}"]
    if scaling != "default":
        details.append(f"stretched for long texts: {scaling}")
    more = f" ({'; '.join(details)})" if details else ""
    return RotaryPositions(
        family="rotary",
        kinds=kinds,
        layers=layers,
        description=(
            "Rotary (RoPE): queries and keys are turned, pair by pair, by an angle that grows with "
            f"position. {len(frequencies)} pairs{part}{more}."
        ),
        frequencies=frequencies,
        d_head=max(d_head, n_rotated),
        base=base,
        scaling=scaling,
        attention_scaling=attention_scaling,
    )


def _d_head(network: PreTrainedModel) -> int:
    config = text_config(network)
    latent = [getattr(config, f"qk_{part}_head_dim", None) for part in ("nope", "rope")]
    if all(isinstance(size, int) for size in latent):
        return int(sum(size for size in latent if size is not None))
    stated = getattr(config, "head_dim", None)
    if isinstance(stated, int):
        return stated
    return int(config.hidden_size // config.num_attention_heads)


# --- Biases and others --------------------------------------------------------------------------


def _alibi(network: PreTrainedModel, modules: Modules, stacks: Stacks) -> Iterator[AlibiPositions]:
    """ALiBi has no module. What gives it away is the function that builds it, if it is used."""
    for path, module in modules:
        builder = _alibi_builder(module)
        if builder is None:
            continue
        n_heads = int(network.config.num_attention_heads)
        if "attention_mask" in inspect.signature(builder).parameters:
            bias = builder(torch.ones(1, 2), n_heads, torch.float32)
        else:
            bias = builder(n_heads, 2)
        slopes = as_array((bias[..., 1] - bias[..., 0]).flatten())
        if "Falcon" in type(module).__name__:  # which divides the sum by √d_k, not the product
            slopes = slopes / np.sqrt(np.float32(_d_head(network)))
        kinds = stacks.of(path)
        yield alibi_of(slopes, kinds, stacks.layers[kinds[0]])


def _alibi_builder(module: nn.Module) -> Callable[..., Tensor] | None:
    if getattr(module, "use_alibi", True) is False or not isinstance(module, PreTrainedModel):
        return None
    if module.base_model is not module:
        return None
    beside = vars(sys.modules[type(module).__module__])
    for name in ("build_alibi_tensor", "build_mpt_alibi_tensor"):
        if name in beside:
            builder: Callable[..., Tensor] = beside[name]
            return builder
    return None


def alibi_of(
    slopes: Float[np.ndarray, " head"], kinds: tuple[str, ...], layers: tuple[int, ...]
) -> AlibiPositions:
    """ALiBi with these slopes, described."""
    return AlibiPositions(
        family="alibi",
        kinds=kinds,
        layers=layers,
        description=(
            "ALiBi: the farther back a token is, the lower its score, in each head at another "
            f"slope: from {slopes.max():.2g} to {slopes.min():.2g} a token of distance."
        ),
        slopes=slopes,
    )


def _biases(modules: Modules, stacks: Stacks) -> Iterator[PositionalEncoding]:
    found: dict[tuple[str, ...], list[tuple[str, nn.Embedding]]] = {}
    for path, module in modules:
        if path.rpartition(".")[2] == "relative_attention_bias" and isinstance(
            module, nn.Embedding
        ):
            found.setdefault(stacks.of(path), []).append((path, module))
    by_path = dict(modules)
    for kinds, tables in found.items():
        holder = by_path[tables[0][0].rpartition(".")[0]]
        buckets = np.stack([as_array(table.weight).T for _path, table in tables])
        n_buckets = buckets.shape[-1]
        layers = stacks.layers[kinds[0]]
        each = "" if len(tables) == 1 else "layer, "
        yield BiasPositions(
            family="relative bias",
            kinds=kinds,
            layers=layers,
            description=(
                f"Relative bias: a learned number for each {each}head and each of {n_buckets} "
                "buckets of distance is added to the scores; far distances share buckets."
            ),
            buckets=buckets,
            max_distance=int(getattr(holder, "relative_attention_max_distance", 128)),
            looks_ahead="decoder" not in kinds,
        )


def _relative(modules: Modules, stacks: Stacks) -> Iterator[PositionalEncoding]:
    """Distances that meet the content of queries and keys, so that no curve can be drawn."""
    for path, module in modules:
        names = {name for name, _weights in module.named_parameters(recurse=False)}
        children = {name for name, _child in module.named_children()}
        how = ""
        if {"r_w_bias", "r_r_bias"} <= names:
            how = (
                "Relative: each score gets a part that depends on the query and on a sinusoidal "
                "vector of the distance (Transformer-XL)."
            )
        elif "rel_embeddings" in children:
            how = (
                "Relative: each distance has a learned vector, with which query and key are "
                "compared apart from the content (DeBERTa's disentangled attention)."
            )
        elif "distance_embedding" in children:
            how = (
                "Relative: each distance has a learned vector that is compared with the query "
                "(Shaw et al. 2018)."
            )
        elif "relative_pos_embeddings" in children:
            how = (
                "Relative: each query gives each bucket of distances a number of its own, which "
                "is added to the scores (ProphetNet)."
            )
        elif "relative_attention_bias" in names:
            how = (
                "Relative: a learned number for each bucket of distances, and for pairs of "
                "segments of the text, is added to the scores."
            )
        if how:
            kinds = stacks.of(path)
            yield PositionalEncoding("relative", kinds, stacks.layers[kinds[0]], how)


# --- Ours, and what all have in common ----------------------------------------------------------


def _of_ours(module: Transformer, stacks: Stacks) -> PositionalEncoding | None:
    config, kinds = module.config, tuple(stacks.layers)
    layers = stacks.layers[kinds[0]]
    if config.positions == "sinusoidal":
        values = as_array(sinusoids(0, N_UNLIMITED, config.d_model))
        return table_of(values, kinds, frequencies=frequencies_of(values), is_sinusoidal=True)
    if config.positions == "learned":
        table: Any = module.embedding.positions
        return table_of(as_array(table.weight), kinds)
    if config.positions == "alibi":
        return alibi_of(-as_array(alibi(config.n_heads, 1, 2)[0, :, 0, 1]), kinds, layers)
    if config.positions == "rope":
        turned = rotate(torch.tensor([1.0, 0.0]).repeat(config.d_head // 2).expand(1, 1, 2, -1))
        cosines, sines = turned[0, 0, 1, 0::2], turned[0, 0, 1, 1::2]  # of position 1
        frequencies = as_array(torch.atan2(sines, cosines))
        return rotation_of(frequencies, kinds, layers, d_head=config.d_head, base=10000.0)
    return None


def merged(found: list[PositionalEncoding]) -> list[PositionalEncoding]:
    """Each encoding once, with all the stacks and layers that it was found in."""
    kept: list[PositionalEncoding] = []
    for one in found:
        for place, other in enumerate(kept):
            if _same(one, other) and (one.kinds == other.kinds or one.layers == other.layers):
                kept[place] = replace(
                    other,
                    kinds=tuple(dict.fromkeys(other.kinds + one.kinds)),
                    layers=tuple(sorted({*other.layers, *one.layers})),
                )
                break
        else:
            kept.append(one)
    return kept


def _same(one: PositionalEncoding, other: PositionalEncoding) -> bool:
    """Whether they differ at most in where they were found."""
    if type(one) is not type(other):
        return False
    names = [field.name for field in fields(one) if field.name not in ("kinds", "layers")]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
