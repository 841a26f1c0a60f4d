"""What no model can read: empty texts, broken characters, ids that are not in the vocabulary.

Refused where a text enters, before anything runs.
"""

from collections.abc import Sequence

from vizcore.errors import EmptyTextError, SelectionError, UnencodableTextError


def check_text(text: str) -> None:
    """Refuse, before anything runs, what no tokenizer can read."""
    if not text:
        raise EmptyTextError("The text is empty. Type a word or two.")
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise UnencodableTextError(
                f"Character {position} is half of a surrogate pair (U+{ord(character):04X}), which "
                "is no text. Remove it; it is often left over from cutting an emoji in two."
            )
        if character == "\x00":
            raise UnencodableTextError(
                f"Character {position} is NUL (U+0000). Remove it; texts that hold it are usually "
                "binary files."
            )


def checked_ids(token_ids: Sequence[int], vocab_size: int) -> list[int]:
    """The ids as plain numbers, once it is known that all are in the vocabulary."""
    ids = [int(token_id) for token_id in token_ids]
    if not ids:
        raise EmptyTextError("There are no token ids. Give at least one.")
    for token_id in ids:
        if not 0 <= token_id < vocab_size:
            raise SelectionError(
                f"Token id {token_id} is not in the vocabulary: ids go from 0 to {vocab_size - 1}."
            )
    return ids
