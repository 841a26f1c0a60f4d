"""How our Transformer writes: the likeliest token each time, or a search over several beginnings.

Each token is read once: keys and values of what came before stay in a cache. Many sources are
written for at once, each in as many steps as it needs. This is for networks that are a
`vizcore.transformer.Transformer`; those of transformers bring a `generate` of their own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vizcore.transformer import Cache, Transformer

MAX_NEW_TOKENS = 200
"""Where writing stops if the network does not end the text by itself."""
BATCH = 64
"""Sources that are written for at once; more would take memory and hardly be faster."""


def write(
    transformer: Transformer,
    sources: Sequence[Sequence[int]] | None,
    *,
    prefix: Sequence[int],
    ends: Collection[int],
    max_new_tokens: int = MAX_NEW_TOKENS,
    n_beams: int = 1,
    length_penalty: float | int = 1.0,
) -> list[list[int]]:
    """What the decoder writes after a prefix, for each source.

    With several beams, that many beginnings are kept, and of the texts that ended the one is taken
    whose log-probability divided by (tokens written)^length_penalty is highest (Wu et al. 2016
    divide so, too). The search stops when as many texts as there are beams have ended and no
    beginning is better than the worst of them.

    Args:
        transformer: with a decoder, and in evaluation mode.
        sources: token ids, of any lengths; None for a decoder that has no source.
        prefix: token ids that every text begins with, the start token first.
        ends: the tokens that end a text.
        max_new_tokens: where a text stops that has not ended.
        n_beams: how many beginnings are kept; 1 takes the likeliest token each time.
        length_penalty: 0 prefers short texts; 1 compares the mean of the log-probabilities.

    Returns:
        For each source (or for the one text) the prefix and what was written after it. The end
        token is there if the text ended by itself.

    Raises:
        ValueError: if the network has no decoder or is in training mode, if it needs sources and
            has none or the other way round, or if prefix or a source is empty.
    """
    _check(transformer, sources, prefix, n_beams)
    room = max_new_tokens
    if transformer.config.positions == "learned":
        room = min(room, transformer.config.max_tokens - len(prefix))
    texts: list[list[int]] = [list(prefix) for _ in sources or [()]]
    with torch.inference_mode():
        # Sources of like length go together, so that little is read that is only padding.
        order = sorted(range(len(texts)), key=lambda text: len(sources[text]) if sources else 0)
        for first in range(0, len(order), BATCH):
            numbers = order[first : first + BATCH]
            chosen = None if sources is None else [sources[number] for number in numbers]
            reader = open_reader(transformer, chosen)
            start = torch.tensor([list(prefix)] * len(numbers), device=_device(transformer))
            if n_beams == 1:
                written = _greedy(reader, start, ends=ends, steps=room)
            else:
                written = _search(
                    reader, start, ends=ends, steps=room, n_beams=n_beams, penalty=length_penalty
                )
            for number, text in zip(numbers, written, strict=True):
                texts[number] = text
    return texts


def end_ids(stated: int | Sequence[int] | None) -> frozenset[int]:
    """The tokens that end a text, of which a configuration states none, one or several."""
    return frozenset([stated] if isinstance(stated, int) else stated or ())


@dataclass(eq=False)
class Reader:
    """A decoder that reads on, and what it reads from: a row for each text or beginning."""

    transformer: Transformer
    memory: Float[Tensor, "row source d_model"] | None
    present: Bool[Tensor, "row source"] | None
    cache: Cache = field(default_factory=Cache)

    def read(self, tokens: Int[Tensor, "row token"]) -> Float[Tensor, "row vocab_size"]:
        """The logits of what comes after these tokens, which come after those read before."""
        hidden = self.transformer.decode(
            tokens, self.memory, memory_present=self.present, cache=self.cache
        )
        return self.transformer.logits(hidden[:, -1:])[:, 0]

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows (one may be taken twice)."""
        if list(rows) == list(range(self.n_rows)):
            return
        chosen = torch.tensor(rows, device=_device(self.transformer))
        self.cache.select(chosen)
        self.memory = None if self.memory is None else self.memory[chosen]
        self.present = None if self.present is None else self.present[chosen]

    @property
    def n_rows(self) -> int:
        """How many texts or beginnings are being read."""
        return next(iter(self.cache.kept.values()))[0].shape[0]


def _greedy(
    reader: Reader, prefix: Int[Tensor, "text token"], *, ends: Collection[int], steps: int
) -> list[list[int]]:
    """Each text goes on with its likeliest token."""
    texts: list[list[int]] = prefix.tolist()
    unended, tokens = list(range(len(texts))), prefix
    for _ in range(steps):
        best: list[int] = reader.read(tokens).argmax(dim=-1).tolist()
        for text, token in zip(unended, best, strict=True):
            texts[text].append(token)
        rows = [row for row, token in enumerate(best) if token not in ends]
        if not rows:
            break
        reader.select(rows)
        unended = [unended[row] for row in rows]
        tokens = torch.tensor([[best[row]] for row in rows], device=prefix.device)
    return texts


