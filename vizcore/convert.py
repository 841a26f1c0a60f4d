"""GGUF files turned into a folder of safetensors, once, so that loading is quick ever after.

`transformers` reads a GGUF itself, but takes many seconds for it each time, and its loader was
written for files one trusts. So a file is converted in a process of its own, which also keeps the
caller's responsive, and the result is cached under the hash of its content. Weights come out in
float32, exactly as dequantised: nothing is gained over the quantised file but speed of loading.
"""

import hashlib
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizcore.cache import Progress, build_once, cache_folder, quiet
from vizcore.errors import FetchError, ModelFilesError
from vizcore.formats import check_whole

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

CONVERSION = 1
"""Raised whenever the same file converts to something else, so that old results are not used."""

_MAGIC = b"GGUF"
# The errors that the converting process reports by name; any other is a traceback of its own.
_ERRORS = {error.__name__: error for error in (ModelFilesError, FetchError)}
# Vocabularies that were trained with every digit a piece of its own, by their name in the file
# (tokenizer.ggml.pre). transformers splits these as GPT-2 does, which keeps "  12" together.
_SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r")
# Model lengths above this are transformers' way of saying "not known".
_UNKNOWN_LENGTH = 10**9


def converted(path: Path, *, progress: Progress | None = None) -> Path:
    """The folder with the content of this GGUF file as safetensors, converted if need be.

    Args:
        path: the file. Its content decides, not its name or date.
        progress: told what is being done, and how far it is.

    Raises:
        ModelFilesError: if the file is not a GGUF, is damaged, or of an unsupported architecture.
        FetchError: if the cache cannot be written to.
    """
    progress = progress or quiet
    check_gguf(path)
    progress(f"Looking at {path.name}", 0.0)
    key = f"{sha256(path)[:32]}-v{CONVERSION}"

    def build(part: Path) -> Path:
        convert_apart(path, part / "model", progress=progress)
        return part / "model"

    return build_once(
        cache_folder() / "gguf" / key, build, progress=progress, is_complete=is_complete
    )


def is_complete(folder: Path) -> bool:
    """Whether a folder of the cache is there and whole."""
    if not folder.is_dir():
        return False
    try:
        check_whole(folder)
    except ModelFilesError:
        return False
    return True


def check_gguf(path: Path) -> None:
    """Raise ModelFilesError unless the file is there and begins as a GGUF does."""
    if not path.is_file():
        raise ModelFilesError(f"There is no file {path}.")
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] != _MAGIC or len(start) < 8:
        raise ModelFilesError(
            f"{path} is not a GGUF file: it does not begin with the letters GGUF. If it is a model "
            "in another format, give the folder that holds its config.json."
        )
    (version,) = struct.unpack("<I", start[4:])
    if version not in (2, 3):
        raise ModelFilesError(
            f"{path} is GGUF version {version}, and only versions 2 and 3 can be read."
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert_apart(path: Path, folder: Path, *, progress: Progress | None = None) -> None:
    """`gguf_to_folder`, in a process of its own, so that this one stays responsive and safe.

    Raises:
        ModelFilesError: if the conversion fails, with the reason that it gave.
    """
    progress = progress or quiet
    # Not `-m vizcore.convert`: the package may have imported this module already.
    command = [sys.executable, "-P", "-c", "from vizcore import convert; convert._main()"]
    source = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
        "PYTHONIOENCODING": "utf-8",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TQDM_DISABLE": "1",
    }
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            [*command, str(path.absolute()), str(folder.absolute())],
            # Never written to: the child ends when it is closed, and so never outlives us.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            encoding="utf-8",
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    kind, text, fraction = json.loads(line)
                    if kind in _ERRORS:
                        raise _ERRORS[kind](text)
                    progress(text, fraction)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode("utf-8", errors="replace").strip().splitlines()
            raise ModelFilesError(
                f"{path} could not be converted: {_reason(said, process.returncode)}. The file is "
                "damaged, or of a kind that transformers cannot read; a folder with the same "
                "model as safetensors will work."
            )


def _reason(said: list[str], returncode: int) -> str:
    """The last line of a traceback, without the name of the exception's class."""
    if not said:
        return f"the process ended with code {returncode}, perhaps for want of memory"
    name, colon, text = said[-1].partition(": ")
    is_class_name = colon and name.replace(".", "").isidentifier()
    return (text if is_class_name else said[-1]).rstrip(".")


