"""Finds out, by trying, how a network's attention can be captured.

When a network is loaded, a few tokens are run through it twice: in transformers' eager mode, which
returns attention weights, and through the tap. If the tap sees every layer and both agree, the
tap is used (`"tap"`): it costs nothing and records little. If the network never calls the tap, or
computes something else, its eager weights are used (`"eager"`). A network that gives neither is
refused. So nothing here is a list of architectures, and what is shown has been compared once on
the very network that it is shown for.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from vizcore.capture import (
    Capture,
    Kind,
    Relay,
    eager_maps,
    install_relay,
    logits_from,
    one_stack_kind,
    only_hidden,
    relay_of_thread,
    remove_relay,
    vocabulary_size,
    without_cache,
)
from vizcore.errors import CaptureError
from vizcore.tap import IMPLEMENTATION, AttentionCall, Recorder

EXACT = 1e-4
"""How far tap and eager weights may differ in the trial, in float32 (both add up rounding)."""
ROUNDED = 0.05
"""The same for networks that run in half precision."""
N_TRIAL_TOKENS = 6
N_TRIAL_TARGETS = 4
"""A trial's target is shorter than its source, so that shapes tell the kinds of attention apart."""


def find_capture(network: PreTrainedModel) -> Capture:
    """Try the network out and prepare it, once, for being shared by many threads.

    Raises:
        CaptureError: if it has no softmax attention, or none that can be captured exactly.
    """
    network.train(False)
    _expect_plain_outputs(network)
    inputs = _trial_inputs(network)
    two_stacks = bool(network.config.is_encoder_decoder)

    _use(network, "eager")
    with torch.inference_mode():
        reference = network(**inputs, **without_cache(network), output_attentions=True)
    reference_maps = _only_weights(eager_maps(reference, network, two_stacks))
    output_embeddings: Any = network.get_output_embeddings
    has_head = output_embeddings() is not None and "logits" in reference
    trunk = _find_trunk(network, inputs, reference.logits) if has_head else None

    calls = _tap_calls(network, inputs, reference) if _use(network, IMPLEMENTATION) else []
    kinds = [_kind_of(call, two_stacks, reference_maps) for call in calls]
    if calls and _agree(calls, kinds, reference_maps):
        heads = {kind: call.n_heads for call, kind in zip(calls, kinds, strict=True) if kind}
        return Capture(
            way="tap",
            layers={kind: _layer_numbers(calls, kinds, kind) for kind in _in_order(heads)},
            n_heads={kind: heads[kind] for kind in _in_order(heads)},
            calls=tuple(kinds),
            trunk=trunk,
            has_head=has_head,
        )

    _use(network, "eager")
    if not reference_maps:
        name = type(network).__name__
        if calls:
            raise CaptureError(
                f"{name} computes its attention in a way that could not be reproduced exactly, and "
                "transformers returns no weights for it either: its maps cannot be shown."
            )
        raise CaptureError(
            f"{name} has no attention weights to show: it has no softmax attention (state-space "
            "and linear-attention models have none), or transformers does not return them."
        )
    return Capture(
        way="eager",
        layers={kind: _eager_layers(network, maps) for kind, maps in reference_maps.items()},
        n_heads={kind: maps[0].shape[0] for kind, maps in reference_maps.items()},
        calls=(),
        trunk=trunk,
        has_head=has_head,
    )


def _find_trunk(
    network: PreTrainedModel, inputs: dict[str, Tensor], expected: Float[Tensor, "1 token vocab"]
) -> nn.Module | None:
    """The part of the network from whose last hidden state its head computes these logits."""
    body = network.base_model
    candidates = [body, getattr(body, "decoder", None), getattr(network, "decoder", None)]
    for candidate in candidates:
        if not isinstance(candidate, nn.Module) or candidate is network:
            continue
        install_relay(candidate)
        if _replays(network, inputs, expected):
            return candidate
        remove_relay(candidate)
    return None


def _replays(network: PreTrainedModel, inputs: dict[str, Tensor], expected: Tensor) -> bool:
    """Whether a row of logits computed from the hidden state alone is the network's own."""
    relay = Relay()
    token = relay_of_thread.set(relay)
    try:
        with torch.inference_mode():
            network(**inputs, **without_cache(network))
    finally:
        relay_of_thread.reset(token)
    hidden = only_hidden(relay.taken)
    if hidden is None:
        return False
    try:
        row = logits_from(network, hidden, [1], inputs)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
        return False  # a head that reads more than the hidden state: its logits are kept instead
    return row.shape == expected[0, 1:2].shape and _close(row, expected[0, 1:2])


def _expect_plain_outputs(network: PreTrainedModel) -> None:
    """Undo what a saved configuration may ask for: tuples, or weights with every forward pass."""
    network.config.return_dict = True
    network.config.output_hidden_states = False
    network.config.output_attentions = False


