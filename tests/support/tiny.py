"""Tiny random networks of many architectures, and small tokenizers, made on the spot.

The sizes, and what an architecture needs beside, are data in `tests/conformance/sizes.py`. A
network that also sees or hears is built with all its parts.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForMultimodalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForTextEncoding,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.conformance.sizes import COMPUTED, LATENT, LIVELINESS, SENSES, SIZES, SPECIAL, VOCABULARY

NETWORKS: tuple[Any, ...] = (
    AutoModelForSeq2SeqLM,
    AutoModelForMaskedLM,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoModelForTextEncoding,
    AutoModel,
)
"""The families of network classes, in the order in which one is chosen."""
SENTENCES = (
    "the cat sat on the mat and looked at the door",
    "the door was shut so the cat looked at me instead",
    "nobody saw what the other cat did under the table",
    "a cat that can open doors is a cat nobody can keep in",
)


def tiny_network(model_type: str, *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random network of this architecture, with its language-model head if it has one."""
    config = tiny_config(model_type, **changes)
    torch.manual_seed(seed)
    for auto in NETWORKS:
        if type(config) in auto._model_mapping:
            network: PreTrainedModel = auto.from_config(config, attn_implementation="eager")
            return livened(network, std=LIVELINESS.get(model_type, 0.2))
    raise ValueError(f"There is no network class for {model_type}.")


def livened(network: PreTrainedModel, *, std: float = 0.2) -> PreTrainedModel:
    """The network with weights so large that no head's attention is uniform."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 or "sink" in name:  # the usual 0.02 leaves attention nearly uniform
            torch.nn.init.normal_(parameter, std=std)
    return network.eval()


def tiny_config(model_type: str, **changes: Any) -> Any:
    """The architecture's configuration with everything made small, its parts as well."""
    return AutoConfig.for_model(model_type, **(tiny_settings(model_type) | changes))


def tiny_settings(model_type: str) -> dict[str, Any]:
    """What makes this architecture small: settings for `AutoConfig.for_model`."""
    default = AutoConfig.for_model(model_type)
    return _settings(default, model_type)


def _settings(default: PreTrainedConfig, model_type: str) -> dict[str, Any]:
    computed = COMPUTED.get(model_type, set())
    special = SPECIAL.get(model_type, {})
    parts = {
        name: part
        for name in getattr(default, "sub_configs", {})
        if isinstance(part := getattr(default, name, None), PreTrainedConfig)
    }
    # A configuration of parts answers for its text part, and would not be told twice.
    known = set(dir(type(default))) | set(vars(default)) if parts else None
    settings: dict[str, Any] = {
        name: value
        for name, value in SIZES.items()
        if name not in computed and (_has(default, name) if known is None else name in known)
    }
    for name, part in parts.items():
        small = _settings(part, part.model_type)
        if not _reads_text(name):
            small |= {key: size for key, size in SENSES.items() if _is_number(part, key)}
        settings[name] = {"model_type": part.model_type} | small | special.get(name, {})
    if _has(default, "kv_lora_rank"):
        settings |= {name: value for name, value in LATENT.items() if _has(default, name)}
    settings |= {name: value for name, value in special.items() if name not in parts}
    if "layer_types" not in settings and (kinds := _kinds_of_layers(default)):
        n_layers = settings.get("num_hidden_layers", SIZES["num_hidden_layers"])
        settings["layer_types"] = [kinds[i % len(kinds)] for i in range(n_layers)]
    return settings


def _has(config: PreTrainedConfig, name: str) -> bool:
    try:
        return hasattr(config, name)
    except RuntimeError:  # layers differ in it, and each has its own
        return False


def _is_number(config: PreTrainedConfig, name: str) -> bool:
    return _has(config, name) and isinstance(getattr(config, name), int)


def _reads_text(part: str) -> bool:
    return not any(word in part for word in ("vision", "audio", "image", "vq", "speech", "sound"))


def _kinds_of_layers(config: PreTrainedConfig) -> list[str]:
    """The kinds of layers that a default configuration has, if they differ."""
    name = getattr(type(config), "attribute_map", {}).get("layer_types", "layer_types")
    if isinstance(getattr(type(config), name, None), property):
        return []  # it works them out by itself
    kinds = list(dict.fromkeys(getattr(config, "layer_types", None) or []))
    return kinds if len(kinds) > 1 else []


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """As GPT-2, Llama 3 and Qwen have it: byte-pair encoding that can write any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 4,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def word_piece_tokenizer() -> PreTrainedTokenizerFast:
    """As BERT has it: lower case, `##` before what continues a word, [CLS] and [SEP] around."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=150,
        special_tokens=["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        mask_token="[MASK]",
    )


def sentence_piece_tokenizer() -> PreTrainedTokenizerFast:
    """As T5 and Llama 2 have it: `▁` for a space, bytes such as <0xE6> for the unknown, </s> last.

    Ids 0 to 3 are <pad>, <s>, </s> and <unk>.
    """
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=36, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator(SENTENCES, trainer)
    pieces = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    special = [("<pad>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    in_bytes = [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    words = [(piece, -2.0 - place / 10) for piece, place in pieces if piece != "<unk>"]
    vocabulary = (special + in_bytes + words)[:VOCABULARY]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def tokenizer_for(network: PreTrainedModel) -> PreTrainedTokenizerFast:
    """A tokenizer of the kind that goes with the network: its family's, more or less."""
    if network.config.is_encoder_decoder:
        return sentence_piece_tokenizer()
    if type(network.config) in AutoModelForMaskedLM._model_mapping:
        return word_piece_tokenizer()
    return byte_level_tokenizer()


def save(network: PreTrainedModel, folder: Path, *, tokenizer: Any = "its own") -> Path:
    """Write network and tokenizer (None: no tokenizer) as `save_pretrained` does; the folder."""
    network.save_pretrained(folder)
    if tokenizer == "its own":
        tokenizer = tokenizer_for(network)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder
