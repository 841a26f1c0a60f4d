"""What commands keep in files: scores that an interrupted run goes on from, and tuned lenses."""

import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import vizcore
from tests.test_cli_scores import SENTENCES, fails, succeeds
from vizcore.kept_scores import keep_scores
from vizcore.tuned_lens import read_tuned_lens


@pytest.fixture(scope="module")
def lm() -> vizcore.Model:
    return vizcore.load("tatoeba-lm")


def test_scores_are_kept_as_the_table_that_the_library_gives(
    lm: vizcore.Model, tmp_path: Path
) -> None:
    path, out = tmp_path / "s.txt", tmp_path / "scores.parquet"
    path.write_text("\n".join(SENTENCES))
    arguments = ("score", "tatoeba-lm", str(path), "--out", str(out))
    for _ in range(2):  # the second time it is all there
        assert succeeds(*arguments) == f"3 sentences are in {out}\n"
    kept = pd.read_parquet(out)
    pd.testing.assert_frame_equal(kept, vizcore.score(lm, SENTENCES), check_dtype=False)
    precision = vizcore.score(lm, SENTENCES, precision="fast")["log_likelihood"]
    fast = succeeds("score", "tatoeba-lm", str(path), "--fast")
    found = pd.read_csv(io.StringIO(fast), sep="\t")["log_likelihood"]
    assert found.tolist() == pytest.approx(precision.tolist(), abs=1e-3)


def test_scores_go_on_where_they_were(
    lm: vizcore.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vizcore.sentences.SENTENCES_AT_ONCE", 4)
    texts = [f"I love {n} cats." for n in range(10)]
    out = tmp_path / "scores.parquet"
    begun = keep_scores(lm, texts, out)
    assert [next(begun) for _ in range(3)] == [0, 4, 8]
    begun.close()
    read: list[str] = []
    scored = vizcore.likelihood.score_stream

    def watched(model: vizcore.Model, sentences: Any, **options: Any) -> Any:
        for table in scored(model, sentences, **options):
            read.extend(table["sentence"])
            yield table

    monkeypatch.setattr("vizcore.kept_scores.score_stream", watched)
    assert [*keep_scores(lm, texts, out)] == [8, 10]
    assert read == texts[8:]
    kept = pd.read_parquet(out)
    pd.testing.assert_frame_equal(kept, vizcore.score(lm, texts), check_dtype=False)


def test_kept_scores_of_other_sentences_or_settings_errors(tmp_path: Path) -> None:
    path, out = tmp_path / "s.txt", tmp_path / "scores.parquet"
    path.write_text("I love you.\nThe cat sat.\n")
    arguments = ("score", "tatoeba-lm", str(path), "--out", str(out))
    succeeds(*arguments)
    path.write_text("I love you.\nThe cat slept.\n")
    assert fails(*arguments) == (
        f"Error: {out} holds scores of other sentences: sentence 2 differs. Give the same file as "
        "then, another name, or remove it.\n"
    )
    path.write_text("I love you.\nThe cat sat.\nAnd more.\n")
    assert fails(*arguments) == (
        f"Error: {out} is finished and holds the first 2 of these sentences. Give another name, or "
        "remove it.\n"
    )
    assert "another run (bos: null, now true)" in fails(*arguments, "--bos")


def test_a_lens_is_fitted_and_written(tmp_path: Path) -> None:
    path, out = tmp_path / "s.txt", tmp_path / "lens.safetensors"
    path.write_text("\n".join(f"I love {n} cats and dogs." for n in range(40)))
    small = ("--steps", "1", "--n-tokens", "100", "--batch-tokens", "50")
    printed = succeeds("tune-lens", "tatoeba-lm", str(path), str(out), *small)
    assert f"The lens is in {out}" in printed
    report = read_tuned_lens(out).report()
    assert (report["tuned_lens"] <= report["logit_lens"]).all()
    for row in report.to_dict("records"):
        assert re.search(
            rf"{row['layer']} +{row['logit_lens']:.3f} +{row['tuned_lens']:.3f}", printed
        )


def test_too_little_text_for_a_lens_errors(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("One line.")
    said = fails("tune-lens", "tatoeba-lm", str(path), str(tmp_path / "lens.safetensors"))
    assert said.startswith(f"Error: {path} holds 1 different sentences")
