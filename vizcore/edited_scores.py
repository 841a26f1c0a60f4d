"""Scores of sentences under edits: together where that is the same, else each by itself.

Edits that do the same to every token (a head ablated, a direction added everywhere) change nothing
about how sentences are batched and packed. Those that name positions, or take something from
another text, have to be worked out for each sentence, so each is run alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

from vizcore.asked_rows import Answers, Runner
from vizcore.edit_checks import Text
from vizcore.editing import Editing
from vizcore.masked_likelihood import Cloze
from vizcore.sentences import Passage
from vizcore.target_likelihood import Translated

Prepared = Passage | Cloze | Translated


def edited_scores(
    prepared: Editing,
    run: Callable[..., list[Answers]],
    sentences: Sequence[Prepared],
    **asked: Any,
) -> list[Answers]:
    """What the model expects of these sentences under edits.

    Args:
        prepared: the edits.
        run: what scores sentences, as `vizcore.token_scores.token_scores` does.
        sentences: what is run for each.
        asked: what else it is to be called with.

    Raises:
        SelectionError: if an edit names a position that one of the sentences has not.
    """
    model = prepared.model
    if not prepared.is_placed:
        no_text = Text((), () if model.kind == "encoder-decoder" else None)
        runner = Runner.with_edits(prepared.run(no_text))
        return run(model, sentences, runner=runner, **asked)
    found: list[Answers] = []
    for one in sentences:
        runner = Runner.with_edits(prepared.run(_text_of(one)))
        found += run(model, [one], runner=runner, **asked)
    return found


def _text_of(sentence: Prepared) -> Text:
    if isinstance(sentence, Translated):
        return Text(sentence.source, sentence.read)
    return Text(sentence.ids)
