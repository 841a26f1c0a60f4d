"""Many sentences → the token ids that are scored, a window of them at a time.

Sentences may come from a generator that never ends: what is held is one window. Each is checked
before anything runs, and an error says which sentence it is. Not for a single text that is looked
into: that is `Model.encode`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vizcore.errors import SelectionError, TextError
from vizcore.model import Model

SENTENCES_AT_ONCE = 4096
"""How many sentences are looked at together, to find what they share and to sort by length."""
CHARACTERS_AT_ONCE = 1_000_000
"""A window ends before that many characters, whatever is in it."""
SHOWN = 40
"""How much of a sentence an error message repeats."""


@dataclass(frozen=True)
class Passage:
    """What is run for one sentence, and from where on it is scored.

    Args:
        ids: token ids, special tokens included.
        first: the first place that is scored; at least 1, as nothing stands before place 0.
    """

    ids: tuple[int, ...]
    first: int

    @property
    def run(self) -> tuple[int, ...]:
        """What has to be run: all but the last token, after which nothing is asked."""
        return self.ids[:-1]

    @property
    def scored(self) -> tuple[int, ...]:
        """The tokens that are scored."""
        return self.ids[self.first :]

    @property
    def n_scored(self) -> int:
        """How many of its tokens are scored."""
        return len(self.ids) - self.first


def windows(
    sentences: Iterable[str], given: str | Iterable[str] | None
) -> Iterator[tuple[int, list[str], list[str] | None]]:
    """Sentences with what they are given, a window at a time.

    Yields:
        The number of the first of them, counted from 0; the sentences; what each is given.

    Raises:
        TextError: if a single string was given for all sentences, one is no string, or there are
            not as many prefixes as sentences.
    """
    if isinstance(sentences, str):
        raise TextError(
            "The sentences are one string, whose letters would be scored one by one. Put it into a "
            'list: score(model, ["…"]).'
        )
    pairs = prefixed(sentences, given)
    start = 0
    left_over: list[tuple[str, str]] = []
    while True:
        window = left_over + list(islice(pairs, SENTENCES_AT_ONCE - len(left_over)))
        if not window:
            return
        size = n_taken = 0
        for sentence, prefix in window:
            size += len(sentence) + len(prefix)
            if n_taken and size > CHARACTERS_AT_ONCE:
                break
            n_taken += 1
        window, left_over = window[:n_taken], window[n_taken:]
        prefixes = None if given is None else [prefix for _, prefix in window]
        yield start, [sentence for sentence, _ in window], prefixes
        start += n_taken


def prefixed(
    sentences: Iterable[str], given: str | Iterable[str] | None
) -> Iterator[tuple[str, str]]:
    """Each sentence with what it is given, "" if nothing is; errors as `windows`."""
    prefixes = None if given is None or isinstance(given, str) else iter(given)
    for number, sentence in enumerate(sentences, start=1):
        if not isinstance(sentence, str):
            raise TextError(
                f"Sentence {number} is no text but {type(sentence).__name__}. Give strings."
            )
        if prefixes is None:
            yield sentence, given if isinstance(given, str) else ""
            continue
        prefix = next(prefixes, None)
        if prefix is None:
            raise TextError(
                f"There is nothing given for sentence {number}: give as many prefixes as "
                "sentences, or one string for all of them."
            )
        yield sentence, prefix
    if prefixes is not None and next(prefixes, None) is not None:
        raise TextError(
            "More prefixes are given than there are sentences: give as many, or one string for all "
            "of them."
        )


def passages(
    model: Model,
    sentences: Sequence[str],
    given: Sequence[str] | None = None,
    *,
    start: int = 0,
    bos: bool | None = None,
    separator: str = " ",
) -> list[Passage]:
    """What a model of one stack runs for each of these sentences.

    Args:
        given: what stands before each. It is tokenised together with its sentence; scored is from
            the first token on in which the two together differ from the prefix alone.
        start: the number of the first sentence, counted from 0, for error messages.
        bos: as in `vizcore.surprisal`.
        separator: what is put between prefix and sentence.

    Raises:
        TextError: if a sentence is empty, too long, or not encodable.
        SelectionError: if `bos` is asked for and the tokenizer has none.
    """
    if given is None:
        rows = encode_all(model, sentences, start=start)
        firsts = [0] * len(rows)
    else:
        joined = [f"{a}{separator}{b}" for a, b in zip(given, sentences, strict=True)]
        distinct = list(dict.fromkeys(given))
        alone = dict(zip(distinct, encode_all(model, distinct, start=start), strict=True))
        rows = encode_all(model, joined, start=start)
        firsts = [n_shared(alone[a], row) for a, row in zip(given, rows, strict=True)]
    if bos is None:
        return [Passage(tuple(row), max(first, 1)) for row, first in zip(rows, firsts, strict=True)]
    beginning = beginning_of_text(model)
    limit = model.max_tokens
    found: list[Passage] = []
    for row, first in zip(rows, firsts, strict=True):
        has_one = row[0] == beginning
        bare = row[1:] if has_one else row
        ids = (beginning, *bare) if bos else tuple(bare)
        if limit is not None and len(ids) > limit:
            number = len(found)
            raise _numbered(sentences[number], start + number, _too_long(model, ids))
        found.append(Passage(ids, max(first - has_one + bos, 1)))
    return found


def beginning_of_text(model: Model) -> int:
    """The id of the tokenizer's beginning-of-text token.

    Raises:
        SelectionError: if it has none.
    """
    beginning: int | None = getattr(model.tokenizer, "bos_token_id", None)
    if beginning is None:
        raise SelectionError(
            f"The tokenizer of {model.name} has no beginning-of-text token: leave out `bos`."
        )
    return beginning


def n_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two rows have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return next(
        (at for at, (a, b) in enumerate(pairs) if a != b),
        min(len(one), len(other)),
    )


def encode_all(
    model: Model, texts: Sequence[str], *, start: int = 0, target: bool = False
) -> list[list[int]]:
    """The token ids of each text, as `Model.encode` gives them, in one call of the tokenizer.

    Raises:
        TextError: as `Model.encode`, with the number of the sentence.
    """
    suspect = [text for text in texts if not text or "\x00" in text or not _is_unicode(text)]
    if suspect or model.tokenizer is None:
        return [
            _encode_one(model, text, number, target) for number, text in enumerate(texts, start)
        ]
    tokenizer: Any = model.tokenizer
    argument = "text_target" if target else "text"
    with model._tokenizing:
        rows: list[list[int]] = tokenizer(**{argument: list(texts)}, verbose=False)["input_ids"]
        around: list[int] = list(tokenizer(**{argument: ""}, verbose=False)["input_ids"])
    limit = model.max_tokens
    for number, row in enumerate(rows):
        if not row or row == around or (limit is not None and len(row) > limit):
            _encode_one(model, texts[number], start + number, target)  # says what is wrong
    return rows


def _encode_one(model: Model, text: str, number: int, target: bool) -> list[int]:
    try:
        return model.encode(text, target=target)
    except TextError as error:
        raise _numbered(text, number, error) from error


def _numbered(text: str, number: int, error: TextError) -> TextError:
    """The same error, which also says of which sentence."""
    shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
    quoted = repr(shown) if _is_unicode(shown) else ascii(shown)
    return type(error)(f"Sentence {number + 1} ({quoted}): {error}")


def _too_long(model: Model, ids: Sequence[int]) -> TextError:
    """What the model says of a text with too many tokens."""
    try:
        model.encode(ids)
    except TextError as error:
        return error
    return TextError(f"The text has {len(ids)} tokens, which are too many.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
