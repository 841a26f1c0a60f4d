"""The bundled models: what their cards promise, measured anew."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import vizcore
from vizcore.recipes import induction, scores
from vizcore.recipes.tatoeba import read_tatoeba

NAMES = tuple(entry.name for entry in vizcore.entries() if entry.bundled)
LIMIT = 60_000_000


@pytest.fixture(scope="module")
def translator() -> Any:
    return vizcore.load("tatoeba-translator")


@pytest.fixture(scope="module")
def language_model() -> Any:
    return vizcore.load("tatoeba-lm")


def folder_of(name: str) -> Path:
    return vizcore.asset(f"models/{name}")


def test_together_they_are_small_enough_to_travel_with_the_library() -> None:
    files = [path for path in vizcore.asset("models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LIMIT
    assert {path.parent.name for path in files if path.name == "README.md"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_half_precision_and_run_in_single(name: str) -> None:
    with safe_open(folder_of(name) / "model.safetensors", framework="pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
    model = vizcore.load(name)
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}
    assert model.capture == "tap"


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_says_what_the_model_is(name: str) -> None:
    entry = next(entry for entry in vizcore.entries() if entry.name == name)
    model = vizcore.load(name)
    assert (model.kind, model.n_layers, model.n_heads, model.has_head) == (
        entry.kind,
        entry.n_layers,
        entry.n_heads,
        entry.language_model,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_card_names_data_licence_size_time_and_scores(name: str) -> None:
    card = (folder_of(name) / "README.md").read_text("utf-8")
    facts = json.loads((folder_of(name) / "training.json").read_text("utf-8"))
    for heading in ("## Data", "## Scores", "## What it cannot do", "## Making it again"):
        assert heading in card
    assert f"{facts['n_parameters']:,}" in card
    assert f"make {name}" in card
    assert ("CC BY 2.0 FR" in card and "Tatoeba" in card) == name.startswith("tatoeba")
    n_parameters = sum(p.numel() for p in vizcore.load(name).network.parameters())
    assert facts["n_parameters"] == n_parameters


def test_the_translator_reaches_its_score_on_sentences_it_never_saw(
    translator: Any, shared_data: Path
) -> None:
    tatoeba = read_tatoeba(shared_data / "tatoeba-cmn-eng.tsv")
    promised = json.loads((folder_of("tatoeba-translator") / "training.json").read_text())["scores"]
    reached = scores.translator_scores(translator, tatoeba, beams=(1,))
    assert reached["test_sentences"] == 500
    assert reached["bleu_greedy"] >= 35
    assert reached["bleu_greedy"] == pytest.approx(promised["bleu_greedy"], abs=0.5)


def test_no_test_sentence_is_among_those_that_are_trained_on(shared_data: Path) -> None:
    tatoeba = read_tatoeba(shared_data / "tatoeba-cmn-eng.tsv")
    assert not {english for english, _chinese in tatoeba.pairs} & set(tatoeba.test)
    assert len(tatoeba.test) == 500
    assert len(tatoeba.pairs) > 28_000


def test_the_translator_translates_what_a_speaker_would_type(translator: Any) -> None:
    assert scores.translated(translator, ["I love you."]) == ["我爱你。"]
    trace = translator.trace("I love you.")
    assert trace.target_tokens == ["<s>", "我", "爱", "你", "。"]
    for kind, shape in {"encoder": (5, 5), "decoder": (5, 5), "cross": (5, 5)}.items():
        weights = trace.attention(0, 0, kind)
        assert weights.shape == shape
        assert torch.allclose(weights.sum(-1), torch.ones(5), atol=1e-5)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("我爱你", "我你爱"),
        ("我爱你", "爱你我"),
        ("我爱你。", "你爱我我。"),
        ("They are here.", "They is here."),
        ("He is a teacher.", "He a is teacher."),
        ("他是老师。", "他老师是。"),
    ],
)
def test_the_language_model_prefers_what_is_a_sentence(
    language_model: Any, better: str, worse: str
) -> None:
    assert scores.likelihood(language_model, better) > scores.likelihood(language_model, worse) + 1


def test_the_masked_model_fills_in_what_fits() -> None:
    model = vizcore.load("tatoeba-mlm")
    trace = model.trace("I <mask> you.")
    place = trace.tokens.index("<mask>")
    assert "·love" in trace.next_tokens(place, 20)["token"].tolist()
    chinese = model.trace("我<mask>你。")
    assert "爱" in chinese.next_tokens(2, 20)["token"].tolist()


def test_an_induction_head_forms_and_what_comes_again_is_predicted_from_then_on() -> None:
    record = vizcore.training_record("induction")
    words = induction.WORDS[::3][:10]
    measured = []
    for step in record.snapshots:
        trace = record.snapshot(step).trace(" ".join([*words, *words]))
        stripe = [
            induction.induction_score(trace.attention(layer), len(words)).max().item()
            for layer in trace.layers()
        ]
        log_probabilities = trace.logits.log_softmax(-1)
        again = [
            -log_probabilities[place, trace.token_ids[place + 1]].item()
            for place in range(len(words) + 1, 2 * len(words))
        ]
        measured.append((max(stripe), sum(again) / len(again)))
    first, last = measured[0], measured[-1]
    assert first[0] < 0.2
    assert last[0] > 0.7
    assert first[1] > 3
    assert last[1] < 0.5
    # It jumps: within three snapshots of thirty the score gains more than half of all it gains.
    gains = [later[0] - earlier[0] for earlier, later in zip(measured, measured[3:], strict=False)]
    assert max(gains) > (last[0] - first[0]) / 2
    # And the loss on what comes again falls most where the score rises most.
    falls = [earlier[1] - later[1] for earlier, later in zip(measured, measured[3:], strict=False)]
    assert abs(gains.index(max(gains)) - falls.index(max(falls))) <= 3
