"""What was written and what could have been: against the network's own logits, step by step."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import vizcore
from tests.support.tiny import byte_level_tokenizer, sentence_piece_tokenizer, tiny_network
from vizcore.errors import MissingHeadError, SelectionError, TextError

SOURCE = "the cat sat"
END = 2


def translator(model_type: str = "t5", **changes: Any) -> vizcore.Model:
    """A tiny random encoder-decoder that reads pieces of words."""
    network = tiny_network(model_type, **changes)
    return vizcore.Model.of(network, sentence_piece_tokenizer(), name=f"tiny-{model_type}")


@pytest.fixture(scope="module")
def model() -> vizcore.Model:
    """One that happens to end what it writes soon: two layers of cross attention, four heads."""
    return translator(seed=4)


def log_probabilities(model: vizcore.Model, source: list[int], target: list[int]) -> torch.Tensor:
    """Of every token after each of the target's, straight from the network: (step, vocab)."""
    with torch.no_grad():
        out = model.network(
            input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])
        )
    return out.logits[0].log_softmax(-1)


def test_what_is_written_has_the_networks_own_probabilities(model: vizcore.Model) -> None:
    translation = vizcore.translate(model, SOURCE)
    ids = translation.trace.target_ids
    assert ids == model.write(SOURCE)
    expected = log_probabilities(model, model.encode(SOURCE), ids)
    for step, row in translation.steps.iterrows():
        assert row["log_probability"] == pytest.approx(
            float(expected[step, row["token_id"]]), abs=1e-4
        )
    assert translation.steps["rank"].eq(1).all()
    assert translation.steps["token"].tolist() == model.labels(
        translation.steps["token_id"].tolist()
    )


def test_the_alternatives_are_the_likeliest_of_each_step(model: vizcore.Model) -> None:
    translation = vizcore.translate(model, SOURCE, target="a door", k=4)
    expected = log_probabilities(model, model.encode(SOURCE), translation.trace.target_ids)
    for step, rows in translation.alternatives.groupby("step"):
        best = expected[step].topk(4)
        assert rows["token_id"].tolist() == best.indices.tolist()
        assert rows["rank"].tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(rows["probability"], best.values.exp(), atol=1e-5)
        written = translation.steps["token_id"][step]
        assert rows["is_written"].tolist() == [one == written for one in rows["token_id"]]


def test_a_target_of_ones_own_is_scored_with_its_end(model: vizcore.Model) -> None:
    translation = vizcore.translate(model, SOURCE, target="the door")
    ids = model.encode("the door", target=True)
    start = model.network.config.pad_token_id  # as T5 begins
    assert ids[-1] == END
    assert translation.steps["token_id"].tolist() == ids
    expected = log_probabilities(model, model.encode(SOURCE), [start, *ids[:-1]])
    total = float(expected.gather(1, torch.tensor(ids)[:, None]).sum())
    assert translation.ended
    assert translation.log_likelihood == pytest.approx(total, abs=1e-4)
    for step, token_id in enumerate(ids):
        rank = int((expected[step] > expected[step, token_id]).sum()) + 1
        assert translation.steps["rank"][step] == rank


def test_ids_are_scored_as_they_are_and_end_where_they_say_so(model: vizcore.Model) -> None:
    going_on = vizcore.translate(model, SOURCE, target=[1, 20, 30])
    assert (going_on.ended, going_on.steps["token_id"].tolist()) == (False, [20, 30])
    assert going_on.alternatives["step"].max() == 2  # what would come next
    assert not going_on.alternatives.query("step == 2")["is_written"].any()
    ended = vizcore.translate(model, SOURCE, target=[1, 20, 30, END])
    assert (ended.ended, ended.steps["token_id"].tolist()) == (True, [20, 30, END])
    end = ended.steps["log_probability"][2]
    assert ended.log_likelihood == pytest.approx(going_on.log_likelihood + end)


def test_a_forced_token_stays_and_the_rest_is_written_anew(model: vizcore.Model) -> None:
    free = vizcore.translate(model, SOURCE)
    other = int(free.alternatives.query("step == 1")["token_id"].iloc[1])
    prefix = free.beginning(1, other)
    assert prefix == [*free.trace.target_ids[:2], other]
    forced = vizcore.translate(model, SOURCE, prefix=prefix)
    assert forced.trace.target_ids == model.write(SOURCE, prefix)
    assert forced.trace.target_ids[:3] == prefix
    assert forced.steps["rank"].tolist()[:2] == [1, 2]


