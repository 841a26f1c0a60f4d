"""How our Transformer writes: greedily, with beams, for many sources, and on from a prefix."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vizcore import decoding
from vizcore.decoding import write
from vizcore.transformer import Transformer, TransformerConfig

EVERY_POSITIONS = ("sinusoidal", "learned", "rope", "alibi", "none")
START, END = 1, 2
FEW = settings(max_examples=20, deadline=None)


def network_of(
    kind: str = "encoder-decoder", *, vocab_size: int = 13, seed: int = 0, **changes: Any
) -> Transformer:
    """A network so lively that it does not write the same token for ever."""
    torch.manual_seed(seed)
    config = TransformerConfig(kind, vocab_size, d_model=16, n_heads=2, n_layers=2, **changes)
    network = Transformer(config).eval()
    for weights in network.parameters():
        nn.init.normal_(weights, std=0.4)
    return network


def log_probabilities(
    network: Transformer, source: list[int] | None, text: list[int]
) -> torch.Tensor:
    """Of every token after each token of the text, all computed anew."""
    texts = [torch.tensor([ids]) for ids in (source, text) if ids is not None]
    with torch.no_grad():
        return network(*texts)[0].log_softmax(dim=-1)


def likeliest(
    network: Transformer, source: list[int] | None, prefix: list[int], *, steps: int
) -> list[int]:
    """Greedy writing with nothing kept from one step to the next."""
    text = list(prefix)
    for _ in range(steps):
        text.append(int(log_probabilities(network, source, text)[-1].argmax()))
        if text[-1] == END:
            break
    return text


SOURCES = st.lists(st.lists(st.integers(3, 12), min_size=1, max_size=7), min_size=1, max_size=5)


@given(st.sampled_from(EVERY_POSITIONS), SOURCES, st.integers(0, 99))
@FEW
def test_each_source_of_a_batch_is_written_for_as_if_it_were_alone(
    positions: str, sources: list[list[int]], seed: int
) -> None:
    network = network_of(positions=positions, seed=seed)
    written = write(network, sources, prefix=[START], ends=[END], max_new_tokens=8)
    assert written == [likeliest(network, source, [START], steps=8) for source in sources]


@given(st.lists(st.integers(3, 12), min_size=1, max_size=5), st.integers(0, 99))
@FEW
def test_it_goes_on_from_a_prefix(prefix: list[int], seed: int) -> None:
    network = network_of(seed=seed)
    begun = [START, *prefix]
    (written,) = write(network, [[5, 6, 7]], prefix=begun, ends=[END], max_new_tokens=6)
    assert written == likeliest(network, [5, 6, 7], begun, steps=6)


@pytest.mark.parametrize("positions", EVERY_POSITIONS)
def test_a_decoder_alone_goes_on_with_its_text(positions: str) -> None:
    network = network_of("decoder", positions=positions)
    written = write(network, None, prefix=[START, 5, 9], ends=[END], max_new_tokens=8)
    assert written == [likeliest(network, None, [START, 5, 9], steps=8)]


@given(SOURCES, st.integers(0, 99))
@FEW
def test_a_search_with_one_beam_is_greedy(sources: list[list[int]], seed: int) -> None:
    network = network_of(seed=seed)
    how = {"prefix": [START], "ends": [END], "max_new_tokens": 8}
    greedy = write(network, sources, **how)
    searched = [
        decoding._search(
            decoding.open_reader(network, [source]),
            torch.tensor([[START]]),
            ends=[END],
            steps=8,
            n_beams=1,
            penalty=1.0,
        )[0]
        for source in sources
    ]
    assert searched == greedy


class MadeUp(decoding.Reader):
    """Reads on like a network, but expects after each text whatever its seed says."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.texts: list[tuple[int, ...]] = [()]

    def expect(self, text: tuple[int, ...]) -> torch.Tensor:
        torch.manual_seed(hash((self.seed, text)) % 2**32)
        return 2 * torch.randn(5)

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        read = zip(self.texts, tokens.tolist(), strict=True)
        self.texts = [(*text, *new) for text, new in read]
        return torch.stack([self.expect(text) for text in self.texts])

    def select(self, rows: list[int]) -> None:
        self.texts = [self.texts[row] for row in rows]


