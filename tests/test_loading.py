"""`load`: folders of every sort, GGUF files, names that are wrong, and files that are not read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BartForCausalLM,
    BartModel,
    BertForPreTraining,
    BertForSequenceClassification,
    BertGenerationDecoder,
    BertLMHeadModel,
    BertModel,
    ElectraForPreTraining,
    GPT2ForSequenceClassification,
    GPT2Model,
    PreTrainedModel,
    T5EncoderModel,
    T5Model,
)

import vizcore
from tests.support import tiny
from tests.test_convert import tiny_llama, trained_tokenizer, write_gguf


def saved(folder: Path, model_type: str, *, tokenizer: Any = "its own", **changes: Any) -> Path:
    return tiny.save(tiny.tiny_network(model_type, **changes), folder, tokenizer=tokenizer)


def write_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- What is loaded -------------------------------------------------------------------------------


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_folder_is_loaded_by_its_path(as_type: type, tmp_path: Path) -> None:
    model = vizcore.load(as_type(saved(tmp_path, "gpt2")))
    assert (model.name, model.kind, model.n_layers, model.n_heads) == (
        str(tmp_path),
        "decoder",
        3,
        4,
    )
    assert model.trace("the cat").tokens[0] == "the"


def test_a_folder_is_found_in_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "tiny", "gpt2")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert vizcore.load("~/tiny").kind == "decoder"


def test_a_gguf_file_is_loaded_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path / "cache"))
    tokenizer = trained_tokenizer()
    network = tiny_llama(tokenizer, tied=True)
    write_gguf(tmp_path / "tiny.gguf", network, tokenizer)
    told: list[str] = []
    model = vizcore.load(tmp_path / "tiny.gguf", progress=lambda text, _: told.append(text))
    trace = model.trace("the cats sat")
    with torch.no_grad():
        expected = network(torch.tensor([trace.token_ids])).logits[0]
    torch.testing.assert_close(trace.logits, expected, atol=1e-3, rtol=1e-4)
    assert told[-1] == f"Finding out how {tmp_path / 'tiny.gguf'} attends"


def test_weights_in_several_files_are_loaded(tmp_path: Path) -> None:
    network = tiny.tiny_network("gpt2")
    network.save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / "model.safetensors").exists()
    trace = vizcore.load(tmp_path).trace([5, 6, 7])
    with torch.no_grad():
        expected = network(torch.tensor([[5, 6, 7]])).logits[0]
    torch.testing.assert_close(trace.logits, expected, atol=1e-4, rtol=1e-4)


def test_a_folder_without_a_tokenizer_traces_ids(tmp_path: Path) -> None:
    model = vizcore.load(saved(tmp_path, "gpt2", tokenizer=None))
    assert model.tokenizer is None
    trace = model.trace([5, 6, 7])
    assert trace.tokens == ["#5", "#6", "#7"]
    assert trace.attention(0).shape == (4, 3, 3)


def test_a_folder_without_a_tokenizer_errors_on_text(tmp_path: Path) -> None:
    model = vizcore.load(saved(tmp_path, "gpt2", tokenizer=None))
    with pytest.raises(vizcore.ModelFilesError) as error:
        model.trace("the cat")
    assert str(error.value) == (
        f"{tmp_path} came without a tokenizer, so it cannot read text. Put its tokenizer's files "
        "into the folder, or give token ids: trace([1, 2, 3])."
    )


@pytest.mark.parametrize(
    "tokenizer",
    [tiny.byte_level_tokenizer, tiny.word_piece_tokenizer, tiny.sentence_piece_tokenizer],
)
def test_any_kind_of_tokenizer_goes_with_any_network(tokenizer: Any, tmp_path: Path) -> None:
    model = vizcore.load(saved(tmp_path, "llama", tokenizer=tokenizer()))
    trace = model.trace("the cat sat")
    assert "".join(trace.tokens).replace("·", "").startswith(("the", "[CLS]the"))
    assert len(trace.tokens) == len(trace.token_ids)


def test_a_tokenizer_without_a_vocabulary_file_is_read(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    model = vizcore.load(saved(tmp_path, "t5", vocab_size=400, tokenizer=ByT5Tokenizer()))
    assert model.trace("cat", "hé").source_tokens == ["c", "a", "t", "</s>"]


def test_loading_and_tracing_say_nothing(tmp_path: Path) -> None:
    """In a process of its own, where transformers' loggers are as users have them."""
    saved(tmp_path, "big_bird")
    script = (
        "import sys, vizcore; model = vizcore.load(sys.argv[1]); "
        "trace = model.trace('the cat'); trace.attention(0); trace.logits"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_transformers_speaks_and_draws_again_after_loading(tmp_path: Path) -> None:
    from transformers.utils import logging

    logs: Any = logging
    before = (logs.get_verbosity(), logs.is_progress_bar_enabled())
    vizcore.load(saved(tmp_path, "gpt2"))
    assert (logs.get_verbosity(), logs.is_progress_bar_enabled()) == before


def test_what_is_slow_is_reported(tmp_path: Path) -> None:
    told: list[tuple[str, float | None]] = []
    vizcore.load(saved(tmp_path, "gpt2"), progress=lambda text, part: told.append((text, part)))
    assert told == [
        (f"Loading {tmp_path}", None),
        (f"Finding out how {tmp_path} attends", None),
    ]


# --- With and without a language-model head -------------------------------------------------------

HEADLESS: list[tuple[type[PreTrainedModel], str]] = [
    (GPT2Model, "gpt2"),
    (BertModel, "bert"),
    (T5Model, "t5"),
    (BartModel, "bart"),
    (T5EncoderModel, "t5"),
    (BertForSequenceClassification, "bert"),
    (GPT2ForSequenceClassification, "gpt2"),
    (ElectraForPreTraining, "electra"),
]


@pytest.mark.parametrize(("saved_as", "model_type"), HEADLESS)
def test_what_was_saved_without_a_head_has_maps_and_no_logits(
    saved_as: type[PreTrainedModel], model_type: str, tmp_path: Path
) -> None:
    network = tiny.livened(saved_as(tiny.tiny_config(model_type)))
    tiny.save(network, tmp_path)
    model = vizcore.load(tmp_path)
    two_texts = model.kind == "encoder-decoder"
    trace = model.trace([20, 21, 22, 23], [1, 24, 25] if two_texts else None)

    inputs = {"input_ids": torch.tensor([[20, 21, 22, 23]])}
    if two_texts:
        inputs["decoder_input_ids"] = torch.tensor([[1, 24, 25]])
    network.set_attn_implementation("eager")
    with torch.no_grad():
        output = network.base_model(**inputs, output_attentions=True)
    theirs = output["cross_attentions" if two_texts else "attentions"]
    for layer in model.layers():
        mine = trace.attention(layer, None, "cross" if two_texts else None)
        torch.testing.assert_close(mine, theirs[layer][0], atol=1e-5, rtol=0)

    assert not model.has_head
    with pytest.raises(vizcore.MissingHeadError) as error:
        _ = trace.logits
    assert str(error.value) == (
        f"{tmp_path} has no language-model head, so it has no logits and predicts no tokens. Load "
        'a model with one, such as "smollm2-135m".'
    )


@pytest.mark.parametrize(
    ("saved_as", "model_type", "kind"),
    [
        (BertForPreTraining, "bert", "encoder"),
        (BertLMHeadModel, "bert", "decoder"),
        (BertGenerationDecoder, "bert-generation", "decoder"),
        (BartForCausalLM, "bart", "decoder"),
    ],
)
def test_heads_of_every_name_are_found(
    saved_as: type[PreTrainedModel], model_type: str, kind: str, tmp_path: Path
) -> None:
    config = tiny.tiny_config(model_type, is_decoder=kind == "decoder")
    network = tiny.livened(saved_as(config))
    tiny.save(network, tmp_path)
    model = vizcore.load(tmp_path)
    assert (model.kind, model.has_head) == (kind, True)
    with torch.no_grad():
        output: Any = network(torch.tensor([[20, 21, 22]]))
    expected = output["logits" if "logits" in output else "prediction_logits"][0]
    torch.testing.assert_close(model.trace([20, 21, 22]).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_type_with_several_headless_classes_is_found_out_too(tmp_path: Path) -> None:
    tiny.save(tiny.tiny_network("funnel"), tmp_path)
    with pytest.raises(vizcore.CaptureError, match=r"^FunnelForMaskedLM returns something"):
        vizcore.load(tmp_path)


def test_without_a_word_about_its_class_the_weights_decide(tmp_path: Path) -> None:
    network = tiny.tiny_network("gpt2")
    tiny.save(network, tmp_path)
    write_config(tmp_path, architectures=None)
    assert vizcore.load(tmp_path).has_head


def test_no_encoder_decoder_writes_a_target_without_a_head(tmp_path: Path) -> None:
    tiny.save(tiny.livened(T5Model(tiny.tiny_config("t5"))), tmp_path)
    model = vizcore.load(tmp_path)
    with pytest.raises(vizcore.MissingHeadError) as error:
        model.trace([5, 6])
    assert str(error.value) == (
        f"{tmp_path} has no language-model head, so it cannot write a target by itself. Give one: "
        "trace(source, target)."
    )


# --- What is refused ------------------------------------------------------------------------------


def test_code_that_comes_with_a_model_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "model", "gpt2")
    ran = tmp_path / "it ran"
    code = f"open({str(ran)!r}, 'w')\nfrom transformers import GPT2LMHeadModel as Net\n"
    for name in ("modeling_own.py", "configuration_own.py", "tokenization_own.py"):
        (folder / name).write_text(code)
    own = {"AutoConfig": "configuration_own.Config", "AutoModelForCausalLM": "modeling_own.Net"}
    write_config(folder, auto_map=own)
    assert vizcore.load(folder).kind == "decoder"

    settings = folder / "tokenizer_config.json"
    content = json.loads(settings.read_text())
    content |= {"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}}
    settings.write_text(json.dumps(content | {"tokenizer_class": "Own"}))
    with pytest.raises(vizcore.ModelFilesError) as error:
        vizcore.load(folder)
    assert str(error.value) == (
        f"The tokenizer in {folder} brings its own code, which Headlight never runs. Replace it by "
        "one that transformers knows, or take it away to trace token ids."
    )
    assert not ran.exists()


def test_a_folder_without_a_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(vizcore.ModelFilesError) as error:
        vizcore.load(tmp_path)
    assert str(error.value) == (
        f"There is no config.json in {tmp_path}, so it is not known what kind of model this is. "
        "A model is a folder with config.json, model.safetensors and a tokenizer in it."
    )


def test_pickled_weights_error_before_anything_is_opened(tmp_path: Path) -> None:
    saved(tmp_path, "gpt2")
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(vizcore.UnsafeWeightsError) as error:
        vizcore.load(tmp_path)
    assert str(error.value).startswith(
        f"The weights of {tmp_path} are pickled (pytorch_model.bin). Opening a pickle can run any "
        "code that somebody put into it, so Headlight reads safetensors only."
    )


def test_missing_tensors_error_with_their_names(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved(tmp_path, "gpt2")
    weights = load_file(tmp_path / "model.safetensors")
    for name in list(weights):
        if ".h.1.ln_1" in name or name.startswith("h.1.ln_1"):
            del weights[name]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(vizcore.ModelFilesError) as error:
        vizcore.load(tmp_path)
    assert str(error.value) == (
        f"The weights in {tmp_path} are incomplete: 2 tensors are missing, among them "
        "h.1.ln_1.bias. Fetch the model again."
    )


def test_a_broken_configuration_errors_with_the_reason(tmp_path: Path) -> None:
    saved(tmp_path, "gpt2")
    write_config(tmp_path, n_embd="wide")
    with pytest.raises(vizcore.ModelFilesError, match=r"^The model in .* cannot be loaded: "):
        vizcore.load(tmp_path)


def test_a_broken_tokenizer_errors_with_the_reason(tmp_path: Path) -> None:
    saved(tmp_path, "gpt2")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(vizcore.ModelFilesError, match=r"^The tokenizer in .* cannot be loaded: "):
        vizcore.load(tmp_path)


# --- Names that are wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["./no/such/folder", "/no/such/folder", "~/nowhere-at-all", "no.gguf"]
)
def test_a_path_that_is_not_there_errors(name: str) -> None:
    with pytest.raises(vizcore.ModelNotFoundError) as error:
        vizcore.load(name)
    assert str(error.value) == f"There is no folder or file {name}. Check the path."


def test_a_file_that_is_no_model_errors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(vizcore.ModelFilesError) as error:
        vizcore.load(path)
    assert str(error.value) == (
        f"{path} is a file. Give the folder that holds the model, or a file that ends in .gguf."
    )


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_errors(name: str) -> None:
    with pytest.raises(vizcore.ModelNotFoundError) as error:
        vizcore.load(name)
    assert str(error.value) == "The name is empty. `vizcore models` lists what there is."


@pytest.mark.parametrize("failure", [vizcore.FetchError, vizcore.ModelNotFoundError])
def test_a_name_close_to_one_of_the_catalogue_errors_with_a_suggestion(
    failure: type[vizcore.VizcoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_hub(*_: Any, **__: Any) -> Path:
        raise failure("The Hub has none.")

    monkeypatch.setattr("vizcore.loading.hub_folder", no_hub)
    with pytest.raises(vizcore.ModelNotFoundError) as error:
        vizcore.load("smolm2-135m")
    assert str(error.value) == "The Hub has none. Did you mean 'smollm2-135m'?"
    with pytest.raises(failure) as other:
        vizcore.load("somebody/something-else-entirely")
    assert str(other.value) == "The Hub has none."


def test_a_device_that_is_not_there_errors(tmp_path: Path) -> None:
    saved(tmp_path, "gpt2")
    with pytest.raises(vizcore.DeviceError) as error:
        vizcore.load(tmp_path, device="quantum")
    assert str(error.value) == (
        "PyTorch cannot use the device 'quantum' here. Leave `device` out to run on the processor "
        '("cpu"), or see what torch.accelerator.current_accelerator() returns.'
    )