def test_a_forced_end_ends(model: vizcore.Model) -> None:
    free = vizcore.translate(model, SOURCE)
    short = vizcore.translate(model, SOURCE, prefix=free.beginning(1, END))
    assert short.ended
    assert short.steps["token_id"].tolist() == [free.trace.target_ids[1], END]
    nothing = vizcore.translate(model, SOURCE, prefix=free.beginning(0, END))
    assert (nothing.steps["token_id"].tolist(), nothing.text) == ([END], "")


def test_beams_find_nothing_less_likely_here(model: vizcore.Model) -> None:
    searched = vizcore.translate(model, SOURCE, n_beams=4)
    assert searched.trace.target_ids == model.write(SOURCE, n_beams=4)


def test_without_room_the_target_does_not_end() -> None:
    network = tiny_network("bart", max_position_embeddings=12, forced_eos_token_id=None)
    network.generation_config.eos_token_id = END
    network.lm_head.weight.data[END] = 0
    network.final_logits_bias[0, END] = -1e4  # never likely
    model = vizcore.Model.of(network, sentence_piece_tokenizer())
    translation = vizcore.translate(model, SOURCE)
    assert not translation.ended
    assert len(translation.steps) == len(translation.trace.target_ids) - 1


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_the_alignment_has_a_row_for_what_was_written(model_type: str) -> None:
    translation = vizcore.translate(translator(model_type), SOURCE, target="a door of it all")
    trace = translation.trace
    assert len(translation.steps) != len(trace.source_tokens)
    one = translation.alignment(1, 2)
    np.testing.assert_array_equal(one.values, trace.attention(1, 2, "cross").numpy())
    assert one.query_tokens == tuple(translation.steps["token"])
    assert one.key_tokens == tuple(trace.source_tokens)
    assert (one.layer, one.head, one.kind) == (1, 2, "cross")
    layer = trace.attention(1, None, "cross").mean(0)
    torch.testing.assert_close(torch.tensor(translation.alignment(1).values), layer)
    every = torch.stack([trace.attention(at, None, "cross") for at in (0, 1)]).mean((0, 1))
    torch.testing.assert_close(torch.tensor(translation.alignment().values), every)


def test_the_alignment_of_a_target_that_goes_on_leaves_its_last_row_out(
    model: vizcore.Model,
) -> None:
    translation = vizcore.translate(model, SOURCE, target=[1, 20, 30])
    assert translation.alignment(0, 0).values.shape[0] == 2


def test_the_text_has_no_special_tokens(model: vizcore.Model) -> None:
    assert vizcore.translate(model, SOURCE, target="the door").text == "the door"
    assert repr(vizcore.translate(model, SOURCE, target="the door")).startswith(
        "Translation('the door', -"
    )


def test_without_a_tokenizer_ids_do() -> None:
    model = vizcore.Model.of(tiny_network("t5"), None)
    translation = vizcore.translate(model, [5, 6, 7], target=[1, 20])
    assert (translation.text, translation.steps["token"].tolist()) == ("", ["#20"])
    assert math.isfinite(translation.log_likelihood)


def test_a_model_of_one_stack_says_that_it_does_not_translate() -> None:
    model = vizcore.Model.of(tiny_network("gpt2"), byte_level_tokenizer(), name="gpt")
    with pytest.raises(TextError) as caught:
        vizcore.translate(model, "a")
    assert str(caught.value) == (
        "gpt does not translate: it reads one text. Take an encoder-decoder, such as "
        '"tatoeba-translator".'
    )


def test_what_is_not_there_is_refused_in_words(model: vizcore.Model) -> None:
    translation = vizcore.translate(model, SOURCE, target="the door")
    n_steps = len(translation.steps)
    wrong = {
        "k must be at least 1, not 0.": lambda: vizcore.translate(model, SOURCE, k=0),
        "Head 1 of which layer? Give a layer too, or no head.": lambda: translation.alignment(
            head=1
        ),
        f"There is no step {n_steps}: there are {n_steps}, counted from 0.": (
            lambda: translation.beginning(n_steps, 5)
        ),
        "Token id 300 is not in the vocabulary: ids go from 0 to 299.": (
            lambda: vizcore.translate(model, SOURCE, prefix=[1, 300])
        ),
    }
    for said, call in wrong.items():
        with pytest.raises(SelectionError) as caught:
            call()
        assert str(caught.value) == said


def test_a_model_without_a_head_writes_nothing() -> None:
    from transformers import T5Model

    network = T5Model(tiny_network("t5").config)
    model = vizcore.Model.of(network, sentence_piece_tokenizer(), name="bare")
    with pytest.raises(MissingHeadError, match="bare has no language-model head"):
        vizcore.translate(model, SOURCE)
    with pytest.raises(MissingHeadError, match="bare has no language-model head"):
        vizcore.translate(model, SOURCE, target="the door")
