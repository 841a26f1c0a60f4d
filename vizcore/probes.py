"""What heads are measured on: ordinary sentences, texts of one length, and repeated random tokens.

The idea: what a head does in general shows on ordinary sentences, what position alone makes it do
on different texts cut to one length, and what it does with repetitions on random tokens, in which
nothing else can be expected. All of them are lists of token ids, with the special tokens that the
tokenizer puts around a text. To measure on your own texts give them to `head_scores`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vizcore.capture import vocabulary_size
from vizcore.errors import MissingHeadError, SelectionError, TextError
from vizcore.model import POSITIONS, Model
from vizcore.targets import SPACE_MARKS, is_special

Text = str | Sequence[int]

ENGLISH = (
    "The old man counted the ships, and every ship that passed the rocks rang its bell.",
    "When the rain stopped, the children ran out of the house, but their mother called them back.",
    "My brother plays the piano and my sister plays the violin; I only play the radio.",
    "“Where did you put the keys?” she asked. “On the table,” he said, “next to the blue cup.”",
    "Water boils sooner on a mountain than at the sea, because the air on a mountain is thin.",
    "The people who live next door have two dogs, three cats and a very old horse.",
    "If you come to the station before eight, we can take the first train to the city.",
    "He wanted to buy a new car, but the new cars were too expensive for him.",
    "Bread needs flour, water, salt and time: flour and water are cheap, but time is not.",
    "I don't know who wrote this letter, but whoever wrote it must know me well.",
)
"""Sentences for models that read English."""

CHINESE = (
    "老人每天早上都去海边，因为他说大海每天都不一样。",
    "如果明天下雨，我们就在家里看书；如果不下雨，我们就去公园。",
    "他问我：“你把钥匙放在哪里了？”我说：“在桌子上，杯子的旁边。”",
    "这家小店的面条很好吃，所以每天中午门口都有很多人。",
    "我的哥哥喜欢音乐，我的妹妹也喜欢音乐，可是我只喜欢睡觉。",
    "他想买一辆新车，但是新车太贵了，所以他买了一辆旧车。",
)
"""Sentences for models that read Chinese."""

N_TOKENS = 12
"""Random tokens before they are repeated: about a sentence, so that a model of short texts has not
to read what is longer than all it was trained on. (Olsson et al. 2022 take 25, four times.)"""

N_COPIES = 3
"""How often they come."""

UNKNOWN_AT_MOST = 0.25
"""A text of which the tokenizer knows less is not read."""

CUT = 32
"""Tokens of texts that are cut to one length, at most."""

CUT_TEXTS = 64
"""Texts that are cut to one length, at most: they are compared all at once."""

TARGET_TOKENS = 2
"""A target that an encoder-decoder writes may be so many times as long as its source, and ten."""


@dataclass(frozen=True)
class Probe:
    """Something to run: `model.trace(probe.source, probe.target)`."""

    source: tuple[int, ...]
    target: tuple[int, ...] | None = None


def probe(model: Model, text: Text | tuple[Text, Text]) -> Probe:
    """A text as it is run; an encoder-decoder that is given no target writes one.

    Raises:
        MissingHeadError: if it cannot write.
        TextError: if the text cannot be run, or a model of one stack is given two.
    """
    given: Any = text
    pair = isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], int)
    source, target = given if pair else (given, None)
    ids = model.encode(source)
    if model.kind != "encoder-decoder":
        if pair:
            raise TextError(
                f"{model.name} has one stack, so it takes one text at a time: give texts, not "
                "pairs of texts."
            )
        return Probe(tuple(ids))
    if target is not None:
        return Probe(tuple(ids), tuple(model._decoder_input(target)))
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it cannot write a target by itself. "
            "Give texts as pairs: [(source, target), …]."
        )
    return Probe(tuple(ids), tuple(model.write(ids)[: TARGET_TOKENS * len(ids) + 10]))


def own_texts(model: Model, rng: np.random.Generator) -> list[Text]:
    """The built-in sentences that this model reads; if it reads none, rows of random tokens.

    A text is read if at most a quarter of its tokens are unknown, and it has no more tokens than
    characters (a tokenizer that takes a language to pieces was not made for it). An
    encoder-decoder, which usually reads one language, is given those of the first that it reads.
    """
    groups = [[text for text in group if _reads(model, text)] for group in (ENGLISH, CHINESE)]
    if model.kind == "encoder-decoder":
        groups = [next((group for group in groups if group), [])]
    found: list[Text] = [text for group in groups for text in group]
    if found:
        return found
    front, back = surroundings(model)
    rows = random_rows(model, N_TOKENS, len(ENGLISH), rng)
    return [[*front, *row, *back] for row in rows]


def surroundings(model: Model) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text.

    A decoder gets its beginning-of-text token in any case, if there is one.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        return [], []
    ids = list(model.encode("a"))
    front, back = special_ends(model, ids)
    bos = tokenizer.bos_token_id
    if not front and model.kind == "decoder" and isinstance(bos, int):
        return [bos], ids[len(ids) - back :]
    return ids[:front], ids[len(ids) - back :]


def special_ends(model: Model, ids: Sequence[int]) -> tuple[int, int]:
    """How many special tokens there are at the beginning, and how many at the end.

    Unknown words, though special tokens stand for them, are part of the text.
    """
    unknown = getattr(model.tokenizer, "unk_token_id", None)
    special = {at for at in model.special_positions(ids) if ids[at] != unknown}
    front = next((at for at in range(len(ids)) if at not in special), len(ids))
    back = next((at for at in range(len(ids)) if len(ids) - 1 - at not in special), 0)
    return front, back if front < len(ids) else 0


def repeated(
    model: Model,
    *,
    n_rows: int,
    n_tokens: int = N_TOKENS,
    n_copies: int = N_COPIES,
    start: Sequence[int] = (),
    rng: np.random.Generator,
) -> list[Probe]:
    """Rows of different random tokens that come several times.

    In a model that reads fewer tokens, fewer copies, but two, and then shorter rows.

    Args:
        n_rows: how many rows.
        n_tokens: how many tokens a row has.
        n_copies: how often they come.
        start: what the decoder of an encoder-decoder reads first.
    """
    front, back = surroundings(model)
    known = [model.max_tokens, model._limit(*POSITIONS, "max_decoder_position_embeddings")]
    room = min(limit or 10**6 for limit in known) - max(len(front) + len(back), len(start))
    n_copies = max(2, min(n_copies, room // n_tokens))
    rows = random_rows(model, min(n_tokens, room // n_copies), n_rows, rng)
    probes = []
    for row in rows:
        copies = row * n_copies
        if model.kind == "encoder-decoder":
            probes.append(Probe((*front, *copies, *back), (*start, *copies)))
        else:
            probes.append(Probe((*front, *copies, *back)))
    return probes


def random_rows(
    model: Model, n_tokens: int, n_rows: int, rng: np.random.Generator
) -> list[list[int]]:
    """Rows of different ordinary tokens: of letters alone, and with labels that differ.

    Without a tokenizer, or if it has too few of those, any tokens but the special ones. A row has
    `n_tokens`, or as many as there are.
    """
    order = [int(token_id) for token_id in rng.permutation(vocabulary_size(model.network))]
    special = set() if model.tokenizer is None else set(model.tokenizer.all_special_ids)
    allowed = [token_id for token_id in order if token_id not in special]
    ordinary = _ordinary(model, allowed, n_tokens * n_rows)
    pool = ordinary if len(ordinary) >= min(n_tokens, len(allowed)) else allowed
    n_tokens = min(n_tokens, len(pool))
    return [[int(one) for one in rng.permutation(pool)[:n_tokens]] for _ in range(n_rows)]


def cut_to_one_length(model: Model, probes: Sequence[Probe]) -> list[Probe]:
    """Texts of one length, made of the beginnings of these; special tokens at their ends stay.

    The length is one that at least half of them have, and at most `CUT` tokens. Fewer than two of
    one length tell nothing, and are none.
    """
    n_tokens = _common([len(one.source) for one in probes])
    chosen = [one for one in probes if len(one.source) >= n_tokens]
    targets = [one.target for one in chosen if one.target is not None]
    n_target = _common([len(target) for target in targets])
    cut = []
    for one in chosen:
        _, back = special_ends(model, one.source)
        ending = one.source[len(one.source) - back :]
        source = (*one.source[: n_tokens - back], *ending)
        if one.target is None:
            cut.append(Probe(source))
        elif len(one.target) >= n_target:
            cut.append(Probe(source, one.target[:n_target]))
    return cut[:CUT_TEXTS] if len(cut) > 1 else []


def _common(lengths: Sequence[int]) -> int:
    """The greatest length that at least half of them (and two) have, at most `CUT`."""
    if not lengths:
        return 0
    enough = min(max(2, (len(lengths) + 1) // 2), len(lengths))
    return min(CUT, sorted(lengths, reverse=True)[enough - 1])


def _reads(model: Model, text: str) -> bool:
    if model.tokenizer is None:
        return False
    try:
        ids = model.encode(text)
    except TextError:
        return False
    front, back = special_ends(model, ids)
    inner = ids[front : len(ids) - back]
    n_unknown = sum(is_special(label) for label in model.labels(inner))
    return 0 < len(inner) <= len(text) and n_unknown <= UNKNOWN_AT_MOST * len(inner)


def _ordinary(model: Model, token_ids: Sequence[int], n_wanted: int) -> list[int]:
    """The first of these tokens that are words or parts of words, each with a label of its own."""
    if model.tokenizer is None:
        return []
    return [
        token_id for token_id, _ in zip(_words(model, token_ids), range(n_wanted), strict=False)
    ]


def _words(model: Model, token_ids: Sequence[int]) -> Iterator[int]:
    seen = set()
    for token_id in token_ids:
        (label,) = model.labels([token_id])
        if label not in seen and label.removeprefix("##").strip(SPACE_MARKS).isalpha():
            seen.add(label)
            yield token_id


def check_rows(n_rows: int, n_tokens: int, n_copies: int) -> None:
    """Refuse rows in which nothing can be measured.

    Raises:
        SelectionError: if there are too few of them, of their tokens, or of their copies.
    """
    if n_rows < 1:
        raise SelectionError(f"n_random must be at least 1 row of random tokens, not {n_rows}.")
    if n_tokens < 2:
        raise SelectionError(f"n_tokens must be at least 2 tokens to a row, not {n_tokens}.")
    if n_copies < 2:
        raise SelectionError(f"n_copies must be at least 2, not {n_copies}: else nothing repeats.")
