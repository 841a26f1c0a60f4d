"""The Transformer equals PyTorch's own with the same weights, in values and gradients."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vizcore.attention import attention
from vizcore.tap import Recorder
from vizcore.transformer import (
    Cache,
    FeedForward,
    Head,
    MultiHead,
    Stack,
    Transformer,
    TransformerConfig,
    alibi,
    rotate,
    sinusoids,
)

SIZES = st.tuples(  # heads, width of a head, inner width, layers
    st.integers(1, 4), st.sampled_from([2, 4, 6]), st.integers(1, 20), st.integers(1, 3)
)
NORMS = st.sampled_from(["post", "pre"])
EVERY_POSITIONS = ("sinusoidal", "learned", "rope", "alibi", "none")
VOCABULARY = 23
FEW = settings(max_examples=25, deadline=None)


def config_of(kind: str = "encoder", **changes: Any) -> TransformerConfig:
    sizes = {"d_model": 24, "n_heads": 4, "n_layers": 2, "d_ff": 20, "dropout": 0.0}
    return TransformerConfig(kind, VOCABULARY, **(sizes | changes))


def network_of(kind: str, *, seed: int = 0, **changes: Any) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(config_of(kind, **changes)).eval()


def presence(n_texts: int, n_tokens: int) -> Tensor:
    """Of each text at least one token is there; the rest is padding."""
    return torch.arange(n_tokens) < torch.randint(1, n_tokens + 1, (n_texts, 1))


def give_attention(ours: MultiHead, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
    theirs.in_proj_bias.data = torch.cat([part.bias.data for part in parts])
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def give_layers(ours: Stack, theirs: Any) -> None:
    """Give PyTorch's encoder or decoder the weights of our stack."""
    for layer, their_layer in zip(ours.layers, theirs.layers, strict=True):
        give_attention(layer.attention, their_layer.self_attn)
        norms = [layer.attention_residual.norm]
        if layer.crosses:
            give_attention(layer.cross, their_layer.multihead_attn)
            norms.append(layer.cross_residual.norm)
        for number, norm in enumerate([*norms, layer.feed_residual.norm], start=1):
            getattr(their_layer, f"norm{number}").load_state_dict(norm.state_dict())
        their_layer.linear1.load_state_dict(layer.feed_forward[0].state_dict())
        their_layer.linear2.load_state_dict(layer.feed_forward[2].state_dict())
    if theirs.norm is not None:
        theirs.norm.load_state_dict(ours.norm.state_dict())


def shaken(module: nn.Module) -> nn.Module:
    """The module with all weights random: norms begin as ones and biases nearly as zeros."""
    for weights in module.parameters():
        nn.init.normal_(weights, std=0.5)
    return module


def assert_same_gradients(ours: Tensor, theirs: Tensor, *inputs: tuple[Tensor, Tensor]) -> None:
    """The outputs, and the gradients of a random function of them by each pair of inputs."""
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    weights = torch.randn_like(ours)
    mine = torch.autograd.grad((ours * weights).sum(), [pair[0] for pair in inputs])
    expected = torch.autograd.grad((theirs * weights).sum(), [pair[1] for pair in inputs])
    for gradient, their_gradient in zip(mine, expected, strict=True):
        torch.testing.assert_close(gradient, their_gradient, atol=1e-4, rtol=1e-3)


def vectors(*shape: int) -> Tensor:
    return torch.randn(*shape).requires_grad_()


# --- Beside torch.nn ------------------------------------------------------------------------------


@given(SIZES, st.integers(1, 5), st.integers(1, 7), st.integers(0, 10**6))
@FEW
def test_many_heads_equal_those_of_torch(
    sizes: tuple[int, int, int, int], n_queries: int, n_keys: int, seed: int
) -> None:
    torch.manual_seed(seed)
    n_heads, d_head, _, _ = sizes
    config = config_of(d_model=n_heads * d_head, n_heads=n_heads, positions="none")
    ours = shaken(MultiHead(config, crosses=True))
    theirs = nn.MultiheadAttention(config.d_model, n_heads, batch_first=True)
    give_attention(ours, theirs)
    x, memory = vectors(3, n_queries, config.d_model), vectors(3, n_keys, config.d_model)
    present = presence(3, n_keys)
    output = ours(x, memory, present[:, None, None, :])
    expected, _ = theirs(x, memory, memory, key_padding_mask=~present)
    pairs = [(ours.output.weight, theirs.out_proj.weight), (x, x), (memory, memory)]
    assert_same_gradients(output, expected, *pairs)


