"""How much a language model expected each token of a text.

Surprisal is the base of sentence likelihood, of reading-time studies and of perplexity. It is
computed from a trace's hidden states in slices of positions, so that the logits of a long text
are never all in memory. Not for encoders, which see the token that they are asked about.
"""

import math

import numpy as np
import pandas as pd
import torch

from vizcore.errors import MissingHeadError, SelectionError
from vizcore.model import Model
from vizcore.trace import Trace

POSITIONS_AT_ONCE = 128
"""How many rows of logits are held at a time."""


def surprisal(model: Model, text: str, *, bos: bool | None = None) -> pd.DataFrame:
    """How surprised a decoder is by each token of a text, given those before it.

    Args:
        model: a model that reads from left to right and has a language-model head.
        text: the text.
        bos: None leaves the beginning-of-text token to the tokenizer; True puts it in front (it
            gets a row too); False takes away the one that the tokenizer put there.

    Returns:
        One row a token: token, token_id, log_probability (nats, natural logarithm), surprisal
        (bits, -log2 of the probability), rank (1 for the likeliest). A first token with nothing
        before it is not scored: its values are missing.

    Raises:
        MissingHeadError: if the model does not predict the next token.
        TextError: if the text cannot be run.
    """
    ids = model.encode(text)
    if bos is not None:
        beginning = getattr(model.tokenizer, "bos_token_id", None)
        if beginning is None:
            raise SelectionError(
                f"The tokenizer of {model.name} has no beginning-of-text token: leave out `bos`."
            )
        bare = ids[1:] if ids[0] == beginning else ids
        ids = [beginning, *bare] if bos else bare
    return trace_surprisal(model.trace(ids))


def trace_surprisal(trace: Trace) -> pd.DataFrame:
    """The same for a text that has been run already; of an encoder-decoder, for its target.

    Returns and raises as `surprisal`.
    """
    if trace.model.kind == "encoder":
        raise MissingHeadError(
            f"{trace.model.name} is an encoder: it sees the whole text at once, so no token comes "
            "as a surprise to it. Use a model that reads from left to right, such as "
            '"smollm2-135m".'
        )
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    tokens = trace.source_tokens if trace.target_tokens is None else trace.target_tokens
    scores = [(math.nan, math.nan)]
    for start in range(0, len(ids) - 1, POSITIONS_AT_ONCE):
        following = ids[start + 1 : start + 1 + POSITIONS_AT_ONCE]
        logits = trace.logits_at(slice(start, start + len(following))).float()
        actual = logits.gather(1, torch.tensor(following, device=logits.device)[:, None])
        log_probabilities = (actual - logits.logsumexp(dim=1, keepdim=True))[:, 0]
        ranks = (logits > actual).sum(dim=1) + 1
        scores += zip(log_probabilities.tolist(), ranks.tolist(), strict=True)
    log_probability = np.array([score for score, _ in scores])
    return pd.DataFrame(
        {
            "token": tokens,
            "token_id": ids,
            "log_probability": log_probability,
            "surprisal": -log_probability / math.log(2),
            "rank": pd.array([pd.NA if math.isnan(rank) else rank for _, rank in scores], "Int64"),
        }
    )
