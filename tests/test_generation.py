"""Writing step by step, against transformers' `generate`, and against reading everything anew."""

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaModel

import vizcore
from tests.support.tiny import tiny_config, tiny_network
from vizcore.errors import MissingHeadError, SelectionError, TextError
from vizcore.generation import GREEDY, GenerationStep, _draw, generate, random_numbers
from vizcore.model import Model
from vizcore.readers import CachedReader, RereadingReader, is_cached, open_text
from vizcore.sampling import Sampling
from vizcore.trace import Trace
from vizcore.transformer import Transformer, TransformerConfig

SOURCE = [5, 9, 17, 23, 40, 8]
END = 2
ARCHITECTURES = (
    *"llama gpt2 gemma2 gpt_oss opt bloom falcon mistral deepseek_v3 jamba bamba mpt".split(),
    *"openai-gpt qwen3_next bart t5 marian led".split(),
)


@cache
def tiny(architecture: str, seed: int = 0) -> Model:
    model = Model.of(tiny_network(architecture, seed=seed), None)
    settings: Any = model.network.generation_config
    settings.forced_eos_token_id = None
    if model.kind == "encoder-decoder" and settings.decoder_start_token_id is None:
        settings.decoder_start_token_id = 1
    return model


@cache
def ours(kind: str, positions: str = "sinusoidal") -> Model:
    torch.manual_seed(5)
    config = TransformerConfig(
        kind, 60, d_model=16, n_heads=2, n_layers=2, d_ff=24, positions=positions, max_tokens=12
    )
    network = Transformer(config).eval()
    for weights in network.parameters():
        nn.init.normal_(weights, std=0.4)
    model = Model.of(network, None)
    model.network.config.eos_token_id = END
    model.network.config.bos_token_id = 1
    return model


def final_logits(trace: Trace) -> torch.Tensor:
    return trace.logits[-1].float()


def generated(model: Model, source: list[int], n_tokens: int) -> list[int]:
    """What transformers writes."""
    network: Any = model.network
    written = network.generate(
        torch.tensor([source]),
        attention_mask=torch.ones(1, len(source), dtype=torch.long),
        max_new_tokens=n_tokens,
        do_sample=False,
    )
    ids: list[int] = written[0].tolist()
    return ids


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_writing_is_that_of_transformers(architecture: str) -> None:
    for seed in (0, 1, 2):
        model = tiny(architecture, seed)
        steps = list(generate(model, SOURCE, max_new_tokens=9))
        assert list(steps[-1].ids) == generated(model, SOURCE, 9)
        assert [step.step for step in steps] == list(range(len(steps)))
        assert steps[-1].is_end == (steps[-1].token_id == END)
        assert not any(step.is_end for step in steps[:-1])


@pytest.mark.parametrize("architecture", ["llama", "t5", "gemma2", "openai-gpt"])
def test_a_step_has_the_probabilities_of_the_run_that_it_can_show(architecture: str) -> None:
    model = tiny(architecture)
    for step in generate(model, SOURCE, max_new_tokens=4, sampling=Sampling(1.3), seed=4, k=300):
        check_step(step)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rope", "alibi", "none"])
@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_our_own_transformer_writes_too(kind: str, positions: str) -> None:
    model = ours(kind, positions)
    steps = list(generate(model, SOURCE, max_new_tokens=5, sampling=Sampling(1.0), k=60))
    for step in steps:
        check_step(step)
    assert len(steps) == 5 or steps[-1].is_end


def check_step(step: GenerationStep) -> None:
    trace = step.trace()
    read = trace.source_ids if trace.target_ids is None else trace.target_ids
    assert tuple(read) == step.read_ids
    log_probabilities = final_logits(trace).log_softmax(dim=-1)
    assert step.log_probability == pytest.approx(float(log_probabilities[step.token_id]), abs=1e-3)
    assert step.probability == pytest.approx(np.exp(step.log_probability))
    likelier = sum(float(p) > step.log_probability + 1e-5 for p in log_probabilities)
    assert step.rank == likelier + 1
    table = step.alternatives
    chosen = table[table["is_chosen"]]
    assert chosen["token_id"].tolist() == [step.token_id]
    assert chosen["rank"].tolist() == [step.rank]
    assert chosen["drawn_probability"].tolist() == pytest.approx([step.drawn_probability])
    np.testing.assert_allclose(
        table["log_probability"], log_probabilities.sort(descending=True).values, atol=1e-3
    )
    assert table["drawn_probability"].sum() == pytest.approx(1, abs=1e-4)


def test_the_same_seed_draws_the_same_text_and_another_one_another() -> None:
    model = tiny("llama")

    def text(seed: int) -> tuple[int, ...]:
        return list(generate(model, SOURCE, sampling=Sampling(1.5), seed=seed))[-1].ids

    assert text(3) == text(3)
    assert len({text(seed) for seed in range(5)}) == 5


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    torch.manual_seed(0)
    logits = torch.randn(12)
    shares = Sampling(temperature=0.8, top_k=9).probabilities(logits)
    n_draws = 20_000
    drawn = [_draw(logits, shares, (number + 0.5) / n_draws) for number in range(n_draws)]
    counted = np.bincount(drawn, minlength=12)
    np.testing.assert_allclose(counted / n_draws, shares, atol=1e-4)
    assert _draw(logits, shares, 0.0) == int(logits.argmax())
    assert shares[_draw(logits, shares, 1 - 1e-16)] > 0
    numbers = list(itertools.islice(random_numbers(1), 2000))
    assert 0 <= min(numbers) < 0.01
    assert 0.99 < max(numbers) < 1
    assert np.mean(numbers) == pytest.approx(0.5, abs=0.02)


