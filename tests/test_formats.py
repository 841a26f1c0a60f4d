"""What is refused before anything of a model is opened, word by word, and what is let through."""

import json
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.support.tiny import tiny_network
from vizcore.errors import ModelFilesError, UnsafeWeightsError
from vizcore.formats import check_folder, check_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny GPT-2 as transformers saves it."""
    tiny_network("gpt2").save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def to_pickle(folder: Path, name: str = "pytorch_model.bin") -> dict[str, torch.Tensor]:
    """Turn the folder's weights into an old-style pickle, and return them."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / name)
    return weights


def test_a_folder_that_transformers_saved_is_let_through(folder: Path) -> None:
    check_folder(folder)


def test_sharded_weights_are_let_through(tmp_path: Path) -> None:
    tiny_network("llama").save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    check_folder(tmp_path)


def test_pickles_beside_safetensors_do_no_harm(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    (folder / "training_args.bin").write_bytes(b"anything")
    check_folder(folder)


def test_pickled_weights_are_refused_with_a_command_that_converts_them(folder: Path) -> None:
    weights = to_pickle(folder)
    with pytest.raises(UnsafeWeightsError) as caught:
        check_folder(folder)
    command = (
        'python -c "import sys, transformers as t; a, b = sys.argv[1:]; '
        't.GPT2LMHeadModel.from_pretrained(a, use_safetensors=False).save_pretrained(b)" '
        f"{folder} {folder}"
    )
    assert str(caught.value) == (
        f"The weights of {folder} are pickled (pytorch_model.bin). Opening a pickle can run any "
        "code that somebody put into it, so Headlight reads safetensors only. If you trust where "
        f"this model comes from, convert it once with\n\n    {command}\n\nand try again."
    )
    python = command.replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(python, shell=True, check=True, capture_output=True)
    check_folder(folder)
    converted = load_file(folder / "model.safetensors")
    assert all(torch.equal(converted[name], weights[name]) for name in weights)


def test_a_pickle_is_refused_without_being_opened(folder: Path, tmp_path: Path) -> None:
    to_pickle(folder)

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UnsafeWeightsError):
        check_folder(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "weights.pkl"])
def test_every_kind_of_pickle_is_refused(folder: Path, name: str) -> None:
    to_pickle(folder, name)
    with pytest.raises(UnsafeWeightsError, match=f"are pickled \\({name}\\)"):
        check_folder(folder)


def test_a_hostile_architecture_name_does_not_get_into_the_command(folder: Path) -> None:
    to_pickle(folder)
    edit_config(folder, architectures=['A"; rm -rf ~; "'])
    with pytest.raises(UnsafeWeightsError) as caught:
        check_folder(folder)
    assert "rm -rf" not in str(caught.value)
    assert "t.AutoModel.from_pretrained(a" in str(caught.value)


def test_the_files_of_a_hub_repository_are_judged_by_their_names_alone() -> None:
    check_names(["config.json", "model.safetensors", "pytorch_model.bin"], place="a/b", config={})
    with pytest.raises(UnsafeWeightsError) as caught:
        check_names(["config.json", "pytorch_model.bin"], place="org/model name", config={})
    assert (
        'python -c "import sys, transformers as t; a, b = sys.argv[1:]; '
        "t.AutoModel.from_pretrained(a, use_safetensors=False).save_pretrained(b); "
        "t.AutoTokenizer.from_pretrained(a).save_pretrained(b)\" 'org/model name' 'model name'"
    ) in str(caught.value)


def test_a_folder_without_weights_errors(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    with pytest.raises(ModelFilesError) as caught:
        check_folder(folder)
    assert str(caught.value) == (
        f"There are no weights in {folder}: it needs model.safetensors, or "
        "model.safetensors.index.json and the files that it names. It has "
        "consolidated.safetensors, which cannot be read as they are."
    )


def test_leftovers_of_training_are_not_taken_for_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"anything")
    with pytest.raises(ModelFilesError, match="There are no weights in") as caught:
        check_folder(folder)
    assert not isinstance(caught.value, UnsafeWeightsError)


