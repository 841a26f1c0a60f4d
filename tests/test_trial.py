"""How a network is found out: which way it is captured, what its layers are, what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    T5EncoderModel,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

import vizcore
from tests.support import tiny
from vizcore.tap import Recorder, attend
from vizcore.trial import find_capture

PLAIN_TEXT: dict[str, Any] = {
    "vocab_size": tiny.VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
IMAGES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 28,
    "patch_size": 14,
}


# --- Networks in which only some layers attend ----------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "layers"),
    [
        ("jamba", (1, 3)),
        ("qwen3_next", (1,)),
        ("lfm2", (1,)),
        ("granitemoehybrid", (1,)),
        ("bamba", (1,)),
        ("falcon_h1", (0, 1, 2)),
        ("minimax", (0, 2)),
    ],
)
def test_attending_layers_keep_the_networks_own_numbers(
    model_type: str, layers: tuple[int, ...]
) -> None:
    model = vizcore.Model.of(tiny.tiny_network(model_type), None)
    assert model.capture == "tap"
    assert model.layers() == layers
    assert model.n_layers == (4 if model_type == "jamba" else 3)
    trace = model.trace([5, 6, 7, 8])
    assert [amap.layer for amap in trace.maps()] == [layer for layer in layers for _ in range(4)]


def test_attending_layers_errors_say_which_layers_attend() -> None:
    model = vizcore.Model.of(tiny.tiny_network("jamba"), None, name="jamba-tiny")
    with pytest.raises(vizcore.SelectionError) as error:
        model.trace([5, 6, 7]).attention(2)
    assert str(error.value) == (
        "Layer 2 of jamba-tiny has no softmax attention (it mixes tokens in another way). Layers "
        "that have: 1, 3."
    )


@pytest.mark.parametrize("model_type", ["deberta", "bert", "bloom", "gpt2", "t5", "led"])
def test_a_text_of_one_token_is_traced_as_any_other(model_type: str) -> None:
    model = vizcore.Model.of(tiny.tiny_network(model_type), None)
    trace = model.trace([7], [9] if model.kind == "encoder-decoder" else None)
    for kind in model.kinds:
        for layer in model.layers(kind):
            assert torch.equal(trace.attention(layer, None, kind), torch.ones(4, 1, 1))


# --- What cannot be captured ----------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["mamba", "rwkv", "fnet", "falcon_mamba"])
def test_a_network_without_attention_is_refused_in_words(model_type: str) -> None:
    network = tiny.tiny_network(model_type)
    with pytest.raises(vizcore.CaptureError) as error:
        find_capture(network)
    assert str(error.value) == (
        f"{type(network).__name__} has no attention weights to show: it has no softmax attention "
        "(state-space and linear-attention models have none), or transformers does not return "
        "them."
    )


@pytest.mark.parametrize("model_type", ["squeezebert", "funnel"])
def test_scores_and_pooled_tokens_are_refused_in_words(model_type: str) -> None:
    network = tiny.tiny_network(model_type)
    with pytest.raises(vizcore.CaptureError) as error:
        find_capture(network)
    assert str(error.value) == (
        f"{type(network).__name__} returns something for its attention that is not one weight for "
        "each pair of tokens (scores before the softmax, or tokens pooled or hashed together): "
        "its maps cannot be shown."
    )


def test_a_network_that_reads_no_text_is_refused_in_words() -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 60}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = WhisperConfig(**sizes, **heads, **special, decoder_start_token_id=1)
    with pytest.raises(vizcore.CaptureError) as error:
        find_capture(WhisperForConditionalGeneration(config))
    assert str(error.value) == (
        "WhisperForConditionalGeneration does not read text: its input is input_features."
    )


def test_a_network_that_fails_on_a_few_tokens_is_refused_with_the_reason() -> None:
    network = tiny.tiny_network("xmod", default_language=None)
    with pytest.raises(vizcore.CaptureError) as error:
        find_capture(network)
    assert str(error.value) == (
        "XmodForMaskedLM could not be run on a few tokens of text alone, so it is not known how it "
        "attends: Input language unknown. Please call `XmodPreTrainedModel.set_default_language()`"
    )


def test_kinds_that_transformers_returns_as_scores_are_left_out() -> None:
    capture = find_capture(tiny.tiny_network("prophetnet"))
    assert capture.way == "eager"
    assert capture.layers == {"decoder": (0, 1)}


# --- Whatever a configuration asks for ------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["gpt2", "t5", "bart", "bert", "bloom", "deberta"])
@pytest.mark.parametrize(
    "settings",
    [{"return_dict": False}, {"use_cache": False}, {"output_hidden_states": True}],
    ids=lambda settings: next(iter(settings)),
)
def test_a_configurations_wishes_about_outputs_change_nothing(
    model_type: str, settings: dict[str, Any]
) -> None:
    usual = vizcore.Model.of(tiny.tiny_network(model_type), None)
    other = vizcore.Model.of(tiny.tiny_network(model_type, **settings), None)
    target = [1, 9, 11] if usual.kind == "encoder-decoder" else None
    mine, expected = other.trace([5, 6, 7, 8], target), usual.trace([5, 6, 7, 8], target)
    assert other.capture == usual.capture
    assert torch.equal(mine.attention(1), expected.attention(1))
    assert torch.equal(mine.logits, expected.logits)


def test_a_configuration_that_asks_for_attention_weights_still_uses_the_tap() -> None:
    network = tiny.tiny_network("gpt2")
    network.config.output_attentions = True
    assert find_capture(network).way == "tap"


def test_a_network_is_put_into_evaluation_mode() -> None:
    network = tiny.tiny_network("gpt2").train()
    vizcore.Model.of(network, None)
    assert not network.training


# --- Other shapes of networks ---------------------------------------------------------------------


def test_the_encoder_of_t5_alone_is_an_encoder() -> None:
    network = tiny.livened(T5EncoderModel(tiny.tiny_config("t5")))
    model = vizcore.Model.of(network, None)
    assert (model.kind, model.kinds, model.n_layers) == ("encoder", ("encoder",), 3)
    assert not model.has_head


def test_two_networks_joined_are_an_encoder_decoder() -> None:
    sizes = {name: size for name, size in PLAIN_TEXT.items() if name not in ("head_dim",)}
    sizes.pop("num_key_value_heads")
    parts = [BertConfig(**sizes), BertConfig(**(sizes | {"num_hidden_layers": 3}))]
    config = EncoderDecoderConfig.from_encoder_decoder_configs(*parts)
    config.decoder_start_token_id, config.pad_token_id = 1, 0
    model = vizcore.Model.of(tiny.livened(EncoderDecoderModel(config)), None)
    assert (model.kind, model.n_layers, model.max_tokens) == ("encoder-decoder", 3, 64)
    trace = model.trace([5, 6, 7, 8, 9], [1, 7, 8])
    assert trace.attention(2, kind="cross").shape == (4, 3, 5)
    assert trace.attention(1, kind="encoder").shape == (4, 5, 5)


def multimodal(name: str) -> PreTrainedModel:
    positions = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    if name == "gemma3":
        text = PLAIN_TEXT | {"sliding_window": 4}
        config: Any = Gemma3Config(text_config=text, vision_config=IMAGES, mm_tokens_per_image=4)
        return Gemma3ForConditionalGeneration(config)
    if name == "llava":
        config = LlavaConfig(
            text_config=PLAIN_TEXT | {"model_type": "llama"},
            vision_config=IMAGES | {"model_type": "clip_vision_model"},
        )
        return LlavaForConditionalGeneration(config)
    config = Qwen2VLConfig(
        text_config=PLAIN_TEXT | {"rope_parameters": positions},
        vision_config={"depth": 3, "embed_dim": 32, "hidden_size": 32, "num_heads": 2},
    )
    return Qwen2VLForConditionalGeneration(config)


@pytest.mark.parametrize("name", ["gemma3", "llava", "qwen2_vl"])
def test_of_a_network_that_also_sees_the_text_part_is_traced(name: str, tmp_path: Path) -> None:
    network = tiny.livened(multimodal(name))
    tiny.save(network, tmp_path, tokenizer=tiny.byte_level_tokenizer())
    model = vizcore.load(tmp_path)
    assert (model.kind, model.capture, model.n_layers) == ("decoder", "tap", 2)
    trace = model.trace("the cat sat on the mat")
    ids = torch.tensor([trace.token_ids])
    plain = type(network).from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = plain(input_ids=ids, output_attentions=True)
    for layer in model.layers():
        theirs = expected.attentions[layer][0]
        torch.testing.assert_close(trace.attention(layer), theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(trace.logits, expected.logits[0], atol=1e-3, rtol=1e-4)


def test_a_network_that_calls_the_tap_differently_is_captured_in_eager_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the tap disagrees with what the network returns, it is not used."""

    def wrong(*arguments: Any, **others: Any) -> Any:
        others["scaling"] = 0.01
        return attend(*arguments, **others)

    from transformers import AttentionInterface

    network = tiny.tiny_network("llama")
    monkeypatch.setitem(AttentionInterface._global_mapping, "headlight", wrong)
    assert find_capture(network).way == "eager"
    with torch.no_grad(), Recorder() as recorder:
        network(torch.tensor([[5, 6, 7]]))
    assert recorder.calls == []


