"""An interrupted evaluation goes on where it was, and with what it began with or not at all."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import vizcore
from tests.support.benchmark_data import PAIRS, acceptability, benchmark_of, languages, pairs
from tests.support.tiny import byte_level_tokenizer, tiny_network
from vizcore import answers, evaluation


@pytest.fixture(scope="module")
def lm() -> vizcore.Model:
    return vizcore.load("tatoeba-lm")


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is scored from now on."""
    scored: list[str] = []
    score = answers.score

    def noting(model: Any, sentences: Any, **options: Any) -> pd.DataFrame:
        scored.extend(sentences)
        return score(model, sentences, **options)

    monkeypatch.setattr(answers, "score", noting)
    return scored


def test_an_interrupted_run_goes_on_where_it_was(
    lm: vizcore.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "ITEMS_AT_ONCE", 2)
    both = [pairs("a.tsv"), pairs("b.tsv")]
    out = tmp_path / "r.parquet"
    told: list[tuple[str, float | None]] = []
    seen: list[int] = []

    def stop() -> bool:
        seen.append(len(seen))
        return len(seen) == 5  # after 2, 2, 1 items of a and 2 of b

    stopped = vizcore.evaluate(
        lm, both, out=out, should_stop=stop, progress=lambda *said: told.append(said)
    )
    assert not stopped.complete
    assert len(stopped.items) == 7
    assert told[-1] == ("b: 7 of 10 items", 0.7)
    scored = counting(monkeypatch)
    whole = vizcore.evaluate(lm, both, out=out)
    good, bad = [good for _, good, _ in PAIRS], [bad for _, _, bad in PAIRS]
    assert scored == [*good[2:4], *bad[2:4], good[4], bad[4]]
    assert whole.complete
    fresh = vizcore.evaluate(lm, both)
    pd.testing.assert_frame_equal(whole.items, fresh.items, atol=1e-4)
    scored.clear()
    again = vizcore.evaluate(lm, both, out=out)  # it is there, and read
    assert scored == []
    pd.testing.assert_frame_equal(again.items, whole.items)


@pytest.mark.parametrize("method", ["likelihood", "probe"])
def test_what_is_decided_at_the_end_is_the_same_after_an_interruption(
    method: Any, lm: vizcore.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, dev = acceptability()
    whole = vizcore.evaluate(lm, dev, method=method, train=train)
    monkeypatch.setattr(evaluation, "ITEMS_AT_ONCE", 4)
    out = tmp_path / "r.parquet"
    stream = vizcore.evaluation_stream(lm, dev, out, method=method, train=train)
    counts = [next(stream).n_done for _ in range(3)]
    stream.close()
    assert counts == [0, 4, 8]
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.metric_table(vizcore.read_evaluation(out))
    assert str(caught.value) == (
        "This run is unfinished, and its labels are decided at its end. Resume it."
    )
    found = vizcore.evaluate(lm, dev, method=method, train=train, out=out)
    pd.testing.assert_frame_equal(found.items, whole.items, atol=1e-4)


def test_another_model_prompt_or_item_is_another_run_errors(
    lm: vizcore.Model, tmp_path: Path
) -> None:
    out = tmp_path / "r.parquet"
    vizcore.evaluate(lm, languages(), out=out)
    others: list[tuple[Any, dict[str, Any], str]] = [
        (languages().with_prompt("{word}: {text}", ["yes", "no"]), {}, "benchmarks"),
        (languages().head(3), {}, "benchmarks"),
        (languages(), {"bos": False}, "bos"),
    ]
    for benchmark, options, name in others:
        with pytest.raises(vizcore.DataError, match=rf"another run \({name}: "):
            vizcore.evaluate(lm, benchmark, out=out, **options)
    twin = vizcore.Model.of(tiny_network("gpt2", seed=1), byte_level_tokenizer(), name=lm.name)
    with pytest.raises(vizcore.DataError, match=r"another run \(weights: "):
        vizcore.evaluate(twin, languages(), out=out)


def test_an_item_that_cannot_be_run_is_named_with_its_line_errors() -> None:
    network = tiny_network("gpt2", n_positions=16)
    model = vizcore.Model.of(network, byte_level_tokenizer(), name="short")
    rows = [("x", "I am.", "I is."), ("x", "I am " * 20, "No.")]
    with pytest.raises(
        vizcore.DataError, match=r"^Line 3 of p: The text has \d+ tokens, and short"
    ):
        vizcore.evaluate(model, benchmark_of("p.tsv", "paradigm\tgood\tbad", rows))