def gguf_to_folder(path: Path, folder: Path, *, progress: Progress | None = None) -> None:
    """Write config, float32 safetensors and tokenizer of a GGUF file into a new folder.

    What fails in here fails as `transformers` lets it; `converted` is the careful way in.

    Args:
        path: the GGUF file.
        folder: where to write. It is made, and must not hold another model.
        progress: told what is being done, and how far it is.

    Raises:
        ModelFilesError: if the file does not hold every weight that its architecture has.
        FetchError: if the disk has too little room for the result.
    """
    progress = progress or quiet
    progress("Starting PyTorch and transformers", 0.0)
    from transformers import AutoConfig, AutoTokenizer

    progress(f"Reading what kind of model {path.name} is", 0.15)
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    progress("Dequantising the weights to float32", 0.3)
    network = _read_network(path, config)
    progress("Reading the vocabulary", 0.75)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    _complete_tokenizer(tokenizer, path=path, config=config)

    size = 4 * sum(parameter.numel() for parameter in network.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise FetchError(
            f"The converted model needs {size / 1e9:.1f} GB, and there are {free / 1e9:.1f} GB "
            f"free for {folder}. Free some space, or set HEADLIGHT_CACHE to a folder on another "
            "disk."
        )
    progress("Writing safetensors", 0.9)
    network.save_pretrained(folder, max_shard_size="1TB")
    # Weights are written readable for their owner alone, but a cache may be shared.
    shutil.copymode(folder / "config.json", folder / "model.safetensors")
    tokenizer.save_pretrained(folder)
    progress("Converted", 1.0)


def _read_network(path: Path, config: "PreTrainedConfig") -> "PreTrainedModel":
    """A network with the file's weights that knows nothing of GGUF any more, so can be saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    read, loading = auto.from_pretrained(
        path.parent,
        gguf_file=path.name,
        config=config,
        dtype=torch.float32,
        output_loading_info=True,
    )
    absent = sorted({*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])})
    if absent:
        raise ModelFilesError(
            f"{path} lacks {len(absent)} of the weights of a {config.model_type} model "
            f"({', '.join(absent[:3])}). They would be random numbers, so nothing was converted."
        )
    # transformers refuses to save a network that was read from GGUF. This one is built from the
    # plain config, and takes over the very same tensors: there is no second copy in memory.
    with torch.device("meta"):
        network: PreTrainedModel = auto.from_config(config, dtype=torch.float32)
    network.load_state_dict(read.state_dict(), assign=True)
    # Buffers that no state dict holds, such as rotary frequencies, are still on the meta device;
    # they follow from the config and are never written.
    network.tie_weights()
    network.generation_config = read.generation_config
    return network


def _complete_tokenizer(
    tokenizer: "PreTrainedTokenizerBase", *, path: Path, config: "PreTrainedConfig"
) -> None:
    """Set what transformers does not take over from the file."""
    from tokenizers import pre_tokenizers

    length = getattr(config, "max_position_embeddings", None)
    if tokenizer.model_max_length > _UNKNOWN_LENGTH and isinstance(length, int):
        tokenizer.model_max_length = length
    if _pre_tokenizer(path) in _SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )


def _pre_tokenizer(path: Path) -> str:
    """What the file says its pre-tokenizer is (tokenizer.ggml.pre), or ""."""
    # The key is followed by the number of the type "string", the length, and the string.
    key = b"tokenizer.ggml.pre" + struct.pack("<I", 8)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(key)
        if found < 0:
            return ""
        start = found + len(key) + 8
        (length,) = struct.unpack("<Q", content[start - 8 : start])
        return content[start : start + length].decode("utf-8")


def _main() -> None:
    """Convert argv[1] into the folder argv[2], with progress as JSON lines on standard output."""
    # The pipe closes when our parent is gone, killed or not; then nobody wants the result.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()

    def report(message: str, fraction: float | None) -> None:
        print(json.dumps(["Progress", message, fraction]), flush=True)

    try:
        gguf_to_folder(Path(sys.argv[1]), Path(sys.argv[2]), progress=report)
    except (ModelFilesError, FetchError) as error:
        print(json.dumps([type(error).__name__, str(error), None]), flush=True)


if __name__ == "__main__":
    _main()
