"""Finds out, by trying, how a network's attention can be captured.

When a network is loaded, a few tokens are run through it twice: in transformers' eager mode, which
returns attention weights, and through the tap. If the tap sees every layer and both agree, the
tap is used (`"tap"`): it costs nothing and records little. If the network never calls the tap, or
computes something else, its eager weights are used (`"eager"`). A network that gives neither is
refused. So nothing here is a list of architectures, and what is shown has been compared once on
the very network that it is shown for.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from vizcore.attention_calls import AttentionCall
from vizcore.capture import (
    Capture,
    Kind,
    Relay,
    eager_maps,
    install_relay,
    logits_from,
    one_stack_kind,
    only_hidden,
    reads_two_texts,
    relay_of_thread,
    remove_relay,
    text_config,
    text_inputs,
    vocabulary_size,
    without_cache,
)
from vizcore.errors import CaptureError
from vizcore.rotary import keep_rotary_frequencies_private
from vizcore.tap import IMPLEMENTATION, Recorder

EXACT = 1e-4
"""How far tap and eager weights may differ in the trial, in float32 (both add up rounding)."""
ROUNDED = 0.05
"""The same for networks that run in half precision."""
CANNOT_RUN = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    ImportError,
)
"""What transformers' networks raise if they are given what they cannot run."""
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
    keep_rotary_frequencies_private(network)
    inputs = trial_inputs(network)
    two_stacks = reads_two_texts(network)

    _use(network, "eager")
    reference = _eager_reference(network, inputs)
    returned = eager_maps(reference, network, one_stack="encoder")
    weights = _only_weights(returned, two_stacks)
    if not two_stacks and weights and one_stack_kind(weights["encoder"]) == "decoder":
        returned, weights = {"decoder": returned["encoder"]}, {"decoder": weights["encoder"]}
    reference_maps = {
        kind: maps for kind, maps in weights.items() if len(maps) == len(returned[kind])
    }
    output_embeddings: Any = network.get_output_embeddings
    has_head = output_embeddings() is not None and "logits" in reference
    trunk = _find_trunk(network, inputs, reference["logits"]) if has_head else None

    calls = _tap_calls(network, inputs, reference) if _use(network, IMPLEMENTATION) else []
    kinds = _kinds_of(calls, two_stacks, weights)
    if any(kinds) and _agree(calls, kinds, weights):
        names = {id(module): name for name, module in network.named_modules()}
        heads = {kind: call.n_heads for call, kind in zip(calls, kinds, strict=True) if kind}
        return Capture(
            way="tap",
            layers={kind: _layer_numbers(network, calls, kinds, kind) for kind in _in_order(heads)},
            n_heads={kind: heads[kind] for kind in _in_order(heads)},
            calls=tuple(kinds),
            callers=tuple(names.get(id(call.module), "") for call in calls),
            trunk=trunk,
            has_head=has_head,
        )

    _use(network, "eager")
    if not reference_maps:
        something = bool(returned) or _returns_other_maps(reference)
        raise CaptureError(_why_not(network, saw_calls=bool(calls), returned=something))
    return Capture(
        way="eager",
        layers={
            kind: _configured_layers(network, len(maps)) for kind, maps in reference_maps.items()
        },
        n_heads={kind: maps[0].shape[0] for kind, maps in reference_maps.items()},
        calls=(),
        callers=(),
        trunk=trunk,
        has_head=has_head,
    )


def _why_not(network: PreTrainedModel, *, saw_calls: bool, returned: bool) -> str:
    name = type(network).__name__
    if returned:
        return (
            f"{name} returns something for its attention that is not one weight for each pair of "
            "tokens (scores before the softmax, or tokens pooled or hashed together): its maps "
            "cannot be shown."
        )
    if saw_calls:
        return (
            f"{name} computes its attention in a way that could not be reproduced exactly, and "
            "transformers returns no weights for it either: its maps cannot be shown."
        )
    return (
        f"{name} has no attention weights to show: it has no softmax attention (state-space and "
        "linear-attention models have none), or transformers does not return them."
    )


