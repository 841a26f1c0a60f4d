"""What of a network can be looked into on text alone: all of it, or the part that reads text.

Networks that also see or hear usually run on text as they are. Some ask for a picture or a sound
whatever is read (BLIP-2, Kosmos-2, TrOCR); inside them is a language model that does not, and that
is shown instead, with a note that says so. Nothing here goes by names of architectures.
"""

from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedModel

from vizcore.capture import Capture
from vizcore.errors import CaptureError
from vizcore.trial import find_capture


def readable_part(network: PreTrainedModel) -> tuple[PreTrainedModel, Capture, str]:
    """The network, or else the outermost language model inside it that runs on text alone.

    Returns:
        The network to look into, how it is captured, and a note on it: "" if it is the whole.

    Raises:
        CaptureError: if neither can be captured; it tells about the whole.
    """
    try:
        return network, find_capture(network), ""
    except CaptureError:
        for name, part in _language_models(network):
            try:
                capture = find_capture(part)
            except CaptureError:
                continue
            if not capture.has_head:
                continue  # a stack that was made for what another one gives it
            note = (
                f"{type(network).__name__} cannot be run on text alone: shown is its text part, "
                f"{name} ({type(part).__name__})."
            )
            return part, capture, note
        raise


def _language_models(network: PreTrainedModel) -> Iterator[tuple[str, PreTrainedModel]]:
    """The parts that may predict tokens by themselves, named, from the outside inwards."""
    parts = [
        (name, module)
        for name, module in network.named_modules()
        if module is not network and isinstance(module, PreTrainedModel)
    ]
    for name, part in sorted(parts, key=lambda named: named[0].count(".")):
        output_embeddings: Any = part.get_output_embeddings
        if output_embeddings() is not None:
            yield name, part
