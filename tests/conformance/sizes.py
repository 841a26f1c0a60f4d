"""How small each architecture is made: the data from which `tests.support.tiny` builds networks.

No two axes get the same length, and each peculiarity (grouped queries, sliding window, soft cap,
sinks) takes effect within ten tokens. `SIZES` are settings that many configurations share;
`SPECIAL` is what one of them needs beside, by the name of its model type, also of a part.
"""

from typing import Any

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
    "attention_chunk_size": 8,
    "keep_window_size": 5,
    "local_attention": 6,
    "index_topk": 5,
    "index_head_dim": 16,
    "index_n_heads": 2,
    "index_block_size": 4,
    "index_topk_blocks": 2,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "top_k_experts": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
SENSES: dict[str, Any] = {
    "image_size": 28,
    "patch_size": 14,
    "depth": 3,
    "embed_dim": WIDTH,
    "out_hidden_size": WIDTH,
    "projection_dim": WIDTH,
    "num_mel_bins": 16,
}
"""The same for parts that see or hear. They are built, and read nothing here."""
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
"""For latent attention (DeepSeek 2024), whose keys and values come out of one short vector."""
STATE_SPACE: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_expand": 2,
    "mamba_d_ssm": 64,
    "mamba_n_groups": 1,
}
THREE_AXES: dict[str, Any] = {
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
}
"""For rotary positions in time, height and width."""
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
TWO_SIZES: dict[str, Any] = {"num_attention_heads": 4, "head_dim": 8, "global_head_dim": 16}
"""For networks in which layers of windows have smaller heads than the others."""
SHARED_KEYS: dict[str, Any] = {
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "layer_types": WINDOWS,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 8,
}
"""For networks whose last layers look at the keys of earlier ones."""
SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": STATE_SPACE | {"attn_layer_indices": [1]},
    "chameleon": {"vocabulary_map": {"<image>": 250, "IMGIMGAZ": 260, "IMGIMGBZ": 261}},
    "codegen": {"n_head": 4, "n_embd": 64, "rotary_dim": 8},
    "cohere_compass_text": {"layer_types": ["full_attention"] * 3}
    | {"rope_parameters": {"full_attention": THREE_AXES["rope_parameters"]}},
    "cosmos3_edge_text": THREE_AXES,
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0}}
    | {"ffn_config": {"ffn_hidden_size": 48}},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse", "sparse"]},
    "deepseek_v2": {"first_k_dense_replace": 1},
    "deepseek_v3": {"first_k_dense_replace": 1},
    "diffusion_gemma_text": TWO_SIZES,
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2},
    "dots3_note": {
        "vision_config": {"adapter_out_dim": WIDTH},
        "audio_config": {"adapter_out_dim": WIDTH},
    },
    "dots3_note_text": LATENT
    | {"num_attention_heads": 4}
    | {"swa_num_attention_heads": 2, "swa_num_key_value_heads": 2}
    | {"swa_q_lora_rank": 12, "swa_kv_lora_rank": 8}
    | {"swa_head_dim": 12, "swa_qk_nope_head_dim": 8, "swa_v_head_dim": 8}
    | {"layer_types": ["indexed_attention", "sliding_attention", "indexed_attention"]}
    | {"shared_experts_intermediate_size": 16},
    "dots3_note_vision_encoder": {"mlp_layer_types": ["dense"] * 3, "adapter_in_dim": WIDTH},
    "dots3_note_audio_encoder": {"adapter_input_size": WIDTH},
    "embedding_gemma2_text": TWO_SIZES,
    "ernie4_5_vl_moe_text": THREE_AXES | {"moe_intermediate_size": [16, 12]},
    "esmc": {"num_key_value_heads": 4},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon_h1": STATE_SPACE,
    "gemma3_text": {"query_pre_attn_scalar": 8},
    "gemma3n_text": SHARED_KEYS | {"laurel_rank": 8},
    "gemma4_text": SHARED_KEYS | TWO_SIZES,
    "gemma4_unified_text": SHARED_KEYS | TWO_SIZES,
    "glm4v_moe_text": THREE_AXES | {"head_dim": 16},
    "glm4v_text": THREE_AXES,
    "glm5_next_text": {"index_topk": 4}
    | {"num_key_value_heads": 4, "qk_rope_head_dim": 0, "index_kpool": 2}
    | {"linear_head_dim": 8, "linear_num_heads": 4}
    | {"layer_types": ["linear_attention", "indexed_attention", "linear_attention"]},
    "glm_image_text": THREE_AXES,
    "glm_ocr_text": THREE_AXES,
    "gpt_bigcode": {"multi_query": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "num_layers": 4, "window_size": 4},
    "gptj": {"rotary_dim": 4},
    "granite4_vision": {"deepstack_layer_map": [[0, 0]], "spatial_target_layers": [0, 1, 2, 1]},
    "hunyuan_vl_text": {"rope_parameters": THREE_AXES["rope_parameters"]},
    "granitemoehybrid": STATE_SPACE | {"layer_types": ["mamba", "attention", "mamba"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "num_hidden_layers": 4}
    | {"expert_layer_period": 2, "expert_layer_offset": 1, "use_mamba_kernels": False},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "led": {"attention_window": 4, "max_encoder_position_embeddings": 64}
    | {"max_decoder_position_embeddings": 64},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1},
    "lilt": {"hidden_size": 48},
    "longcat_flash": {"head_dim": 8, "moe_topk": 2, "zero_expert_num": 2},
    "longformer": {"attention_window": 4, "max_position_embeddings": 66},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
    "minimax_m3_vl_text": {
        "layer_types": ["full_attention", "minimax_m3_sparse", "full_attention"],
    },
    "mistral4": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "llama_4_scaling_beta": 0.1}
        | {"original_max_position_embeddings": 8, "partial_rotary_factor": 0.5}
    },
    "neomme": {"head_dim": 16},
    "prophetnet": {"num_encoder_layers": 3, "num_encoder_attention_heads": 4}
    | {"num_decoder_attention_heads": 4, "ngram": 2},
    "paddleocr_vl_text": THREE_AXES,
    "qwen2_5_omni": {"enable_audio_output": False},
    "qwen2_5_omni_thinker": {"vision_start_token_id": 250},
    "qwen2_5_omni_text": THREE_AXES,
    "qwen2_5_vl_text": THREE_AXES,
    "qwen2_vl_text": THREE_AXES,
    "qwen3_next": {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
    | {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    | {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    "qwen3_omni_moe": {"enable_audio_output": False},
    "qwen3_omni_moe_thinker": {"vision_start_token_id": 250},
    "qwen4_exp_text": {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8}
    | {"indexer_budget": 4, "indexer_compress_ratio": 2, "hc_lowrank": 8},
    "reformer": {"axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16]}
    | {"attn_layers": ["local", "lsh", "local"], "attention_head_size": 8}
    | {"local_attn_chunk_length": 4, "lsh_attn_chunk_length": 4, "num_hashes": 1, "num_buckets": 2},
    "unlimited_ocr_text": {"num_key_value_heads": 4},
    "vision-encoder-decoder": {"decoder": {"is_decoder": True, "add_cross_attention": True}},
    "xlnet": {"d_head": 8},
    "xmod": {"languages": ["en_XX", "de_DE"], "default_language": "en_XX"},
    "zamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8}
    | {"attention_head_dim": 16, "use_mamba_kernels": False, "n_mamba_heads": 2}
    | {"num_hidden_layers": 6},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"]}
    | {"num_hidden_layers": 4, "mamba_d_state": 8, "n_mamba_heads": 4, "num_key_value_heads": 4}
    | {"use_mamba_kernels": False},
    "zaya": {"num_experts_per_tok": 1},
}
"""By model type, what one architecture needs beside; also those of parts."""
LIVELINESS = {"mobilebert": 0.05}
"""The spread of random weights where 0.2 makes scores so large that they round differently."""
COMPUTED = {
    "falcon": {"head_dim"},
    "gpt_neo": {"num_hidden_layers"},
    "funnel": {"num_hidden_layers", "num_layers"},
    "prophetnet": {"num_hidden_layers"},
    "xlnet": {"max_position_embeddings"},
}
"""What these configurations work out by themselves, and refuse to be told."""

DRAFTS = "it drafts for a Gemma 4 network, at whose keys it looks, and runs beside one only"
MADE_OF_PARTS = "its parts (text encoder, codec, decoder) have to be given ready-made"
WHY_NOT: dict[str, str] = {
    "evolla": "transformers has no language-model class for its name that could be built by it",
    "gemma4_assistant": DRAFTS,
    "musicgen": MADE_OF_PARTS,
    "musicgen_melody": MADE_OF_PARTS,
}
"""Why some cannot be built here, in words; for others the page has what transformers said."""