@given(SIZES, NORMS, st.integers(1, 6), st.booleans(), st.booleans(), st.integers(0, 10**6))
@FEW
def test_an_encoder_or_a_decoder_alone_equals_the_one_of_torch(
    sizes: tuple[int, int, int, int],
    norm: str,
    n_tokens: int,
    causal: bool,
    padded: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    n_heads, d_head, d_ff, n_layers = sizes
    d_model = n_heads * d_head
    config = config_of(
        d_model=d_model, n_heads=n_heads, d_ff=d_ff, n_layers=n_layers, norm=norm, positions="none"
    )
    ours = shaken(Stack(config, causal=causal))
    first = norm == "pre"
    layer = nn.TransformerEncoderLayer(
        d_model, n_heads, d_ff, dropout=0.0, batch_first=True, norm_first=first
    )
    theirs = nn.TransformerEncoder(
        layer, n_layers, nn.LayerNorm(d_model) if first else None, enable_nested_tensor=False
    )
    give_layers(ours, theirs)
    x = vectors(3, n_tokens, d_model)
    present = presence(3, n_tokens) if padded else None
    ahead = torch.ones(n_tokens, n_tokens).triu(1).bool() if causal else None
    output = ours(x, present=present)
    expected = theirs(x, mask=ahead, src_key_padding_mask=None if present is None else ~present)
    mine, its = ours.layers[0].feed_forward[0].weight, theirs.layers[0].linear1.weight
    there = torch.ones(3, n_tokens).bool() if present is None else present
    assert_same_gradients(output[there], expected[there], (x, x), (mine, its))


@given(SIZES, NORMS, st.integers(1, 5), st.integers(1, 7), st.integers(0, 10**6))
@FEW
def test_a_decoder_with_a_source_equals_the_one_of_torch(
    sizes: tuple[int, int, int, int], norm: str, n_targets: int, n_sources: int, seed: int
) -> None:
    torch.manual_seed(seed)
    n_heads, d_head, d_ff, n_layers = sizes
    d_model = n_heads * d_head
    config = config_of(
        d_model=d_model, n_heads=n_heads, d_ff=d_ff, n_layers=n_layers, norm=norm, positions="none"
    )
    ours = shaken(Stack(config, causal=True, crosses=True))
    first = norm == "pre"
    layer = nn.TransformerDecoderLayer(
        d_model, n_heads, d_ff, dropout=0.0, batch_first=True, norm_first=first
    )
    theirs = nn.TransformerDecoder(layer, n_layers, nn.LayerNorm(d_model) if first else None)
    give_layers(ours, theirs)
    x, memory = vectors(2, n_targets, d_model), vectors(2, n_sources, d_model)
    present, source_present = presence(2, n_targets), presence(2, n_sources)
    output = ours(x, memory, present=present, memory_present=source_present)
    expected = theirs(
        x,
        memory,
        tgt_mask=torch.ones(n_targets, n_targets).triu(1).bool(),
        tgt_key_padding_mask=~present,
        memory_key_padding_mask=~source_present,
    )
    mine, its = ours.layers[0].cross.output.weight, theirs.layers[0].multihead_attn.out_proj.weight
    pairs = [(x, x), (memory, memory), (mine, its)]
    assert_same_gradients(output[present], expected[present], *pairs)


# --- One head, and many ---------------------------------------------------------------------------


def test_one_head_is_the_formula() -> None:
    torch.manual_seed(1)
    head, x, memory = Head(12, 5), torch.randn(2, 3, 12), torch.randn(2, 7, 12)
    mask = torch.rand(2, 3, 7) < 0.6
    mask[:, :, 0] = True
    query, key, value = head.query(x), head.key(memory), head.value(memory)
    expected = attention(query[:, None], key[:, None], value[:, None], mask=mask[:, None])
    torch.testing.assert_close(head(x, memory, mask), expected[:, 0])


def test_many_heads_are_single_heads_joined_and_projected() -> None:
    torch.manual_seed(2)
    many = shaken(MultiHead(config_of(positions="none")))
    x, memory = torch.randn(2, 3, 24), torch.randn(2, 7, 24)
    present = presence(2, 7)
    heads = [many.head(number)(x, memory, present[:, None, :]) for number in range(4)]
    joined = many.output(torch.cat(heads, dim=-1))
    torch.testing.assert_close(many(x, memory, present[:, None, None, :]), joined)


# --- Positions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("d_model", [8, 7])
def test_sinusoids_are_those_of_the_paper(d_model: int) -> None:
    table = sinusoids(3, 5, d_model)
    for row in range(5):
        for dimension in range(d_model):
            angle = (3 + row) / 10000 ** ((dimension - dimension % 2) / d_model)
            wave = math.cos(angle) if dimension % 2 else math.sin(angle)
            assert table[row, dimension].item() == pytest.approx(wave, abs=1e-5)


@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 10**6))
@FEW
def test_rotating_a_pair_is_multiplying_by_a_complex_number(
    n_pairs: int, start: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, 3, 5, 2 * n_pairs, dtype=torch.float64)
    pairs = torch.view_as_complex(x.reshape(2, 3, 5, n_pairs, 2))
    positions = torch.arange(start, start + 5, dtype=torch.float64)
    frequencies = 10000.0 ** (-torch.arange(n_pairs, dtype=torch.float64) / n_pairs)
    angles = positions[:, None] * frequencies
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    expected = torch.view_as_real(turned).flatten(-2)
    torch.testing.assert_close(rotate(x, start), expected, atol=1e-4, rtol=1e-4)


