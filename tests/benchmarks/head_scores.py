"""The scores of heads beside TransformerLens' head detector: how far they are apart, and the time.

Both read the same weights of SmolLM2 and the same tokens. The detector divides what falls on a
pattern by all weight of all queries; Headlight by the number of queries that have such a key, so
its scores are brought to the same denominator before they are compared. Its previous-token score
leaves out the second token, whose previous one is the first; that weight is added back.
"""

import importlib.util
import logging
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from _table import in_turns, show
from recording import network_copy

import vizcore

SENTENCE = "The old man counted the ships, and every ship that passed the rocks rang its bell."
WORDS = " lamp river stone music garden paper winter window bridge coffee doctor island"
TEXTS = {"a sentence": SENTENCE, "twelve words, three times": WORDS * 3}
COLUMNS = {
    "previous_token_head": "previous_token",
    "duplicate_token_head": "same_token",
    "induction_head": "prefix_matching",
}


def main() -> None:
    """Compare and print."""
    if importlib.util.find_spec("transformer_lens") is None:
        print("TransformerLens is not installed (pip install 'headlight-viz[bench]').")
        return
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_grad_enabled(False)
    from transformer_lens.head_detector import detect_head
    from transformer_lens.model_bridge import TransformerBridge

    model = vizcore.load("smollm2-135m")
    bridge: Any = TransformerBridge.boot_transformers(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        hf_model=network_copy(model.network, "eager"),
        tokenizer=model.tokenizer,
    )
    rows = []
    for name, text in TEXTS.items():
        ids = bridge.to_tokens(text)[0].tolist()
        scores = vizcore.map_scores(model.trace(ids))
        second = np.array([float(one.values[1, 0]) for one in model.trace(ids).maps()])
        for pattern, column in COLUMNS.items():
            theirs = detect_head(bridge, text, pattern).numpy().ravel()
            ours = _same_denominator(scores[column].to_numpy(), column, ids, second)
            rows.append(
                {
                    "text": name,
                    "score": column,
                    "highest": np.nanmax(ours),
                    "largest difference": np.abs(ours - theirs).max(),
                }
            )
    table = pd.DataFrame(rows).set_index(["text", "score"])
    print("\nSmolLM2, 270 heads, beside TransformerLens' detect_head")
    print(table.to_string(float_format="{:.2e}".format), flush=True)
    ways = {
        "vizcore.map_scores, all scores, with the trace": lambda: vizcore.map_scores(
            model.trace(ids)
        ),
        "TransformerLens, three patterns": lambda: [
            detect_head(bridge, text, pattern) for pattern in COLUMNS
        ],
    }
    show(f"{len(ids)} tokens, time", in_turns(ways))


def _same_denominator(
    score: np.ndarray, column: str, ids: list[int], second: np.ndarray
) -> np.ndarray:
    """A mean over the queries that count, as a share of the weight of all queries."""
    n = len(ids)
    if column == "previous_token":
        return (score * (n - 2) + second) / n
    copies = [[key for key in range(at) if ids[key] == ids[at]] for at in range(n)]
    if column == "same_token":
        return np.nan_to_num(score) * sum(map(bool, copies)) / n
    after = [{key + 1 for key in keys} - {at} for at, keys in enumerate(copies)]
    counts = [bool(keys) and at - 1 not in keys for at, keys in enumerate(after)]
    assert counts == [bool(keys) for keys in after]  # no text here goes "a b a"
    return np.nan_to_num(score) * sum(counts) / n


if __name__ == "__main__":
    main()
