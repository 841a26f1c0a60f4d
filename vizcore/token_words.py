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
    special = _special_ids(tokenizer)
    spans = None if text is None else _offsets(tokenizer, token_ids, text, target=target)
    if text is None or spans is None:
        text, spans = _from_pieces(tokenizer, token_ids, special)
    shown = [
        None if token_id in special else span
        for token_id, span in zip(token_ids, spans, strict=True)
    ]
    return words_from_spans(text, shown, display_tokens(tokenizer, token_ids))


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
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
            return [*[None] * n_before, *((start, stop) for start, stop in offsets[:n_shared])]
    return None


def _from_pieces(
    tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], special: set[int]
) -> tuple[str, list[Span | None]]:
    """The text that the tokens spell, and the characters of each."""
    added = tokenizer.added_tokens_decoder
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    is_word_piece = _is_word_piece(tokenizer)
    text = ""
    spans: list[Span | None] = []
    for token_id in token_ids:
        if token_id in special:
            text += decoder.decode(b"", final=True) + " "
            decoder.reset()
            spans.append(None)
            continue
        part = piece_of(tokenizer, token_id, added)
        if isinstance(part, bytes):
            start = len(text)  # of a character of which some bytes may have come already
            text += decoder.decode(part)
            pending = bool(decoder.getstate()[0])
            spans.append((start, len(text) + pending))
            continue
        text += decoder.decode(b"", final=True)
        decoder.reset()
        if is_word_piece and not part.startswith(_CONTINUES):
            text += " "
        part = part.removeprefix(_CONTINUES) if is_word_piece else part
        spans.append((len(text), len(text) + len(part)))
        text += part
        if str(tokenizer.convert_ids_to_tokens(token_id)).endswith(_END_OF_WORD):
            text += " "
    text += decoder.decode(b"", final=True)
    return text, [span and (span[0], min(span[1], len(text))) for span in spans]


@lru_cache(maxsize=64)
def _is_word_piece(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hasattr(tokenizer, "wordpiece_tokenizer")
    return bool(json.loads(backend.to_str())["model"].get("type") == "WordPiece")
