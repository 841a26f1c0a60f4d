"""How our Transformer writes: greedily, with beams, for many sources, and on from a prefix."""

import itertools
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
            decoding._open(network, [source]),
            torch.tensor([[START]]),
            ends=[END],
            steps=8,
            n_beams=1,
            penalty=1.0,
        )[0]
        for source in sources
    ]
    assert searched == greedy


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_with_enough_beams_the_best_of_all_texts_is_found(seed: int, penalty: float) -> None:
    network, source, steps = network_of(vocab_size=5, seed=seed), [3, 4, 3], 3
    scores = {}
    for text in itertools.product(range(5), repeat=steps):
        written = text[: text.index(END) + 1] if END in text else text
        read = log_probabilities(network, source, [START, *written[:-1]])
        total = sum(float(read[place, token]) for place, token in enumerate(written))
        scores[written] = total / len(written) ** penalty
    best = max(scores, key=lambda written: scores[written])
    (found,) = write(
        network,
        [source],
        prefix=[START],
        ends=[END],
        max_new_tokens=steps,
        n_beams=5**steps,
        length_penalty=penalty,
    )
    assert tuple(found[1:]) == best


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
