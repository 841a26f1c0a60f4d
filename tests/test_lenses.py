"""The logit lens, against hidden states and heads of transformers' own, and plain loops."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertModel

import vizcore
from tests.support.tiny import tiny_config, tiny_network
from vizcore.direct_attribution import logit_attribution
from vizcore.errors import CaptureError, MissingHeadError, SelectionError, ShapeError
from vizcore.generation import generate
from vizcore.lenses import LogitLens, logit_lens
from vizcore.model import Model
from vizcore.residual_stream import residual_stream
from vizcore.trace import Trace
from vizcore.transformer import Transformer, TransformerConfig
from vizcore.tuned_lens import TunedLens

SOURCE, TARGET = [5, 9, 17, 23, 40, 8, 77], [1, 30, 12, 9]
ARCHITECTURES = (
    # Norms of all kinds, soft caps, logit scales, projections, latent attention, experts, layers of
    # other kinds, shared layers, lists of outputs, and eager mode.
    *"llama gpt2 gemma2 gpt_oss cohere granite opt bloom gptj deepseek_v3 mixtral jamba".split(),
    *"bert distilbert albert electra xlm openai-gpt bart t5 marian led".split(),
)


@cache
def tiny(architecture: str) -> Model:
    return Model.of(tiny_network(architecture), None)


def ours(kind: str, norm: str, positions: str = "sinusoidal") -> Model:
    torch.manual_seed(3)
    config = TransformerConfig(
        kind, 60, d_model=16, n_heads=2, n_layers=3, norm=norm, positions=positions, d_ff=24
    )
    return Model.of(Transformer(config).eval(), None)


def trace_of(model: Model) -> Trace:
    ids = [one % 60 for one in SOURCE]
    if model.kind == "encoder-decoder":
        return model.trace(ids, TARGET)
    return model.trace(ids)


def check_last_state(model: Model) -> None:
    trace = trace_of(model)
    stream = residual_stream(model)
    states = stream.states(trace)
    assert {state.shape for state in states} == {(len(trace.logits), stream.d_model)}
    with torch.no_grad():
        made = stream.logits(states[-1][None])[0]
    torch.testing.assert_close(made, trace.logits, rtol=1e-4, atol=1e-4)
    lens = logit_lens(trace)
    assert lens.answer_ids == tuple(trace.logits.argmax(dim=-1).tolist())
    np.testing.assert_allclose(lens.divergence[-1], 0, atol=1e-6)
    assert (lens.answer_rank[-1] == 1).all()
    probabilities = trace.logits.softmax(dim=-1).max(dim=-1).values
    np.testing.assert_allclose(lens.answer_probability[-1], probabilities, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_last_state_makes_the_models_own_logits(architecture: str) -> None:
    check_last_state(tiny(architecture))


@pytest.mark.parametrize("kind", ["encoder", "decoder", "encoder-decoder"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_so_it_does_in_our_own_transformer(kind: str, norm: str) -> None:
    check_last_state(ours(kind, norm))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert", "gemma2", "t5", "bart", "bloom"])
def test_states_are_the_hidden_states_of_transformers(architecture: str) -> None:
    model = tiny(architecture)
    trace = trace_of(model)
    with torch.no_grad():
        output = model.network(**trace.inputs, output_hidden_states=True)
    hidden = output.get("hidden_states") or output.decoder_hidden_states
    states = residual_stream(model).states(trace)
    assert len(states) == len(hidden)
    for mine, theirs in zip(states[:-1], hidden[:-1], strict=True):  # theirs ends with the norm
        torch.testing.assert_close(mine, theirs[0], rtol=1e-4, atol=1e-5)


def by_hand(architecture: str, network: Any, state: torch.Tensor) -> torch.Tensor:
    """What the architecture's own last modules make of a state."""
    match architecture:
        case "llama":
            return network.lm_head(network.model.norm(state))
        case "gpt2":
            return network.lm_head(network.transformer.ln_f(state))
        case "gemma2":
            cap = network.config.final_logit_softcapping
            return cap * torch.tanh(network.lm_head(network.model.norm(state)) / cap)
        case "cohere":
            return network.lm_head(network.model.norm(state)) * network.logit_scale
        case "t5":
            normed = network.decoder.final_layer_norm(state)
            tied = network.config.tie_word_embeddings
            return network.lm_head(normed * (network.model_dim**-0.5 if tied else 1))
        case "bert":
            return network.cls(state)
    raise AssertionError(architecture)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "cohere", "t5", "bert"])
