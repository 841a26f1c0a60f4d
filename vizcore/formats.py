"""What a model's folder must look like before anything in it is opened.

Weights are read from safetensors alone, because a file of that kind can hold nothing but numbers,
while pickle (`.bin`, `.pt`, `.ckpt`) can run code when it is opened. These checks look at names,
sizes and JSON only, so they are quick, and they turn what would fail deep inside a loader into a
sentence that says what to do. GGUF files are `vizcore.convert`'s.
"""

import json
import shlex
import struct
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from vizcore.errors import ModelFilesError, UnsafeWeightsError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
UNSAFE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

# These end in .bin or .pt in ordinary repositories, but are not weights.
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")
# safetensors itself refuses a longer header.
_LONGEST_HEADER = 100_000_000


def check_folder(folder: Path) -> None:
    """Refuse a model's folder that cannot be loaded safely and whole; return if it can.

    Raises:
        UnsafeWeightsError: if its only weights are pickled; the message says how to convert them.
        ModelFilesError: if config.json or weights are missing or broken, or if the model can only
            be run by code that comes with it.
    """
    check_whole(folder)
    _check_model_type(folder, _read_config(folder))


def check_whole(folder: Path) -> None:
    """The part of `check_folder` that needs no `transformers`: are all files there, and whole?

    Raises:
        UnsafeWeightsError: if its only weights are pickled; the message says how to convert them.
        ModelFilesError: if config.json or weights are missing or broken.
    """
    if not folder.is_dir():
        raise ModelFilesError(
            f"{folder} is not a folder. A model is a folder with config.json, {WEIGHTS} and a "
            "tokenizer in it, or a single .gguf file."
        )
    config = _read_config(folder)
    names = sorted(path.name for path in folder.iterdir() if not path.is_dir())
    check_names(names, place=str(folder), config=config)
    if WEIGHTS in names:
        _check_safetensors(folder / WEIGHTS)
    else:
        for shard in _shards(folder):
            _check_safetensors(folder / shard)


def check_names(names: Iterable[str], *, place: str, config: dict[str, object]) -> None:
    """Refuse a model whose list of files holds no safetensors weights.

    It opens nothing, so a Hub repository's list can be checked before anything is fetched.

    Args:
        names: the files at the top of the folder or repository.
        place: the folder or Hub id, for the message.
        config: the content of its config.json, or {} if that is not known.

    Raises:
        UnsafeWeightsError: if there are weights, but only pickled ones.
        ModelFilesError: if there are no weights at all.
    """
    names = set(names)
    if WEIGHTS in names or INDEX in names:
        return
    unsafe = sorted(name for name in names if _is_unsafe(name))
    if unsafe:
        raise UnsafeWeightsError(
            f"The weights of {place} are pickled ({_listed(unsafe)}). Opening a pickle can run any "
            "code that somebody put into it, so Headlight reads safetensors only. If you trust "
            f"where this model comes from, convert it once with\n\n    {_conversion(place, config)}"
            "\n\nand try again."
        )
    others = sorted(name for name in names if name.endswith((".safetensors", ".h5", ".msgpack")))
    found = f" It has {_listed(others)}, which cannot be read as they are." if others else ""
    raise ModelFilesError(
        f"There are no weights in {place}: it needs {WEIGHTS}, or {INDEX} and the files that it "
        f"names.{found}"
    )


def _is_unsafe(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix in UNSAFE_SUFFIXES and not path.name.startswith(_NOT_WEIGHTS)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _conversion(place: str, config: dict[str, object]) -> str:
    """A command for a shell that writes safetensors beside the pickled weights."""
    architectures = config.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    # The name comes out of somebody's file and goes into a command that people will paste.
    known = isinstance(name, str) and name.isascii() and name.isidentifier()
    model_class = name if known else "AutoModel"
    source = shlex.quote(place)
    target = source if Path(place).is_dir() else shlex.quote(place.rsplit("/", 1)[-1])
    save = f"t.{model_class}.from_pretrained(a, use_safetensors=False).save_pretrained(b)"
    if target != source:
        # A model from the Hub needs its tokenizer in the new folder as well.
        save += "; t.AutoTokenizer.from_pretrained(a).save_pretrained(b)"
    return (
        f'python -c "import sys, transformers as t; a, b = sys.argv[1:]; {save}" {source} {target}'
    )


def _read_config(folder: Path) -> dict[str, object]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelFilesError(
            f"There is no config.json in {folder}, so it is not known what kind of model this is. "
            f"A model is a folder with config.json, {WEIGHTS} and a tokenizer in it."
        )
    return _read_json(path)


def _read_json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{path} is not valid JSON ({error}). Fetch it again.") from error
    if not isinstance(content, dict):
        raise ModelFilesError(f"{path} must hold a JSON object, and holds something else.")
    return content


def _shards(folder: Path) -> list[str]:
    weight_map = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelFilesError(f"{folder / INDEX} has no weight_map, so no weights can be found.")
    shards = sorted({str(shard) for shard in weight_map.values()})
    outside = [shard for shard in shards if PurePosixPath(shard).name != shard or "\\" in shard]
    if outside:
        raise ModelFilesError(
            f"{folder / INDEX} names {_listed(outside)}, which is not a file of this folder."
        )
    not_safe = [shard for shard in shards if not shard.endswith(".safetensors")]
    if not_safe:
        raise UnsafeWeightsError(
            f"{folder / INDEX} names {_listed(not_safe)}: only .safetensors files are read."
        )
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise ModelFilesError(
            f"{len(missing)} of the {len(shards)} files that {INDEX} names are missing in "
            f"{folder}: {_listed(missing)}. Fetch the model again."
        )
    return shards


def _check_safetensors(path: Path) -> None:
    """Compare the size of the file with what its header promises, without reading a tensor."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ModelFilesError(
                f"{path} is not a safetensors file, or it is cut off in its header "
                f"({size:,} bytes). Fetch the model again."
            )
        header = file.read(length)
    try:
        tensors = json.loads(header)
        ends = [
            int(tensor["data_offsets"][1])
            for name, tensor in tensors.items()
            if name != "__metadata__"
        ]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ModelFilesError(
            f"The header of {path} cannot be read, so it is not a safetensors file or it is "
            "damaged. Fetch the model again."
        ) from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        relation = "cut off" if size < expected else "longer than it says"
        raise ModelFilesError(
            f"{path} is {relation}: it has {size:,} bytes, and its header promises {expected:,}. "
            "Fetch the model again."
        )


def _check_model_type(folder: Path, config: dict[str, object]) -> None:
    from transformers import CONFIG_MAPPING, __version__

    from vizcore.pretrained import MODEL_TYPE

    model_type = config.get("model_type")
    if isinstance(model_type, str) and (model_type in CONFIG_MAPPING or model_type == MODEL_TYPE):
        # A known type is run by transformers' own code; an auto_map beside it is not looked at.
        return
    if config.get("auto_map"):
        raise ModelFilesError(
            f"The model in {folder} (type {model_type!r}) brings its own code, and can only be run "
            "by it. Headlight never runs code that comes with a model. Use a model of a type that "
            f"transformers {__version__} knows, or a newer transformers that knows this one."
        )
    raise ModelFilesError(
        f"config.json in {folder} says model_type {model_type!r}, which transformers {__version__} "
        "does not know. If it is a new kind of model, `pip install --upgrade transformers` may "
        "help; if the file is not from transformers, it has to be converted first."
    )
