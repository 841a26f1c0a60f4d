"""Loaded once, before processes are forked from it: what every architecture needs to be tried.

transformers prepares its table of weight names when the first network is loaded, which takes longer
than all the rest that is done for a tiny one. Only for `sweep`; nothing here is called by name.
"""

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import tests.conformance.checking
import vizcore.loading

NEEDED = (tests.conformance.checking, vizcore.loading, get_checkpoint_conversion_mapping("llama"))
