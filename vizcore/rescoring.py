"""A recogniser's or translator's hypotheses, weighed against what a language model expects.

Each hypothesis has two scores, its own and the language model's log-likelihood, and a weight says
how much the second counts. Over the weight every total is a straight line, so the winner changes
only where the highest line does: these weights are computed, not searched. No new hypotheses are
made here, so what is not in the list cannot win.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from vizcore.errors import DataError, SelectionError
from vizcore.likelihood import score
from vizcore.model import Model
from vizcore.nbest_files import NBest
from vizcore.transcript_errors import Unit, WordErrors, total_errors, usual_unit, word_errors


@dataclass(frozen=True, eq=False)
class Rescoring:
    """Hypotheses with both scores. Made by `rescore`, or from numbers of your own.

    Args:
        name: of the list.
        hypotheses: the texts.
        scores: their own, one each.
        log_likelihoods: a language model's, in nats.
        reference: what is right, if known.
        unit: in what errors are counted, if the reference is known.
    """

    name: str
    hypotheses: tuple[str, ...]
    scores: tuple[float, ...]
    log_likelihoods: tuple[float, ...]
    reference: str | None = None
    unit: Unit = "word"

    def __repr__(self) -> str:
        return f"Rescoring({self.name}, {len(self.hypotheses)} hypotheses)"

    def totals(self, weight: float | int) -> Float[np.ndarray, " hypothesis"]:
        """(1 - weight) × score + weight × log-likelihood.

        Raises:
            SelectionError: if the weight is not between 0 and 1.
        """
        if not 0 <= weight <= 1:
            raise SelectionError(
                f"The weight of the language model is between 0 and 1, not {weight}."
            )
        return (1 - weight) * np.array(self.scores) + weight * np.array(self.log_likelihoods)

    def table(self, weight: float | int) -> pd.DataFrame:
        """The hypotheses, best first.

        Args:
            weight: of the language model, from 0 (not asked) to 1 (asked alone).

        Returns:
            rank (from 1), hypothesis, score, log_likelihood, total, place (in the list as it came,
            from 0), and error_rate if there is a reference.

        Raises:
            SelectionError: if the weight is not between 0 and 1.
        """
        totals = self.totals(weight)
        order = np.argsort(-totals, kind="stable")
        table = pd.DataFrame(
            {
                "rank": np.arange(1, len(order) + 1),
                "hypothesis": [self.hypotheses[place] for place in order],
                "score": np.array(self.scores)[order],
                "log_likelihood": np.array(self.log_likelihoods)[order],
                "total": totals[order],
                "place": order,
            }
        )
        errors = self.errors()
        if errors:
            table["error_rate"] = [errors[place].rate for place in order]
        return table

    def winners(self) -> pd.DataFrame:
        """Who wins at which weight: the upper envelope of the lines, from weight 0 to 1.

        At a weight where two are equally good the row before and the row after it meet.

        Returns:
            One row for each stretch of weights: low, high, hypothesis, place, and error_rate if
            there is a reference.
        """
        stretches = upper_envelope(np.array(self.scores), np.array(self.log_likelihoods))
        table = pd.DataFrame(
            [(low, high, self.hypotheses[place], place) for low, high, place in stretches],
            columns=["low", "high", "hypothesis", "place"],
        )
        errors = self.errors()
        if errors:
            table["error_rate"] = [errors[place].rate for place in table["place"]]
        return table

    def errors(self) -> list[WordErrors]:
        """What is wrong in each hypothesis, in the order of the list; empty without a reference.

        Raises:
            DataError: if the reference has no words.
        """
        if self.reference is None:
            return []
        reference = self.reference
        return [word_errors(reference, one, unit=self.unit) for one in self.hypotheses]


def rescore(
    model: Model,
    lists: NBest | Iterable[NBest],
    *,
    given: str | None = None,
    bos: bool | None = None,
    reference: str | None = None,
    unit: Unit | None = None,
) -> list[Rescoring]:
    """Ask a language model how likely it finds each hypothesis.

    Args:
        model: a model that reads from left to right and has a language-model head.
        lists: one list of hypotheses, or several.
        given: what was said before, if the hypotheses go on from it.
        bos: as in `score`. Hypotheses that begin with different words are fairly compared only if
            the first token is scored, too: with None it is, if the tokenizer has a token for the
            beginning of a text.
        reference: what is right, if the lists don't say it themselves.
        unit: in what errors are counted; None as the reference's script wants it.

    Raises:
        MissingHeadError: if the model does not predict the next token.
        TextError: if a hypothesis cannot be run.
        DataError: if there is nothing to rescore.
    """
    chosen = [lists] if isinstance(lists, NBest) else list(lists)
    if not any(one.hypotheses for one in chosen):
        raise DataError("There are no hypotheses to rescore.")
    if bos is None and given is None:
        bos = True if getattr(model.tokenizer, "bos_token_id", None) is not None else None
    texts = [text for one in chosen for text in one.hypotheses]
    found = score(model, texts, bos=bos, given=given)["log_likelihood"].to_numpy()
    if np.isnan(found).any():
        text = texts[int(np.isnan(found).argmax())]
        raise DataError(
            f"{text!r} is one token with nothing before it, so {model.name} cannot score it. Give "
            "`bos=True`, or what was said before (`given`)."
        )
    parts = np.split(found, np.cumsum([len(one.hypotheses) for one in chosen])[:-1])
    rescored = []
    for one, part in zip(chosen, parts, strict=True):
        right = one.reference if one.reference is not None else reference
        rescored.append(
            Rescoring(
                name=one.name,
                hypotheses=one.hypotheses,
                scores=one.scores,
                log_likelihoods=tuple(part.tolist()),
                reference=right,
                unit=unit or ("word" if right is None else usual_unit(right)),
            )
        )
    return rescored


def error_rates(rescorings: Sequence[Rescoring]) -> pd.DataFrame:
    """The error rate of all lists' winners together, over all weights.

    Between two of these weights no winner changes, so nor does the rate: the best weight is a
    stretch, and it is exact.

    Returns:
        One row a stretch: low, high, error_rate, n_errors, n_reference.

    Raises:
        DataError: if a list has no reference.
    """
    without = next((one.name for one in rescorings if one.reference is None), None)
    if without is not None or not rescorings:
        which = "There are no lists" if without is None else f"{without} has no reference"
        raise DataError(f"{which}, so errors cannot be counted. Give what is right.")
    winners = [one.winners() for one in rescorings]
    errors = [one.errors() for one in rescorings]
    edges = np.unique(np.concatenate([[0.0, 1.0], *(table["low"] for table in winners)]))
    rows = []
    for low, high in zip(edges, edges[1:], strict=False):
        places = [
            int(table["place"].iloc[int(table["low"].searchsorted(low, side="right")) - 1])
            for table in winners
        ]
        total = total_errors(its[place] for its, place in zip(errors, places, strict=True))
        n_errors = total.substitutions + total.deletions + total.insertions
        rows.append((low, high, total.rate, n_errors, total.n_reference))
    return pd.DataFrame(rows, columns=["low", "high", "error_rate", "n_errors", "n_reference"])


def upper_envelope(
    at_zero: Float[np.ndarray, " line"], at_one: Float[np.ndarray, " line"]
) -> list[tuple[float, float, int]]:
    """Which of some lines is the highest where, between 0 and 1.

    Args:
        at_zero, at_one: how high each line is at 0 and at 1.

    Returns:
        From left to right: from where, to where, and which. Of lines that are the same the first.
    """
    slopes = at_one - at_zero
    # Where two are equally high at 0, the one that rises more wins right after it.
    best = int(np.lexsort((-slopes, -at_zero))[0])
    stretches = []
    low = 0.0
    while True:
        steeper = np.flatnonzero(slopes > slopes[best])
        crossings = (at_zero[best] - at_zero[steeper]) / (slopes[steeper] - slopes[best])
        if not len(steeper) or crossings.min() >= 1:
            stretches.append((low, 1.0, best))
            return stretches
        first = max(low, float(crossings.min()))  # rounding may put it a hair to the left
        through = steeper[crossings == crossings.min()]
        if first > low:
            stretches.append((low, first, best))
        best, low = int(through[np.argmax(slopes[through])]), first
