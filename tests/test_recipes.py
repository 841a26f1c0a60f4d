"""How the bundled models are made: the data they see, and a whole recipe on a small scale."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import vizcore
from tests.support.sentences import pairs, small
from vizcore.errors import DataError
from vizcore.recipes import bundle, induction
from vizcore.recipes.tatoeba import read_tatoeba, write_lines, write_pairs


@pytest.fixture
def tatoeba_file(tmp_path: Path) -> Path:
    """Pairs in Tatoeba's form, some in traditional characters, some with two translations."""
    lines = [f"{english}\t{chinese}\tCC-BY 2.0" for english, chinese in pairs()]
    lines += ["I like books.\t我喜歡書。\tCC-BY", "I like books.\t我喜欢书。\tCC-BY"]
    lines += ["I see Tom.\t我看見湯姆。\tCC-BY", "I see Tom.\t我看到汤姆了。\tCC-BY"]
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_characters_are_simplified_and_what_is_then_the_same_stands_once(
    tatoeba_file: Path, tmp_path: Path
) -> None:
    tatoeba = read_tatoeba(tatoeba_file)
    everything = [*tatoeba.pairs] + [
        (english, chinese) for english, found in tatoeba.test.items() for chinese in found
    ]
    assert everything.count(("I like books.", "我喜欢书。")) == 1
    assert ("I see Tom.", "我看见汤姆。") in everything
    assert len(tatoeba.test) == 5
    assert not {english for english, _chinese in tatoeba.pairs} & set(tatoeba.test)
    write_pairs(tatoeba, tmp_path / "out.tsv")
    first = (tmp_path / "out.tsv").read_text("utf-8").splitlines()[0]
    assert tuple(first.split("\t")) == tatoeba.pairs[0]
    write_lines(tatoeba, tmp_path / "out.txt")
    lines = (tmp_path / "out.txt").read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines))
    assert set(lines) == {sentence for pair in tatoeba.pairs for sentence in pair}


def test_a_recipe_leaves_a_bundled_model_with_scores_and_a_card(
    tatoeba_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bundle.SETTINGS, "tatoeba-translator", small("translation", steps=20))
    monkeypatch.setitem(bundle.MOST_SNAPSHOTS, "tatoeba-translator", 3)
    made = bundle.make(
        "tatoeba-translator",
        data=tatoeba_file,
        work=tmp_path / "work",
        bundle=tmp_path / "bundle",
        report=None,
    )
    assert vizcore.load(made).trace("I see cats.").kinds == ("encoder", "decoder", "cross")
    scores = json.loads((made / "training.json").read_text("utf-8"))["scores"]
    assert {"validation_loss", "bleu_greedy", "bleu_beam_4", "test_sentences"} == set(scores)
    assert scores["test_sentences"] == 5
    assert len(list((made / "snapshots").iterdir())) == 3
    card = (made / "README.md").read_text("utf-8")
    assert f"| {scores['bleu_greedy']:,.4g} |" in card
    record = vizcore.training_record(made)
    assert record.snapshots[0] == 0


def test_making_a_model_again_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(induction.SETTINGS, steps=4, evaluate_every=2, snapshots=2, batch_tokens=256)
    monkeypatch.setitem(bundle.SETTINGS, "induction", few)
    monkeypatch.setattr(induction, "N_LINES", 60)
    made = [
        bundle.make(
            "induction", data=None, work=tmp_path / "work", bundle=tmp_path / name, report=None
        )
        for name in ("first", "again")
    ]
    one, again = ((folder / "model.safetensors").read_bytes() for folder in made)
    assert one == again
    header = (made[0] / "metrics.csv").read_text().splitlines()[0]
    assert header.endswith("first_half_loss,second_half_loss,induction_score")


def test_a_model_of_tatoeba_needs_its_data(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        bundle.make("tatoeba-lm", data=None, work=tmp_path, bundle=tmp_path, report=None)
    assert str(refused.value) == (
        "tatoeba-lm is trained on Tatoeba's pairs: give their file by --data."
    )


def test_rows_of_words_come_twice_and_differ_in_length(tmp_path: Path) -> None:
    induction.write_repeats(tmp_path / "rows.txt", seed=0)
    rows = [line.split() for line in (tmp_path / "rows.txt").read_text().splitlines()]
    assert all(row[: len(row) // 2] == row[len(row) // 2 :] for row in rows)
    assert {len(row) // 2 for row in rows} == set(range(induction.SHORTEST, induction.LONGEST + 1))
    assert len({" ".join(row) for row in rows}) > 0.99 * len(rows)
