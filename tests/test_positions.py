"""`positions`: which family each architecture belongs to, and which of its layers are told."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM

import vizcore
from tests import test_conformance
from tests.support.tiny import tiny_config, tiny_network
from vizcore.pretrained import (
    HeadlightConfig,
    HeadlightForCausalLM,
    HeadlightForMaskedLM,
    HeadlightForSeq2SeqLM,
)

FAMILIES = {
    "rotary": """
        afmoe apertus arcee axk1 bamba codegen cohere cohere2 deepseek_v2 deepseek_v3 deepseek_v32
        exaone4 falcon falcon_h1 gemma gemma2 gemma3_text gemma3n_text glm glm4 gpt_neox gpt_oss
        gptj granite granitemoe helium lfm2 llama llava minicpm3 minimax_m3_vl_text mistral mixtral
        modernbert nemotron olmo olmo2 olmo3 persimmon phi phi3
        qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next roformer seed_oss smollm3 stablelm starcoder2
    """,
    "learned": """
        albert bart bert big_bird bigbird_pegasus biogpt blenderbot camembert convbert deberta
        deberta-v2 distilbert electra ernie esm gpt2 gpt_bigcode gpt_neo led longformer mbart opt
        plbart roberta xlm xlm-roberta
    """,
    "sinusoidal": "ctrl m2m_100 marian pegasus xglm",
    "relative bias": "mt5 switch_transformers t5 umt5",
    "learned + relative bias": "mpnet",
    "relative": "xlnet",
    "alibi": "bloom mpt",
    "none": "granitemoehybrid jamba",
}
"""From their papers and their code in transformers, with its default configurations."""
FAMILY = {name: family for family, names in FAMILIES.items() for name in names.split()}


def of(model_type: str, **changes: Any) -> vizcore.PositionalEncodings:
    network = tiny_network(model_type, **changes)
    return vizcore.positions(vizcore.Model.of(network, None, name=model_type))


def test_there_is_an_expectation_for_every_architecture_that_is_compared_with_transformers() -> (
    None
):
    assert set(FAMILY) >= set(test_conformance.QUICK)


@pytest.mark.parametrize("model_type", sorted(FAMILY))
def test_each_architecture_is_of_its_family(model_type: str) -> None:
    found = of(model_type)
    assert found.family == FAMILY[model_type]
    assert all(one.description for one in found)


@pytest.mark.parametrize(
    ("model_type", "changes", "family"),
    [
        ("esm", {"position_embedding_type": "rotary"}, "rotary"),
        ("falcon", {"alibi": True, "new_decoder_architecture": False}, "alibi"),
        ("granitemoehybrid", {"position_embedding_type": "rope"}, "rotary"),
        (
            "deberta",
            {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
            "learned + relative",
        ),
        (
            "deberta-v2",
            {"relative_attention": True, "position_biased_input": False, "position_buckets": 8}
            | {"pos_att_type": ["c2p", "p2c"]},
            "relative",
        ),
    ],
)
def test_a_configuration_that_chooses_another_family_is_followed(
    model_type: str, changes: dict[str, Any], family: str
) -> None:
    assert of(model_type, **changes).family == family


@pytest.mark.parametrize(
    ("model_type", "setting"),
    [("distilbert", "sinusoidal_pos_embds"), ("xlm", "sinusoidal_embeddings")],
)
def test_a_table_of_sinusoids_is_sinusoidal_though_its_module_is_one_for_learned_ones(
    model_type: str, setting: str
) -> None:
    for value, family in ((True, "sinusoidal"), (False, "learned")):
        config = tiny_config(model_type, **{setting: value})
        network = AutoModelForMaskedLM.from_config(config)
        assert vizcore.positions(vizcore.Model.of(network, None)).family == family


WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("smollm3", {"no_rope_layers": [1, 0, 1]}),
        ("llama4_text", {"no_rope_layers": [1, 0, 1]}),
        ("cohere2", {"layer_types": WINDOWS}),
        ("exaone4", {"layer_types": WINDOWS}),
        ("afmoe", {"layer_types": WINDOWS}),
    ],
)
def test_layers_that_do_not_rotate_are_told_apart(model_type: str, changes: dict[str, Any]) -> None:
    found = of(model_type, **changes)
    assert found.family == "rotary"
    assert [(one.family, one.layers) for one in found] == [("rotary", (0, 2)), ("none", (1,))]
    assert found[1].description.startswith("None in these layers (NoPE)")


def test_in_half_precision_the_same_layers_are_told_apart() -> None:
    network = tiny_network("smollm3", no_rope_layers=[1, 0, 1]).to(torch.bfloat16)
    found = vizcore.positions(vizcore.Model.of(network, None))
    assert [(one.family, one.layers) for one in found] == [("rotary", (0, 2)), ("none", (1,))]


def test_layers_of_a_type_have_frequencies_of_their_own() -> None:
    found = of("gemma3_text", layer_types=WINDOWS)
    by_layers = {one.layers: one for one in found}
    assert set(by_layers) == {(0, 2), (1,)}
    assert isinstance(by_layers[1,], vizcore.RotaryPositions)
    assert by_layers[1,].base == 1_000_000
    assert isinstance(by_layers[0, 2], vizcore.RotaryPositions)
    assert by_layers[0, 2].base == 10_000


def test_of_a_hybrid_network_the_layers_with_attention_are_named() -> None:
    assert of("qwen3_next")[0].layers == (1,)
    (none,) = of("jamba")
    assert (none.family, none.layers) == ("none", (1, 3))
    assert none.description == (
        "None: attention is told nothing about positions. The layers in between, which read one "
        "token after the other, carry the order."
    )


def test_each_stack_of_an_encoder_decoder_is_named() -> None:
    assert [one.kinds for one in of("t5")] == [("encoder",), ("decoder",)]
    assert [one.layers for one in of("t5")] == [(0, 1, 2), (0, 1)]
    assert [one.kinds for one in of("bart")] == [("encoder",), ("decoder",)]


def test_a_stack_whose_maps_cannot_be_shown_has_positions_all_the_same() -> None:
    encoder, decoder = of("longt5")
    assert (encoder.kinds, encoder.layers) == (("encoder",), (0, 1, 2))
    assert (decoder.kinds, decoder.layers) == (("decoder",), (0, 1))


@pytest.mark.parametrize(
    ("choice", "family"),
    [
        ("sinusoidal", "sinusoidal"),
        ("learned", "learned"),
        ("rope", "rotary"),
        ("alibi", "alibi"),
        ("none", "none"),
    ],
)
def test_our_own_networks_are_named_for_every_kind_and_choice(choice: Any, family: str) -> None:
    sizes = {"vocab_size": 90, "d_model": 32, "n_heads": 4, "n_layers": 2, "d_ff": 48}
    for kind, network_class in (
        ("encoder", HeadlightForMaskedLM),
        ("decoder", HeadlightForCausalLM),
        ("encoder-decoder", HeadlightForSeq2SeqLM),
    ):
        config = HeadlightConfig(
            kind=kind, positions=choice, decoder_start_token_id=1, bos_token_id=1, **sizes
        )
        model = vizcore.Model.of(network_class(config), None)
        found = vizcore.positions(model)
        assert found.family == family
        stacks = {kind for one in found for kind in one.kinds}
        assert stacks == set(kind.split("-"))


def test_what_order_means_without_positions_depends_on_the_stack() -> None:
    sizes = {"vocab_size": 90, "d_model": 32, "n_heads": 4, "n_layers": 2, "d_ff": 48}
    config = HeadlightConfig(
        kind="encoder-decoder", positions="none", decoder_start_token_id=1, **sizes
    )
    encoder, decoder = vizcore.positions(vizcore.Model.of(HeadlightForSeq2SeqLM(config), None))
    assert encoder.description == (
        "None: attention is told nothing about positions, so a text with its words shuffled is "
        "the same to it."
    )
    assert decoder.description == (
        "None: attention is told nothing about positions. Order shows only through the causal "
        "mask: each token sees what stands before it, and not what comes later."
    )


class Veiled(torch.nn.Module):
    """Adds vectors for positions in a way that nothing gives away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rows = torch.nn.Linear(width, 64)

    def forward(self, position_ids: torch.Tensor) -> torch.Tensor:
        return self.rows.weight[position_ids]


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    network: Any = tiny_network("bert")
    network.bert.embeddings.position_embeddings = Veiled(network.config.hidden_size)
    (found,) = vizcore.positions(vizcore.Model.of(network, None))
    assert found.family == "unknown"
    assert found.description == (
        "Unknown: this network looks at equal tokens differently, so it is told positions, but "
        "not in a way that is known here."
    )


