"""The text architectures of the installed transformers: the rows of the conformance table.

They are read from transformers' own lists of network classes, so a new release brings its new
ones along by itself. What takes no text at all (pictures, sound, time series) is in none of them.
"""

from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

TEXT = (
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES",
    "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES",
)
"""Lists of networks that read text."""
TEXT_AND_MORE = (
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
)
"""Lists of networks that read text, and see or hear beside."""


def text_architectures() -> list[str]:
    """The model types that read text, sorted; of those with several parts also the text part's."""
    found = {name for listed in (*TEXT, *TEXT_AND_MORE) for name in getattr(modeling_auto, listed)}
    parts = {name for name in modeling_auto.MODEL_MAPPING_NAMES if name.endswith("_text")}
    return sorted((found | parts) & set(CONFIG_MAPPING))