def _returns_other_maps(reference: ModelOutput) -> bool:
    """Whether there is attention cut into blocks (Reformer), which `eager_maps` leaves out."""
    fields = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")
    layers = [layer for field in fields for layer in reference.get(field) or ()]
    return any(isinstance(layer, tuple) or layer is not None and layer.ndim > 4 for layer in layers)


def _eager_reference(network: PreTrainedModel, inputs: dict[str, Tensor]) -> ModelOutput:
    """What the network returns in eager mode, attention weights included.

    It is run once before, since BigBird exchanges its layers at its first short text.
    """
    try:
        with torch.inference_mode():
            network(**inputs, **without_cache(network))
            output: ModelOutput = network(
                **inputs, **without_cache(network), output_attentions=True
            )
    except CANNOT_RUN as error:
        raise CaptureError(
            f"{type(network).__name__} could not be run on a few tokens of text alone, so it is "
            f"not known how it attends: {error}"
        ) from error
    return output


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
        if _replays(network, candidate, inputs, expected):
            return candidate
        remove_relay(candidate)
    return None


def _replays(
    network: PreTrainedModel, trunk: nn.Module, inputs: dict[str, Tensor], expected: Tensor
) -> bool:
    """Whether a row of logits computed from the hidden state alone is the network's own."""
    relay = Relay()
    token = relay_of_thread.set(relay)
    # As `vizcore.capture.run` does it: a trunk of one stack is run by itself.
    body: nn.Module = network if reads_two_texts(network) else trunk
    try:
        with torch.inference_mode():
            body(**inputs, **without_cache(body))
    except CANNOT_RUN:
        return False
    finally:
        relay_of_thread.reset(token)
    hidden = only_hidden(relay.taken)
    if hidden is None:
        return False
    try:
        row = logits_from(network, hidden, [1], inputs)
    except CANNOT_RUN:
        return False  # a head that reads more than the hidden state: its logits are kept instead
    return close(row, expected[0, 1:2])


def _expect_plain_outputs(network: PreTrainedModel) -> None:
    """Undo what a saved configuration may ask for: tuples, or weights with every forward pass."""
    for module in network.modules():
        config = getattr(module, "config", None)
        if isinstance(config, PreTrainedConfig):
            config.return_dict = True
            config.output_hidden_states = False
            config.output_attentions = False


