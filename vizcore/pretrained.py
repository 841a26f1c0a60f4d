"""The from-scratch Transformer as a network of transformers: saved, loaded, looked into alike.

`vizcore.transformer` is the network; here it gets a configuration, the inputs and outputs that
networks of transformers have, and a place in their `Auto…` classes, which is taken when this
module is imported. The weights are the Transformer's own, under `transformer.`.
"""

import copy
from contextlib import nullcontext
from dataclasses import fields
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import (
    BaseModelOutput,
    CausalLMOutput,
    MaskedLMOutput,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)

from vizcore.attention_calls import AttentionCall
from vizcore.decoding import MAX_NEW_TOKENS, end_ids, write
from vizcore.tap import Recorder
from vizcore.transformer import Positions, Transformer, TransformerConfig

MODEL_TYPE = "headlight"
"""What config.json calls such a network."""


class HeadlightConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The fields of a `TransformerConfig`, and which token ids have a meaning of their own."""

    # Configurations take settings that they don't know, which checkers of types cannot.
    __no_type_check__: ClassVar[bool] = True
    model_type = MODEL_TYPE
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "d_ff",
        "tie_word_embeddings": "tied",
    }

    kind: Literal["encoder", "decoder", "encoder-decoder"] = "encoder-decoder"
    vocab_size: int = 8000
    d_model: int = 256
    n_heads: int = 4
    n_layers: int = 3
    d_ff: int = 1024
    dropout: float | int = 0.1
    inner_dropout: float | int = 0.0
    positions: Positions = "sinusoidal"
    norm: Literal["post", "pre"] = "post"
    max_tokens: int = 512
    tied: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    decoder_start_token_id: int | None = None

    def __post_init__(self, **others: Any) -> None:
        self.is_encoder_decoder = self.kind == "encoder-decoder"
        self.architectures = [CLASSES[self.kind].__name__]
        super().__post_init__(**others)  # type: ignore[no-untyped-call]

    @property
    def transformer(self) -> TransformerConfig:
        """The part of it that the network is made from."""
        names = [field.name for field in fields(TransformerConfig)]
        return TransformerConfig(**{name: getattr(self, name) for name in names})

    @property
    def max_position_embeddings(self) -> int | None:
        """The longest text, if positions are learned; None, as there is no limit else."""
        return self.max_tokens if self.positions == "learned" else None


class Trunk(nn.Module):
    """All below the last layer, from which rows of logits can be computed when asked for."""

    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self._shared = (transformer,)  # in a tuple, since its weights are saved as another's

    def forward(
        self,
        input_ids: Int[Tensor, "batch token"],
        attention_mask: Tensor | None = None,
        decoder_input_ids: Int[Tensor, "batch target"] | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> BaseModelOutput | Seq2SeqModelOutput:
        """The last hidden state of the text, or of the target if there is one."""
        (transformer,) = self._shared
        present, target_present = _present(attention_mask), _present(decoder_attention_mask)
        if decoder_input_ids is None:
            read = transformer.decode if transformer.encoder is None else transformer.encode
            return BaseModelOutput(last_hidden_state=read(input_ids, present=present))
        memory = transformer.encode(input_ids, present=present)
        hidden = transformer.decode(
            decoder_input_ids, memory, present=target_present, memory_present=present
        )
        return Seq2SeqModelOutput(last_hidden_state=hidden, encoder_last_hidden_state=memory)


class HeadlightModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What the three kinds share. Its attention is `vizcore.tap.attend` whatever is set.

    Args:
        config: sizes, choices and special tokens.
        transformer: the network, if it is there already.
    """

    config_class = HeadlightConfig
    base_model_prefix = "transformer"
    _supports_sdpa = True
    _tied_weights_keys: dict[str, str] = {
        "transformer.unembedding.weight": "transformer.embedding.tokens.weight"
    }

    def __init__(self, config: HeadlightConfig, transformer: Transformer | None = None) -> None:
        super().__init__(config)
        self.transformer = Transformer(config.transformer) if transformer is None else transformer
        self.trunk = Trunk(self.transformer)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the Transformer has begun with weights of its own choice."""

    @property
    def base_model(self) -> nn.Module:
        """What the logits are computed from."""
        return self.trunk

    def get_input_embeddings(self) -> nn.Module:
        """The table of token vectors."""
        return self.transformer.embedding.tokens

    def set_input_embeddings(self, value: Any) -> None:
        """Put another table of token vectors there."""
        self.transformer.embedding.tokens = value

    def get_output_embeddings(self) -> nn.Module:
        """What makes logits of hidden states."""
        return self.transformer.unembedding

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        """Make logits by something else."""
        self.transformer.unembedding = new_embeddings

    @classmethod
    def can_generate(cls) -> bool:
        """Whether it writes: all but encoders do."""
        return cls is not HeadlightForMaskedLM

    def generate(
        self,
        input_ids: Int[Tensor, "batch token"],
        attention_mask: Tensor | None = None,
        *,
        decoder_input_ids: Int[Tensor, "_ target"] | None = None,
        generation_config: GenerationConfig | None = None,
        **settings: Any,
    ) -> Int[Tensor, "batch _"]:
        """What a decoder has read once it has written, as transformers' `generate` returns it.

        Of the settings, those count that say when to stop and how many beams there are.

        Args:
            decoder_input_ids: of an encoder-decoder, what each target begins with, the same for
                all; without it, the start token.

        Raises:
            ValueError: if the network has no decoder, if it is asked to sample, if targets are to
                begin differently, or if it is not known what they begin with.
        """
        if not self.can_generate():
            raise ValueError("An encoder alone writes nothing: it has no decoder.")
        chosen = _settings(generation_config or self.generation_config, settings)
        texts = _unpadded(input_ids, attention_mask)
        if self.config.kind == "decoder":
            written = [
                write(self.transformer, None, prefix=text, **_how(chosen, len(text)))[0]
                for text in texts
            ]
        else:
            prefix = _beginning(decoder_input_ids, chosen)
            written = write(self.transformer, texts, prefix=prefix, **_how(chosen, len(prefix)))
        width, padding = max(map(len, written)), chosen.pad_token_id or 0
        rows = [text + [padding] * (width - len(text)) for text in written]
        return torch.tensor(rows, device=input_ids.device)

    def _run(
        self, output_attentions: bool | None, **inputs: Any
    ) -> tuple[Any, Float[Tensor, "batch _ vocab_size"], list[AttentionCall]]:
        """What the trunk returns, the logits, and the attention calls if they are wanted."""
        listener = Recorder() if output_attentions else nullcontext()
        with listener as recorder:
            hidden = self.trunk(**inputs)
        logits = self.transformer.logits(hidden.last_hidden_state)
        return hidden, logits, recorder.calls if recorder is not None else []


class HeadlightForMaskedLM(HeadlightModel):  # type: ignore[no-untyped-call]
    """An encoder that says of each place which token stands there."""

    def forward(
        self,
        input_ids: Int[Tensor, "batch token"],
        attention_mask: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> MaskedLMOutput:
        """Logits (batch, token, vocab_size); attentions (batch, head, query, key) a layer."""
        _, logits, calls = self._run(
            output_attentions, input_ids=input_ids, attention_mask=attention_mask
        )
        return MaskedLMOutput(logits=logits, attentions=_maps(calls))


class HeadlightForCausalLM(HeadlightModel):  # type: ignore[no-untyped-call]
    """A decoder that says at each place which token comes next."""

    def forward(
        self,
        input_ids: Int[Tensor, "batch token"],
        attention_mask: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> CausalLMOutput:
        """Logits (batch, token, vocab_size); attentions (batch, head, query, key) a layer."""
        _, logits, calls = self._run(
            output_attentions, input_ids=input_ids, attention_mask=attention_mask
        )
        return CausalLMOutput(logits=logits, attentions=_maps(calls))


class HeadlightForSeq2SeqLM(HeadlightModel):  # type: ignore[no-untyped-call]
    """An encoder that reads a source, and a decoder that says which token of the target is next."""

    def forward(
        self,
        input_ids: Int[Tensor, "batch token"],
        attention_mask: Tensor | None = None,
        decoder_input_ids: Int[Tensor, "batch target"] | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        output_attentions: bool | None = None,
    ) -> Seq2SeqLMOutput:
        """Logits (batch, target, vocab_size); attentions (batch, head, query, key) a layer.

        The source is always read anew, whatever encoder_outputs says.
        """
        if decoder_input_ids is None:
            raise ValueError("An encoder-decoder reads two texts: give it decoder_input_ids.")
        hidden, logits, calls = self._run(
            output_attentions,
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
        )
        n_layers = self.config.n_layers
        return Seq2SeqLMOutput(
            logits=logits,
            encoder_last_hidden_state=hidden.encoder_last_hidden_state,
            encoder_attentions=_maps(calls[:n_layers]),
            decoder_attentions=_maps(calls[n_layers::2]),
            cross_attentions=_maps(calls[n_layers + 1 :: 2]),
        )


CLASSES: dict[str, type[HeadlightModel]] = {
    "encoder": HeadlightForMaskedLM,
    "decoder": HeadlightForCausalLM,
    "encoder-decoder": HeadlightForSeq2SeqLM,
}
"""Which class belongs to which kind of Transformer."""


def wrap(
    transformer: Transformer,
    *,
    pad_id: int | None = None,
    bos_id: int | None = None,
    eos_id: int | None = None,
    start_id: int | None = None,
) -> HeadlightModel:
    """The Transformer as a network of transformers; the weights are shared, not copied.

    Args:
        pad_id, bos_id, eos_id: the tokens for padding and for a text's beginning and end, if any.
        start_id: what the decoder of an encoder-decoder reads first; None means bos_id.
    """
    start_id = bos_id if start_id is None else start_id
    config = HeadlightConfig(
        **vars(transformer.config),
        pad_token_id=pad_id,
        bos_token_id=bos_id,
        eos_token_id=eos_id,
        decoder_start_token_id=start_id if transformer.config.kind == "encoder-decoder" else None,
    )
    return CLASSES[config.kind](config, transformer)


def _present(attention_mask: Tensor | None) -> Tensor | None:
    """The mask as booleans; None if it hides nothing, which is quicker to compute with."""
    if attention_mask is None:
        return None
    present = attention_mask.bool()
    return None if present.all() else present


def _maps(calls: list[AttentionCall]) -> tuple[Float[Tensor, "_ _ _ _"], ...] | None:
    """The weights of each call, (batch, head, query, key); None if nobody listened."""
    if not calls:
        return None
    return tuple(
        torch.stack([call.weights(batch=text) for text in range(call.query.shape[0])])
        for call in calls
    )


def _settings(given: GenerationConfig, changes: dict[str, Any]) -> GenerationConfig:
    settings = copy.deepcopy(given)
    change: Any = settings.update
    unknown = change(**changes)
    if unknown:
        raise ValueError(f"This network's generate does not take {', '.join(sorted(unknown))}.")
    if settings.do_sample:
        raise ValueError(
            "This network takes the likeliest token or searches with beams, and does not sample: "
            "leave do_sample out."
        )
    return settings


def _beginning(given: Tensor | None, settings: GenerationConfig) -> list[int]:
    """What every target begins with."""
    start = settings.decoder_start_token_id
    start = settings.bos_token_id if start is None else start
    beginnings: list[list[int]] = [] if start is None else [[start]]
    if given is not None:
        beginnings = torch.unique(given, dim=0).tolist()
    if len(beginnings) != 1:
        raise ValueError(
            "It is not known what the targets begin with: give one beginning for all of them as "
            "decoder_input_ids, or set decoder_start_token_id."
        )
    return beginnings[0]


def _how(settings: GenerationConfig, n_read: int) -> dict[str, Any]:
    """The settings that `write` takes."""
    steps = settings.max_new_tokens
    if steps is None:
        longest = settings.max_length
        steps = MAX_NEW_TOKENS if longest is None else max(longest - n_read, 0)
    penalty = settings.length_penalty
    return {
        "ends": end_ids(settings.eos_token_id),
        "max_new_tokens": steps,
        "n_beams": settings.num_beams or 1,
        "length_penalty": 1.0 if penalty is None else penalty,
    }


def _unpadded(tokens: Int[Tensor, "batch token"], mask: Tensor | None) -> list[list[int]]:
    if mask is None:
        return tokens.tolist()
    pairs = zip(tokens, mask.bool(), strict=True)
    return [row[present].tolist() for row, present in pairs]


AutoConfig.register(MODEL_TYPE, HeadlightConfig, exist_ok=True)
AutoModelForSeq2SeqLM.register(HeadlightConfig, HeadlightForSeq2SeqLM, exist_ok=True)
AutoModelForCausalLM.register(HeadlightConfig, HeadlightForCausalLM, exist_ok=True)
AutoModelForMaskedLM.register(HeadlightConfig, HeadlightForMaskedLM, exist_ok=True)
