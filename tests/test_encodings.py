"""The numbers of positional encodings, against formulas, and against what networks compute."""

import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM

import vizcore
from tests.support.tiny import tiny_config, tiny_network
from vizcore.encodings import AlibiPositions, BiasPositions, bucket_of
from vizcore.position_tables import frequencies_of
from vizcore.pretrained import HeadlightConfig, HeadlightForCausalLM
from vizcore.transformer import rotate

IDS = [140, 17, 60, 140, 9, 33, 140, 8]


def model_of(model_type: str, **changes: Any) -> vizcore.Model:
    return vizcore.Model.of(tiny_network(model_type, **changes), None, name=model_type)


def one_of(model: vizcore.Model, family: str, kind: str | None = None) -> Any:
    (found,) = (
        one
        for one in vizcore.positions(model)
        if one.family == family and kind in (None, *one.kinds)
    )
    return found


def our_decoder(choice: Any, n_heads: int = 4) -> vizcore.Model:
    config = HeadlightConfig(
        kind="decoder", positions=choice, vocab_size=90, d_model=48, n_heads=n_heads, n_layers=2
    )
    return vizcore.Model.of(HeadlightForCausalLM(config), None)


# --- Tables -------------------------------------------------------------------------------------


def paper(n_positions: int, d_model: int) -> np.ndarray:
    """Section 3.5 of "Attention Is All You Need", number by number."""
    return np.array(
        [
            [
                (math.sin if dim % 2 == 0 else math.cos)(p / 10000 ** (dim // 2 * 2 / d_model))
                for dim in range(d_model)
            ]
            for p in range(n_positions)
        ]
    )


def test_our_sinusoids_are_the_papers() -> None:
    table = one_of(our_decoder("sinusoidal"), "sinusoidal")
    np.testing.assert_allclose(table.values[:100], paper(100, 48), atol=1e-5)
    np.testing.assert_allclose(table.frequencies, 10000 ** (-np.arange(24) / 24), rtol=1e-6)
    assert table.description == (
        "Sinusoidal: a fixed pattern of 24 sine-cosine pairs, waves from 6.3 to 42,807 tokens "
        "long, is added to the tokens' vectors."
    )


def test_sinusoids_of_marian_are_found_in_the_order_that_it_has_them_in() -> None:
    network = AutoModelForSeq2SeqLM.from_config(tiny_config("marian"))
    encodings = vizcore.positions(vizcore.Model.of(network, None))
    (table,) = encodings  # the same in both stacks
    assert isinstance(table, vizcore.PositionTable)
    assert table.kinds == ("encoder", "decoder")
    alternating = paper(64, 32)
    in_halves = np.concatenate([alternating[:, 0::2], alternating[:, 1::2]], axis=1)
    np.testing.assert_allclose(table.values, in_halves, atol=1e-5)


@pytest.mark.parametrize("steps", [16, 15])
@pytest.mark.parametrize("in_halves", [False, True])
def test_sinusoids_are_told_by_their_numbers(steps: int, in_halves: bool) -> None:
    frequencies = 10000 ** (-np.arange(16) / steps)
    angles = np.arange(30)[:, None] * frequencies
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=1 if in_halves else 2)
    table = waves.reshape(30, 32).astype(np.float32)
    found = frequencies_of(table)
    assert found is not None
    np.testing.assert_allclose(found, frequencies, rtol=1e-5)
    table[1] = 0  # the row of a padding token
    assert frequencies_of(table) is not None
    table[7, 5] += 0.01
    assert frequencies_of(table) is None


def test_a_table_with_a_name_but_other_numbers_says_so() -> None:
    table = one_of(model_of("marian"), "sinusoidal", "encoder")  # made random by `tiny_network`
    assert table.frequencies is None
    assert table.description == (
        "Sinusoidal by its design, though the numbers in this table are not those of the formula: "
        "one of 64 vectors is added to each token's vector."
    )


@pytest.mark.parametrize(
    "model_type",
    """bart bert biogpt gpt2 longformer m2m_100 marian mbart mpnet opt roberta xglm xlm-roberta esm
    prophetnet""".split(),
)
def test_the_first_row_is_what_the_network_adds_at_the_first_position(model_type: str) -> None:
    model = model_of(model_type)
    seen: list[Tensor] = []
    for name, module in model.network.named_modules():
        if name.rpartition(".")[2] in ("position_embeddings", "embed_positions", "wpe"):
            module.register_forward_hook(lambda _m, _i, output: seen.append(output))
    inputs = {"input_ids": torch.tensor([IDS])}
    if model.network.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([IDS])
    with torch.no_grad():
        model.network(**inputs)
    tables = [one for one in vizcore.positions(model) if isinstance(one, vizcore.PositionTable)]
    added = (seen[0][0] if isinstance(seen[0], tuple) else seen[0]).reshape(len(IDS), -1)
    np.testing.assert_array_equal(tables[0].values[: len(IDS)], added.numpy())


def test_dot_products_of_sinusoids_depend_on_distance_alone() -> None:
    table = one_of(our_decoder("sinusoidal"), "sinusoidal")
    products = table.products(40)
    expected = [np.cos(d * 10000 ** (-np.arange(24) / 24)).sum() for d in range(40)]
    np.testing.assert_allclose(products["mean"], expected, atol=1e-4)
    np.testing.assert_allclose(products["low"], products["high"], atol=1e-4)


def test_dot_products_and_similarity_of_learned_positions_are_those_of_their_rows() -> None:
    table = one_of(model_of("gpt2"), "learned")
    rows = table.values.astype(np.float64)
    pairs = [rows[p] @ rows[p + 3] for p in range(20 - 3)]
    third = table.products(20).iloc[3]
    assert third["distance"] == 3
    np.testing.assert_allclose(
        third[["mean", "low", "high"]].astype(float),
        [np.mean(pairs), *np.percentile(pairs, [5, 95])],
    )
    similar = table.similarity(5)
    assert similar.shape == (5, 5)
    cosine = rows[1] @ rows[4] / np.linalg.norm(rows[1]) / np.linalg.norm(rows[4])
    np.testing.assert_allclose(similar[1, 4], cosine, rtol=1e-5)


# --- Rotations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model_type", ["llama", "apertus", "phi", "gpt_oss", "gpt_neox", "deepseek_v3", "qwen3_next"]
)
def test_angles_are_those_that_the_network_computes(model_type: str) -> None:
    model = model_of(model_type)
    rotary = one_of(model, "rotary")
    (module,) = (m for n, m in model.network.named_modules() if n.endswith("rotary_emb"))
    cosines, _sines = module(torch.zeros(1, 1, 32), torch.arange(50)[None])
    angles = np.arange(50)[:, None] * rotary.frequencies  # position pair
    mine = rotary.attention_scaling * np.cos(angles)
    theirs = cosines[0].numpy()
    n_pairs = len(rotary.frequencies)
    in_halves = theirs[:, :n_pairs]
    np.testing.assert_allclose(mine, in_halves, atol=1e-4)


