"""Our Transformer as a network of transformers: saved, loaded, traced, and writing."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, MarianConfig, MarianMTModel

import vizcore
from tests.support.tiny import sentence_piece_tokenizer
from vizcore.model import Model
from vizcore.pretrained import HeadlightForCausalLM, HeadlightForMaskedLM, wrap
from vizcore.transformer import Transformer, TransformerConfig

KINDS = ("encoder", "decoder", "encoder-decoder")
EVERY_POSITIONS = ("sinusoidal", "learned", "rope", "alibi", "none")
VOCABULARY = 31
SOURCE, TARGET = [5, 9, 4, 7, 3], [1, 8, 6]


def network_of(kind: str, *, seed: int = 0, vocab_size: int = VOCABULARY, **changes: Any) -> Any:
    torch.manual_seed(seed)
    sizes = {"d_model": 24, "n_heads": 4, "n_layers": 2, "d_ff": 20}
    transformer = Transformer(TransformerConfig(kind, vocab_size, **(sizes | changes)))
    for weights in transformer.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    return wrap(transformer, pad_id=0, bos_id=1, eos_id=2).eval()


def texts_of(kind: str) -> list[list[int]]:
    return [SOURCE, TARGET] if kind == "encoder-decoder" else [SOURCE]


def inputs_of(kind: str) -> dict[str, torch.Tensor]:
    names = ("input_ids", "decoder_input_ids")
    return {name: torch.tensor([ids]) for name, ids in zip(names, texts_of(kind), strict=False)}


# --- Saved and loaded -----------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("positions", EVERY_POSITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_is_loaded_and_traced(
    kind: str, positions: str, tied: bool, tmp_path: Path
) -> None:
    network = network_of(kind, positions=positions, tied=tied)
    network.save_pretrained(tmp_path)
    model = vizcore.load(tmp_path)
    assert (model.kind, model.capture, model.n_layers, model.n_heads) == (kind, "tap", 2, 4)
    assert model.max_tokens == (512 if positions == "learned" else None)
    transformer = model.network.transformer
    assert transformer.config == network.transformer.config
    assert (transformer.unembedding.weight is transformer.embedding.tokens.weight) is tied
    with torch.no_grad():
        expected = network.transformer(*[torch.tensor([ids]) for ids in texts_of(kind)])[0]
    torch.testing.assert_close(model.trace(*texts_of(kind)).logits, expected)


def test_half_precision_in_the_file_becomes_float32(tmp_path: Path) -> None:
    network = network_of("decoder")
    rounded = copy.deepcopy(network).half()
    rounded.save_pretrained(tmp_path)
    loaded = vizcore.load(tmp_path).network.state_dict()
    for name, weights in rounded.state_dict().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], weights.float())


def test_the_file_holds_tied_weights_once_and_says_what_made_them(tmp_path: Path) -> None:
    from safetensors import safe_open

    network_of("encoder-decoder").save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert "transformer.embedding.tokens.weight" in names
    assert "transformer.unembedding.weight" not in names
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "headlight"
    assert config["architectures"] == ["HeadlightForSeq2SeqLM"]
    assert (config["d_model"], config["positions"], config["decoder_start_token_id"]) == (
        24,
        "sinusoidal",
        1,
    )


def test_sizes_that_do_not_fit_are_said_when_it_is_loaded_errors(tmp_path: Path) -> None:
    network_of("decoder").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"n_heads": 4', '"n_heads": 5'))
    with pytest.raises(vizcore.ModelFilesError, match="which 5 heads cannot share equally"):
        vizcore.load(tmp_path)


def test_weights_that_are_missing_are_said_to_be_errors(tmp_path: Path) -> None:
    network_of("decoder").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"n_layers": 2', '"n_layers": 3'))
    with pytest.raises(vizcore.ModelFilesError, match="The weights in .* are incomplete"):
        vizcore.load(tmp_path)


def test_wrapping_shares_the_weights_and_changes_none() -> None:
    torch.manual_seed(0)
    transformer = Transformer(TransformerConfig("decoder", VOCABULARY, d_model=8, n_heads=2))
    before = {name: weights.clone() for name, weights in transformer.state_dict().items()}
    network = wrap(transformer)
    assert isinstance(network, HeadlightForCausalLM)
    assert network.transformer is transformer
    for name, weights in network.transformer.state_dict().items():
        assert torch.equal(weights, before[name])


def test_a_model_is_made_of_a_bare_transformer_and_a_tokenizer() -> None:
    transformer = network_of("encoder-decoder").transformer
    model = Model.of(transformer, sentence_piece_tokenizer())
    config = model.network.config
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 1, 2)
    assert model.trace(SOURCE, TARGET).kinds == ("encoder", "decoder", "cross")


# --- Looked into ----------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", EVERY_POSITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_maps_of_a_trace_are_the_attentions_that_it_returns(kind: str, positions: str) -> None:
    network = network_of(kind, positions=positions)
    with torch.no_grad():
        output = network(**inputs_of(kind), output_attentions=True)
    returned = (
        {
            "encoder": output.encoder_attentions,
            "decoder": output.decoder_attentions,
            "cross": output.cross_attentions,
        }
        if kind == "encoder-decoder"
        else {kind: output.attentions}
    )
    trace = Model.of(network, None).trace(*texts_of(kind))
    assert set(trace.kinds) == set(returned)
    for name, layers in returned.items():
        for layer, expected in enumerate(layers):
            weights = trace.attention(layer, kind=name)
            torch.testing.assert_close(weights, expected[0])
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))


def test_texts_of_a_batch_are_returned_as_they_are_alone() -> None:
    network = network_of("decoder")
    ids = torch.tensor([SOURCE, [*TARGET, 0, 0]])
    mask = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])
    with torch.no_grad():
        both = network(ids, attention_mask=mask, output_attentions=True)
        alone = network(ids[1:, :3], output_attentions=True)
    torch.testing.assert_close(both.logits[1:, :3], alone.logits)
    for together, by_itself in zip(both.attentions, alone.attentions, strict=True):
        torch.testing.assert_close(together[1:, :, :3, :3], by_itself)
        assert together[1, :, :3, 3:].abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_computed_for_the_places_that_are_asked_for(kind: str) -> None:
    model = Model.of(network_of(kind), None)
    trace = model.trace(*texts_of(kind))
    assert trace.run.logits is None  # they wait
    with torch.no_grad():
        expected = model.network(**inputs_of(kind)).logits[0]
    torch.testing.assert_close(trace.logits, expected)
    best = trace.next_tokens(position=1, k=1)["token_id"].item()
    assert best == expected[1].argmax().item()


def test_surprisal_is_minus_the_log_of_the_probability() -> None:
    network = network_of("decoder")
    model = Model.of(network, sentence_piece_tokenizer())
    with torch.no_grad():
        expected = network(torch.tensor([SOURCE])).logits[0].log_softmax(-1)
    frame = vizcore.trace_surprisal(model.trace(SOURCE))
    found = frame["log_probability"].to_numpy()[1:]
    for place, log_probability in enumerate(found):
        assert log_probability == pytest.approx(expected[place, SOURCE[place + 1]].item(), abs=1e-5)


# --- Writing --------------------------------------------------------------------------------------


def test_generating_is_what_transformers_users_expect() -> None:
    network = network_of("encoder-decoder", seed=4)
    sources = torch.tensor([SOURCE, [*TARGET, 0, 0]])
    mask = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])
    rows = network.generate(sources, attention_mask=mask, max_new_tokens=6)
    alone = network.generate(torch.tensor([TARGET]), max_new_tokens=6)[0].tolist()
    assert rows[1, : len(alone)].tolist() == alone
    assert set(rows[1, len(alone) :].tolist()) <= {0}
    assert rows[:, 0].tolist() == [1, 1]
    searched = network.generate(sources, attention_mask=mask, max_new_tokens=6, num_beams=3)
    assert searched.shape[0] == 2
    begun = network.generate(
        sources, attention_mask=mask, decoder_input_ids=torch.tensor([[1, 8]]), max_length=5
    )
    assert begun[:, :2].tolist() == [[1, 8], [1, 8]]
    assert begun.shape[1] <= 5


def test_a_decoder_generates_after_each_text_of_its_own_length() -> None:
    network = network_of("decoder", seed=2)
    rows = network.generate(
        torch.tensor([SOURCE, [0, 0, *TARGET]]),
        attention_mask=torch.tensor([[1] * 5, [0, 0, 1, 1, 1]]),
        max_new_tokens=3,
        eos_token_id=None,
    )
    alone = network.generate(torch.tensor([TARGET]), max_new_tokens=3, eos_token_id=None)
    assert rows[0, :5].tolist() == SOURCE
    assert rows[1, :6].tolist() == alone[0].tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"do_sample": True}, "and does not sample: leave do_sample out"),
        ({"warmth": 3}, "generate does not take warmth"),
        ({"decoder_input_ids": torch.tensor([[1], [3]])}, "give one beginning for all of them"),
    ],
)
def test_what_it_cannot_generate_is_said_errors(changes: dict[str, Any], said: str) -> None:
    network = network_of("encoder-decoder")
    with pytest.raises(ValueError, match=said):
        network.generate(torch.tensor([SOURCE, SOURCE]), **changes)


def test_an_encoder_generates_nothing_errors() -> None:
    network = network_of("encoder")
    assert isinstance(network, HeadlightForMaskedLM)
    with pytest.raises(ValueError, match="An encoder alone writes nothing"):
        network.generate(torch.tensor([SOURCE]))


# --- Model.write, of ours and of others -----------------------------------------------------------


def marian() -> Any:
    torch.manual_seed(3)
    config = MarianConfig(
        vocab_size=VOCABULARY,
        d_model=24,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=20,
        decoder_ffn_dim=20,
        max_position_embeddings=32,
        init_std=0.5,
        pad_token_id=0,
        eos_token_id=2,
        forced_eos_token_id=None,
        decoder_start_token_id=1,
    )
    return MarianMTModel(config)


@pytest.mark.parametrize("make", [marian, lambda: network_of("encoder-decoder", seed=5)])
def test_a_model_goes_on_from_a_prefix_with_the_likeliest_tokens(make: Any) -> None:
    model = Model.of(make(), None)
    whole = model.write(SOURCE)
    assert whole[0] == 1
    assert model.trace(SOURCE).target_ids == whole
    assert model.write(SOURCE, whole[:2]) == whole
    other = [1, next(token for token in range(3, 20) if token not in whole)]
    written = model.write(SOURCE, other)
    assert written[:2] == other
    trace = model.trace(SOURCE, written)
    expected = trace.logits.argmax(-1).tolist()
    assert written[2:] == expected[1 : len(written) - 1]
    assert len(written) >= 30 or expected[-1] == 2


def test_a_text_can_be_the_prefix() -> None:
    network = network_of("encoder-decoder", vocab_size=300)
    model = Model.of(network.transformer, sentence_piece_tokenizer())
    ids = model.encode("the cat", target=True)
    written = model.write("the door", "the cat")
    assert written[: len(ids)] == [1, *ids[:-1]]
    assert written == model.write("the door", [1, *ids[:-1]])


def test_a_search_with_beams_finds_no_less_likely_text() -> None:
    model = Model.of(network_of("encoder-decoder", seed=6), None)

    def mean(text: list[int]) -> float:
        read = model.trace(SOURCE, text).logits.log_softmax(-1)
        labels = [*text[1:], 2]
        return sum(float(read[place, label]) for place, label in enumerate(labels)) / len(labels)

    greedy, searched = model.write(SOURCE), model.write(SOURCE, n_beams=8)
    assert greedy[0] == searched[0] == 1
    assert len(greedy) >= 200 or mean(searched) >= mean(greedy)


def test_models_with_one_stack_write_no_target_errors() -> None:
    model = Model.of(network_of("decoder"), None, name="tiny")
    with pytest.raises(vizcore.TextError) as raised:
        model.write(SOURCE)
    assert str(raised.value) == (
        "tiny has one stack, so it takes one text and writes no target for it."
    )


def test_transformers_finds_our_networks_by_themselves(tmp_path: Path) -> None:
    network_of("encoder-decoder").save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert type(loaded).__name__ == "HeadlightForSeq2SeqLM"