def _trial_inputs(network: PreTrainedModel) -> dict[str, Tensor]:
    config = network.config.get_text_config()
    special = {
        getattr(config, name, None)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    }
    vocabulary = vocabulary_size(network)
    ids = [i for i in range(min(vocabulary, 64)) if i not in special]
    ids = (ids[len(ids) // 2 :] + ids)[:N_TRIAL_TOKENS] or [0]
    while len(ids) < N_TRIAL_TOKENS:
        ids.append(ids[0])
    source = torch.tensor([ids], device=network.device)
    inputs = {"input_ids": source, "attention_mask": torch.ones_like(source)}
    if network.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = source[:, :N_TRIAL_TARGETS]
    return inputs


def _tap_calls(
    network: PreTrainedModel, inputs: dict[str, Tensor], reference: ModelOutput
) -> list[AttentionCall]:
    """The tap's calls in one forward pass; none if the network computes something else with it."""
    with torch.inference_mode(), Recorder(values=True) as recorder:
        output = network(**inputs, **without_cache(network))
    same = _close(output[0], reference[0])
    return recorder.calls if same else []


def _kind_of(
    call: AttentionCall, two_stacks: bool, reference: dict[Kind, tuple[Tensor, ...]]
) -> Kind | None:
    n_queries, n_keys = call.query.shape[2], call.key.shape[2]
    if not two_stacks:
        one_stack = next(iter(reference), None) or one_stack_kind(call.weights())
        return one_stack if (n_queries, n_keys) == (N_TRIAL_TOKENS, N_TRIAL_TOKENS) else None
    shapes: dict[tuple[int, int], Kind] = {
        (N_TRIAL_TOKENS, N_TRIAL_TOKENS): "encoder",
        (N_TRIAL_TARGETS, N_TRIAL_TARGETS): "decoder",
        (N_TRIAL_TARGETS, N_TRIAL_TOKENS): "cross",
    }
    return shapes.get((n_queries, n_keys))


def _agree(
    calls: Sequence[AttentionCall],
    kinds: Sequence[Kind | None],
    reference: dict[Kind, tuple[Tensor, ...]],
) -> bool:
    """Whether the tap saw what eager mode returned."""
    for kind, maps in reference.items():
        seen = [call for call, its_kind in zip(calls, kinds, strict=True) if its_kind == kind]
        if len(seen) != len(maps):
            return False
        for call, expected in zip(seen, maps, strict=True):
            weights = call.weights()
            if weights.shape != expected.shape or not _close(weights, expected):
                return False
    return True


def _only_weights(maps: dict[Kind, tuple[Tensor, ...]]) -> dict[Kind, tuple[Tensor, ...]]:
    """Those that are weights between the trial's tokens, not scores, hashed buckets or blocks."""
    tokens, targets = N_TRIAL_TOKENS, N_TRIAL_TARGETS
    two_stacks = len(maps) > 1
    shapes: dict[Kind, tuple[int, int]] = {
        "encoder": (tokens, tokens),
        "decoder": (targets, targets) if two_stacks else (tokens, tokens),
        "cross": (targets, tokens),
    }
    return {
        kind: layers
        for kind, layers in maps.items()
        if all(
            layer.shape[1:] == shapes[kind] and layer.min() >= 0 and layer.sum(-1).max() < 1.01
            for layer in layers
        )
    }


def _layer_numbers(
    calls: Sequence[AttentionCall], kinds: Sequence[Kind | None], kind: Kind
) -> tuple[int, ...]:
    """The layers' numbers in the network where they tell, else in the order of the calls.

    They matter in hybrid networks, where only some layers have attention. A layer that is run
    several times (ALBERT) counts each time.
    """
    modules = [call.module for call, its_kind in zip(calls, kinds, strict=True) if its_kind == kind]
    numbers = [getattr(module, "layer_idx", None) for module in modules]
    known = [number for number in numbers if isinstance(number, int)]
    if len(known) == len(numbers) and known == sorted(set(known)):
        return tuple(known)
    return tuple(range(len(modules)))


def _eager_layers(network: PreTrainedModel, maps: Sequence[Tensor]) -> tuple[int, ...]:
    types = getattr(network.config, "layers_block_type", None) or []
    attending = [i for i, name in enumerate(types) if name in ("attention", "hybrid")]
    return tuple(attending) if len(attending) == len(maps) else tuple(range(len(maps)))


def _in_order(kinds: dict[Kind, int]) -> list[Kind]:
    every: tuple[Kind, ...] = ("encoder", "decoder", "cross")
    return [kind for kind in every if kind in kinds]


def _use(network: PreTrainedModel, implementation: str) -> bool:
    """Set the attention implementation; False if the network has its attention built in."""
    if not network._can_set_attn_implementation():
        return False
    network.set_attn_implementation(implementation)
    return True


def _close(mine: Tensor, theirs: Tensor) -> bool:
    exact = mine.dtype in (torch.float32, torch.float64) and theirs.dtype == mine.dtype
    tolerance = EXACT if exact else ROUNDED
    return torch.allclose(mine.float(), theirs.float(), atol=tolerance, rtol=tolerance)
