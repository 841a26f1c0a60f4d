"""`Model`: a network that can be looked into.

It is a network, its tokenizer, and what was found out about both when it was loaded. It is
never written to after that: one model serves any number of threads, and everything that belongs to
one run is in the `Trace` that the run returns.
"""

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vizcore.capture import (
    Capture,
    Kind,
    Run,
    reads_two_texts,
    run,
    text_config,
    text_inputs,
    vocabulary_size,
)
from vizcore.decoding import end_ids
from vizcore.edit_checks import Text
from vizcore.edited_runs import EditedRun
from vizcore.editing import editing
from vizcore.edits import Edit
from vizcore.errors import (
    EmptyTextError,
    MissingHeadError,
    ModelFilesError,
    SelectionError,
    TextError,
    TextTooLongError,
)
from vizcore.pretrained import wrap
from vizcore.text_checks import check_text, checked_ids
from vizcore.text_parts import readable_part
from vizcore.tokens import display_tokens, special_positions
from vizcore.trace import Trace
from vizcore.transformer import Transformer

POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
"""What configurations call the number of positions that a network knows."""
MAX_TARGET_TOKENS = 200
"""Where greedy decoding of an encoder-decoder stops if the model does not stop by itself."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network that can be looked into. Made by `load` or `Model.of`.

    Args:
        name: what it was loaded as.
        kind: "decoder" (looks back only), "encoder" (looks both ways) or "encoder-decoder".
        network: the `transformers` network, shared by all runs.
        tokenizer: its tokenizer, or None if it came without one: then only ids can be traced.
        note: one line that people should know about these weights, or "".
        folder: where its files lie; None if it was made from a network in memory.
    """

    name: str
    kind: Literal["decoder", "encoder", "encoder-decoder"]
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    note: str = ""
    folder: Path | None = None
    _capture: Capture = field(kw_only=True, repr=False)
    # A tokenizer writes on itself while it encodes (truncation, the language of a target).
    _tokenizing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def of(
        cls,
        network: PreTrainedModel | Transformer,
        tokenizer: PreTrainedTokenizerBase | None,
        *,
        name: str = "",
        note: str = "",
        folder: Path | None = None,
    ) -> "Model":
        """A model from a network that is in memory already: one of `transformers`, or ours.

        The network is put into evaluation mode, its attention implementation is changed, and if it
        cannot be run on text alone, the model is its text part, as the note says.

        Raises:
            CaptureError: if its attention cannot be captured.
        """
        if isinstance(network, Transformer):
            names = ("pad", "bos", "eos")
            ids = {f"{name}_id": getattr(tokenizer, f"{name}_token_id", None) for name in names}
            network = wrap(network, **ids)
        network, capture, remark = readable_part(network)
        kind: Literal["decoder", "encoder", "encoder-decoder"] = "encoder"
        if reads_two_texts(network):
            kind = "encoder-decoder"
        elif "decoder" in capture.layers:
            kind = "decoder"
        return cls(
            name=name or type(network).__name__,
            kind=kind,
            network=network,
            tokenizer=tokenizer,
            note=f"{note} {remark}".strip(),
            folder=folder,
            _capture=capture,
        )

    @property
    def capture(self) -> Literal["tap", "eager"]:
        """How attention is captured: "tap" (recorded at no cost) or "eager" (returned in full)."""
        return self._capture.way

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of attention it has: of "encoder", "decoder", "cross"."""
        return tuple(self._capture.layers)

    @property
    def n_layers(self) -> int:
        """The number of layers; of an encoder-decoder, of its decoder."""
        last = max(self.layers())
        if self.kind == "encoder-decoder":
            return last + 1
        return max(last + 1, _configured(self.network, "num_hidden_layers", "n_layer") or 0)

    @property
    def n_heads(self) -> int:
        """The number of query heads of a layer; of an encoder-decoder, of its decoder."""
        return self._capture.n_heads[self._main_kind]

    @property
    def has_head(self) -> bool:
        """Whether the model predicts tokens."""
        return self._capture.has_head

    @property
    def max_tokens(self) -> int | None:
        """The longest text it can read, in tokens; None if the architecture has no limit."""
        return self._limit(*POSITIONS, "max_encoder_position_embeddings")

    def layers(self, kind: str | None = None) -> tuple[int, ...]:
        """The layers that have attention of this kind (all of them, but for hybrid networks).

        Raises:
            SelectionError: if the model has no attention of this kind.
        """
        return self._capture.layers[self._kind(kind)]

    def _limit(self, *names: str) -> int | None:
        """The longest text in tokens, stated by the first of these settings that there is."""
        config = self.network.config
        positions = _configured(self.network, *names)
        if positions is not None:
            # RoBERTa and its kin begin to count after the padding id.
            embeddings = getattr(self.network.base_model, "embeddings", None)
            table = getattr(embeddings, "position_embeddings", None)
            padding = getattr(table, "padding_idx", None)
            return positions if padding is None else positions - padding - 1
        stated = getattr(self.tokenizer, "model_max_length", None)
        relative = getattr(config, "relative_attention_num_buckets", None) is not None
        return stated if stated is not None and stated < 10**9 and not relative else None

    def _kind(self, kind: str | None) -> Kind:
        """The kind that is meant: one that the model has, or its main one."""
        if kind is None:
            return self._main_kind
        for known in self.kinds:
            if kind == known:
                return known
        raise SelectionError(
            f"{self.name} has no attention of kind {kind!r}: it has "
            f"{', '.join(map(repr, self.kinds))}."
        )

    @property
    def _main_kind(self) -> Kind:
        return "decoder" if "decoder" in self._capture.layers else self.kinds[0]

    def trace(
        self,
        text: str | Sequence[int],
        target: str | Sequence[int] | None = None,
        *,
        values: bool = False,
        edits: Sequence[Edit] = (),
    ) -> Trace:
        """Run a text through the network once, and keep what attention can be computed from.

        Args:
            text: the text, or token ids, which are run as they are.
            target: for encoder-decoders, what the decoder reads; None lets it write by itself,
                always taking the likeliest token.
            values: keep the values too.
            edits: what is changed in this run (`vizcore.edits`): attention and logits are those of
                the changed run. What the decoder writes by itself, it writes without them.

        Raises:
            TextError: if the text is empty, too long, or not encodable.
            SelectionError: if an edit names a layer, head or position that is not there.
            ShapeError: if a pattern or a direction has not the size that is needed.
            CaptureError: if edits cannot be made exactly in this architecture.
        """
        prepared = editing(self, edits) if edits else None
        source_ids = self.encode(text)
        target_ids: list[int] | None = None
        target_row: Tensor | None = None
        if self.kind == "encoder-decoder":
            target_ids = self.write(source_ids) if target is None else self._decoder_input(target)
            target_row = self._tensor(target_ids)
        elif target is not None:
            raise TextError(
                f"{self.name} has one stack, so it takes one text: leave out `target`, or join "
                "the two texts yourself."
            )
        its_text = Text(source_ids, target_ids)
        edited = None if prepared is None else prepared.run(its_text)
        inputs = text_inputs(self.network, self._tensor(source_ids), target_row)
        return Trace(
            model=self,
            source_ids=source_ids,
            source_tokens=self.labels(source_ids),
            target_ids=target_ids,
            target_tokens=None if target_ids is None else self.labels(target_ids),
            run=self._run(its_text, edited, values=values),
            inputs=inputs,
            source_text=text if isinstance(text, str) else None,
            target_text=target if isinstance(target, str) else None,
            edits=tuple(edits),
        )

    def _run(self, text: Text, edited: EditedRun | None, *, values: bool = False) -> Run:
        """One forward pass of a text, as it is or with changes."""
        target_row = None if text.target_ids is None else self._tensor(text.target_ids)
        inputs = text_inputs(self.network, self._tensor(text.source_ids), target_row)
        if edited is None:
            return run(self.network, self._capture, inputs, values=values)
        with edited.open():
            return run(edited.network, edited.capture, inputs, values=values)

    def encode(self, text: str | Sequence[int], *, target: bool = False) -> list[int]:
        """The token ids of a text, as the tokenizer makes them, special tokens included.

        Raises:
            TextError: if the text is empty, too long, or not encodable.
        """
        if isinstance(text, str):
            ids = self._tokenize(text, target=target)
        else:
            ids = checked_ids(text, vocabulary_size(self.network))
        limit = self.max_tokens
        if target:
            limit = self._limit(*POSITIONS, "max_decoder_position_embeddings")
        if limit is not None and len(ids) > limit:
            raise TextTooLongError(
                f"The text has {len(ids)} tokens, and {self.name} reads at most {limit}. Shorten "
                f"it by {len(ids) - limit} tokens, or run it in parts."
            )
        return ids

    def labels(self, token_ids: Sequence[int]) -> list[str]:
        """What to show for these tokens, one label each."""
        if self.tokenizer is None:
            return [f"#{token_id}" for token_id in token_ids]
        return display_tokens(self.tokenizer, token_ids)

    def special_positions(self, token_ids: Sequence[int]) -> list[int]:
        """Where special tokens stand, those that the tokenizer adds to the text."""
        return [] if self.tokenizer is None else special_positions(self.tokenizer, token_ids)

    def _tokenize(self, text: str, *, target: bool) -> list[int]:
        if self.tokenizer is None:
            raise ModelFilesError(
                f"{self.name} came without a tokenizer, so it cannot read text. Put its "
                "tokenizer's files into the folder, or give token ids: trace([1, 2, 3])."
            )
        check_text(text)
        tokenizer: Any = self.tokenizer
        argument = "text_target" if target else "text"
        with self._tokenizing:
            # Whether it is too long is said by `encode`, in words that say what to do.
            ids: list[int] = list(tokenizer(**{argument: text}, verbose=False)["input_ids"])
            around: list[int] = list(tokenizer(**{argument: ""}, verbose=False)["input_ids"])
        if not ids or ids == around:
            raise EmptyTextError(
                f"There is nothing in this text that {self.name} could read. Type a word or two."
            )
        return ids

    def _tensor(self, token_ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(token_ids)], device=self.network.device)

    def _decoder_input(self, target: str | Sequence[int]) -> list[int]:
        """A text as the decoder reads it, shifted right; ids are taken as they are."""
        ids = self.encode(target, target=True)
        if not isinstance(target, str):
            return ids
        # What is shifted out is the end-of-text token, if the tokenizer has put one there.
        ends = ids[-1:] if ids[-1] in getattr(self.tokenizer, "all_special_ids", ()) else []
        shift: Any = getattr(self.network, "prepare_decoder_input_ids_from_labels", None)
        start = decoder_start(self.network)
        states_start = getattr(self.network.config, "decoder_start_token_id", None) is not None
        if shift is not None and states_start:
            shifted = [int(token_id) for token_id in shift(torch.tensor([ids]))[0]]
        elif start is not None:
            shifted = [start, *ids[:-1]]
        else:
            raise ModelFilesError(
                f"The configuration of {self.name} has no decoder_start_token_id, so it is not "
                "known what its decoder reads first. Give the target as token ids."
            )
        return shifted if ends else [*shifted, ids[-1]]

    def write(
        self,
        source: str | Sequence[int],
        prefix: str | Sequence[int] | None = None,
        *,
        n_beams: int = 1,
    ) -> list[int]:
        """What an encoder-decoder writes for a source: the ids that its decoder has read then.

        Args:
            source: the text, or token ids, which are run as they are.
            prefix: what it goes on from: a text, or ids that begin with the start token, as
                `trace.target_ids` do. None lets it write everything.
            n_beams: how many beginnings are kept in a search for the likeliest text; with 1, the
                likeliest token is taken each time.

        Returns:
            The start token, the prefix and what follows, without the end token: a target for
            `trace`.

        Raises:
            TextError: if the model has one stack, or a text is empty, too long, or not encodable.
            MissingHeadError: if the model predicts no tokens.
        """
        if self.kind != "encoder-decoder":
            raise TextError(
                f"{self.name} has one stack, so it takes one text and writes no target for it."
            )
        if not self.has_head:
            raise MissingHeadError(
                f"{self.name} has no language-model head, so it cannot write a target by itself. "
                "Give one: trace(source, target)."
            )
        inputs = text_inputs(self.network, self._tensor(self.encode(source)))
        begun = [] if prefix is None else self._decoder_input(prefix)
        if begun:
            inputs["decoder_input_ids"] = self._tensor(begun)
        network: Any = self.network
        settings = copy.deepcopy(network.generation_config)
        settings.update(do_sample=False, num_beams=n_beams, num_return_sequences=1, max_length=None)
        settings.update(temperature=None, top_p=None, top_k=None, early_stopping=None)
        limit = self._limit(*POSITIONS, "max_decoder_position_embeddings")
        n_read = max(len(begun), 1)
        settings.max_new_tokens = min(MAX_TARGET_TOKENS + 1, limit or 10**9) - n_read
        if settings.max_new_tokens < 1:
            return begun
        if settings.decoder_start_token_id is None:
            settings.decoder_start_token_id = decoder_start(self.network)
        with torch.inference_mode():
            written = network.generate(**inputs, generation_config=settings)
        ids: list[int] = written[0].tolist()
        ended = len(ids) > n_read and ids[-1] in end_ids(settings.eos_token_id)
        return ids[:-1] if ended else ids


def _configured(network: PreTrainedModel, *names: str) -> int | None:
    """The first of these settings that the configuration of the text part has."""
    config = text_config(network)
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def decoder_start(network: PreTrainedModel) -> int | None:
    """What the decoder of an encoder-decoder reads first, looked for as `generate` does."""
    for settings in (network.config, getattr(network, "generation_config", None)):
        for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id"):
            found = getattr(settings, name, None)
            if isinstance(found, int):
                return found
    return None
