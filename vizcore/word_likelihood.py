"""Log-probabilities of pieces → of words, in two readings of where a space belongs.

Many tokenizers write a space into the piece after it. Summing a word's pieces then says how likely
the word is *and the space before it*; that a word is over is part of the next one ("leading").
P(cat) so includes whether "cats" goes on elsewhere. The other reading ("trailing") moves the space:

    log P(word) = Σ log P(piece) + log P(next piece begins a word) - log P(this one begins a word)

so that each word pays for its own end (Pimentel & Meister 2024, "How to compute the probability of
a word"; Oh & Schuler 2024, "Leading whitespaces of language models' subword vocabulary …"). Over a
whole text the two differ only at its ends.
"""

import math
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.token_words import special_ids, token_words
from vizcore.tokens import piece_of


def check_spaces(spaces: str) -> None:
    """Refuse what is no reading of spaces.

    Raises:
        SelectionError: if it is none.
    """
    if spaces not in ("leading", "trailing"):
        raise SelectionError(
            f'There is no reading of spaces {spaces!r}: it is "leading" (a space belongs to the '
            'word after it, as the tokenizer has it) or "trailing" (to the word before it).'
        )


def word_beginnings(model: Model, size: int) -> Bool[Tensor, " vocab"]:
    """Which tokens begin a new word: those that begin with white space, and those that end a text.

    Args:
        size: how many logits the model has.

    Raises:
        SelectionError: if the tokenizer writes no space into the piece after it.
    """
    tokenizer: Any = model.tokenizer
    if tokenizer not in _beginnings:
        added = getattr(tokenizer, "added_tokens_decoder", {})
        pieces = [piece_of(tokenizer, token_id, added) for token_id in range(len(tokenizer))]
        found = {
            token_id
            for token_id, piece in enumerate(pieces)
            if (piece.decode(errors="replace") if isinstance(piece, bytes) else piece)[:1].isspace()
        }
        plain_spaces = {token_id for token_id in found if pieces[token_id] not in (" ", b" ")}
        _beginnings[tokenizer] = frozenset(found) if plain_spaces else frozenset()
    beginnings = _beginnings[tokenizer]
    if not beginnings:
        raise SelectionError(
            f"The tokenizer of {model.name} writes no space into the piece after it, so there is "
            'nothing to move: use spaces="leading".'
        )
    chosen = torch.zeros(size, dtype=torch.bool)
    chosen[[token_id for token_id in beginnings | special_ids(tokenizer) if token_id < size]] = True
    return chosen.to(model.network.device)


_beginnings: WeakKeyDictionary[Any, frozenset[int]] = WeakKeyDictionary()


def words_moved(
    token_ids: Sequence[int],
    log_probability: np.ndarray,
    masses: np.ndarray,
    beginnings: Bool[Tensor, " vocab"],
    special: set[int],
) -> np.ndarray:
    """The log-probabilities of tokens with the spaces moved to the word before.

    Args:
        token_ids: of the text.
        log_probability: one a token, in nats; missing where it is not scored.
        masses: one a token and one more: the log-probability that a word begins there.
        special: special tokens; the first token after one begins the text, and no word ends there.
    """
    begins = beginnings.cpu().numpy()
    moved = log_probability.copy()
    for place, token_id in enumerate(token_ids):
        is_last = place + 1 == len(token_ids)
        if token_id in special:
            continue
        if is_last or begins[token_ids[place + 1]]:
            moved[place] += masses[place + 1]
        if begins[token_id] and place > 0 and token_ids[place - 1] not in special:
            moved[place] -= masses[place]
    return moved


def word_table(
    model: Model, text: str, token_ids: Sequence[int], log_probability: np.ndarray
) -> pd.DataFrame:
    """Sums over the words of a text.

    Returns:
        One row a word: word, n_tokens, log_probability (nats), surprisal (bits). A word of which
        one token is not scored has none; a beginning-of-text token has no row.
    """
    tokenizer: Any = model.tokenizer
    with model._tokenizing:
        words = token_words(tokenizer, token_ids, text)
    rows = []
    for number, (first, last) in enumerate(words.spans):
        value = float(log_probability[first:last].sum())
        if words.special[number] and math.isnan(value):
            continue
        rows.append((words.texts[number], last - first, value, -value / math.log(2)))
    table = pd.DataFrame(rows, columns=["word", "n_tokens", "log_probability", "surprisal"])
    return table.astype({"n_tokens": np.int64, "log_probability": float, "surprisal": float})