def test_yarn_scales_queries_and_keys_too() -> None:
    rotary = one_of(model_of("gpt_oss"), "rotary")
    assert rotary.scaling == "yarn"
    assert rotary.attention_scaling == pytest.approx(0.1 * math.log(32) + 1)
    assert rotary.factors(3)["mean"][0] == pytest.approx((0.1 * math.log(32) + 1) ** 2)


@pytest.mark.parametrize(("model_type", "n_rotated", "d_head"), [("gptj", 4, 8), ("codegen", 8, 8)])
def test_tables_to_rotate_by_are_rotations(model_type: str, n_rotated: int, d_head: int) -> None:
    rotary = one_of(model_of(model_type), "rotary")
    assert (rotary.n_rotated, rotary.d_head) == (n_rotated, d_head)
    expected = 10000 ** (-np.arange(0, n_rotated, 2) / n_rotated)
    np.testing.assert_allclose(rotary.frequencies, expected, rtol=1e-5)
    said = f"{n_rotated} of a head's {d_head} dimensions" in rotary.description
    assert said == (n_rotated < d_head)


def test_factors_by_distance_are_what_rotating_does_to_the_products_of_equal_vectors() -> None:
    rotary = one_of(our_decoder("rope"), "rotary")
    ones = torch.ones(1, 1, 60, 12)
    turned = rotate(ones)[0, 0].double().numpy()
    products = turned @ turned.T / 12  # n_rotated dimensions, each pair with as much
    factors = rotary.factors(60)
    for key in (0, 7):
        np.testing.assert_allclose(products[59, 59 - key], factors["mean"][key], atol=1e-5)
    np.testing.assert_allclose(products[40], factors["mean"][np.abs(40 - np.arange(60))], atol=1e-5)


