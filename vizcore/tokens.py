"""Token ids -> the words that people see on an axis.

Every piece keeps its place: leading spaces become a quiet dot, line breaks and tabs a sign, and
the byte pieces that make up one character together show that character with a fraction
(`我¹⁄₃`), since a byte alone is nothing to look at. For labels only: to get the text back, decode
the ids with the tokenizer.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

SPACE = "·"
SIGNS = {" ": SPACE, "\n": "⏎", "\r": "␍", "\t": "⇥", "\u00a0": "⍽", "\u3000": "□"}
"""What stands for characters that leave no trace on a screen."""
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
"""Unicode's categories of controls, joiners, things without a glyph, and spaces of all widths."""
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SELECTORS = tuple(chr(code) for code in range(0xFE00, 0xFE10))
"""They choose how the character before is drawn, and alone are nothing to look at."""
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def display_tokens(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> list[str]:
    """One label for each token id, in order. Never empty, never a replacement character.

    Word pieces keep their marks (`##ing`), special tokens their names (`[CLS]`, `<s>`).
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})  # built anew whenever it is asked for
    pieces = [piece_of(tokenizer, token_id, added) for token_id in token_ids]
    labels: list[str] = []
    start = 0
    while start < len(pieces):
        piece = pieces[start]
        if isinstance(piece, str):
            labels.append(_visible(piece))
            start += 1
            continue
        group = _whole_characters(pieces, start)
        text = b"".join(group).decode(errors="replace")
        if "\ufffd" in text:  # bytes that are no character at all
            labels.append(" ".join(f"{byte:02X}" for byte in piece))
            start += 1
            continue
        # The space belongs to the first piece alone.
        shown = [_visible(text), *[_visible(text.removeprefix(" "))] * (len(group) - 1)]
        labels += [shown[i] + _fraction(i + 1, len(group)) for i in range(len(group))]
        start += len(group)
    return labels


def special_positions(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> list[int]:
    """The positions at which a special token stands, one that is no part of the text."""
    special = set(tokenizer.all_special_ids)
    return [position for position, token_id in enumerate(token_ids) if token_id in special]


def piece_of(
    tokenizer: PreTrainedTokenizerBase, token_id: int, added: Mapping[int, Any]
) -> str | bytes:
    """A token as text, or as bytes where the tokenizer works on bytes."""
    name: Any = tokenizer.convert_ids_to_tokens(token_id)
    if name is None:
        return f"#{token_id}"
    if isinstance(name, bytes):
        return name
    if token_id in added:
        return str(added[token_id].content)
    if matched := _BYTE_PIECE.fullmatch(name):
        return bytes([int(matched[1], 16)])
    if hasattr(tokenizer, "_utf_vocab_size") and len(name) == 1:  # ByT5 writes bytes as Latin-1
        return bytes([ord(name)])
    if _is_byte_level(tokenizer) and all(character in _BYTES for character in name):
        return bytes(_BYTES[character] for character in name)
    return str(name).replace("\u2581", " ").removesuffix("</w>")


def _whole_characters(pieces: Sequence[str | bytes], start: int) -> list[bytes]:
    """As many byte pieces from there on as it takes to end where a character ends."""
    group: list[bytes] = []
    for place in range(start, len(pieces)):
        piece = pieces[place]
        if not isinstance(piece, bytes):
            break
        group.append(piece)
        try:
            b"".join(group).decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                break
        else:
            break
    return group


def _fraction(part: int, of: int) -> str:
    if of == 1:
        return ""
    return f"{str(part).translate(_SUPERSCRIPT)}\u2044{str(of).translate(_SUBSCRIPT)}"


def _visible(text: str) -> str:
    """The text with a sign for each character that would not be seen, or would reorder others."""
    shown = "".join(SIGNS.get(character) or _sign(character) for character in text)
    if shown and unicodedata.combining(shown[0]) or shown[:1] in _SELECTORS:
        shown = "◌" + shown  # as the Unicode charts print what needs a letter to stand on
    return shown or "∅"


def _sign(character: str) -> str:
    unseen = unicodedata.category(character) in _UNSEEN or character == "\ufffd"
    return f"⟨{ord(character):X}⟩" if unseen else character


@lru_cache(maxsize=64)
def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hasattr(tokenizer, "byte_decoder")
    settings = json.loads(backend.to_str())
    parts = (settings.get("decoder"), settings.get("pre_tokenizer"))
    return any('"ByteLevel"' in json.dumps(part) for part in parts)


def _byte_characters() -> dict[str, int]:
    """The characters that byte-level BPE (Radford et al. 2019) writes for the 256 bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    shifted = {chr(256 + i): byte for i, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted


_BYTES = _byte_characters()
