"""GGUF to safetensors: against networks that the test itself wrote into GGUF files."""

import json
import os
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from vizcore.catalog import find
from vizcore.convert import converted, gguf_to_folder
from vizcore.errors import ModelFilesError
from vizcore.fetch import fetch
from vizcore.formats import check_folder

TEXT = "The cat sat on the mat.  12 34 cats"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def trained_tokenizer() -> Tokenizer:
    """A byte-level tokenizer that keeps digits apart, as SmolLM's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Runs of spaces are learned as tokens, so that splitting "  12" wrongly shows.
    tokenizer.train_from_iterator([TEXT, "the cats  sat   there", "x  y  z   a"], trainer)
    return tokenizer


def tiny_llama(tokenizer: Tokenizer, *, tied: bool) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    network = LlamaForCausalLM(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def interleaved(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows of a query or key projection in llama.cpp's order, which pairs the two rotary halves."""
    rows, columns = weight.shape
    return (
        weight.reshape(n_heads, 2, rows // n_heads // 2, columns).swapaxes(1, 2).reshape(rows, -1)
    )


def write_gguf(
    path: Path,
    network: LlamaForCausalLM,
    tokenizer: Tokenizer,
    *,
    quantised: bool = False,
    leave_out: str = "",
) -> None:
    config: Any = network.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    description = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(description["vocab"], key=description["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token == "<|endoftext|>" else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in description["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    for name, weight in gguf_weights(network).items():
        if name == leave_out:
            continue
        if quantised and weight.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(name, gguf.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_weights(network: LlamaForCausalLM) -> dict[str, np.ndarray]:
    """The network's weights under llama.cpp's names and in its order."""
    config = network.config
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    state = {name: weight.numpy() for name, weight in network.state_dict().items()}
    weights = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
    }
    if not config.tie_word_embeddings:
        weights["output.weight"] = state["lm_head.weight"]
    for layer in range(config.num_hidden_layers):
        for theirs, ours in names.items():
            weight = state[f"model.layers.{layer}.{theirs}.weight"]
            if ours == "attn_q":
                weight = interleaved(weight, config.num_attention_heads)
            if ours == "attn_k":
                weight = interleaved(weight, config.num_key_value_heads)
            weights[f"blk.{layer}.{ours}.weight"] = weight
    return weights


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return trained_tokenizer()


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def written(
    request: pytest.FixtureRequest, tmp_path: Path, tokenizer: Tokenizer
) -> tuple[Path, LlamaForCausalLM]:
    network = tiny_llama(tokenizer, tied=request.param)
    write_gguf(tmp_path / "tiny.gguf", network, tokenizer)
    return tmp_path / "tiny.gguf", network


def test_a_converted_network_is_the_network_that_was_written(
    written: tuple[Path, LlamaForCausalLM], tmp_path: Path
) -> None:
    path, network = written
    gguf_to_folder(path, tmp_path / "folder")
    check_folder(tmp_path / "folder")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "folder")
    expected, state = network.state_dict(), loaded.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    ids = torch.tensor([[5, 17, 3, 200, 42, 7, 9]])
    with torch.inference_mode():
        assert torch.equal(loaded(ids).logits, network(ids).logits)


def test_whether_embeddings_are_tied_is_kept(
    written: tuple[Path, LlamaForCausalLM], tmp_path: Path
) -> None:
    path, network = written
    tied = network.config.tie_word_embeddings
    gguf_to_folder(path, tmp_path / "folder")
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["tie_word_embeddings"] is tied
    stored = load_file(tmp_path / "folder" / "model.safetensors")
    assert ("lm_head.weight" in stored) is not tied
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "folder")
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) is tied