# --- Keys that are picked -------------------------------------------------------------------------


def test_keys_that_an_indexer_does_not_pick_get_exactly_zero(tmp_path: Path) -> None:
    network = tiny.tiny_network("deepseek_v32", index_topk=3)
    tiny.save(network, tmp_path, tokenizer=None)
    model = vizcore.load(tmp_path)
    assert model.capture == "tap"
    trace = model.trace(list(range(5, 17)))
    for layer in trace.layers():
        seen = trace.attention(layer).count_nonzero(dim=-1)
        assert torch.equal(seen, torch.tensor([1, 2] + [3] * 10).expand(4, 12))
        masked = trace.map(layer, 0).masked
        assert masked is not None
        assert torch.equal(trace.attention(layer, 0) == 0, torch.from_numpy(masked))


@pytest.mark.parametrize("argument", ["block_indices", "sinks", "score_bias"])
def test_what_else_would_change_a_softmax_is_refused_by_the_tap(argument: str) -> None:
    query = torch.randn(1, 2, 3, 4)
    with pytest.raises(TypeError) as error:
        attend(torch.nn.Identity(), query, query, query, None, **{argument: torch.ones(1)})
    assert str(error.value) == f"Identity attends with {argument}, unknown to the formula."
    attend(torch.nn.Identity(), query, query, query, None, **{argument: None})


def test_a_network_with_such_an_argument_is_captured_in_eager_mode() -> None:
    assert find_capture(tiny.tiny_network("minimax_m3_vl_text")).way == "eager"
