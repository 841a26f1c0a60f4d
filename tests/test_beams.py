"""Beam search as a tree, against the beam search of transformers, and our own decoding."""

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

import vizcore
from tests.support.tiny import tiny_network
from vizcore.beams import BeamTree, beam_tree
from vizcore.decoding import write
from vizcore.errors import SelectionError, TextError
from vizcore.generation import generate
from vizcore.model import Model
from vizcore.transformer import Transformer, TransformerConfig

SOURCES = ([5, 9, 17, 23, 40, 8], [61, 4, 4, 190], [77, 150, 33, 12, 9])
END = 2


@cache
def tiny(architecture: str, seed: int = 0) -> Model:
    model = Model.of(tiny_network(architecture, seed=seed), None)
    settings: Any = model.network.generation_config
    settings.forced_eos_token_id = None
    if model.kind == "encoder-decoder" and settings.decoder_start_token_id is None:
        settings.decoder_start_token_id = 1
    return model


@cache
def with_likely_ends(architecture: str, ends: int | list[int]) -> Model:
    """A network that often finds an end token likeliest, so that texts of all lengths compete."""
    model = Model.of(tiny_network(architecture, seed=1), None)
    settings: Any = model.network.generation_config
    settings.eos_token_id = ends
    return model


def theirs(model: Model, source: list[int], **settings: Any) -> tuple[list[list[int]], list[float]]:
    """The n best texts of transformers, without what is filled up, and their scores."""
    network: Any = model.network
    found = network.generate(
        torch.tensor([source]),
        attention_mask=torch.ones(1, len(source), dtype=torch.long),
        do_sample=False,
        num_return_sequences=settings["num_beams"],
        early_stopping=False,
        output_scores=True,
        return_dict_in_generate=True,
        **settings,
    )
    eos = network.generation_config.eos_token_id
    ends = [eos] if isinstance(eos, int) else eos
    n_prompt = 1 if model.kind == "encoder-decoder" else len(source)
    texts = []
    for ids in found.sequences.tolist():
        end = next((at for at in range(n_prompt, len(ids)) if ids[at] in ends), len(ids))
        texts.append(ids[: end + 1])
    return texts, found.sequences_scores.tolist()


def check_against_theirs(
    model: Model, source: list[int], n_beams: int, steps: int, penalty: float
) -> BeamTree:
    tree = beam_tree(model, source, n_beams=n_beams, max_new_tokens=steps, length_penalty=penalty)
    texts, scores = theirs(
        model, source, num_beams=n_beams, max_new_tokens=steps, length_penalty=penalty
    )
    assert [tree.ids(number) for number in tree.results] == texts
    mine = [tree.nodes[number].score for number in tree.results]
    assert mine == pytest.approx(scores, abs=1e-4)
    return tree


@pytest.mark.parametrize("architecture", "llama gpt2 gemma2 bloom jamba bamba bart t5".split())
def test_the_n_best_texts_are_those_of_transformers(architecture: str) -> None:
    for seed, source in enumerate(SOURCES):
        check_against_theirs(tiny(architecture, seed), source, 3, 6, 1.0)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("n_beams", [2, 4])
@pytest.mark.parametrize("ends", ["one", "several"])
def test_so_they_are_when_texts_end_early(penalty: float, n_beams: int, ends: str) -> None:
    n_ended = 0
    for source in SOURCES:
        # The likeliest first tokens of this text are made ends.
        plain = tiny("llama", 1)
        likely = [step.token_id for step in generate(plain, source, max_new_tokens=3, k=3)]
        stop = likely[1] if ends == "one" else likely[1:]
        model = with_likely_ends("llama", stop) if isinstance(stop, int) else fresh(stop)
        tree = check_against_theirs(model, source, n_beams, 7, penalty)
        n_ended += sum(node.fate == "ended" for node in tree.nodes)
    assert n_ended > 0


def fresh(ends: list[int]) -> Model:
    model = Model.of(tiny_network("llama", seed=1), None)
    settings: Any = model.network.generation_config
    settings.eos_token_id = ends
    return model


@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_the_best_text_of_our_own_transformer_is_that_of_its_decoding(kind: str) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        config = TransformerConfig(kind, 40, d_model=16, n_heads=2, n_layers=2, d_ff=24)
        network = Transformer(config).eval()
        for weights in network.parameters():
            nn.init.normal_(weights, std=0.4)
        model = Model.of(network, None)
        model.network.config.eos_token_id = END
        model.network.config.bos_token_id = 1
        source = [5, 9, 17, 23]
        tree = beam_tree(model, source, n_beams=3, max_new_tokens=6)
        sources, prefix = (None, source) if kind == "decoder" else ([source], [1])
        (expected,) = write(
            network, sources, prefix=prefix, ends=[END], max_new_tokens=6, n_beams=3
        )
        assert tree.ids() == expected


