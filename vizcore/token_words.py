"""Token ids -> the words that they make.

Where the text is known and the tokenizer says which characters a token carries, words are found in
the text itself. Elsewhere (ids, what a model wrote) the text is put together from the pieces; that
is the same, but for tokenizers that lose the spaces: of WordPiece, which does not tell don't from
don ' t, every part that it split off is then a word.
"""

import codecs
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby, takewhile
from typing import Any

from transformers import PreTrainedTokenizerBase

from vizcore.tokens import display_tokens, piece_of
from vizcore.words import Span, Words, words_from_spans

_END_OF_WORD = "</w>"
_CONTINUES = "##"


def token_words(
    tokenizer: PreTrainedTokenizerBase,
    token_ids: Sequence[int],
    text: str | None = None,
    *,
    target: bool = False,
) -> Words:
    """Which word each of these tokens belongs to.

    Args:
        text: what was tokenised, if it is known.
        target: whether it was tokenised as the target of a translation.
    """
    special = special_ids(tokenizer)
    spans = None if text is None else _offsets(tokenizer, token_ids, text, target=target)
    if text is None or spans is None:
        text, spans = _from_pieces(tokenizer, token_ids, special)
    shown = [
        None if token_id in special else span
        for token_id, span in zip(token_ids, spans, strict=True)
    ]
    return words_from_spans(text, shown, display_tokens(tokenizer, token_ids))


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that stand for no part of the text. An unknown word or a masked one does."""
    added = tokenizer.added_tokens_decoder
    special = {token_id for token_id, token in added.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    return special - {tokenizer.unk_token_id, tokenizer.mask_token_id}


def _offsets(
    tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], text: str, *, target: bool
) -> list[Span | None] | None:
    """The characters of each token, as a fast tokenizer says; None if it does not say so."""
    if not tokenizer.is_fast:
        return None
    given: dict[str, Any] = {"text_target" if target else "text": text}
    encoded: Any = tokenizer(**given, return_offsets_mapping=True, verbose=False)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    for n_before in (0, 1):  # what a decoder reads begins with a token to start from
        n_shared = len(token_ids) - n_before
        if n_shared <= len(ids) and list(token_ids[n_before:]) == ids[:n_shared]:
            spans = [(start, stop) for start, stop in offsets[:n_shared]]
            return [*[None] * n_before, *_in_bytes(tokenizer, ids, text, spans)]
    return None


def _in_bytes(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str, spans: list[Span]
) -> list[Span]:
    """The same spans, but for bytes that were all said to be of one stretch of characters."""
    added = tokenizer.added_tokens_decoder
    finer: list[Span] = []
    for (start, stop), run in groupby(range(len(spans)), key=lambda place: spans[place]):
        places = list(run)
        if len(places) > 1 and stop - start > 1:
            parts = [piece_of(tokenizer, ids[place], added) for place in places]
            spelled, its = _spelled([part for part in parts if isinstance(part, bytes)])
            if len(its) == len(parts) and spelled == text[start:stop]:
                finer += [(start + first, start + last) for first, last in its]
                continue
        finer += [(start, stop)] * len(places)
    return finer


def _from_pieces(
    tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], special: set[int]
) -> tuple[str, list[Span | None]]:
    """The text that the tokens spell, and the characters of each."""
    added = tokenizer.added_tokens_decoder
    is_word_piece = _is_word_piece(tokenizer)
    parts = [
        None if token_id in special else piece_of(tokenizer, token_id, added)
        for token_id in token_ids
    ]
    text = ""
    spans: list[Span | None] = []
    for place, part in enumerate(parts):
        if len(spans) > place:
            continue  # a byte that was read with those before it
        if part is None:
            text += " "
            spans.append(None)
        elif isinstance(part, bytes):
            run = takewhile(lambda part: isinstance(part, bytes), parts[place:])
            spelled, its = _spelled([part for part in run if isinstance(part, bytes)])
            spans += [(len(text) + first, len(text) + last) for first, last in its]
            text += spelled
        else:
            goes_on = is_word_piece and part.startswith(_CONTINUES)
            text += " " if is_word_piece and not goes_on else ""
            part = part.removeprefix(_CONTINUES) if goes_on else part
            spans.append((len(text), len(text) + len(part)))
            name = str(tokenizer.convert_ids_to_tokens(token_ids[place]))
            text += part + (" " if name.endswith(_END_OF_WORD) else "")
    return text, spans


def _spelled(parts: Sequence[bytes]) -> tuple[str, list[Span]]:
    """The text that these bytes spell, and the characters of which each part has some bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    spans = []
    for part in parts:
        start = len(text)
        text += decoder.decode(part)
        begun = bool(decoder.getstate()[0])  # a character whose other bytes are still to come
        spans.append((start, len(text) + begun))
    return text + decoder.decode(b"", final=True), spans


@lru_cache(maxsize=64)
def _is_word_piece(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hasattr(tokenizer, "wordpiece_tokenizer")
    return bool(json.loads(backend.to_str())["model"].get("type") == "WordPiece")
