"""Minimal pairs: which of two sentences a model finds likelier, by how much, and where that arises.

Both sentences of a pair are run together, so that what they share is run once. The difference is
split at the tokens in which they differ: what comes before (nothing, for a model that reads from
left to right), the differing tokens themselves, and what comes after, where the same tokens follow
another context. The three parts add up to the whole.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import pandas as pd

from vizcore.asked_rows import Answers
from vizcore.errors import TextError
from vizcore.model import Model
from vizcore.sentence_scores import SentenceScorer, scorer_of
from vizcore.sentences import Passage, encode_all, n_shared, prefixed

PAIRS_AT_ONCE = 2048
"""How many pairs are held at a time."""
NORMALISATIONS = ("sum", "mean", "slor")


def minimal_pairs(
    model: Model,
    good: Iterable[str],
    bad: Iterable[str],
    *,
    bos: bool | None = None,
    given: str | Iterable[str] | None = None,
    separator: str = " ",
    masking: str = "within_word_l2r",
    precision: str = "exact",
    unigrams: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Which sentence of each pair a model finds likelier, and where the difference arises.

    Args:
        model: a model with a language-model head.
        good, bad: the sentences, as many of each; generators are read some at a time.
        bos, given, separator, masking, precision: as in `vizcore.score`; `given` is one text for
            all, or one for each pair.
        unigrams: sentences from which the frequency of tokens is counted, for SLOR. Without them,
            it is the model's own guess at a token of which it knows nothing but that a text begins:
            its distribution after the beginning-of-text token alone.

    Returns:
        One row a pair, in their order:

        - good, bad: the sentences; good_tokens, bad_tokens: the tokens in which they differ,
          between what they share at their beginning and at their end.
        - good_log_likelihood, bad_log_likelihood: in nats, as `score` gives them.
        - difference: the first minus the second, log P(good) - log P(bad); and its parts, which add
          up to it: difference_before, difference_at and difference_after the differing tokens.
        - difference_mean: the same of log P / number of scored tokens.
        - difference_slor: the same of SLOR = (log P - Σ log p(token)) / number of scored tokens,
          where p is a token's frequency (Pauls & Klein 2012; Lau, Clark & Lappin 2017). With
          `unigrams`, p = (count + 1) / (all counts + size of the vocabulary). Missing for models
          that do not read from left to right, and where there is no beginning-of-text token, unless
          `unigrams` are given.
        - winner_sum, winner_mean, winner_slor: "good", "bad", or "tie"; missing where the
          difference is.

        How much `given` speaks for a sentence (pointwise mutual information) is the difference
        between two calls: `difference` with it minus `difference` without.

    Raises:
        TextError: if there are not as many good sentences as bad, or one cannot be run.
        MissingHeadError, SelectionError: as `vizcore.score`.
    """
    scorer = scorer_of(
        model, bos=bos, given=given, separator=separator, masking=masking, precision=precision
    )
    background = _background(model, unigrams)
    tables = []
    attrs: dict[Any, Any] = {}
    for start, goods, bads, prefixes in _chunks(good, bad, given):
        prepared = [
            *scorer.prepare(goods, prefixes, start),
            *scorer.prepare(bads, prefixes, start),
        ]
        answers, rounding = scorer.answers(prepared)
        if rounding is not None and not attrs:
            attrs = {"precision": rounding.to_dict()}
        tables.append(_table(scorer, goods, bads, prepared, answers, background))
    table = pd.concat(tables, ignore_index=True) if tables else _empty(scorer)
    table.attrs = attrs
    return table


def _chunks(
    good: Iterable[str], bad: Iterable[str], given: str | Iterable[str] | None
) -> Iterator[tuple[int, list[str], list[str], list[str] | None]]:
    """Pairs with what they are given, some at a time, and the number of the first."""
    if isinstance(good, str) or isinstance(bad, str):
        raise TextError(
            "Good and bad sentences are lists, one sentence for each pair. Put a single pair into "
            'lists: minimal_pairs(model, ["…"], ["…"]).'
        )
    firsts, seconds = prefixed(good, given), prefixed(bad, None)
    start = 0
    while True:
        goods = list(islice(firsts, PAIRS_AT_ONCE))
        bads = list(islice(seconds, PAIRS_AT_ONCE))
        if len(goods) != len(bads):
            shorter = min(len(goods), len(bads))
            more = "good" if len(goods) > len(bads) else "bad"
            raise TextError(
                f"There are more {more} sentences: number {start + shorter + 1} has no partner. "
                "Give as many good ones as bad ones."
            )
        if not goods:
            return
        prefixes = None if given is None else [prefix for _, prefix in goods]
        yield start, [text for text, _ in goods], [text for text, _ in bads], prefixes
        start += len(goods)