def test_quantised_weights_come_out_exactly_as_dequantised_in_float32(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    network = tiny_llama(tokenizer, tied=True)
    write_gguf(tmp_path / "tiny.gguf", network, tokenizer, quantised=True)
    gguf_to_folder(tmp_path / "tiny.gguf", tmp_path / "folder")
    stored = load_file(tmp_path / "folder" / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float32}
    name = "model.layers.1.mlp.down_proj.weight"
    kind = gguf.GGMLQuantizationType.Q4_1
    original = network.state_dict()[name].numpy()
    expected = gguf.dequantize(gguf.quantize(original, kind), kind)
    np.testing.assert_array_equal(stored[name].numpy(), expected)
    assert np.abs(expected - original).max() > 0.01


@pytest.mark.parametrize(
    "text", [TEXT, "a  12", "2024\n\n 7", "我 🎉", "", " <|endoftext|> 3", "½ ٣٤ １２"]
)
def test_the_converted_tokenizer_cuts_a_text_as_the_original_does(
    text: str, tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer
) -> None:
    base = tmp_path_factory.getbasetemp() / "converted-tokenizer"
    if not base.exists():
        network = tiny_llama(tokenizer, tied=True)
        write_gguf(base.with_suffix(".gguf"), network, tokenizer)
        gguf_to_folder(base.with_suffix(".gguf"), base)
    loaded = AutoTokenizer.from_pretrained(base)
    assert loaded(text).input_ids == tokenizer.encode(text).ids
    assert loaded.decode(loaded(text).input_ids) == text
    assert loaded.model_max_length == 128


def test_a_file_is_converted_once_whatever_it_is_called(
    tmp_path: Path, cache: Path, tokenizer: Tokenizer
) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, tiny_llama(tokenizer, tied=True), tokenizer)
    told: list[tuple[str, float | None]] = []
    folder = converted(path, progress=lambda message, fraction: told.append((message, fraction)))
    check_folder(folder)
    assert folder.parent == cache / "gguf"
    assert [message for message, _ in told] == [
        "Looking at tiny.gguf",
        "Starting PyTorch and transformers",
        "Reading what kind of model tiny.gguf is",
        "Dequantising the weights to float32",
        "Reading the vocabulary",
        "Writing safetensors",
        "Converted",
    ]
    fractions = [fraction for _, fraction in told if fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    path.rename(tmp_path / "renamed.gguf")
    os.utime(tmp_path / "renamed.gguf")
    assert converted(tmp_path / "renamed.gguf") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.usefixtures("cache")
def test_other_content_under_the_same_name_is_another_model(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, tiny_llama(tokenizer, tied=True), tokenizer)
    first = converted(path)
    write_gguf(path, tiny_llama(tokenizer, tied=False), tokenizer)
    assert converted(path) != first


def test_a_weight_that_the_file_lacks_is_an_error_and_not_a_random_number(
    tmp_path: Path, cache: Path, tokenizer: Tokenizer
) -> None:
    path = tmp_path / "tiny.gguf"
    network = tiny_llama(tokenizer, tied=True)
    write_gguf(path, network, tokenizer, leave_out="blk.1.ffn_up.weight")
    with pytest.raises(ModelFilesError) as caught:
        converted(path)
    assert str(caught.value) == (
        f"{path} lacks 1 of the weights of a llama model (model.layers.1.mlp.up_proj.weight). They "
        "would be random numbers, so nothing was converted."
    )
    assert not any(path.is_dir() for path in (cache / "gguf").iterdir())


def test_a_truncated_file_errors(tmp_path: Path, cache: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, tiny_llama(tokenizer, tied=True), tokenizer)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ModelFilesError) as caught:
        converted(path)
    assert str(caught.value).startswith(f"{path} could not be converted: ")
    assert str(caught.value).endswith(
        "The file is damaged, or of a kind that transformers cannot read; a folder with the same "
        "model as safetensors will work."
    )
    assert not any(path.is_dir() for path in (cache / "gguf").iterdir())


@pytest.mark.usefixtures("cache")
def test_an_architecture_that_transformers_does_not_read_errors(tmp_path: Path) -> None:
    path = tmp_path / "strange.gguf"
    writer = gguf.GGUFWriter(str(path), "wavtokenizer-dec")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((2, 2), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelFilesError, match="could not be converted: .*wavtokenizer-dec"):
        converted(path)


@pytest.mark.usefixtures("cache")
def test_a_file_that_is_no_gguf_errors(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04 this is a zip")
    with pytest.raises(ModelFilesError) as caught:
        converted(path)
    assert str(caught.value) == (
        f"{path} is not a GGUF file: it does not begin with the letters GGUF. If it is a model in "
        "another format, give the folder that holds its config.json."
    )


@pytest.mark.usefixtures("cache")
def test_a_version_that_is_not_known_errors(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + (9).to_bytes(4, "little"))
    with pytest.raises(ModelFilesError) as caught:
        converted(path)
    assert str(caught.value) == (
        f"{path} is GGUF version 9, and only versions 2 and 3 can be read."
    )


@pytest.mark.usefixtures("cache")
def test_a_file_that_is_not_there_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match="There is no file"):
        converted(tmp_path / "none.gguf")


def test_the_real_model_is_tied_float32_and_keeps_digits_apart() -> None:
    entry = find("smollm2-135m")
    assert entry is not None
    folder = fetch(entry)
    stored = load_file(folder / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float32}
    assert "lm_head.weight" not in stored
    assert sum(weight.numel() for weight in stored.values()) == 134_515_008
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.tokenize("x  12") == ["x", "ĠĠ", "1", "2"]
    assert loaded.model_max_length == 8192
