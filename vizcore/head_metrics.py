"""A model -> a table of what each of its heads does in general, one row a head.

The idea: the scores of `vizcore.map_metrics`, summed over many texts, and beside them what only
made-up input can show: what a head does with repetitions, and what position alone makes it do.
They describe where heads look; what a head is good for is another question, for ablation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from vizcore.cache import Progress, quiet
from vizcore.errors import EmptyTextError
from vizcore.map_metrics import COLUMN_OF, SCORES, WINDOW, Tally, check_window, frame_of, tally
from vizcore.maps import AttentionMap
from vizcore.model import Model
from vizcore.patterns import (
    ALIGNED,
    FOCUSED,
    MOSTLY,
    best_named,
    gain_over,
    looking_at,
    spreading,
)
from vizcore.probes import (
    N_COPIES,
    N_TOKENS,
    Probe,
    Text,
    check_rows,
    cut_to_one_length,
    own_texts,
    probe,
    repeated,
)
from vizcore.trace import Trace

WORDS = {
    "previous": "the previous token",
    "next": "the next token",
    "itself": "itself",
    "first": "the first token",
    "end": "the end token",
    "same": "copies of the same token",
    "separator": "special tokens",
    "punctuation": "punctuation",
}
"""What a head is said to look at, of what is measured on texts."""

REPEATS = {
    "induction": ("prefix_matching", "induction"),
    "duplicate": ("same_token", "copies of the same token"),
    "previous": ("previous_token", "the previous token"),
}
"""The same of what is measured on repeated random tokens."""


COLUMN_OF_HABIT = {name: COLUMN_OF[name] for name in (*WORDS, "near")} | {
    "induction": "prefix_matching",
    "duplicate": "duplicate_token",
    "aligned": "alignment",
}
"""For a `pattern` that heads are called by, the column that says how much they are."""

COLUMNS = (*SCORES, "duplicate_token", "previous_on_texts", "position")
"""The columns of scores, in order."""


def head_scores(
    model: Model,
    texts: Text | Sequence[Text | tuple[Text, Text]] | None = None,
    *,
    kind: str | None = None,
    window: int = WINDOW,
    n_random: int = 10,
    n_tokens: int = N_TOKENS,
    n_copies: int = N_COPIES,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What every head of a model does in general: one row a head.

    **On texts.** The scores that `map_scores` defines, with the same formulas, as the mean over all
    queries that count in all texts: next_token, itself, first_token, last_token, same_token,
    separator, punctuation, local_window, entropy, effective_tokens, mean_distance,
    mutual_information, alignment; and previous_on_texts, which is the previous_token of
    `map_scores`.

    **On random tokens.** Rows of 12 different tokens that come three times, after the
    beginning-of-text token (Olsson et al. 2022), for all attention of a text to itself. The tokens
    are drawn from those of letters alone: no special tokens, no punctuation, no bytes. With A[i, j]
    the weight of query i on key j, t the tokens, means over the queries that have such a key:

    - induction: A[i, j + 1] for the latest j < i with t[j] = t[i].
    - prefix_matching: Σ_j A[i, j + 1] over all j ≠ i with t[j] = t[i]. Olsson et al. take the mean
      over these keys where this is the sum, so that a perfect head has 1.
    - duplicate_token: Σ_j A[i, j] over all j ≠ i with t[j] = t[i].
    - previous_token: A[i, i - 1], where no word gives cause to look at another: whether a head
      is made for that. What it does with sentences is previous_on_texts.

    **On texts cut to one length.** position: how much of a head's weight lies where position alone
    would put it. With a_t[i] the row of query i in text t divided by its sum, and m_t[i] the mean
    of that row over all other texts,

        mean over t and i of  Σ_j min(a_t[i, j], m_t[i, j]),

    1 minus the total variation distance. It is 1 for a head that looks at the same places whatever
    the words are (the previous token, the first one, everything alike), and near 0 for one that
    goes by content alone. For attention of a text to itself, and at least two texts.

    Args:
        model: of any kind; an encoder-decoder has rows of all three kinds of attention.
        texts: a text, or several: strings, lists of token ids, and for encoder-decoders pairs of
            source and target, else the model writes its targets. None takes ten English and six
            Chinese sentences that come with Headlight (`vizcore.probes`), of which those are left
            out that the tokenizer does not know, and for an encoder-decoder those of the second
            language; if it knows none, rows of random tokens.
        kind: only this kind of attention.
        window: how far away a token may be to count for local_window.
        n_random: how many rows of random tokens.
        n_tokens: how many tokens a row has before it is repeated. It is about a sentence, so that
            a model of short texts has not to read more than it was trained on; Olsson et al. take
            25, which shows induction heads of a language model still more clearly.
        n_copies: how often they come (Olsson et al.: 4).
        seed: of the random tokens; the same seed gives the same table.
        progress: called with what is being done and how far it is.

    Returns:
        kind, layer, head, the scores (NaN where they do not apply), then `pattern`, what the head
        mostly does by name, and `summary`, the same in words: "looks at the first token, 0.81; on
        random tokens induction, 0.92". Of what is done on texts, it names what beats uniform
        attention most, by the rule of `describe`; of what is done on random tokens likewise, where
        that is something else, and if its score is at least one half, it is the `pattern`.

    Raises:
        SelectionError: if there is no such kind, or a number is out of range.
        TextError: if a text cannot be run.
        MissingHeadError: if an encoder-decoder cannot write targets and none are given.
    """
    check_window(window)
    check_rows(n_random, n_tokens, n_copies)
    kinds: Sequence[str] = model.kinds if kind is None else (model._kind(kind),)
    rng = np.random.default_rng(seed)
    report = progress or quiet
    report("Choosing texts", None)
    probes = [probe(model, text) for text in _several(model, texts, rng)]
    aligned = cut_to_one_length(model, probes)
    start = (probes[0].target or ())[:1]
    rows = repeated(
        model, n_rows=n_random, n_tokens=n_tokens, n_copies=n_copies, start=start, rng=rng
    )

    n_runs = len(probes) + len(rows) + len(aligned)
    on_texts = _over(model, probes, kinds, window, report, 0, n_runs)
    within = [one for one in kinds if one != "cross"]
    on_rows = _over(model, rows, within, window, report, len(probes), n_runs)
    positions = _positions(model, aligned, within, report, n_runs - len(aligned), n_runs)
    return pd.concat(
        [_frame(on_texts[one], on_rows.get(one), positions.get(one), window) for one in kinds],
        ignore_index=True,
    )