def trial_inputs(network: PreTrainedModel) -> dict[str, Tensor]:
    """A few tokens without a meaning of their own, as arguments of the network's forward."""
    if "input_ids" not in inspect.signature(network.forward).parameters:
        raise CaptureError(
            f"{type(network).__name__} does not read text: its input is {network.main_input_name}."
        )
    config = text_config(network)
    special = {
        getattr(config, name, None)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    }
    ids = [i for i in range(min(vocabulary_size(network), 64)) if i not in special]
    ids = (ids[len(ids) // 2 :] + ids)[:N_TRIAL_TOKENS] or [0]
    while len(ids) < N_TRIAL_TOKENS:
        ids.append(ids[0])
    source = torch.tensor([ids], device=network.device)
    target = source[:, :N_TRIAL_TARGETS] if reads_two_texts(network) else None
    return text_inputs(network, source, target)


def _tap_calls(
    network: PreTrainedModel, inputs: dict[str, Tensor], reference: ModelOutput
) -> list[AttentionCall]:
    """The tap's calls in one forward pass; none if the network computes something else with it."""
    try:
        with torch.inference_mode(), Recorder() as recorder:
            output = network(**inputs, **without_cache(network))
    except CANNOT_RUN:
        return []  # it asks more of an attention function than ours can do
    same = close(output[0], reference[0])
    return recorder.calls if same else []


def _kinds_of(
    calls: Sequence[AttentionCall],
    two_stacks: bool,
    reference: dict[Kind, tuple[Tensor, ...]],
) -> list[Kind | None]:
    """Which kind of attention each call is, told by its shape; None if it is none of the text's."""
    tokens, targets = N_TRIAL_TOKENS, N_TRIAL_TARGETS
    shapes: dict[tuple[int, int], Kind] = {
        (tokens, tokens): "encoder",
        (targets, targets): "decoder",
        (targets, tokens): "cross",
    }
    found = [shapes.get((call.query.shape[2], call.key.shape[2])) for call in calls]
    if two_stacks:
        return found
    square = [call for call, kind in zip(calls, found, strict=True) if kind == "encoder"]
    kind = next(iter(reference), None) or one_stack_kind([call.weights() for call in square])
    return [kind if its_kind == "encoder" else None for its_kind in found]


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
            if not close(weights, expected):
                return False
    return True


def _only_weights(
    maps: dict[Kind, tuple[Tensor, ...]], two_stacks: bool
) -> dict[Kind, tuple[Tensor, ...]]:
    """Those that are weights between the trial's tokens, not scores, hashed buckets or blocks.

    Some of a kind may be and others not: linear attention returns its state here.
    """
    tokens, targets = N_TRIAL_TOKENS, N_TRIAL_TARGETS
    shapes: dict[Kind, tuple[int, int]] = {
        "encoder": (tokens, tokens),
        "decoder": (targets, targets) if two_stacks else (tokens, tokens),
        "cross": (targets, tokens),
    }
    found = {
        kind: tuple(
            layer
            for layer in layers
            if layer.shape[1:] == shapes[kind] and layer.min() >= 0 and layer.sum(-1).max() < 1.01
        )
        for kind, layers in maps.items()
    }
    return {kind: layers for kind, layers in found.items() if layers}


def _layer_numbers(
    network: PreTrainedModel,
    calls: Sequence[AttentionCall],
    kinds: Sequence[Kind | None],
    kind: Kind,
) -> tuple[int, ...]:
    """The layers' numbers in the network where they tell, else those that its configuration says.

    They matter in hybrid networks, where only some layers have attention. A layer that is run
    several times (ALBERT) counts each time.
    """
    modules = [call.module for call, its_kind in zip(calls, kinds, strict=True) if its_kind == kind]
    numbers = [getattr(module, "layer_idx", None) for module in modules]
    known = [number for number in numbers if isinstance(number, int)]
    if len(known) == len(numbers) and known == sorted(set(known)):
        return tuple(known)
    return _configured_layers(network, len(modules))


def _configured_layers(network: PreTrainedModel, n_attending: int) -> tuple[int, ...]:
    """The layers that attend by their configured types, if as many do; else all, in order."""
    config = text_config(network)
    types = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ()
    attending = tuple(number for number, name in enumerate(types) if _attends(name))
    return attending if len(attending) == n_attending else tuple(range(n_attending))


def _attends(layer_type: str) -> bool:
    return layer_type == "hybrid" or ("attention" in layer_type and "linear" not in layer_type)


def _in_order(kinds: dict[Kind, int]) -> list[Kind]:
    every: tuple[Kind, ...] = ("encoder", "decoder", "cross")
    return [kind for kind in every if kind in kinds]


def _use(network: PreTrainedModel, implementation: str) -> bool:
    """Set the attention implementation; False if the network has its attention built in."""
    if not network._can_set_attn_implementation():
        return False
    network.set_attn_implementation(implementation)
    return True


def close(mine: Tensor, theirs: Tensor) -> bool:
    """Equal up to rounding, which grows with the largest number that is added up."""
    if mine.shape != theirs.shape:
        return False
    exact = mine.dtype in (torch.float32, torch.float64) and theirs.dtype == mine.dtype
    tolerance = EXACT if exact else ROUNDED
    scale = max(1.0, theirs.float().abs().max().item())
    return torch.allclose(mine.float(), theirs.float(), atol=tolerance * scale, rtol=tolerance)