def test_an_encoding_that_is_not_there_is_named() -> None:
    with pytest.raises(vizcore.SelectionError) as caught:
        of("gpt2")[1]
    assert str(caught.value) == "There is no encoding 1: gpt2 has 1, counted from 0."


def test_as_a_table_there_is_a_row_for_each() -> None:
    frame = of("mpnet").to_frame()
    assert list(frame.columns) == ["family", "kinds", "layers", "description"]
    assert frame["family"].tolist() == ["learned", "relative bias"]


def test_the_two_real_models(smollm2: Any, minilm: Any) -> None:
    (rotary,) = vizcore.positions(smollm2)
    assert isinstance(rotary, vizcore.RotaryPositions)
    assert (rotary.family, rotary.base, rotary.layers) == ("rotary", 100_000, tuple(range(30)))
    assert rotary.description == (
        "Rotary (RoPE): queries and keys are turned, pair by pair, by an angle that grows with "
        "position. 32 pairs (base 100,000)."
    )
    (learned,) = vizcore.positions(minilm)
    assert isinstance(learned, vizcore.PositionTable)
    assert (learned.family, learned.values.shape) == ("learned", (512, 384))
    assert learned.description == (
        "Learned: each of 512 positions has a vector of its own, 384 numbers found in training, "
        "which is added to the token's vector."
    )
