"""One architecture, tried: built tiny and random, saved, loaded, traced, compared with eager mode.

`check` says what came out, in one `Result`, and raises nothing that a network may raise: it is run
for hundreds of architectures in a row. `tests/test_conformance.py` asserts the same for a few.
"""

import tempfile
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import PreTrainedModel

import vizcore
from tests.conformance.reference import TWO_STACKS, Reference, eager_copy, reference
from tests.conformance.result import Result
from tests.conformance.sizes import WHY_NOT
from tests.support import tiny

EXACT = 1e-5
"""How far a weight may be from eager mode's, in float32, to count as the same."""
EXACT_LOGITS = 1e-4
"""The same for logits, as a part of the largest one."""
N_TOKENS, N_TARGETS = 21, 13
"""The lengths of the texts: different, and longer than every window."""
LARGEST = 30_000_000
"""A network of more parameters than this has not been made small."""


CANNOT_BUILD = (
    ValueError,
    LookupError,
    OSError,
    ImportError,
    RuntimeError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    StrictDataclassError,
)
"""What transformers raises if a configuration makes no network."""


def check(model_type: str) -> Result:
    """Build it, save it, load it by vizcore and by transformers, and compare."""
    try:
        network = tiny.tiny_network(model_type)
    except CANNOT_BUILD as error:
        return Result(model_type, "not built", reason=WHY_NOT.get(model_type) or _words(error))
    name = type(network).__name__
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    if n_parameters > LARGEST:
        reason = f"it keeps {n_parameters:,} parameters with all that is made small here"
        return Result(model_type, "not built", network=name, reason=reason)
    with tempfile.TemporaryDirectory() as folder:
        try:
            tiny.save(network, Path(folder))
        except CANNOT_BUILD as error:
            reason = f"transformers cannot save it: {_words(error)}"
            return Result(model_type, "not built", network=name, reason=reason)
        return _compare(model_type, network, Path(folder))


def _compare(model_type: str, network: PreTrainedModel, folder: Path) -> Result:
    name = type(network).__name__
    try:
        whole, missing = eager_copy(network, folder)
    except CANNOT_BUILD as error:
        reason = f"transformers cannot load what it has saved: {_words(error)}"
        return Result(model_type, "not built", network=name, reason=reason)
    if missing:
        reason = "transformers does not load again what it has saved"
        return Result(model_type, "not built", network=name, reason=reason)
    generator = torch.Generator().manual_seed(3)
    n_known = min(tiny.VOCABULARY, _vocabulary(network))
    source = torch.randint(5, n_known - 5, (N_TOKENS,), generator=generator).tolist()
    target = torch.randint(5, n_known - 5, (N_TARGETS,), generator=generator).tolist()
    try:
        model = vizcore.load(folder)
        two = model.kind == "encoder-decoder"
        trace = model.trace(source, target if two else None)
    except vizcore.VizcoreError as error:
        return Result(model_type, "refused", network=name, reason=_words(error))
    part = next(module for module in whole.modules() if type(module) is type(model.network))
    expected = reference(part, source, target if two else None)
    complaint, difference = compare_maps(trace, expected)
    logits = None
    if model.has_head and expected.logits is not None:
        scale = expected.logits.abs().max().item()
        logits = (trace.logits - expected.logits).abs().max().item() / scale
        if not logits <= EXACT_LOGITS:
            complaint = complaint or "its logits differ"
    hidden = [kind for kind in TWO_STACKS if two and kind not in model.kinds]
    note = f"{' and '.join(hidden)} not shown" if hidden else ""
    return Result(
        model_type,
        "differs" if complaint else "exact",
        network=type(model.network).__name__,
        kind=model.kind,
        way=model.capture,
        layers={kind: list(model.layers(kind)) for kind in model.kinds},
        n_layers=model.n_layers,
        difference=difference,
        logits=logits,
        reason=complaint,
        note=note if part is whole else f"the text part of {name}",
    )


def _vocabulary(network: PreTrainedModel) -> int:
    return int(getattr(network.config, "vocab_size", None) or tiny.VOCABULARY)


def compare_maps(trace: vizcore.Trace, expected: Reference) -> tuple[str, float]:
    """What is wrong ("" if nothing is), and the largest difference of a weight."""
    largest = 0.0
    if not expected.maps:
        return "transformers returns no weights to compare with", largest
    for kind in trace.kinds:
        theirs = expected.maps.get(kind if trace.target_ids is not None else "text", [])
        numbers = expected.numbers.get(kind if trace.target_ids is not None else "text", [])
        layers = trace.layers(kind)
        if len(theirs) != len(layers):
            return f"{len(layers)} layers of {kind} attention instead of {len(theirs)}", largest
        if numbers and numbers != list(layers):
            return f"layers {list(layers)} instead of {numbers}", largest
        for layer, weights in zip(layers, theirs, strict=True):
            mine = trace.attention(layer, None, kind)
            if mine.shape != weights.shape:
                return f"a map of {tuple(mine.shape)}, not {tuple(weights.shape)}", largest
            heads = torch.stack([trace.attention(layer, i, kind) for i in range(len(mine))])
            largest = max(largest, _apart(mine, weights), _apart(heads, weights))
            if mine.min() < 0 or mine.sum(-1).max() > 1 + EXACT:
                return "weights that are no probabilities", largest
    return ("" if largest <= EXACT else "its weights differ"), largest


def _apart(mine: Tensor, theirs: Tensor) -> float:
    apart = (mine - theirs.float()).abs().max().item()
    return apart if apart == apart else float("inf")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