def test_a_folder_without_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError) as caught:
        check_folder(tmp_path)
    assert str(caught.value) == (
        f"There is no config.json in {tmp_path}, so it is not known what kind of model this is. A "
        "model is a folder with config.json, model.safetensors and a tokenizer in it."
    )


def test_a_file_is_no_folder_errors(folder: Path) -> None:
    with pytest.raises(ModelFilesError, match="is not a folder. A model is a folder with config"):
        check_folder(folder / "config.json")


@pytest.mark.parametrize("content", ["{", "[1]", "\ud800", "[" * 100_000], ids=str.__len__)
def test_a_config_that_is_no_json_object_errors(folder: Path, content: str) -> None:
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelFilesError, match=r"config\.json (is not valid JSON|must hold)"):
        check_folder(folder)


def test_missing_shards_are_named_errors(tmp_path: Path) -> None:
    tiny_network("llama").save_pretrained(tmp_path, max_shard_size="20KB")
    shards = sorted(path.name for path in tmp_path.glob("model-*.safetensors"))
    (tmp_path / shards[1]).unlink()
    with pytest.raises(ModelFilesError) as caught:
        check_folder(tmp_path)
    assert str(caught.value) == (
        f"1 of the {len(shards)} files that model.safetensors.index.json names are missing in "
        f"{tmp_path}: {shards[1]}. Fetch the model again."
    )


def test_an_index_that_points_out_of_the_folder_errors(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = {"weight_map": {"weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(
        ModelFilesError, match=r"names \.\./model\.safetensors, which is not a file"
    ):
        check_folder(folder)


def test_an_index_of_pickles_errors(folder: Path) -> None:
    to_pickle(folder)
    index = {"weight_map": {"weight": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UnsafeWeightsError, match=r"only \.safetensors files are read"):
        check_folder(folder)


def test_truncated_weights_error(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(ModelFilesError) as caught:
        check_folder(folder)
    assert str(caught.value) == (
        f"{path} is cut off: it has {len(whole) - 100:,} bytes, and its header promises "
        f"{len(whole):,}. Fetch the model again."
    )


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\x00" * 100, b"\xff" * 100])
def test_what_is_no_safetensors_file_errors(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelFilesError, match="is not a safetensors file, or it is cut off in its"):
        check_folder(folder)


@pytest.mark.parametrize("header", [b"{}}", b"[1, 2]", b'{"a": 1}', b'{"a":{"data_offsets":[0]}}'])
def test_a_damaged_safetensors_header_errors(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelFilesError, match="cannot be read, so it is not a safetensors file or"):
        check_folder(folder)


def test_an_empty_safetensors_file_is_whole(folder: Path) -> None:
    save_file({}, folder / "model.safetensors")
    check_folder(folder)


def test_a_model_that_needs_its_own_code_errors(folder: Path) -> None:
    edit_config(folder, model_type="custom", auto_map={"AutoModel": "modeling.Custom"})
    with pytest.raises(ModelFilesError) as caught:
        check_folder(folder)
    assert str(caught.value) == (
        f"The model in {folder} (type 'custom') brings its own code, and can only be run by it. "
        "Headlight never runs code that comes with a model. Use a model of a type that "
        f"transformers {transformers.__version__} knows, or a newer transformers that knows this "
        "one."
    )


def test_code_beside_a_known_type_is_not_looked_at(folder: Path) -> None:
    edit_config(folder, auto_map={"AutoModelForCausalLM": "modeling.Custom"})
    (folder / "modeling.py").write_text("raise SystemExit('this code must never run')")
    check_folder(folder)


@pytest.mark.parametrize("model_type", ["no-such-type", None, 3, ["gpt2"]])
def test_an_unknown_type_errors(folder: Path, model_type: object) -> None:
    edit_config(folder, model_type=model_type)
    with pytest.raises(ModelFilesError, match=r"`pip install --upgrade transformers` may help"):
        check_folder(folder)
