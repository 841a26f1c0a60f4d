"""One forward pass, listened to: what it leaves, and logits computed from that later.

How a network is best listened to is found out once (`vizcore.trial`) and written down as a
`Capture`. Running it then takes nothing but that: attention is recorded by the tap or returned by
the network, and the last hidden state is picked up on its way to the language-model head. All that
passes through context variables; nothing is ever written on the network.
"""

import inspect
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import ModelOutput

from vizcore.attention_calls import AttentionCall
from vizcore.banded import full_maps, plain_maps
from vizcore.tap import Recorder

Kind = Literal["decoder", "encoder", "cross"]
CHARACTERS = 0x110000
"""How many there are in Unicode."""


@dataclass(frozen=True, eq=False)
class Capture:
    """How one network is run and listened to.

    Args:
        way: "tap" or "eager".
        layers: for each kind of attention, the network's layers that have it, counted from 0.
        n_heads: for each kind, the number of query heads.
        calls: with the tap, the kind of each of its calls in one forward pass, in order; None for
            a call that belongs to no text layer.
        callers: with the tap, for each of its calls the name of the module that makes it.
        trunk: the part from whose last hidden state the language-model head can compute logits
            later; None if there is no head, or if it reads more than that.
        has_head: whether the network predicts tokens.
    """

    way: Literal["tap", "eager"]
    layers: dict[Kind, tuple[int, ...]]
    n_heads: dict[Kind, int]
    calls: tuple[Kind | None, ...]
    callers: tuple[str, ...]
    trunk: nn.Module | None
    has_head: bool


@dataclass(frozen=True, eq=False)
class Run:
    """What one forward pass left behind.

    Args:
        calls: with the tap, for each kind one recorded call a layer.
        maps: in eager mode, for each kind one tensor (head, query, key) a layer. (In annotations
            of containers axes have no names: layers may differ.)
        hidden: the trunk's output, if logits can be computed from it.
        logits: (token, vocabulary) where they had to be computed at once, else None.
    """

    calls: dict[Kind, tuple[AttentionCall, ...]]
    maps: dict[Kind, tuple[Float[Tensor, "_ _ _"], ...]]
    hidden: Any
    logits: Float[Tensor, "token vocab"] | None


@dataclass(eq=False)
class Relay:
    """What passes between a trunk and whoever runs it, within one thread: in, or out."""

    given: ModelOutput | None = None
    taken: ModelOutput | None = None


