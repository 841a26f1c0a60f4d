"""Reads a text on, token by token, in any network that writes: the logits of what comes next.

Keys and values of what was read stay in the network's own cache, so that each token is read once.
Whether that is exact is tried out, once for each network; where it is not, or where there is no
cache, the whole text is read anew each time. A reader belongs to one run and the network is not
written to. For many texts at once in our own networks use `vizcore.decoding.write`.
"""

import inspect
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from vizcore.capture import reads_two_texts, text_inputs, without_cache
from vizcore.decoding import Reader, open_reader
from vizcore.errors import MissingHeadError, ModelFilesError, TextError
from vizcore.model import POSITIONS, Model, decoder_start
from vizcore.pretrained import HeadlightModel
from vizcore.stream_editor import StreamEditor
from vizcore.tap import Editor
from vizcore.translation import ends_of
from vizcore.trial import CANNOT_RUN, close, trial_inputs


class CachedReader:
    """Reads each token once. Args: a network of transformers, and the source (1, token) if any."""

    def __init__(self, network: PreTrainedModel, source: Tensor | None) -> None:
        self.network, self.source = network, source
        self.past: Any = None
        self.n_read = 0
        self.memory: Tensor | None = None
        if source is not None:
            encoder: Any = network.get_encoder()
            self.memory = encoder(**text_inputs(encoder, source)).last_hidden_state

    def read(self, tokens: Tensor) -> Float[Tensor, "row vocab"]:
        """The logits of what follows these tokens, (row, token), which follow those before."""
        self.n_read += tokens.shape[1]
        takes = inspect.signature(self.network.forward).parameters
        given: dict[str, Any] = {"past_key_values": self.past, "use_cache": True}
        if "logits_to_keep" in takes:
            given["logits_to_keep"] = 1
        if self.memory is None or self.source is None:
            given["input_ids"] = tokens
            if "attention_mask" in takes:
                given["attention_mask"] = tokens.new_ones(len(tokens), self.n_read)
        else:
            given["decoder_input_ids"] = tokens
            given["encoder_outputs"] = BaseModelOutput(last_hidden_state=self.memory)
            if "attention_mask" in takes:
                given["attention_mask"] = tokens.new_ones(self.memory.shape[:2])
        output = self.network(**given)
        self.past = output.past_key_values
        logits: Tensor = output.logits[:, -1]
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows (one may be taken twice)."""
        chosen = torch.tensor(rows, device=self.network.device)
        self.past.reorder_cache(chosen)
        self.memory = None if self.memory is None else self.memory[chosen]


class RereadingReader:
    """Reads the whole text each time. Arguments as `CachedReader`."""

    def __init__(self, network: PreTrainedModel, source: Tensor | None) -> None:
        self.network, self.source = network, source
        self.texts: Tensor | None = None

    def read(self, tokens: Tensor) -> Float[Tensor, "row vocab"]:
        """As in `CachedReader`."""
        self.texts = tokens if self.texts is None else torch.cat([self.texts, tokens], dim=1)
        inputs = text_inputs(self.network, self.texts)
        if self.source is not None:
            source = self.source.expand(len(self.texts), -1)
            inputs = text_inputs(self.network, source, self.texts)
        logits: Tensor = self.network(**inputs, **without_cache(self.network)).logits[:, -1]
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """As in `CachedReader`."""
        assert self.texts is not None  # noqa: S101 - nothing is selected before it is read
        self.texts = self.texts[torch.tensor(rows, device=self.texts.device)]


TextReader = Reader | CachedReader | RereadingReader
"""Something that reads on: a row for each text, or each beginning of one."""


def open_text(
    model: Model, source_ids: Sequence[int] | None, *, network: PreTrainedModel | None = None
) -> TextReader:
    """A reader that has read nothing yet.

    Args:
        model: one that writes.
        source_ids: of an encoder-decoder, what its encoder reads.
        network: what reads: the model's own, or a copy of it.
    """
    cached = reads_with_cache(model)
    network = network or model.network
    if isinstance(network, HeadlightModel):
        return open_reader(network.transformer, None if source_ids is None else [source_ids])
    source = None if source_ids is None else torch.tensor([source_ids], device=network.device)
    return CachedReader(network, source) if cached else RereadingReader(network, source)


def reads_with_cache(model: Model) -> bool:
    """Whether `open_text` reads with the network's own cache: found out once, in a run unedited."""
    return not isinstance(model.network, HeadlightModel) and is_cached(model.network)


def is_cached(network: PreTrainedModel) -> bool:
    """Whether the network says the same with its cache as without, found by trying, once."""
    if network not in _tried:
        _tried[network] = _agrees_with_itself(network)
    return _tried[network]


_tried: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def _agrees_with_itself(network: PreTrainedModel) -> bool:
    few = trial_inputs(network)["input_ids"]
    source = few if reads_two_texts(network) else None
    tokens = torch.cat([few, few.flip(1)], dim=1)  # some networks do a thing every few tokens
    try:
        with torch.inference_mode(), Editor({}), StreamEditor():
            cached, anew = CachedReader(network, source), RereadingReader(network, source)
            for step, part in enumerate((tokens[:, :7], *tokens[:, 7:].unbind(1))):
                if step == 1:
                    cached.select([0, 0])
                    anew.select([0, 0])
                part = part.reshape(1, -1).expand(2 if step else 1, -1)
                if not close(cached.read(part), anew.read(part)):
                    return False
    except CANNOT_RUN:
        return False
    return True


def beginning(
    model: Model, text: str | Sequence[int], target: str | Sequence[int] | None
) -> tuple[list[int] | None, list[int], int | None]:
    """What a model that writes reads first.

    Args:
        text: of a decoder, what is gone on from; of an encoder-decoder, its source.
        target: of an encoder-decoder, what its target begins with; None for its start token.

    Returns:
        The source's ids, if it reads one; the ids that are gone on from; and how many there can
        be, as far as the network is limited.

    Raises:
        TextError: if the model writes nothing, or a text cannot be run.
        MissingHeadError: if it has no language-model head.
    """
    if model.kind == "encoder":
        raise TextError(
            f"{model.name} is an encoder: it fills in what is masked, and goes on from no text. "
            'Take a model that reads from left to right, such as "smollm2-135m".'
        )
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it has no logits and predicts "
            'no tokens. Load a model with one, such as "smollm2-135m".'
        )
    if model.kind == "decoder":
        if target is not None:
            raise TextError(
                f"{model.name} has one stack, so it takes one text: leave out `target`, or join "
                "the two texts yourself."
            )
        ids = model.encode(text)
        if isinstance(text, str) and ids[-1] in ends_of(model):
            ids = ids[:-1] or ids  # some tokenizers put an end there; it is to go on
        return None, ids, model.max_tokens
    source_ids = model.encode(text)
    limit = model._limit(*POSITIONS, "max_decoder_position_embeddings")
    if target is not None:
        return source_ids, model._decoder_input(target), limit
    settings = getattr(model.network, "generation_config", None)
    start = getattr(settings, "decoder_start_token_id", None)
    start = decoder_start(model.network) if start is None else start
    if start is None:
        raise ModelFilesError(
            f"The configuration of {model.name} has no decoder_start_token_id, so it is not "
            "known what its decoder reads first. Give the target as token ids."
        )
    language = getattr(settings, "forced_bos_token_id", None)  # of the target, as in mBART
    return source_ids, [start] if language is None else [start, language], limit