def _several(
    model: Model, texts: Text | Sequence[Text | tuple[Text, Text]] | None, rng: np.random.Generator
) -> Sequence[Text | tuple[Text, Text]]:
    if texts is None:
        return own_texts(model, rng)
    given: Any = texts
    if isinstance(given, str):
        return [given]
    if not len(given):
        raise EmptyTextError(
            "There are no texts. Give at least one, or None for the built-in ones."
        )
    alone = all(isinstance(one, int | np.integer) for one in given)
    return [given] if alone else list(given)


def _over(
    model: Model,
    probes: Sequence[Probe],
    kinds: Sequence[str],
    window: int,
    report: Progress,
    done: int,
    n_runs: int,
) -> dict[str, Tally]:
    """The sums of the scores over all of these, by kind. One text is in memory at a time."""
    sums: dict[str, Tally] = {}
    for number, one in enumerate(probes):
        report("Measuring what each head does", (done + number) / n_runs)
        trace = model.trace(one.source, one.target)
        for kind in kinds:
            here = tally(trace.maps(kind), window=window)
            sums[kind] = sums[kind] + here if kind in sums else here
    return sums


def _positions(
    model: Model,
    probes: Sequence[Probe],
    kinds: Sequence[str],
    report: Progress,
    done: int,
    n_runs: int,
) -> dict[str, Float[np.ndarray, " head"]]:
    """By kind, the share of each head's weight that lies where position alone would put it."""
    found: dict[str, list[float]] = {}
    traces: list[Trace] = []
    for number, one in enumerate(probes):
        report("Measuring what position decides", (done + number) / n_runs)
        traces.append(model.trace(one.source, one.target))
    for kind in kinds if traces else ():
        for same_head in zip(*(trace.maps(kind) for trace in traces), strict=True):
            found.setdefault(kind, []).append(_overlap(same_head))
    return {kind: np.array(heads) for kind, heads in found.items()}