def test_smollm2s_own_rotation_makes_these_factors(smollm2: Any) -> None:
    rotary = one_of(smollm2, "rotary")
    assert rotary.base == smollm2.network.config.rope_parameters["rope_theta"]
    np.testing.assert_allclose(rotary.frequencies, 100_000 ** (-np.arange(32) / 32), rtol=1e-5)
    code = sys.modules[type(smollm2.network).__module__]
    cosines, sines = smollm2.network.model.rotary_emb(torch.ones(1), torch.arange(80)[None])
    ones = torch.ones(1, 1, 80, 64)
    queries, _keys = code.apply_rotary_pos_emb(ones, ones, cosines, sines)
    products = (queries[0, 0] @ queries[0, 0].T / 64).numpy()
    np.testing.assert_allclose(products[79, ::-1], rotary.factors(80)["mean"], atol=1e-5)


def test_pairs_tell_how_many_tokens_a_turn_takes() -> None:
    pairs = one_of(our_decoder("rope"), "rotary").pairs()
    assert list(pairs.columns) == ["pair", "frequency", "tokens_a_turn"]
    assert pairs["tokens_a_turn"][0] == pytest.approx(2 * math.pi)
    np.testing.assert_allclose(pairs["tokens_a_turn"] * pairs["frequency"], 2 * math.pi, rtol=1e-6)


# --- Biases -------------------------------------------------------------------------------------


def measured(model: vizcore.Model, layer: int, kind: str | None = None) -> np.ndarray:
    """What distance adds to a score, from the weights of the last of 12 equal tokens: (head, 12).

    With equal tokens all else in a score is equal, and the softmax takes away a constant.
    """
    text = [40] * 12
    trace = model.trace(text, text if model.kind == "encoder-decoder" else None)
    logs = trace.attention(layer, None, kind)[:, -1].log()
    back = logs.flip(-1)  # head distance
    return (back - back[:, :1]).numpy()


def closed_form_slopes(n_heads: int) -> list[float]:
    """Press et al. 2022, and their own code for numbers that are no power of two."""
    nearest = 2 ** int(math.log2(n_heads))
    slopes = [2 ** (-8 * (i + 1) / nearest) for i in range(nearest)]
    between = [2 ** (-8 * (i + 1) / (2 * nearest)) for i in range(0, 2 * nearest, 2)]
    return slopes + between[: n_heads - nearest]


@pytest.mark.parametrize("n_heads", [4, 8])
def test_our_slopes_are_the_papers(n_heads: int) -> None:
    model = our_decoder("alibi", n_heads)
    encoding = one_of(model, "alibi")
    np.testing.assert_allclose(encoding.slopes, closed_form_slopes(n_heads), rtol=1e-6)
    np.testing.assert_allclose(
        measured(model, 0), -encoding.slopes[:, None] * np.arange(12), atol=1e-4
    )
    assert "from 0.25 to 0.0039" in one_of(our_decoder("alibi", 4), "alibi").description


