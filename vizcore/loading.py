"""`load`: a name, a Hub id, a folder or a GGUF file -> a `Model`.

Where the files come from is decided here and nowhere else; how they are fetched and converted is
the business of `fetch`, `hub` and `convert`. Code that comes with a model is never run. To look
into a network that is in memory already, use `Model.of`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForMultimodalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from vizcore.cache import Progress, quiet
from vizcore.catalog import close_matches, find
from vizcore.convert import converted
from vizcore.errors import DeviceError, FetchError, ModelFilesError, ModelNotFoundError
from vizcore.fetch import fetch
from vizcore.formats import check_folder
from vizcore.hub import hub_folder
from vizcore.model import Model

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "tekken.json",
    "tiktoken.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "spm.model",
    "sentencepiece.model",
    "prophetnet.tokenizer",
    "bpe.codes",
)
"""A folder that holds none of these came without a tokenizer."""
FAMILIES: tuple[Any, ...] = (
    AutoModelForSeq2SeqLM,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)
"""Classes that predict tokens, in the order in which they are tried if the files don't say."""
HEADS = ("ForCausalLM", "ForMaskedLM", "ForPreTraining", "ForConditionalGeneration", "MTModel")
"""How classes with a language-model head are called, beside those with "LMHead" in their name."""
CANNOT_LOAD = (
    ValueError,
    LookupError,
    OSError,
    ImportError,
    RuntimeError,
    TypeError,
    AttributeError,
    StrictDataclassError,
)
"""What transformers raises if it cannot make sense of a model's files."""


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> Model:
    """Load a model: by its name in the catalogue, by its Hub id, or from a folder or GGUF file.

    Code that comes with a model is never run: only safetensors and GGUF are read.

    Args:
        name: "smollm2-135m" (`vizcore models` lists them), "org/name", or a path.
        revision: of a Hub repository: branch, tag or commit.
        device: where PyTorch should put it.
        dtype: the precision it runs in; attention maps are computed in float32 in any case.
        progress: called with what is being done and how far it is.

    Raises:
        ModelNotFoundError: if there is nothing of that name.
        ModelFilesError: if its files are missing, broken, or of a kind that is not read.
        FetchError: if it has to be fetched and cannot be.
        CaptureError: if its attention cannot be captured.
        DeviceError: if there is no such device.
    """
    report = progress or quiet
    folder, note = _folder(str(name), revision, report)
    check_folder(folder)
    report(f"Loading {name}", None)
    with _quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            network = _network(folder, config, dtype)
        except ModelFilesError:
            raise
        except CANNOT_LOAD as error:
            raise ModelFilesError(f"The model in {folder} cannot be loaded: {error}") from error
        _move(network, device)
        report(f"Finding out how {name} attends", None)
        return Model.of(network, _tokenizer(folder), name=str(name), note=note, folder=folder)


def _move(network: PreTrainedModel, device: str) -> None:
    to_device: Any = network.to
    try:
        to_device(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(
            f"PyTorch cannot use the device {device!r} here. Leave `device` out to run on the "
            'processor ("cpu"), or see what torch.accelerator.current_accelerator() returns.'
        ) from error


def _folder(name: str, revision: str | None, progress: Progress) -> tuple[Path, str]:
    """Where the model's files are, fetched if need be, and what to know about them."""
    if not name.strip():
        raise ModelNotFoundError("The name is empty. `vizcore models` lists what there is.")
    if entry := find(name):
        return fetch(entry, progress=progress), entry.description
    path = Path(name).expanduser()
    if path.is_dir():
        return path, ""
    if path.is_file() and path.suffix == ".gguf":
        return converted(path, progress=progress), ""
    if path.is_file():
        raise ModelFilesError(
            f"{name} is a file. Give the folder that holds the model, or a file that ends in .gguf."
        )
    looks_like_a_path = name.startswith((".", "/", "~", "\\")) or name.count("/") > 1
    if looks_like_a_path or path.suffix == ".gguf":
        raise ModelNotFoundError(f"There is no folder or file {name}. Check the path.")
    progress(f"Fetching {name} from the Hub", None)
    try:
        return hub_folder(name, revision=revision, progress=progress), ""
    except (ModelNotFoundError, FetchError) as error:
        meant = close_matches(name)
        if not meant:
            raise
        names = " or ".join(repr(match) for match in meant)
        raise ModelNotFoundError(f"{error} Did you mean {names}?") from error


def _network(folder: Path, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The network with its language-model head where the weights hold one, else without."""
    missing: set[str] = set()
    for auto in _classes_to_try(config):
        network: PreTrainedModel
        network, info = auto.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            attn_implementation="eager",
            output_loading_info=True,
        )
        missing = {key for key in info["missing_keys"] if "pooler" not in key}
        if not missing:
            return network
    raise ModelFilesError(
        f"The weights in {folder} are incomplete: {len(missing)} tensors are missing, among them "
        f"{min(missing)}. Fetch the model again."
        if missing
        else f"transformers has no text network for the model type {config.model_type!r}."
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No reports about missing weights: trying classes out is how the right one is found."""
    logs: Any = logging
    verbosity = logs.get_verbosity()
    had_progress_bar = logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if had_progress_bar:
            logs.enable_progress_bar()


def _classes_to_try(config: PreTrainedConfig) -> list[Any]:
    """The classes that these weights may be for, best first: with a head if they were saved so."""
    saved_from = (config.architectures or [""])[0]
    exact = [auto for auto in FAMILIES if saved_from in _names_in(auto, config)]
    if exact:
        tried = [*exact, AutoModel]
    elif saved_from.endswith(("ForMaskedLM", "ForPreTraining")):
        tried = [AutoModelForMaskedLM, AutoModel]
    elif not saved_from or saved_from.endswith(HEADS) or "LMHead" in saved_from:
        tried = [*FAMILIES, AutoModel]
    elif saved_from.endswith("EncoderModel"):  # T5's encoder alone has the same configuration
        tried = [AutoModelForTextEncoding, AutoModel]
    else:
        tried = [AutoModel, AutoModelForTextEncoding]
    mapped = [auto for auto in tried if _names_in(auto, config)]
    own = getattr(transformers, saved_from, None)  # some text parts are in no mapping
    if not mapped and isinstance(own, type) and issubclass(own, PreTrainedModel):
        return [own]
    return mapped


def _names_in(auto: Any, config: PreTrainedConfig) -> list[str]:
    """The names of the classes that a family has for this configuration: usually one, or none."""
    if type(config) not in auto._model_mapping:
        return []
    found = auto._model_mapping[type(config)]
    return [one.__name__ for one in (found if isinstance(found, tuple) else (found,))]


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The folder's tokenizer, or None if it holds none."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    _check_tokenizer_code(folder)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except CANNOT_LOAD as error:
        raise ModelFilesError(f"The tokenizer in {folder} cannot be loaded: {error}") from error
    return tokenizer


def _check_tokenizer_code(folder: Path) -> None:
    """Refuse a tokenizer that only its own code can read, before anybody is asked to run it."""
    path = folder / "tokenizer_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        return  # transformers says what is wrong with it
    name = str(settings.get("tokenizer_class"))
    names = (name, f"{name}Fast", name.removesuffix("Fast"))
    if settings.get("auto_map") and not any(hasattr(transformers, known) for known in names):
        raise ModelFilesError(
            f"The tokenizer in {folder} brings its own code, which Headlight never runs. Replace "
            "it by one that transformers knows, or take it away to trace token ids."
        )
