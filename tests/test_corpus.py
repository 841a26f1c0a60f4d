"""Files of sentences: what is read, what is refused, what is held out, what goes together."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizcore.corpus import first_line, length_batches, read_corpus, read_pairs
from vizcore.errors import DataError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "data.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_pairs_are_what_stands_before_and_after_the_first_tab(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffHi.\t嗨。\tCC-BY\n\n Run. \t 跑。\r\nStop!\t住手！")
    assert read_pairs(path) == [("Hi.", "嗨。"), ("Run.", "跑。"), ("Stop!", "住手！")]
    assert first_line(path) == "Hi.\t嗨。\tCC-BY"


def test_all_translations_of_a_sentence_fall_on_the_same_side(tmp_path: Path) -> None:
    lines = [f"sentence {i}\ttranslation {i} {j}" for i in range(40) for j in range(3)]
    corpus = read_corpus(written(tmp_path, "\n".join(lines)), pairs=True, seed=0, share=0.25)
    train = {source for source, _target in corpus.training}
    held = {source for source, _target in corpus.validation}
    assert (len(train), len(held)) == (30, 10)
    assert not train & held
    assert len(corpus.training) + len(corpus.validation) == 120
    assert corpus == read_corpus(tmp_path / "data.txt", pairs=True, seed=0, share=0.25)
    other = read_corpus(tmp_path / "data.txt", pairs=True, seed=1, share=0.25)
    assert other.validation != corpus.validation


def test_a_line_that_comes_twice_is_held_out_twice_or_not_at_all(tmp_path: Path) -> None:
    corpus = read_corpus(written(tmp_path, "a\nb\nc\na\nb\nc\n"), pairs=False, seed=0, share=0.3)
    assert len(corpus.validation) == 2
    assert len(set(corpus.validation)) == 1
    assert not set(corpus.validation) & set(corpus.training)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "{path} is empty: there is nothing to train on."),
        ("\n \n\t\n", "{path} is empty: there is nothing to train on."),
        (
            "a\tb\n\nno tab here\n",
            "Line 3 of {path} has no tab. A line of pairs is a sentence, a tab, and its "
            "translation.",
        ),
        ("a\tb\nc\t \n", "Line 2 of {path} has nothing after its tab."),
        ("a\tb\n\tc\n", "Line 2 of {path} has nothing before its tab."),
        (
            b"a\tb\nc\t\xff\n",
            "Line 2 of {path} is not UTF-8 (byte 3 of the line). Save the file as UTF-8 text.",
        ),
        ("a\tb\0\n", "Line 1 of {path} holds a NUL byte: it is no text file."),
        (
            "a\tb\na\tc\n",
            "{path} holds 1 different sentences, and training needs at least 2: one to learn from "
            "and one to validate with.",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as refused:
        read_corpus(path, pairs=True, seed=0)
    assert str(refused.value) == said.format(path=path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_corpus(tmp_path / "nowhere.tsv", pairs=False, seed=0)
    assert str(refused.value) == (
        f"There is no file {tmp_path / 'nowhere.tsv'} to train on. Check the path."
    )


@given(
    lengths=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=60),
    budget=st.integers(1, 200),
)
def test_batches_hold_each_example_once_and_keep_to_their_budget(
    lengths: list[tuple[int, int]], budget: int
) -> None:
    batches = length_batches(lengths, batch_tokens=budget, seed="0")
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = sum(max(lengths[number][side] for number in batch) for side in (0, 1)) * len(batch)
        assert padded <= budget or len(batch) == 1


def test_batches_come_in_another_order_for_another_seed_and_waste_little() -> None:
    lengths = [(i % 17 + 1, i % 17 + i % 2) for i in range(500)]
    one = length_batches(lengths, batch_tokens=300, seed="0 1")
    assert one == length_batches(lengths, batch_tokens=300, seed="0 1")
    assert one != length_batches(lengths, batch_tokens=300, seed="0 2")
    padded = sum(
        sum(max(lengths[number][side] for number in batch) for side in (0, 1)) * len(batch)
        for batch in one
    )
    assert padded < 1.25 * sum(map(sum, lengths))
