"""Scores the tokens of sentences with any kind of model, exactly or fast.

The one place that knows that a decoder reads from left to right, that a masked model is asked with
gaps, and that an encoder-decoder needs sources. What comes back is the same for all: the
log-probability of each scored token.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vizcore.asked_rows import Answers, Runner
from vizcore.edited_scores import edited_scores
from vizcore.editing import Editing, editing
from vizcore.edits import Edit
from vizcore.errors import MissingHeadError, SelectionError
from vizcore.fast_copies import N_SAMPLED, RoundingError, rounding_error, runner_of
from vizcore.masked_likelihood import clozes, masked_scores
from vizcore.model import Model
from vizcore.sentences import beginning_of_text, passages
from vizcore.target_likelihood import target_scores, translated
from vizcore.token_scores import token_scores

Scored = tuple[list[Answers], RoundingError | None]


@dataclass(frozen=True, eq=False)
class SentenceScorer:
    """Scores sentences with one model.

    Args:
        model: the model.
        runner: what runs it.
        prepare: sentences, what each is given, the number of the first → what is run for each.
        run: that → what the model expected of each.
        edits: what is changed while it runs; None for nothing.
    """

    model: Model
    runner: Runner
    prepare: Callable[[Sequence[str], Sequence[str] | None, int], Sequence[Any]]
    run: Callable[..., list[Answers]]
    edits: Editing | None = None

    def answers(self, prepared: Sequence[Any]) -> Scored:
        """What the model expected of each sentence, and how far that is rounded, if it is."""
        if self.edits is not None:
            return edited_scores(self.edits, self.run, prepared), None
        found = self.run(self.model, prepared, runner=self.runner)
        if not self.runner.half:
            return found, None
        step = max(1, len(prepared) // N_SAMPLED)
        exact = self.run(self.model, prepared[::step][:N_SAMPLED])
        pairs = zip(exact, found[::step][:N_SAMPLED], strict=True)
        both = [(one.log_probabilities, other.log_probabilities) for one, other in pairs]
        return found, rounding_error([one for one, _ in both], [other for _, other in both])


def scorer_of(
    model: Model,
    *,
    bos: bool | None,
    given: str | Iterable[str] | None,
    separator: str,
    masking: str,
    precision: str,
    edits: Sequence[Edit] = (),
) -> SentenceScorer:
    """What scores sentences with this model. Arguments and errors as `vizcore.score`."""
    scorer = _scorer_of(model, bos, given, separator, masking, precision)
    return replace(scorer, edits=editing(model, edits)) if edits else scorer


def _scorer_of(
    model: Model,
    bos: bool | None,
    given: str | Iterable[str] | None,
    separator: str,
    masking: str,
    precision: str,
) -> SentenceScorer:
    if not model.has_head:
        better = "tatoeba-mlm" if model.kind == "encoder" else "smollm2-135m"
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it predicts no tokens and cannot say how "
            f'likely a sentence is. Load a model with one, such as "{better}".'
        )
    runner = runner_of(model, precision)
    if model.kind == "decoder":
        if bos is not None:
            beginning_of_text(model)
        return SentenceScorer(
            model,
            runner,
            lambda sentences, given, start: passages(
                model, sentences, given, start=start, bos=bos, separator=separator
            ),
            token_scores,
        )
    if bos is not None:
        raise SelectionError(
            f"{model.name} does not read from left to right alone, so no beginning-of-text token "
            "can be put in front: leave out `bos`."
        )
    if model.kind == "encoder":
        return SentenceScorer(
            model,
            runner,
            lambda sentences, given, start: clozes(
                model, sentences, given, start=start, separator=separator, masking=masking
            ),
            masked_scores,
        )
    if given is None:
        raise SelectionError(
            f"{model.name} is an encoder-decoder: it says how likely a target is given a source. "
            "Give the sources: score(model, targets, given=sources)."
        )
    return SentenceScorer(
        model,
        runner,
        lambda sentences, given, start: translated(model, sentences, given or (), start=start),
        target_scores,
    )