@pytest.mark.parametrize("n_heads", [4, 6])
def test_blooms_slopes_are_the_papers(n_heads: int) -> None:
    model = model_of("bloom", n_head=n_heads, num_attention_heads=n_heads, hidden_size=48)
    encoding = one_of(model, "alibi")
    np.testing.assert_allclose(encoding.slopes, closed_form_slopes(n_heads), rtol=1e-6)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("bloom", {"num_attention_heads": 6, "n_head": 6, "hidden_size": 48}),
        ("mpt", {"n_heads": 6, "d_model": 48}),
        ("falcon", {"alibi": True, "new_decoder_architecture": False}),
    ],
)
def test_slopes_are_what_the_network_adds_to_its_scores(
    model_type: str, changes: dict[str, Any]
) -> None:
    model = model_of(model_type, **changes)
    encoding = one_of(model, "alibi")
    assert len(encoding.slopes) == model.n_heads
    biases = encoding.biases(12)
    assert list(biases.columns) == ["layer", "head", "distance", "bias"]
    mine = biases["bias"].to_numpy().reshape(model.n_heads, 12)
    # In its eager mode transformers adds Falcon's bias twice: with the mask, and to the scores.
    times = 2 if model_type == "falcon" else 1
    for layer in (0, 2):
        np.testing.assert_allclose(times * mine, measured(model, layer), atol=5e-3)


@pytest.mark.parametrize("model_type", ["t5", "mt5", "umt5", "switch_transformers"])
@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_biases_are_those_that_the_network_computes(model_type: str, kind: str) -> None:
    model = model_of(model_type)
    encoding = one_of(model, "relative bias", kind)
    own: list[Any] = [
        module
        for name, module in model.network.named_modules()
        if kind in name and getattr(module, "has_relative_attention_bias", False)
    ]
    assert (
        len(encoding.buckets) == len(own) == (len(encoding.layers) if model_type == "umt5" else 1)
    )
    distances = np.arange(200)[:, None] - np.arange(180)  # query key
    for mine, module in zip(encoding.bias(distances), own, strict=True):
        theirs = module.compute_bias(200, 180)[0].detach().numpy()
        if kind == "decoder":  # which never looks ahead
            theirs, mine = theirs[:, distances >= 0], mine[:, distances >= 0]
        np.testing.assert_array_equal(mine, theirs)


def test_biases_are_what_is_added_to_the_scores() -> None:
    model = model_of("t5")
    encoding = one_of(model, "relative bias", "decoder")
    mine = encoding.bias(np.arange(12))[0]
    for layer in (0, 1):
        np.testing.assert_allclose(mine - mine[:, :1], measured(model, layer, "decoder"), atol=1e-4)


def test_mpnets_biases_are_those_that_it_computes() -> None:
    model = model_of("mpnet")
    encoding = one_of(model, "relative bias")
    network: Any = model.network
    theirs = network.mpnet.encoder.compute_position_bias(torch.zeros(1, 150, 32))[0]
    distances = np.arange(150)[:, None] - np.arange(150)
    np.testing.assert_array_equal(encoding.bias(distances)[0], theirs.detach().numpy())


def test_short_distances_have_a_bucket_each_and_far_ones_share() -> None:
    far = np.array([0, 1, 7, 8, 15, 16, 127, 128, 5000])
    one_way = bucket_of(far, 32, 128, looks_ahead=False)
    assert one_way[:5].tolist() == [0, 1, 7, 8, 15]
    assert one_way[-3:].tolist() == [31, 31, 31]
    both = bucket_of(np.array([-3, 3]), 32, 128, looks_ahead=True)
    assert both.tolist() == [16 + 3, 3]


def test_a_table_of_biases_has_a_row_for_each_layer_of_its_own() -> None:
    shared = BiasPositions(
        "relative bias", ("encoder",), (0, 1), "", np.zeros((1, 3, 32)), 128, looks_ahead=True
    )
    assert len(shared.biases(10)) == 3 * 19
    assert shared.is_shared
    own = BiasPositions(
        "relative bias", ("decoder",), (0, 1), "", np.zeros((2, 3, 32)), 128, looks_ahead=False
    )
    frame = own.biases(10)
    assert frame["layer"].tolist() == [0] * 30 + [1] * 30
    assert frame["distance"].tolist() == 6 * list(range(10))


def test_alibis_table_falls_from_zero() -> None:
    one = AlibiPositions("alibi", ("decoder",), (0,), "", np.array([0.5, 0.25]))
    assert one.biases(3)["bias"].tolist() == [0, -0.5, -1, 0, -0.25, -0.5]


def test_nobody_can_write_to_the_arrays() -> None:
    table = one_of(model_of("gpt2"), "learned")
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0] = 1