def _search(
    reader: Reader,
    prefix: Int[Tensor, "text token"],
    *,
    ends: Collection[int],
    steps: int,
    n_beams: int,
    penalty: float | int,
) -> list[list[int]]:
    """Each text goes on with its `n_beams` likeliest beginnings."""
    ended: list[list[tuple[float, list[int]]]] = [[] for _ in range(len(prefix))]
    unended = list(range(len(prefix)))
    # Of each text that has not ended: its beginnings, best first, and their log-probabilities.
    beams: list[list[list[int]]] = [[text] for text in prefix.tolist()]
    totals = torch.zeros(len(prefix), 1, device=prefix.device)
    tokens = prefix
    for step in range(1, steps + 1):
        n_kept = totals.shape[1]
        ahead = reader.read(tokens).float().log_softmax(dim=-1)  # text*beam vocab_size
        vocab_size = ahead.shape[-1]
        candidates = totals[:, :, None] + ahead.view(-1, n_kept, vocab_size)
        candidates = candidates.flatten(1)  # text beam*vocab_size
        # So many that n_beams are left if each beginning may end in every way.
        best = candidates.topk(min(n_beams * (1 + len(ends)), candidates.shape[1]))
        going: list[tuple[int, list[tuple[float, int, int]]]] = []
        for row, (text, scores, places) in enumerate(
            zip(unended, best.values.tolist(), best.indices.tolist(), strict=True)
        ):
            kept: list[tuple[float, int, int]] = []
            for rank, (score, place) in enumerate(zip(scores, places, strict=True)):
                beam, token = divmod(place, vocab_size)
                if token not in ends:
                    kept.append((score, beam, token))
                elif rank < n_beams:
                    ended[text].append((score / step**penalty, [*beams[row][beam], token]))
            ended[text] = sorted(ended[text], reverse=True)[:n_beams]
            full = len(ended[text]) == n_beams
            if not kept or full and ended[text][-1][0] >= kept[0][0] / step**penalty:
                continue
            if step == steps:
                ended[text] += [
                    (score / step**penalty, [*beams[row][beam], token])
                    for score, beam, token in kept[:n_beams]
                ]
            going.append((row, kept[:n_beams]))
        if not going or step == steps:
            break
        reader.select([row * n_kept + beam for row, kept in going for _, beam, _ in kept])
        beams = [[[*beams[row][beam], token] for _, beam, token in kept] for row, kept in going]
        unended = [unended[row] for row, _ in going]
        totals = torch.tensor([[score for score, _, _ in kept] for _, kept in going]).to(totals)
        tokens = torch.tensor([[token] for _, kept in going for _, _, token in kept]).to(prefix)
    found = zip(ended, prefix.tolist(), strict=True)
    return [max(texts)[1] if texts else start for texts, start in found]


def open_reader(transformer: Transformer, sources: Sequence[Sequence[int]] | None) -> Reader:
    """A decoder that has read nothing yet, with what the encoder makes of these sources."""
    if sources is None:
        return Reader(transformer, None, None)
    lengths = [len(source) for source in sources]
    width = max(lengths)
    padded = [[*source, *[0] * (width - len(source))] for source in sources]  # 0 is never seen
    tokens = torch.tensor(padded, device=_device(transformer))
    present = None
    if min(lengths) < width:
        places = torch.arange(width, device=tokens.device)
        present = places < torch.tensor(lengths, device=tokens.device)[:, None]
    return Reader(transformer, transformer.encode(tokens, present=present), present)


def _device(transformer: Transformer) -> torch.device:
    return transformer.unembedding.weight.device


def _check(
    transformer: Transformer,
    sources: Sequence[Sequence[int]] | None,
    prefix: Sequence[int],
    n_beams: int,
) -> None:
    kind = transformer.config.kind
    if kind == "encoder":
        raise ValueError("An encoder alone writes nothing: it has no decoder.")
    if kind == "encoder-decoder" and sources is None:
        raise ValueError("An encoder-decoder writes about a source: give it sources.")
    if kind == "decoder" and sources is not None:
        raise ValueError("A decoder alone reads no source: give its text as prefix, sources=None.")
    if not prefix or not all(sources or [[0]]):
        raise ValueError("There is nothing to read: prefix and sources need a token at least.")
    if n_beams < 1:
        raise ValueError(f"n_beams is {n_beams}, and must be 1 at least.")
    if transformer.training:
        raise ValueError("In training mode dropout would change every word: call eval() first.")