def best_of_all(seed: int, ends: set[int], steps: int, penalty: float) -> list[int]:
    """What beam search looks for: found by going through all texts that there can be."""
    found: list[tuple[float, list[int]]] = []

    def go_on(text: tuple[int, ...], total: float) -> None:
        n_written = len(text) - 1
        if n_written and (text[-1] in ends or n_written == steps):
            found.append((total / n_written**penalty, list(text)))
            return
        for token, log_probability in enumerate(MadeUp(seed).expect(text).log_softmax(-1)):
            go_on((*text, token), total + float(log_probability))

    go_on((START,), 0.0)
    return max(found)[1]


@given(
    st.integers(0, 10**6),
    st.sampled_from([{2}, {2, 3}, {0, 2, 3}]),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.6, 1.0, 2.0]),
)
@FEW
def test_with_enough_beams_the_best_of_all_texts_is_found(
    seed: int, ends: set[int], steps: int, penalty: float
) -> None:
    (found,) = decoding._search(
        MadeUp(seed),
        torch.tensor([[START]]),
        ends=ends,
        steps=steps,
        n_beams=5**steps,
        penalty=penalty,
    )
    assert found == best_of_all(seed, ends, steps, penalty)


def test_those_best_texts_are_of_several_lengths() -> None:
    lengths = [len(best_of_all(seed, {2, 3}, 4, 1.0)) for seed in range(12)]
    assert set(lengths) >= {2, 3, 4}


@given(SOURCES, st.integers(2, 4), st.integers(0, 99))
@FEW
def test_a_search_for_many_sources_finds_what_it_finds_for_each_alone(
    sources: list[list[int]], n_beams: int, seed: int
) -> None:
    network = network_of(seed=seed)
    how = {"prefix": [START], "ends": [END], "max_new_tokens": 6, "n_beams": n_beams}
    alone = [write(network, [source], **how)[0] for source in sources]
    assert write(network, sources, **how) == alone


def test_more_sources_than_fit_into_one_batch_come_back_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "BATCH", 2)
    network = network_of()
    sources = [[5, 6, 7, 8], [9], [3, 4], [10, 11, 12], [4]]
    written = write(network, sources, prefix=[START], ends=[END], max_new_tokens=6)
    assert written == [likeliest(network, source, [START], steps=6) for source in sources]


def test_any_of_several_tokens_ends_a_text() -> None:
    network = network_of()
    (free,) = write(network, [[5, 6]], prefix=[START], ends=[], max_new_tokens=6)
    assert len(free) == 7
    third = free[3]
    (ended,) = write(network, [[5, 6]], prefix=[START], ends=[99, third], max_new_tokens=6)
    assert ended == free[: free.index(third, 1) + 1]


def test_with_learned_positions_it_stops_where_they_end() -> None:
    network = network_of(positions="learned", max_tokens=5)
    for n_beams in (1, 3):
        (text,) = write(network, [[5, 6]], prefix=[START], ends=[], n_beams=n_beams)
        assert len(text) == 5


@pytest.mark.parametrize(
    ("kind", "sources", "prefix", "changes", "said"),
    [
        ("encoder", [[3]], [1], {}, "An encoder alone writes nothing: it has no decoder."),
        ("encoder-decoder", None, [1], {}, "An encoder-decoder writes about a source: give it"),
        ("decoder", [[3]], [1], {}, "A decoder alone reads no source: give its text as prefix"),
        ("decoder", None, [], {}, "There is nothing to read: prefix and sources need a token"),
        ("encoder-decoder", [[3], []], [1], {}, "There is nothing to read: prefix and sources"),
        ("decoder", None, [1], {"n_beams": 0}, "n_beams is 0, and must be 1 at least."),
    ],
)
def test_what_cannot_be_written_is_said_errors(
    kind: str,
    sources: list[list[int]] | None,
    prefix: list[int],
    changes: dict[str, int],
    said: str,
) -> None:
    with pytest.raises(ValueError, match="^" + said):
        write(network_of(kind), sources, prefix=prefix, ends=[END], **changes)


def test_in_training_mode_it_does_not_write_errors() -> None:
    with pytest.raises(ValueError, match="In training mode dropout would change every word"):
        write(network_of("decoder").train(), None, prefix=[1], ends=[END])
