"""How much a language model expected each token of a text.

Surprisal is the base of sentence likelihood, of reading-time studies and of perplexity. It is
computed from a trace's hidden states in slices of positions, so that the logits of a long text
are never all in memory. Not for encoders, which see the token that they are asked about.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from vizcore.asked_rows import n_logits
from vizcore.edited_scores import edited_scores
from vizcore.editing import editing
from vizcore.edits import Edit
from vizcore.errors import MissingHeadError, SelectionError
from vizcore.fast_copies import RoundingError, runner_of
from vizcore.model import Model
from vizcore.sentence_scores import scorer_of
from vizcore.sentences import Passage, beginning_of_text, passages, windows
from vizcore.token_scores import token_scores
from vizcore.token_words import special_ids
from vizcore.trace import Trace
from vizcore.word_likelihood import (
    check_spaces,
    word_beginnings,
    word_table,
    words_moved,
)

POSITIONS_AT_ONCE = 128
"""How many rows of logits are held at a time."""


def score(
    model: Model,
    sentences: Iterable[str],
    *,
    bos: bool | None = None,
    given: str | Iterable[str] | None = None,
    separator: str = " ",
    masking: str = "within_word_l2r",
    precision: str = "exact",
    edits: Sequence[Edit] = (),
) -> pd.DataFrame:
    """How likely a model finds each of these sentences.

    What is summed depends on the kind of model. A decoder: log P(token | those before it). An
    encoder-decoder: log P(token | source, those before it), with the sources as `given`, and with
    the end-of-text token if its tokenizer puts one there. A masked model: log P(token | all
    others), which makes a pseudo-log-likelihood.

    Args:
        model: a model with a language-model head.
        sentences: texts; a generator is read a window at a time.
        bos: of a decoder: None leaves the beginning-of-text token to the tokenizer; True puts it
            in front, so that the first token of the sentence is scored too; False takes it away.
        given: what the sentences are conditioned on and is not scored itself, one text for all or
            one for each: log P(sentence | given). For a decoder or a masked model it stands before
            the sentence; for an encoder-decoder it is the source.
        separator: what is put between `given` and the sentence; not used by encoder-decoders.
        masking: of a masked model: "within_word_l2r" hides with each token those that follow it in
            its word (Kauf & Ivanova 2023), "original" the token alone (Salazar et al. 2020).
        precision: "exact", or "fast": matrices are multiplied in bfloat16, where the hardware has
            it. What that changed, measured on a few of the sentences, is in
            `table.attrs["precision"]`.
        edits: what is changed in every run (`vizcore.edits`); positions are those of each sentence
            as it is run, what it is given and special tokens included. It is always exact.

    Returns:
        One row a sentence, in their order: sentence, log_likelihood (nats: the sum of the natural
        logarithms of its tokens' probabilities), n_tokens (how many were scored), perplexity
        (exp(-log_likelihood / n_tokens)). A sentence of which nothing is scored (one token with
        nothing before it) has no log_likelihood and no perplexity: they are missing. The numbers
        do not depend on what else is scored in the same call.

    Raises:
        MissingHeadError: if the model predicts no tokens.
        TextError: if a sentence cannot be run; the message says which.
        SelectionError: if `bos` is asked for and the tokenizer has none, or there is no such
            masking or precision, or an encoder-decoder is not given its sources, or if an edit
            names a layer, head or position that is not there.
    """
    parts = list(
        score_stream(
            model,
            sentences,
            bos=bos,
            given=given,
            separator=separator,
            masking=masking,
            precision=precision,
            edits=edits,
        )
    )
    if not parts:
        return _score_table([], [])
    table = pd.concat(parts, ignore_index=True)
    table.attrs = parts[0].attrs
    return table


def score_stream(
    model: Model,
    sentences: Iterable[str],
    *,
    bos: bool | None = None,
    given: str | Iterable[str] | None = None,
    separator: str = " ",
    masking: str = "within_word_l2r",
    precision: str = "exact",
    edits: Sequence[Edit] = (),
) -> Iterator[pd.DataFrame]:
    """The same, some rows at a time, for files that are larger than the memory.

    Arguments and errors as `score`.

    Yields:
        Tables as `score` returns them, in the order of the sentences; their indices go on.
    """
    scorer = scorer_of(
        model,
        bos=bos,
        given=given,
        separator=separator,
        masking=masking,
        precision=precision,
        edits=edits,
    )
    rounding: RoundingError | None = None
    for start, texts, prefixes in windows(sentences, given):
        scores, error = scorer.answers(scorer.prepare(texts, prefixes, start))
        rounding = rounding or error
        table = _score_table(texts, [answers.log_probabilities for answers in scores])
        if rounding is not None:
            table.attrs["precision"] = rounding.to_dict()
        yield table.set_index(pd.RangeIndex(start, start + len(texts)))


def _score_table(sentences: list[str], scores: list[np.ndarray]) -> pd.DataFrame:
    n_tokens = np.array([len(one) for one in scores], dtype=np.int64)
    log_likelihood = np.array([one.sum() if len(one) else math.nan for one in scores], np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        perplexity = np.exp(-log_likelihood / n_tokens)
    return pd.DataFrame(
        {
            "sentence": pd.Series(sentences, dtype=object),
            "log_likelihood": log_likelihood,
            "n_tokens": n_tokens,
            "perplexity": perplexity,
        }
    )


def surprisal(
    model: Model,
    text: str,
    *,
    bos: bool | None = None,
    by: str = "token",
    spaces: str = "leading",
    edits: Sequence[Edit] = (),
) -> pd.DataFrame:
    """How surprised a decoder is by each token, or each word, of a text, given those before it.

    Args:
        model: a model that reads from left to right and has a language-model head.
        text: the text.
        bos: None leaves the beginning-of-text token to the tokenizer; True puts it in front (it
            gets a row too); False takes away the one that the tokenizer put there.
        by: "token", or "word": the sums over the pieces of each word.
        spaces: of words, if the tokenizer writes a space into the piece after it: "leading" counts
            it to the word after it, as the tokenizer has it; "trailing" to the word before, so that
            a word pays for its own end (Pimentel & Meister 2024; Oh & Schuler 2024).
        edits: what is changed in the run (`vizcore.edits`).

    Returns:
        By token, one row a token: token, token_id, log_probability (nats, natural logarithm),
        surprisal (bits, -log2 of the probability), rank (1 for the likeliest). A first token with
        nothing before it is not scored: its values are missing.
        By word, one row a word: word, n_tokens, log_probability, surprisal. A word of which a token
        is not scored has missing values; a beginning-of-text token has no row.

    Raises:
        MissingHeadError: if the model does not predict the next token.
        TextError: if the text cannot be run.
        SelectionError: if `bos` is asked for and the tokenizer has none, or if spaces are to be
            moved and the tokenizer has no leading ones, or if an edit names a layer, head or
            position that is not there.
    """
    if by != "token":
        return next(surprisal_stream(model, [text], bos=bos, by=by, spaces=spaces, edits=edits))
    ids = model.encode(text)
    if bos is not None:
        beginning = beginning_of_text(model)
        bare = ids[1:] if ids[0] == beginning else ids
        ids = [beginning, *bare] if bos else bare
    return trace_surprisal(model.trace(ids, edits=edits))


def surprisal_stream(
    model: Model,
    texts: Iterable[str],
    *,
    bos: bool | None = None,
    by: str = "token",
    spaces: str = "leading",
    precision: str = "exact",
    edits: Sequence[Edit] = (),
) -> Iterator[pd.DataFrame]:
    """The surprisal of many texts, run together: for corpora, and for generators.

    Arguments and errors as `surprisal` and `score`.

    Yields:
        For each text a table as `surprisal` returns it, in the order of the texts.
    """
    if by not in ("token", "word"):
        raise SelectionError(f'Surprisal is by "token" or by "word", not by {by!r}.')
    check_spaces(spaces)
    _check_reads_on(model)
    runner = runner_of(model, precision)
    prepared = editing(model, edits) if edits else None
    among = None
    if by == "word" and spaces == "trailing":
        among = word_beginnings(model, n_logits(model.network))
    for start, window, _ in windows(texts, None):
        run = passages(model, window, start=start, bos=bos)
        if among is not None:  # how likely a word begins after the last token is asked, too
            run = [Passage((*one.ids, one.ids[0]), one.first) for one in run]
        asked: dict[str, Any] = {"ranks": by == "token", "among": among}
        if prepared is None:
            answers = token_scores(model, run, runner=runner, **asked)
        else:
            answers = edited_scores(prepared, token_scores, run, **asked)
        for text, passage, its in zip(window, run, answers, strict=True):
            log_probability = np.full(len(passage.ids), math.nan)
            log_probability[passage.first :] = its.log_probabilities
            if by == "token":
                ids = list(passage.ids)
                ranks: list[Any] = [pd.NA] * passage.first
                ranks += [] if its.ranks is None else its.ranks.tolist()
                yield _token_table(model.labels(ids), ids, log_probability, ranks)
                continue
            ids = list(passage.ids) if among is None else list(passage.ids[:-1])
            values = log_probability[: len(ids)]
            tokenizer: Any = model.tokenizer
            if among is not None and its.masses is not None:
                masses = np.full(len(ids) + 1, math.nan)
                masses[passage.first :] = its.masses
                values = words_moved(ids, values, masses, among, special_ids(tokenizer))
            yield word_table(model, text, ids, values)


def _check_reads_on(model: Model) -> None:
    """Refuse a model that does not read one text from left to right."""
    if model.kind == "encoder":
        raise MissingHeadError(
            f"{model.name} is an encoder: it sees the whole text at once, so no token comes as a "
            "surprise to it. Use a model that reads from left to right, such as "
            '"smollm2-135m".'
        )
    if model.kind == "encoder-decoder":
        raise SelectionError(
            f"{model.name} is an encoder-decoder: what surprises it is a target, given a source. "
            "Use trace_surprisal(model.trace(source, target))."
        )
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it has no logits and predicts no tokens. "
            'Load a model with one, such as "smollm2-135m".'
        )


def trace_surprisal(trace: Trace) -> pd.DataFrame:
    """The same for a text that has been run already; of an encoder-decoder, for its target.

    Returns and raises as `surprisal`.
    """
    if trace.model.kind == "encoder":
        _check_reads_on(trace.model)
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
    ranked = [pd.NA if math.isnan(rank) else rank for _, rank in scores]
    return _token_table(tokens, ids, log_probability, ranked)


def _token_table(
    tokens: list[str], ids: list[int], log_probability: np.ndarray, ranks: list[Any]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "token": tokens,
            "token_id": ids,
            "log_probability": log_probability,
            "surprisal": -log_probability / math.log(2),
            "rank": pd.array(ranks, "Int64"),
        }
    )