def test_every_layer_is_read_by_the_final_norm_and_the_unembedding(architecture: str) -> None:
    model = tiny(architecture)
    trace = trace_of(model)
    lens = logit_lens(trace, k=3)
    states = residual_stream(model).states(trace)
    with torch.no_grad():
        rows = [
            by_hand(architecture, model.network, one).softmax(dim=-1).double() for one in states
        ]
    answers = rows[-1].argmax(dim=-1)
    for row, shares in enumerate(rows):
        for position, p in enumerate(shares):
            best = p.topk(3)
            assert lens.top_ids[row, position].tolist() == best.indices.tolist()
            np.testing.assert_allclose(
                lens.top_probabilities[row, position], best.values, rtol=1e-4
            )
            answer = int(answers[position])
            assert lens.answer_probability[row, position] == pytest.approx(
                float(p[answer]), rel=1e-3
            )
            assert lens.answer_rank[row, position] == 1 + sum(
                float(other) > float(p[answer]) for other in p
            )
            bits = -math.fsum(float(q) * math.log2(float(q)) for q in p if q > 0)
            assert lens.entropy[row, position] == pytest.approx(bits, abs=1e-3)
            final = rows[-1][position]
            nats = math.fsum(
                float(q) * math.log(float(q) / float(r))
                for q, r in zip(final, p, strict=True)
                if q > 0 and r > 0
            )
            assert lens.divergence[row, position] == pytest.approx(nats, abs=1e-3)


def test_the_norm_of_a_layer_after_which_it_stands_is_not_applied_twice() -> None:
    model = ours("decoder", "post")
    transformer = model.network.transformer
    ids = torch.tensor([[one % 60 for one in SOURCE]])
    x = transformer.embedding(ids)
    states = [x]
    for layer in transformer.decoder.layers:
        x = layer(x, None, None, None, None)
        states.append(x)
    expected = [transformer.unembedding(state)[0].argmax(dim=-1).tolist() for state in states]
    assert logit_lens(trace_of(model)).top_ids[:, :, 0].tolist() == expected


def test_when_the_model_knows_is_where_the_answer_stays_likeliest() -> None:
    lens = made_up([[3, 1, 5], [1, 1, 1], [2, 1, 1], [1, 1, 1]])
    known = lens.known_from()
    assert known["first_layer"].tolist() == [0, -1, 0]
    assert known["known_from"].tolist() == [2, -1, 0]
    assert known["answer"].tolist() == ["x", "y", "z"]


def made_up(ranks: list[list[int]]) -> LogitLens:
    shape = np.array(ranks).shape
    nothing = np.zeros(shape, np.float32)
    return LogitLens(
        layers=tuple(range(-1, shape[0] - 1)),
        positions=(0, 1, 2),
        tokens=("a", "b", "c"),
        answer_ids=(7, 8, 9),
        answers=("x", "y", "z"),
        top_ids=np.zeros((*shape, 1), np.int64),
        top_tokens=(((("?",),) * shape[1]),) * shape[0],
        top_probabilities=np.zeros((*shape, 1), np.float32),
        answer_probability=nothing,
        answer_rank=np.array(ranks),
        entropy=nothing,
        divergence=nothing,
        lens="logit lens",
    )


def test_the_table_has_a_row_for_each_cell() -> None:
    lens = logit_lens(trace_of(tiny("llama")), [0, -1])
    assert repr(lens) == "LogitLens(logit lens, 4 states, 2 positions)"
    assert lens.row_labels == ("embedding", "layer 0", "layer 1", "layer 2")
    assert lens.positions == (0, 6)
    table = lens.to_frame()
    assert table["layer"].tolist() == [-1, -1, 0, 0, 1, 1, 2, 2]
    assert table["position"].tolist() == [0, 6] * 4
    assert table["token"].tolist() == ["#5", "#17"] * 4
    assert table["answer_id"].tolist() == list(lens.answer_ids) * 4
    assert table["top_token_id"].tolist() == lens.top_ids[:, :, 0].ravel().tolist()
    assert table["top_token"].tolist() == [f"#{one}" for one in table["top_token_id"]]
    assert table["answer_rank"].tolist() == lens.answer_rank.ravel().tolist()
    last = table[table["layer"] == 2]
    assert last["top_token_id"].tolist() == last["answer_id"].tolist()


def test_some_positions_are_columns_of_all_of_them() -> None:
    trace = trace_of(tiny("gpt2"))
    some, every = logit_lens(trace, [4, 1]), logit_lens(trace)
    np.testing.assert_allclose(some.divergence, every.divergence[:, [4, 1]], rtol=1e-4, atol=1e-6)
    assert some.top_ids.tolist() == every.top_ids[:, [4, 1]].tolist()


def test_a_text_of_one_token_has_a_lens() -> None:
    assert len(logit_lens(tiny("llama").trace([5])).to_frame()) == 4


