"""What a network is asked in training: what it reads, what it has to say, and where."""

from collections import Counter

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from tests.support.sentences import pairs
from vizcore.bpe import END_ID, MASK_ID, PAD_ID, START_ID, Task, learn_tokenizer
from vizcore.errors import DataError
from vizcore.lessons import (
    MASKED_SHARE,
    check_lengths,
    disagreement,
    lesson_of,
    twice,
    with_hidden_words,
)
from vizcore.transformer import Transformer, TransformerConfig

CPU = torch.device("cpu")
TEXTS = [text for pair in pairs() for text in pair]


def tokenizer(task: Task) -> PreTrainedTokenizerBase:
    return learn_tokenizer(TEXTS, task=task, vocab_size=420)


def test_a_translator_reads_the_target_one_place_behind_what_it_has_to_predict() -> None:
    lesson = lesson_of("translation", tokenizer("translation"))
    short, long = lesson.encode(
        [("I see cats.", "我看见猫。"), ("Tom like Mary.", "汤姆喜欢玛丽。")]
    )
    assert short[0][-1] == short[1][-1] == END_ID
    batch = lesson.batch([short, long], "0", CPU)
    assert batch.target is not None
    assert batch.target[0].tolist() == [START_ID, *short[1], PAD_ID][: batch.target.shape[1]]
    assert batch.labels.tolist() == [*short[1], *long[1]]
    assert batch.n_tokens == sum(len(text) for text in (*short, *long))


def test_padding_is_neither_read_nor_asked_for() -> None:
    lesson = lesson_of("translation", tokenizer("translation"))
    encoded = lesson.encode([("cats", "猫。"), ("Tom know birds, Mary.", "汤姆认识鸟。")])
    batch = lesson.batch(encoded, "0", CPU)
    assert batch.present is not None
    assert batch.present.sum(1).tolist() == [len(source) for source, _target in encoded]
    assert batch.asked.sum(1).tolist() == [len(target) for _source, target in encoded]
    alone = lesson.batch(encoded[:1], "0", CPU)
    assert alone.present is None  # nothing to hide
    network = Transformer(TransformerConfig("encoder-decoder", 420, d_model=32, dropout=0)).eval()
    together = lesson.hidden(network, batch)[: len(encoded[0][1])]
    torch.testing.assert_close(lesson.hidden(network, alone), together, atol=1e-5, rtol=1e-5)


def test_a_language_model_has_to_predict_each_token_and_then_the_end() -> None:
    lesson = lesson_of("language-model", tokenizer("language-model"))
    encoded = lesson.encode([("我喜欢猫。",), ("cats",)])
    batch = lesson.batch(encoded, "0", CPU)
    (line,), (short,) = encoded
    assert line[0] == START_ID
    assert batch.tokens[0].tolist() == list(line[:-1])
    assert batch.labels.tolist() == [*line[1:], *short[1:]]
    assert batch.labels[-1] == END_ID


def test_masks_fall_on_some_tokens_but_never_on_the_ends_of_a_line() -> None:
    lesson = lesson_of("masked", tokenizer("masked"))
    lines = [" ".join(TEXTS[start:] + TEXTS[:start]) for start in range(len(TEXTS))]
    encoded = lesson.encode([(line,) for line in lines])
    batch = lesson.batch(encoded, "0", CPU)
    ends = torch.isin(batch.tokens, torch.tensor([START_ID, END_ID, PAD_ID]))
    assert not (batch.asked & ends).any()
    assert batch.asked.any(dim=1).all()  # in each line something is asked
    inner = sum(len(line) - 2 for (line,) in encoded)
    assert batch.asked.sum().item() / inner == pytest.approx(MASKED_SHARE, abs=0.04)
    fates = Counter(
        "masked" if shown == MASK_ID else "kept" if shown == right else "other"
        for shown, right in zip(
            batch.tokens[batch.asked].tolist(), batch.labels.tolist(), strict=True
        )
    )
    share = {fate: count / len(batch.labels) for fate, count in fates.items()}
    assert share == pytest.approx({"masked": 0.8, "other": 0.1, "kept": 0.1}, abs=0.04)


def test_masks_are_the_same_for_the_same_chance_and_others_for_another() -> None:
    lesson = lesson_of("masked", tokenizer("masked"))
    encoded = lesson.encode([(text,) for text in TEXTS])
    one, again, other = (lesson.batch(encoded, chance, CPU) for chance in ("1", "1", "2"))
    assert torch.equal(one.tokens, again.tokens)
    assert not torch.equal(one.asked, other.asked)


def test_a_sentence_longer_than_the_table_of_positions_is_refused() -> None:
    check_lengths([((1, 2, 3),)], name="lines.txt", max_tokens=3)
    with pytest.raises(DataError) as refused:
        check_lengths([((1, 2),), ((1, 2, 3, 4),)], name="lines.txt", max_tokens=3)
    assert str(refused.value) == (
        "A sentence in lines.txt has 4 tokens, and the table of learned positions has 3. Give a "
        "larger max_tokens, other positions, or shorter sentences."
    )


def test_hidden_words_are_others_each_time_and_never_ends_or_what_is_predicted() -> None:
    lesson = lesson_of("translation", tokenizer("translation"))
    encoded = lesson.encode([("I see cats.", "我看见猫。"), ("cats", "猫。")] * 20)
    batch = lesson.batch(encoded, "0", CPU)
    one, again, other = (with_hidden_words(batch, 0.3, chance) for chance in ("1", "1", "2"))
    assert torch.equal(one.tokens, again.tokens)
    torch.testing.assert_close(one.target, again.target, atol=0, rtol=0)
    assert not torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.labels, batch.labels)
    assert torch.equal(one.asked, batch.asked)
    for before, after in ((batch.tokens, one.tokens), (batch.target, one.target)):
        assert before is not None
        assert after is not None
        hidden = after != before
        assert (after[hidden] == MASK_ID).all()
        assert (before[hidden] > MASK_ID).all()
        share = hidden.sum() / (before > MASK_ID).sum()
        assert 0.2 < share < 0.4
    assert with_hidden_words(batch, 0, "1") is batch


def test_a_batch_twice_asks_first_everything_and_then_everything_again() -> None:
    lesson = lesson_of("translation", tokenizer("translation"))
    batch = lesson.batch(lesson.encode([("I see cats.", "我看见猫。"), ("cats", "猫。")]), "0", CPU)
    double = twice(batch)
    network = Transformer(TransformerConfig("encoder-decoder", 420, d_model=32)).eval()
    first, second = lesson.hidden(network, double).chunk(2)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, lesson.hidden(network, batch))
    assert torch.equal(double.labels, batch.labels.repeat(2))
    assert double.n_tokens == batch.n_tokens  # what a speed is measured by: nothing was read anew


def test_disagreement_is_the_mean_divergence_in_both_directions() -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 5)
    first, second = (torch.distributions.Categorical(logits=part) for part in logits.chunk(2))
    there, back = (
        torch.distributions.kl_divergence(*pair) for pair in ((first, second), (second, first))
    )
    torch.testing.assert_close(disagreement(logits), (there + back).mean() / 2)
    assert disagreement(logits[:3].repeat(2, 1)) == 0