def test_what_is_cut_away_is_never_drawn() -> None:
    model = tiny("gpt2")
    for seed in range(3):
        for step in generate(model, SOURCE, sampling=Sampling(3.0, top_k=2), seed=seed):
            assert step.rank <= 2
            assert step.drawn_probability > 0


def test_a_token_can_be_forced_and_the_luck_of_the_others_stays() -> None:
    model = tiny("llama")
    how: dict[str, Any] = {"sampling": Sampling(1.2), "seed": 7, "max_new_tokens": 6}
    free = list(generate(model, SOURCE, **how))
    forced = list(generate(model, SOURCE, **how, forced={2: 123}))
    assert [step.token_id for step in forced[:3]] == [*(step.token_id for step in free[:2]), 123]
    assert [step.forced for step in forced[:4]] == [False, False, True, False]
    assert forced[3].read_ids[-1] == 123
    again = list(generate(model, SOURCE, **how, forced={2: free[2].token_id}))
    assert [step.token_id for step in again] == [step.token_id for step in free]


def test_a_forced_end_ends_the_text() -> None:
    steps = list(generate(tiny("llama"), SOURCE, forced={1: END}))
    assert len(steps) == 2
    assert steps[-1].is_end


def test_each_step_is_computed_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = tiny("llama"), []
    own = CachedReader.read
    monkeypatch.setattr(
        CachedReader, "read", lambda reader, tokens: read.append(tokens) or own(reader, tokens)
    )
    steps = generate(model, SOURCE, max_new_tokens=5, forced={0: 9, 1: 9, 2: 9})
    assert is_cached(model.network)
    read.clear()
    next(steps)
    assert [one.tolist() for one in read] == [[SOURCE]]
    next(steps)
    assert [one.tolist() for one in read] == [[SOURCE], [[9]]]


@pytest.mark.parametrize(("architecture", "cached"), [("llama", True), ("t5", True)])
def test_networks_keep_what_they_have_read(architecture: str, cached: bool) -> None:
    assert is_cached(tiny(architecture).network) is cached


def test_a_network_without_a_cache_reads_everything_anew() -> None:
    model = tiny("openai-gpt")
    assert not is_cached(model.network)
    assert isinstance(open_text(model, None), RereadingReader)


def test_a_target_can_be_gone_on_from() -> None:
    model = tiny("bart")
    steps = list(generate(model, SOURCE, target=[1, 30, 12], max_new_tokens=3))
    assert steps[0].read_ids == (1, 30, 12)
    assert [step.n_prompt for step in steps] == [3] * len(steps)
    assert steps[-1].trace().target_ids == list(steps[-1].read_ids)


def test_writing_stops_where_the_context_ends() -> None:
    model = ours("decoder", "learned")
    model = Model.of(model.network, None)
    steps = list(generate(model, [5] * 10, forced=dict.fromkeys(range(9), 5)))
    assert len(steps) == 3  # two tokens fit in, and one can be said after the last
    assert len(steps[-1].read_ids) == 12


def test_bundled_models_write_words() -> None:
    model = vizcore.load("tatoeba-translator")
    last = list(generate(model, "I love you."))[-1]
    assert last.is_end
    assert last.text == "我爱你。"
    assert last.ids[:-1] == tuple(model.write("I love you."))


def test_smollm2_goes_on_as_transformers_has_it(smollm2: Any) -> None:
    steps = list(generate(smollm2, "The capital of France is", max_new_tokens=6))
    assert list(steps[-1].ids) == generated(smollm2, smollm2.encode("The capital of France is"), 6)
    assert steps[0].token == "·Paris"
    assert steps[0].text == " Paris"
    assert repr(steps[0]).startswith("GenerationStep(0, '·Paris', 0.")


def test_greedy_takes_the_first_of_equals() -> None:
    assert _draw(torch.zeros(3), GREEDY.probabilities(torch.tensor([1.0, 0.0, 0.0])), 0.9) == 0


def test_errors_say_what_is_wrong_and_what_to_do() -> None:
    encoder = Model.of(tiny_network("bert"), None)
    with pytest.raises(TextError) as error:
        generate(encoder, SOURCE)
    assert str(error.value) == (
        "BertForMaskedLM is an encoder: it fills in what is masked, and goes on from no text. Take "
        'a model that reads from left to right, such as "smollm2-135m".'
    )
    model = tiny("llama")
    with pytest.raises(TextError) as error:
        generate(model, SOURCE, target=[1])
    assert str(error.value) == (
        "LlamaForCausalLM has one stack, so it takes one text: leave out `target`, or join the two "
        "texts yourself."
    )
    for wrong, message in (
        ({"k": 0}, "k must be at least 1, not 0."),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, not 0."),
        (
            {"forced": {0: 300}},
            "Token id 300 is not in the vocabulary: ids go from 0 to 299.",
        ),
    ):
        with pytest.raises(SelectionError) as selection:
            generate(model, SOURCE, **wrong)
        assert str(selection.value) == message


def test_a_network_without_a_head_writes_nothing() -> None:
    headless = Model.of(LlamaModel(tiny_config("llama")).eval(), None)
    with pytest.raises(MissingHeadError) as error:
        generate(headless, SOURCE)
    assert str(error.value) == (
        "LlamaModel has no language-model head, so it has no logits and predicts no tokens. Load a "
        'model with one, such as "smollm2-135m".'
    )