@given(st.integers(0, 30), st.integers(0, 10**6))
@FEW
def test_after_rotation_a_score_depends_on_the_distance_only(shift: int, seed: int) -> None:
    torch.manual_seed(seed)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(query_position: int, key_position: int) -> float:
        return float((rotate(query, query_position) * rotate(key, key_position)).sum())

    assert score(7, 3) == pytest.approx(score(7 + shift, 3 + shift), abs=1e-4)


def test_the_slopes_of_eight_heads_are_those_of_the_paper() -> None:
    bias = alibi(8, 1, 4, start=3)[0, :, 0]
    slopes = [1 / 2**power for power in range(1, 9)]
    expected = [[-slope * distance for distance in (3, 2, 1, 0)] for slope in slopes]
    torch.testing.assert_close(bias, torch.tensor(expected))


def test_with_alibi_the_past_fades_in_the_scores_themselves() -> None:
    network = network_of("decoder", positions="alibi", n_layers=1)
    attend = network.decoder.layers[0].attention
    for linear in (attend.query, attend.key):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
    recorded = Recorder()
    with recorded, torch.no_grad():
        network(torch.tensor([[1, 2, 3, 4]]))
    slope = 2 ** (-8 / 4)
    expected = torch.tensor([-3.0, -2.0, -1.0, 0.0]).mul(slope).softmax(-1)
    torch.testing.assert_close(recorded.calls[0].weights()[0, 3], expected)


# --- What must not matter, and what must ----------------------------------------------------------


@given(st.sampled_from(EVERY_POSITIONS), st.integers(1, 8), st.integers(1, 8), st.data())
@FEW
def test_what_comes_after_does_not_change_what_was_before(
    positions: str, n_before: int, n_after: int, data: st.DataObject
) -> None:
    tokens = st.lists(
        st.integers(0, VOCABULARY - 1), min_size=n_before + n_after, max_size=n_before + n_after
    )
    one, other = data.draw(tokens), data.draw(tokens)
    network = network_of("encoder-decoder", positions=positions)
    source = torch.tensor([[3, 1, 4], [3, 1, 4]])
    targets = torch.tensor([one, one[:n_before] + other[n_before:]])
    with torch.no_grad():
        logits = network(source, targets)
    torch.testing.assert_close(logits[0, :n_before], logits[1, :n_before], atol=1e-5, rtol=1e-5)


@given(st.permutations(range(6)))
@FEW
def test_without_positions_a_source_is_a_bag_of_tokens(order: list[int]) -> None:
    network = network_of("encoder-decoder", positions="none")
    source, target = torch.tensor([[5, 1, 4, 2, 8, 6]]), torch.tensor([[1, 7, 3]])
    with torch.no_grad():
        torch.testing.assert_close(
            network.encode(source[:, order]), network.encode(source)[:, order]
        )
        torch.testing.assert_close(network(source[:, order], target), network(source, target))


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rope", "alibi"])
def test_with_positions_the_order_matters(positions: str) -> None:
    network = network_of("encoder", positions=positions)
    with torch.no_grad():
        one, other = network(torch.tensor([[5, 1, 4], [1, 5, 4]]))
    assert (one[[1, 0, 2]] - other).abs().max() > 1e-3