def _table(
    scorer: SentenceScorer,
    goods: list[str],
    bads: list[str],
    prepared: Sequence[Any],
    answers: Sequence[Answers],
    background: np.ndarray | None,
) -> pd.DataFrame:
    n_pairs = len(goods)
    rows = []
    for number in range(n_pairs):
        one, other = number, n_pairs + number
        rows.append(
            {
                "good": goods[number],
                "bad": bads[number],
                **_compared(
                    scorer.model,
                    (prepared[one].scored, prepared[other].scored),
                    (answers[one].log_probabilities, answers[other].log_probabilities),
                    background,
                ),
            }
        )
    table = pd.DataFrame(rows)
    for name in NORMALISATIONS:
        values = table["difference" if name == "sum" else f"difference_{name}"]
        table[f"winner_{name}"] = pd.Series(
            [_winner(value) for value in values], dtype=object, index=table.index
        )
    return table


def _compared(
    model: Model,
    token_ids: tuple[Sequence[int], Sequence[int]],
    scores: tuple[np.ndarray, np.ndarray],
    background: np.ndarray | None,
) -> dict[str, Any]:
    """What is said of one pair."""
    n_before = n_shared(*token_ids)
    n_after = n_shared(*(ids[n_before:][::-1] for ids in token_ids))
    ends = [len(ids) - n_after for ids in token_ids]
    differing = [
        "".join(model.labels(ids[n_before:end])) for ids, end in zip(token_ids, ends, strict=True)
    ]
    parts = [
        (one[:n_before].sum(), one[n_before:end].sum(), one[end:].sum())
        for one, end in zip(scores, ends, strict=True)
    ]
    sums = [one.sum() if len(one) else math.nan for one in scores]
    means = [
        total / len(one) if len(one) else math.nan for total, one in zip(sums, scores, strict=True)
    ]
    slors = [
        math.nan
        if background is None or not len(one)
        else (one.sum() - background[list(ids)].sum()) / len(one)
        for one, ids in zip(scores, token_ids, strict=True)
    ]
    before, at, after = (float(a - b) for a, b in zip(*parts, strict=True))
    return {
        "good_tokens": differing[0],
        "bad_tokens": differing[1],
        "good_log_likelihood": float(sums[0]),
        "bad_log_likelihood": float(sums[1]),
        "difference": float(sums[0] - sums[1]),
        "difference_before": before,
        "difference_at": at,
        "difference_after": after,
        "difference_mean": float(means[0] - means[1]),
        "difference_slor": float(slors[0] - slors[1]),
    }


def _winner(difference: float) -> str | None:
    if math.isnan(difference):
        return None
    if difference == 0:
        return "tie"
    return "good" if difference > 0 else "bad"


def _background(model: Model, unigrams: Iterable[str] | None) -> np.ndarray | None:
    """The log-probability of each token without any context, in nats; None if it is not known."""
    tokenizer: Any = model.tokenizer
    size = max(len(tokenizer), 1) if tokenizer is not None else 1
    if unigrams is not None:
        if isinstance(unigrams, str):
            unigrams = [unigrams]
        counts: Counter[int] = Counter()
        texts = iter(unigrams)
        while chunk := list(islice(texts, PAIRS_AT_ONCE)):
            counts.update(chain.from_iterable(encode_all(model, chunk)))
        counted = np.ones(size)
        for token_id, count in counts.items():
            counted[token_id] += count
        frequencies: np.ndarray = np.log(counted / counted.sum())
        return frequencies
    beginning = getattr(tokenizer, "bos_token_id", None)
    if model.kind != "decoder" or beginning is None:
        return None
    after_beginning: np.ndarray = (
        model.trace([beginning]).logits[-1].float().log_softmax(-1).double().cpu().numpy()
    )
    return after_beginning


def _empty(scorer: SentenceScorer) -> pd.DataFrame:
    """The table of no pairs."""
    nothing = Passage((), 0)
    answers = [Answers(np.empty(0))] * 2
    return _table(scorer, [""], [""], [nothing, nothing], answers, None).iloc[:0]