def test_a_long_text_is_read_in_parts_and_comes_out_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = trace_of(tiny("llama"))
    whole = logit_lens(trace)
    monkeypatch.setattr("vizcore.lenses.POSITIONS_AT_ONCE", 3)
    monkeypatch.setattr("vizcore.lenses.CELLS_AT_ONCE", 5)
    parts = logit_lens(trace)
    assert parts.top_tokens == whole.top_tokens
    np.testing.assert_allclose(parts.entropy, whole.entropy, rtol=1e-4)


def written_on(network: Any) -> list[tuple[str, list[str], list[int]]]:
    """What every module of a network has on it, and the hooks that it calls."""
    return [
        (name, sorted(vars(module)), list(module._forward_hooks))
        for name, module in network.named_modules()
    ]


def test_the_network_is_left_as_it_was() -> None:
    model = Model.of(tiny_network("llama"), None)
    before = written_on(model.network)
    logit_lens(trace_of(model))
    assert written_on(model.network) == before
    shared = residual_stream(model).network
    mine = [one.data_ptr() for one in model.network.parameters()]
    assert [one.data_ptr() for one in shared.parameters()] == mine


def test_many_threads_can_look_into_one_network_at_once() -> None:
    model = Model.of(tiny_network("gemma2"), None)

    def look(first: int) -> tuple[Any, ...]:
        trace = model.trace([first, *SOURCE])
        parts = logit_attribution(trace)["contribution"].tolist()
        written = [step.token_id for step in generate(model, [first, 9], max_new_tokens=4)]
        return logit_lens(trace).divergence.tolist(), parts, written, trace.logits.tolist()

    one_by_one = [look(first) for first in range(3, 15)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, range(3, 15))) == one_by_one


def test_a_network_in_half_precision_has_a_lens() -> None:
    model = Model.of(tiny_network("llama").to(torch.bfloat16), None)
    lens = logit_lens(model.trace(SOURCE))
    assert (lens.answer_rank[-1] == 1).all()
    assert lens.divergence[0].mean() > 0.1


def test_smollm2_knows_the_capital_of_france_at_its_last_layer(smollm2: Any) -> None:
    lens = logit_lens(smollm2.trace("The capital of France is"), [-1])
    assert lens.answers == ("·Paris",)
    assert lens.known_from()["known_from"].tolist() == [29]
    assert lens.top_tokens[29][0][0] == "·capital"
    assert lens.answer_rank[0, 0] > 1000


def test_bundled_models_of_every_kind_have_a_lens() -> None:
    for name in ("tatoeba-lm", "tatoeba-mlm", "tatoeba-translator"):
        trace = vizcore.load(name).trace("I love you.")
        lens = logit_lens(trace)
        assert isinstance(lens.to_frame(), pd.DataFrame)
        assert lens.divergence[0].mean() > lens.divergence[-2].mean() > 0


def test_errors_say_what_is_wrong_and_what_to_do() -> None:
    trace = trace_of(tiny("llama"))
    with pytest.raises(SelectionError) as error:
        logit_lens(trace, [7])
    assert str(error.value) == (
        "There is no position 7: the text has 7 tokens, so positions go from 0 to 6, or from -1 "
        "backwards."
    )
    with pytest.raises(SelectionError) as error:
        logit_lens(trace, k=0)
    assert str(error.value) == "k must be at least 1, not 0."
    other = TunedLens(torch.zeros(3, 8, 8), torch.zeros(3, 8))
    with pytest.raises(ShapeError) as shape:
        logit_lens(trace, lens=other)
    assert str(shape.value) == (
        "tuned lens is for 3 layers of width 8, and LlamaForCausalLM has 3 of width 32. Fit one "
        "for it: vizcore.fit_tuned_lens(model, file)."
    )


def test_a_network_without_a_head_predicts_nothing() -> None:
    model = Model.of(BertModel(tiny_config("bert")).eval(), None)
    with pytest.raises(MissingHeadError) as error:
        logit_lens(model.trace(SOURCE))
    assert str(error.value) == (
        "BertModel has no language-model head, so it has no logits and predicts no tokens. Load a "
        'model with one, such as "smollm2-135m".'
    )


@pytest.mark.parametrize("architecture", ["longformer", "gemma3n_text"])
def test_a_network_whose_stream_is_not_found_is_refused(architecture: str) -> None:
    model = tiny(architecture)
    with pytest.raises(CaptureError) as error:
        logit_lens(trace_of(model))
    assert str(error.value) == (
        f"The residual stream of {model.name} was not found: there is no row of layers from whose "
        "last output alone the network makes its logits (some keep several streams, or mix "
        "positions once more at the end). What it predicts at the end is there: trace.next_tokens."
    )
