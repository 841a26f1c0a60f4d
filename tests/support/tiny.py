"""Tiny random networks of many architectures, and a small tokenizer, made on the spot.

The sizes are chosen so that no two axes have the same length, and so that each architecture's
peculiarity (grouped queries, sliding window, soft cap, sinks) takes effect within ten tokens.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
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
SIZES: dict[str, Any] = {
    "vocab_size": 300,
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
    "d_kv": 8,
    "intermediate_size": 48,
    "ffn_dim": 48,
    "d_ff": 48,
    "d_inner": 48,
    "hidden_dim": 48,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "max_seq_len": 64,
    "sliding_window": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
SPECIAL: dict[str, dict[str, Any]] = {
    "gemma3_text": {"query_pre_attn_scalar": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 4, "num_layers": 4},
    "gptj": {"rotary_dim": 4},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_bigcode": {"multi_query": True},
    "deepseek_v3": {
        "q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
        "v_head_dim": 12, "n_routed_experts": 4, "moe_intermediate_size": 16, "n_group": 1,
        "topk_group": 1, "num_experts_per_tok": 2, "num_key_value_heads": 4,
    },
    "roformer": {"embedding_size": WIDTH},
    "longformer": {"attention_window": 4},
    "led": {"attention_window": 4, "max_encoder_position_embeddings": 64,
            "max_decoder_position_embeddings": 64},
    "mpt": {"max_seq_len": 64},
}


def tiny_network(model_type: str, *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random network of this architecture, with its language-model head if it has one."""
    torch.manual_seed(seed)
    config = tiny_config(model_type, **changes)
    for auto in (AutoModelForSeq2SeqLM, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModel):
        if type(config) in auto._model_mapping:
            network: PreTrainedModel = auto.from_config(config, attn_implementation="eager")
            break
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 or "sink" in name:  # the usual 0.02 leaves attention nearly uniform
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def tiny_config(model_type: str, **changes: Any) -> Any:
    """The architecture's configuration with everything made small."""
    default = AutoConfig.for_model(model_type)
    known = {name: value for name, value in SIZES.items() if hasattr(default, name)}
    settings = known | SPECIAL.get(model_type, {}) | changes
    return AutoConfig.for_model(model_type, **settings)
