"""What a layer promotes at a place: the tokens that its result makes likelier, with their ranks.

The idea: the logit lens (nostalgebraist 2020) before a layer and after it, and the difference. As
rough as the lens is in early layers; for all layers at once take `logit_lens`.
"""

import pandas as pd
import torch

from vizcore.errors import SelectionError
from vizcore.residual_stream import residual_stream
from vizcore.trace import Trace


def promoted_tokens(trace: Trace, layer: int, position: int = -1, *, k: int = 8) -> pd.DataFrame:
    """The tokens whose probability a layer raises most at a position, by the logit lens.

    Takes a forward pass. Of an encoder-decoder, of the decoder's stream.

    Args:
        layer: counted from 0, among all layers.
        position: negative from the end.
        k: how many.

    Returns:
        token, token_id, probability_before, probability, rank_before, rank (1 for the likeliest),
        the one that gains most first.

    Raises:
        MissingHeadError: if the model has no language-model head.
        CaptureError: if its residual stream is not found.
        SelectionError: if there is no such layer or position, or the trace was run with edits.
    """
    stream = residual_stream(trace.model)
    if not 0 <= layer < stream.n_layers:
        raise SelectionError(
            f"There is no layer {layer}: {trace.model.name} has {stream.n_layers}, counted from 0 "
            f"to {stream.n_layers - 1}."
        )
    states = stream.states(trace)
    n_tokens = len(states[0])
    if not -n_tokens <= position < n_tokens:
        raise SelectionError(
            f"There is no position {position}: the text has {n_tokens} tokens, so positions go "
            f"from 0 to {n_tokens - 1}, or from -1 backwards."
        )
    both = torch.stack([state[[position % n_tokens]] for state in states[layer : layer + 2]])
    with torch.inference_mode():
        logits = stream.logits(both)[:, 0].float()
        before, after = logits.softmax(dim=-1)
        ids = (after - before).topk(min(k, len(after))).indices
        ranks = [(row > row[ids][:, None]).sum(dim=1) + 1 for row in (before, after)]
    return pd.DataFrame(
        {
            "token": trace.model.labels(ids.tolist()),
            "token_id": ids.tolist(),
            "probability_before": before[ids].tolist(),
            "probability": after[ids].tolist(),
            "rank_before": ranks[0].tolist(),
            "rank": ranks[1].tolist(),
        }
    )