def test_the_translator_finds_what_it_writes() -> None:
    model = vizcore.load("tatoeba-translator")
    for text in ("I love you.", "Where is the station?"):
        tree = beam_tree(model, text, n_beams=4)
        written = model.write(text, n_beams=4)
        assert tree.ids()[:-1] == written
        assert tree.best.fate == "ended"
    assert repr(tree).startswith("BeamTree(4 beams, ")


def test_a_tree_holds_together() -> None:
    model = tiny("llama")
    tree = beam_tree(model, SOURCES[0], n_beams=3, max_new_tokens=5)
    assert [node.number for node in tree.nodes] == list(range(len(tree.nodes)))
    start = tree.nodes[0]
    assert (start.parent, start.fate, start.step, start.total) == (None, "start", -1, 0)
    for node in tree.nodes[1:]:
        assert node.parent is not None
        parent = tree.nodes[node.parent]
        assert parent.fate in ("start", "kept")
        assert node.step == parent.step + 1
        assert node.total == pytest.approx(parent.total + node.log_probability, abs=1e-5)
        judged = node.fate in ("ended", "cut off")
        assert (node.score is not None) == judged
        if judged:
            assert node.score == pytest.approx(node.total / (node.step + 1))
    for step in range(5):
        here = [node for node in tree.nodes if node.step == step]
        assert [node.rank for node in here] == list(range(1, 7))
        assert [node.total for node in here] == sorted((n.total for n in here), reverse=True)
        kept = [node for node in here if node.fate in ("kept", "cut off")]
        assert kept == here[:3]
    assert [tree.nodes[number].fate for number in tree.results] == ["cut off"] * 3


def test_what_a_node_says_is_how_likely_its_text_is() -> None:
    model = tiny("gpt2")
    tree = beam_tree(model, SOURCES[0], n_beams=2, max_new_tokens=4)
    for number in (tree.results[0], tree.results[1], 5):
        ids = tree.ids(number)
        logits = model.trace(ids).logits.log_softmax(dim=-1)
        places = range(len(SOURCES[0]) - 1, len(ids) - 1)
        total = math.fsum(float(logits[place, ids[place + 1]]) for place in places)
        assert tree.nodes[number].total == pytest.approx(total, abs=1e-3)


def test_one_beam_is_greedy() -> None:
    model = tiny("llama")
    steps = list(generate(model, SOURCES[0], max_new_tokens=6))
    assert tree_ids(model, n_beams=1, max_new_tokens=6) == list(steps[-1].ids)


def tree_ids(model: Model, **settings: Any) -> list[int]:
    return beam_tree(model, SOURCES[0], **settings).ids()


def test_a_table_has_a_row_for_each_node() -> None:
    tree = beam_tree(tiny("llama"), SOURCES[0], n_beams=2, max_new_tokens=3)
    table = tree.to_frame()
    assert len(table) == len(tree.nodes)
    assert table["parent"].isna().tolist() == [True] + [False] * (len(table) - 1)
    path = table[table["on_best_path"]]
    assert path["number"].tolist() == [node.number for node in tree.path(tree.best.number)]
    assert path["token_id"].tolist()[1:] == tree.ids()[len(SOURCES[0]) :]
    assert path["token"].tolist() == [f"#{one}" for one in path["token_id"]]


def test_errors_say_what_is_wrong_and_what_to_do() -> None:
    model = tiny("llama")
    for wrong, message in (
        ({"n_beams": 0}, "n_beams must be at least 1, not 0."),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, not 0."),
    ):
        with pytest.raises(SelectionError) as error:
            beam_tree(model, SOURCES[0], **wrong)
        assert str(error.value) == message
    tree = beam_tree(model, SOURCES[0], n_beams=1, max_new_tokens=1)
    with pytest.raises(SelectionError) as error:
        tree.path(3)
    assert str(error.value) == "There is no node 3: there are 3, counted from 0."
    with pytest.raises(TextError) as text:
        beam_tree(Model.of(tiny_network("bert"), None), SOURCES[0])
    assert str(text.value) == (
        "BertForMaskedLM is an encoder: it fills in what is masked, and goes on from no text. Take "
        'a model that reads from left to right, such as "smollm2-135m".'
    )
