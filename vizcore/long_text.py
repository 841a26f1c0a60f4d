"""The perplexity of a text that is longer than a model reads, in windows that overlap.

A window slides over the text by a stride. In each, only the tokens are scored that no window before
it has scored, so every token is scored once, with at least window - stride tokens before it (but
for the first window). A smaller stride gives more context, a lower perplexity and more work; so
both numbers belong to the result. Bits per byte compare models whose tokenizers differ.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vizcore.errors import MissingHeadError, SelectionError
from vizcore.fast_copies import runner_of
from vizcore.model import Model
from vizcore.sentences import Passage, beginning_of_text
from vizcore.token_scores import token_scores

WINDOW = 1024
"""How long a window is if nobody says; less if the model reads less."""
WINDOWS_AT_ONCE = 64


@dataclass(frozen=True)
class TextLikelihood:
    """How likely a model finds a long text.

    Args:
        log_likelihood: in nats, of all scored tokens.
        n_tokens: how many tokens were scored.
        n_bytes: how many bytes (UTF-8) of the text these tokens carry.
        window, stride: as it was computed, in tokens.
    """

    log_likelihood: float | int
    n_tokens: int
    n_bytes: int
    window: int
    stride: int

    @property
    def perplexity(self) -> float:
        """exp(-log_likelihood / n_tokens): depends on the tokenizer."""
        return math.exp(-self.log_likelihood / self.n_tokens)

    @property
    def bits_per_byte(self) -> float:
        """-log2 of the probability, a byte: can be compared between tokenizers."""
        return -self.log_likelihood / math.log(2) / self.n_bytes


def text_likelihood(
    model: Model,
    text: str,
    *,
    window: int | None = None,
    stride: int | None = None,
    bos: bool | None = None,
    precision: str = "exact",
) -> TextLikelihood:
    """How likely a decoder finds a text of any length.

    Args:
        model: a model that reads from left to right and has a language-model head.
        text: the text.
        window: how many tokens the model reads at a time; None for 1,024, or as many as it can.
        stride: by how many tokens the window moves; None for half a window.
        bos: as in `vizcore.surprisal`. A beginning-of-text token stands in the first window alone.

    Returns:
        Log-likelihood, perplexity, bits per byte, and the window and stride that they belong to.

    Raises:
        MissingHeadError: if the model does not predict the next token.
        TextError: if the text is empty or not encodable, or nothing of it can be scored.
        SelectionError: if window or stride are impossible.
    """
    if model.kind != "decoder" or not model.has_head:
        raise MissingHeadError(
            f"{model.name} does not predict a text's next token. Use a model that reads from left "
            'to right and has a language-model head, such as "smollm2-135m".'
        )
    window, stride = _checked(model, window, stride)
    ids = model._tokenize(text, target=False)
    n_bytes = len(text.encode())
    if bos is not None:
        beginning = beginning_of_text(model)
        bare = ids[1:] if ids[0] == beginning else ids
        ids = [beginning, *bare] if bos else bare
    total, n_tokens = 0.0, 0
    runner = runner_of(model, precision)
    parts = _windows(ids, window, stride)
    while chunk := list(islice(parts, WINDOWS_AT_ONCE)):
        for answers in token_scores(model, chunk, runner=runner):
            total += float(answers.log_probabilities.sum())
            n_tokens += len(answers.log_probabilities)
    if not n_tokens:
        raise SelectionError(
            "The text is a single token with nothing before it, so nothing can be scored. Give a "
            "longer one, or bos=True."
        )
    return TextLikelihood(total, n_tokens, n_bytes - _unscored(model, text, ids), window, stride)


def _checked(model: Model, window: int | None, stride: int | None) -> tuple[int, int]:
    limit = model.max_tokens
    if window is None:
        window = min(WINDOW, limit or WINDOW)
    if window < 2 or (limit is not None and window > limit):
        most = "" if limit is None else f" and at most {limit}, as {model.name} reads no more"
        raise SelectionError(f"A window has at least 2 tokens{most}; it was to have {window}.")
    if stride is None:
        stride = window // 2
    if not 1 <= stride < window:
        raise SelectionError(
            f"A stride is at least 1 and less than the window, {window}, so that each token has "
            f"something before it; it was to be {stride}."
        )
    return window, stride


def _windows(ids: list[int], window: int, stride: int) -> Iterator[Passage]:
    """Each part of the text that is run, and from where on it is scored."""
    scored_to = 1
    start = 0
    while scored_to < len(ids):
        stop = min(start + window, len(ids))
        yield Passage(tuple(ids[start:stop]), scored_to - start)
        scored_to = stop
        start += stride


def _unscored(model: Model, text: str, ids: list[int]) -> int:
    """How many bytes the first token carries, which is not scored, if it is one of the text."""
    tokenizer: Any = model.tokenizer
    if ids[0] in tokenizer.all_special_ids:
        return 0
    if not tokenizer.is_fast:
        return len(tokenizer.decode(ids[:1]).encode())
    with model._tokenizing:
        offsets = tokenizer(text, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    real = [span for span in offsets if span[1] > span[0]]
    return len(text[: real[0][1]].encode()) if real else 0