@pytest.mark.parametrize("positions", EVERY_POSITIONS)
@pytest.mark.parametrize("kind", ["encoder", "decoder", "encoder-decoder"])
def test_padding_does_not_change_the_results(kind: str, positions: str) -> None:
    network = network_of(kind, positions=positions)
    both = torch.tensor([[5, 1, 4, 9, 2], [7, 3, 8, 0, 0]])
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    targets = [torch.tensor([[1, 6], [2, 4]])] if kind == "encoder-decoder" else []
    with torch.no_grad():
        together = network(both, *targets, present=present)[1:]
        alone = network(both[1:, :3], *[target[1:] for target in targets])
    n_shown = alone.shape[1]
    torch.testing.assert_close(together[:, :n_shown], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["dropout", "inner_dropout"])
def test_dropout_is_off_in_evaluation_and_on_in_training(name: str) -> None:
    network = network_of("decoder", **{name: 0.5})
    tokens = torch.tensor([[5, 1, 4, 9]])
    with torch.no_grad():
        assert torch.equal(network(tokens), network(tokens))
        network.train()
        assert not torch.equal(network(tokens), network(tokens))


def test_inner_dropout_takes_what_each_head_adds_and_inner_neurons_scaling_up_the_others() -> None:
    torch.manual_seed(0)
    config = TransformerConfig("encoder", VOCABULARY, d_model=8, n_heads=1, inner_dropout=0.5)
    x = torch.randn(2, 5, 8)
    feed, inner = FeedForward(config), []
    feed[1].register_forward_hook(lambda _module, _given, out: inner.append(out))
    expected = feed[0](x).relu()
    feed(x)
    kept = inner[0] != 0
    torch.testing.assert_close(inner[0][kept], 2 * expected[kept])
    assert 0.3 < kept.sum() / (expected > 0).sum() < 0.7

    attention = MultiHead(config)
    whole = torch.stack([attention(x, x) for _ in range(2000)]).mean(dim=0)
    torch.testing.assert_close(whole, attention.eval()(x, x), atol=0.05, rtol=0)


@given(st.sampled_from(EVERY_POSITIONS), st.lists(st.integers(1, 4), min_size=1, max_size=4))
@FEW
def test_reading_in_parts_with_a_cache_equals_reading_at_once(
    positions: str, parts: list[int]
) -> None:
    network = network_of("encoder-decoder", positions=positions)
    torch.manual_seed(sum(parts))
    source, target = torch.randint(VOCABULARY, (2, 5)), torch.randint(VOCABULARY, (2, sum(parts)))
    present = presence(2, 5)
    cache = Cache()
    with torch.no_grad():
        memory = network.encode(source, present=present)
        read = [
            network.decode(part, memory, memory_present=present, cache=cache)
            for part in target.split(parts, dim=1)
        ]
        at_once = network.decode(target, memory, memory_present=present)
    torch.testing.assert_close(torch.cat(read, dim=1), at_once, atol=1e-5, rtol=1e-5)


# --- What cannot be -------------------------------------------------------------------------------


def test_heads_that_cannot_share_are_refused_errors() -> None:
    with pytest.raises(ValueError, match=r"^d_model is 10, which 4 heads cannot share equally\.$"):
        config_of(d_model=10)
    with pytest.raises(ValueError, match=r"^RoPE rotates pairs, and a head has 3 dimensions\.$"):
        config_of(d_model=12, positions="rope")


def test_a_part_that_is_not_there_is_named_errors() -> None:
    tokens = torch.tensor([[1, 2]])
    with pytest.raises(ValueError, match="A decoder alone has no encoder: use decode"):
        network_of("decoder").encode(tokens)
    with pytest.raises(ValueError, match="An encoder alone has no decoder: use encode"):
        network_of("encoder").decode(tokens)
    with pytest.raises(ValueError, match="An encoder-decoder reads two texts: give it a target"):
        network_of("encoder-decoder")(tokens)


def test_positions_that_were_not_learned_are_refused_errors() -> None:
    network = network_of("decoder", positions="learned", max_tokens=3)
    with pytest.raises(ValueError, match="There are vectors for 3 positions only"):
        network(torch.tensor([[1, 2, 3, 4]]))