class RelayedForward:
    """A trunk's forward that hands its output to this thread's relay, or answers from it.

    An object, not a closure, so that a deep copy of the network has one that runs the copy.
    """

    def __init__(self, trunk: nn.Module) -> None:
        self.trunk = trunk
        self.own = vars(trunk).get("forward")  # what others have put there, such as accelerate
        self.__signature__ = inspect.signature(trunk.forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        relay = relay_of_thread.get()
        if relay is not None and relay.given is not None:
            return relay.given
        forward = self.own or partial(type(self.trunk).forward, self.trunk)
        output = forward(*args, **kwargs)
        if relay is not None:
            relay.taken = output
        return output


relay_of_thread: ContextVar[Relay | None] = ContextVar("headlight_relay", default=None)


def run(
    network: PreTrainedModel,
    capture: Capture,
    inputs: dict[str, Tensor],
    *,
    values: bool = False,
) -> Run:
    """One forward pass of one text, recorded. Safe to call from many threads at once.

    Args:
        inputs: keyword arguments of the network's forward, with a batch of one.
        values: also keep the values, where the tap is used.
    """
    body: nn.Module = network
    if capture.trunk is not None and "decoder_input_ids" not in inputs:
        body = capture.trunk  # logits can wait until somebody asks for some of them
    eager: dict[str, Any] = {"output_attentions": True} if capture.way == "eager" else {}
    relay = Relay()
    token = relay_of_thread.set(relay)
    try:
        with torch.inference_mode(), Recorder(values=values) as recorder:
            output = body(**inputs, **without_cache(body), **eager)
    finally:
        relay_of_thread.reset(token)

    calls: dict[Kind, tuple[AttentionCall, ...]] = {}
    maps: dict[Kind, tuple[Tensor, ...]] = {}
    if capture.way == "tap":
        for kind in capture.layers:
            pairs = zip(recorder.calls, capture.calls, strict=True)
            calls[kind] = tuple(call for call, its_kind in pairs if its_kind == kind)
    else:
        maps = eager_maps(output, network, one_stack=next(iter(capture.layers)))
    logits = output.logits[0] if capture.has_head and capture.trunk is None else None
    return Run(calls=calls, maps=maps, hidden=only_hidden(relay.taken), logits=logits)


def logits_from(
    network: PreTrainedModel,
    hidden: Any,
    rows: slice | Sequence[int],
    inputs: dict[str, Tensor],
) -> Float[Tensor, "row vocab"]:
    """The network's own logits at chosen positions, from the hidden states that a run left.

    The network's forward is called, but its trunk answers from what is given; so scaling, soft
    caps, biases and transforms of the head are applied as the architecture has them.

    Args:
        rows: positions in the text.
        inputs: as they were given to `run`.
    """
    chosen = type(hidden)(last_hidden_state=hidden.last_hidden_state[:, rows])
    given: dict[str, Any] = {}
    if "decoder_input_ids" in inputs:  # no need to run the encoder again
        given["encoder_outputs"] = BaseModelOutput(last_hidden_state=chosen.last_hidden_state)
    token = relay_of_thread.set(Relay(given=chosen))
    try:
        with torch.no_grad():  # not inference_mode: what users get, they may compute with
            logits: Tensor = network(**inputs, **given, **without_cache(network)).logits[0]
            return logits
    finally:
        relay_of_thread.reset(token)


def install_relay(trunk: nn.Module) -> None:
    """Let the trunk hand its output to this thread's relay, or answer with what is in there."""
    remove_relay(trunk)
    trunk.forward = RelayedForward(trunk)


def remove_relay(trunk: nn.Module) -> None:
    """Undo `install_relay`."""
    forward = vars(trunk).get("forward")
    if isinstance(forward, RelayedForward):
        del trunk.forward
        if forward.own is not None:
            trunk.forward = forward.own


def only_hidden(output: Any) -> Any:
    """The same kind of output with nothing but the last hidden state in it."""
    last = getattr(output, "last_hidden_state", None)
    return None if last is None else type(output)(last_hidden_state=last)


def eager_maps(
    output: ModelOutput, network: PreTrainedModel, *, one_stack: Kind
) -> dict[Kind, tuple[Float[Tensor, "_ _ _"], ...]]:
    """The weights that transformers returned: for each kind one (head, query, key) a layer.

    Args:
        one_stack: the kind of attention that it is if the network has a single stack.
    """
    if reads_two_texts(network):
        found: dict[Kind, tuple[Tensor, ...]] = {
            "encoder": full_maps(output.get("encoder_attentions"), network.config),
            "decoder": plain_maps(output.get("decoder_attentions")),
            "cross": plain_maps(output.get("cross_attentions")),
        }
        return {kind: maps for kind, maps in found.items() if maps}
    maps = full_maps(output.get("attentions"), network.config)
    return {one_stack: maps} if maps else {}


def one_stack_kind(maps: Sequence[Float[Tensor, "_ _ _"]]) -> Kind:
    """A stack in which no query looks at what comes after it is a decoder."""
    looks_ahead = any(weights.triu(1).count_nonzero() for weights in maps)
    return "encoder" if looks_ahead else "decoder"


def reads_two_texts(network: nn.Module) -> bool:
    """Whether it has an encoder and a decoder. T5's encoder alone has the same configuration."""
    return "decoder_input_ids" in inspect.signature(network.forward).parameters


def text_inputs(
    network: nn.Module, source_ids: Tensor, target_ids: Tensor | None = None
) -> dict[str, Tensor]:
    """Keyword arguments of the network's forward for these ids, (batch, token) each."""
    inputs = {"input_ids": source_ids}
    if "attention_mask" in inspect.signature(network.forward).parameters:
        inputs["attention_mask"] = torch.ones_like(source_ids)
    if target_ids is not None:
        inputs["decoder_input_ids"] = target_ids
    return inputs


def without_cache(module: nn.Module) -> dict[str, Any]:
    """Arguments that keep a forward pass from building a cache of keys and values."""
    takes = inspect.signature(module.forward).parameters
    return {"use_cache": False} if "use_cache" in takes else {}


def text_config(network: PreTrainedModel) -> PreTrainedConfig:
    """The configuration of the network's text part; the whole one if there is more than one."""
    try:
        found: PreTrainedConfig = network.config.get_text_config()
    except ValueError:
        return network.config
    return found


def vocabulary_size(network: PreTrainedModel) -> int:
    """How many token ids the network knows."""
    try:
        embeddings: Any = network.get_input_embeddings()
        return int(embeddings.num_embeddings)
    except (NotImplementedError, AttributeError):
        known: int | None = getattr(text_config(network), "vocab_size", None)
        return CHARACTERS if known is None else known  # CANINE reads characters
