"""Tiny random networks of many architectures, and small tokenizers, made on the spot.

The sizes are chosen so that no two axes have the same length, and so that each architecture's
peculiarity (grouped queries, sliding window, soft cap, sinks) takes effect within ten tokens.
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
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

WIDTH = 32
VOCABULARY = 300
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "n_embd": WIDTH,
    "d_model": WIDTH,
    "dim": WIDTH,
    "embedding_size": WIDTH,
    "num_hidden_layers": 3,
    "n_layer": 3,
    "n_layers": 3,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "d_head": 8,
    "d_kv": 8,
    "intermediate_size": 48,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "ffn_dim": 48,
    "d_ff": 48,
    "d_inner": 48,
    "hidden_dim": 48,
    "ffn_hidden_size": 48,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "n_ctx": 64,
    "max_seq_len": 64,
    "sliding_window": 4,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
LATENT: dict[str, Any] = {
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "n_group": 1,
    "topk_group": 1,
    "num_key_value_heads": 4,
}
STATE_SPACE: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_expand": 2,
    "mamba_d_ssm": 64,
    "mamba_n_groups": 1,
}
SPECIAL: dict[str, dict[str, Any]] = {
    "axk1": LATENT,
    "bamba": STATE_SPACE | {"attn_layer_indices": [1]},
    "codegen": {"n_head": 4, "n_embd": 64, "rotary_dim": 8},
    "deepseek_v2": LATENT | {"first_k_dense_replace": 1},
    "deepseek_v3": LATENT | {"first_k_dense_replace": 1},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon_h1": STATE_SPACE,
    "gemma3_text": {"query_pre_attn_scalar": 8},
    "gpt_bigcode": {"multi_query": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "num_layers": 4, "window_size": 4},
    "glm4_moe_lite": LATENT,
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": STATE_SPACE | {"layer_types": ["mamba", "attention", "mamba"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "num_hidden_layers": 4}
    | {"expert_layer_period": 2, "expert_layer_offset": 1, "use_mamba_kernels": False},
    "led": {"attention_window": 4, "max_encoder_position_embeddings": 64}
    | {"max_decoder_position_embeddings": 64},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "longcat_flash": LATENT | {"head_dim": 8, "moe_topk": 2, "zero_expert_num": 2},
    "longformer": {"attention_window": 4, "max_position_embeddings": 66},
    "minicpm3": LATENT,
    "prophetnet": {"num_encoder_layers": 3, "num_encoder_attention_heads": 4}
    | {"num_decoder_attention_heads": 4, "ngram": 2},
    "qwen3_next": {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
    | {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    | {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    "reformer": {"axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16]}
    | {"attn_layers": ["local", "lsh"], "attention_head_size": 8}
    | {"local_attn_chunk_length": 4, "lsh_attn_chunk_length": 4, "num_hashes": 1, "num_buckets": 2},
    "xlnet": {"d_head": 8},
    "youtu": LATENT,
    "zamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8}
    | {"attention_head_dim": 16, "use_mamba_kernels": False, "n_mamba_heads": 2}
    | {"num_hidden_layers": 4},
}
COMPUTED = {
    "falcon": {"head_dim"},
    "gpt_neo": {"num_hidden_layers"},
    "funnel": {"num_hidden_layers", "num_layers"},
    "prophetnet": {"num_hidden_layers"},
    "xlnet": {"max_position_embeddings"},
}
"""What these configurations work out by themselves, and refuse to be told."""

SENTENCES = (
    "the cat sat on the mat and looked at the door",
    "the door was shut so the cat looked at me instead",
    "nobody saw what the other cat did under the table",
    "a cat that can open doors is a cat nobody can keep in",
)


def tiny_network(model_type: str, *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random network of this architecture, with its language-model head if it has one."""
    config = tiny_config(model_type, **changes)
    autos = (AutoModelForSeq2SeqLM, AutoModelForMaskedLM, AutoModelForCausalLM, AutoModel)
    torch.manual_seed(seed)
    for auto in autos:
        if type(config) in auto._model_mapping:
            network: PreTrainedModel = auto.from_config(config, attn_implementation="eager")
            return livened(network)
    raise ValueError(f"There is no network class for {model_type}.")


def livened(network: PreTrainedModel) -> PreTrainedModel:
    """The network with weights so large that no head's attention is uniform."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 or "sink" in name:  # the usual 0.02 leaves attention nearly uniform
            torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def tiny_config(model_type: str, **changes: Any) -> Any:
    """The architecture's configuration with everything made small."""
    default = AutoConfig.for_model(model_type)
    computed = COMPUTED.get(model_type, set())
    known = {
        name: value
        for name, value in SIZES.items()
        if hasattr(default, name) and name not in computed
    }
    return AutoConfig.for_model(model_type, **(known | SPECIAL.get(model_type, {}) | changes))


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