def _overlap(maps: Sequence[AttentionMap]) -> float:
    """Of one head on different texts of one length: how much each looks where the others do."""
    weights = np.stack([one.values for one in maps]).astype(np.float64)
    masked = maps[0].masked
    visible = np.ones(weights.shape[1:], dtype=bool) if masked is None else ~masked
    sums = weights.sum(axis=2, keepdims=True)
    usable = np.isfinite(sums[:, :, 0]).all(axis=0) & (sums[:, :, 0] > 0).all(axis=0)
    usable &= visible.sum(axis=1) > 1
    if not usable.any():
        return float("nan")
    rows = weights[:, usable] / sums[:, usable]
    others = (rows.sum(axis=0) - rows) / (len(rows) - 1)
    return float(np.minimum(rows, others).sum(axis=2).mean())


def _frame(
    on_texts: Tally,
    on_rows: Tally | None,
    position: Float[np.ndarray, " head"] | None,
    window: int,
) -> pd.DataFrame:
    missing = np.full(len(on_texts.heads), np.nan)
    repeats = {} if on_rows is None else on_rows.means()
    more = {
        "induction": repeats.get("induction", missing),
        "prefix_matching": repeats.get("prefix_matching", missing),
        "duplicate_token": repeats.get("same_token", missing),
        "previous_token": repeats.get("previous_token", missing),
        "previous_on_texts": on_texts.means()["previous_token"],
        "position": missing if position is None else position,
    }
    return frame_of(on_texts, _names(on_texts, on_rows, window), more=more)


def _names(on_texts: Tally, on_rows: Tally | None, window: int) -> list[tuple[str, str]]:
    """For each head, what it mostly does: a name, and a line for people."""
    choices = {name: (COLUMN_OF[name], words) for name, words in WORDS.items()}
    if on_rows is None:  # attention to another text
        choices[ALIGNED[0]] = ("alignment", ALIGNED[1])
    usual = _named(on_texts, choices)
    nearby = f"tokens at most {window} away"
    near = _named(on_texts, {"near": (COLUMN_OF["near"], nearby)})
    repeats = [None] * len(usual) if on_rows is None else _named(on_rows, REPEATS)
    n_tokens = on_texts.means()["effective_tokens"]
    names = []
    for found, close, repeat, spread in zip(usual, near, repeats, n_tokens, strict=True):
        name, text, _score = found or close or _spread(float(spread))
        if repeat is not None and repeat[0] != {"same": "duplicate"}.get(name, name):
            text += f"; on random tokens {REPEATS[repeat[0]][1]}, {repeat[2]:.2f}"
            name = repeat[0] if repeat[2] >= MOSTLY else name
        names.append((name, text))
    return names


def _named(sums: Tally, choices: dict[str, tuple[str, str]]) -> list[tuple[str, str, float] | None]:
    """For each head the best of these names, its line for people, and its score."""
    means, chances = sums.means(), sums.chances()
    scores = np.stack([means[column] for column, _ in choices.values()])
    chance = np.stack([chances[column] for column, _ in choices.values()])
    gains = np.nan_to_num(gain_over(scores, chance), nan=-np.inf)
    scores = np.nan_to_num(scores)
    named: list[tuple[str, str, float] | None] = []
    for head in range(scores.shape[1]):
        best = best_named(scores[:, head], gains[:, head])
        if best is None:
            named.append(None)
            continue
        name, (_, words) = list(choices.items())[best]
        score = float(scores[best, head])
        named.append((name, looking_at(words, score), score))
    return named


def _spread(n_tokens: float) -> tuple[str, str, float]:
    """The same for a head that looks at nothing that has a name."""
    if np.isnan(n_tokens):
        return "alone", "has no more than one token to look at", 1.0
    if n_tokens < FOCUSED:
        return "focused", "picks about one token for each query", n_tokens
    return "spread", spreading(n_tokens), n_tokens
