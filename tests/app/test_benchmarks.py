"""The page Benchmarks without a browser: runs, what is kept, and the items behind a number."""

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore

LM = "tatoeba-lm"
PAIRS = b'{"good": "I love you.", "bad": "I you love."}\n{"good": "I am.", "bad": "Am I."}\n'


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import benchmarks

    if "model" not in st.session_state:
        st.session_state["model"] = st.query_params.get("model", "tatoeba-lm")
    benchmarks.show()


class Upload(io.BytesIO):
    """What Streamlit gives for an uploaded file."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder for results, and threads that are awaited."""
    from app import benchmark_items
    from app.app_pages import benchmarks

    class AtOnce(threading.Thread):
        def start(self) -> None:
            super().start()
            self.join()

    monkeypatch.setattr(vizcore, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr("app.benchmark_runs.Thread", AtOnce)
    monkeypatch.setattr(benchmarks, "mount_map", lambda _figure, **_settings: None)
    monkeypatch.setattr(benchmark_items, "mount", lambda _view, **_settings: None)
    return tmp_path / "evaluations"


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch, kept: Path) -> dict[str, Any]:
    """What each field for files holds, by its key."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        "app.app_pages.benchmarks.st.file_uploader",
        lambda *_words, key, **_settings: given.get(key),
    )
    return given


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def example(model: str) -> vizcore.Evaluation:
    path = vizcore.asset("benchmarks/sixty-pairs.jsonl")
    return vizcore.evaluate(vizcore.load(model), vizcore.read_benchmark(path))


def test_the_example_has_ten_pairs_of_each_kind() -> None:
    benchmark = vizcore.read_benchmark(vizcore.asset("benchmarks/sixty-pairs.jsonl"))
    assert set(benchmark.items["paradigm"].value_counts()) == {10}
    assert len(benchmark.items) == 60
    assert not benchmark.items[["good", "bad"]].duplicated().any()


def test_a_click_runs_the_example_and_what_was_run_is_there_the_next_time(kept: Path) -> None:
    app = opened()
    assert not app.dataframe
    app.button(key="run").click().run()
    assert not app.exception
    found = vizcore.accuracy_table(example(LM))
    share = found["accuracy"].iloc[-1]
    assert f"has **{share:.1%}** of 60 right" in app.markdown[0].value
    again = opened()
    assert [button.key for button in again.button if button.key == "run"] == []
    assert again.dataframe[0].value["accuracy"].tolist() == found["accuracy"].tolist()
    (path,) = kept.glob("*.parquet")
    assert len(vizcore.read_evaluation(path).items) == 60


def test_two_models_are_compared_on_the_same_items(kept: Path) -> None:
    app = opened(beside="tatoeba-mlm")
    app.button(key="run").click().run()
    compared = vizcore.paired_table(example(LM).items, example("tatoeba-mlm").items)
    assert app.dataframe[0].value["difference"].tolist() == compared["difference"].tolist()
    assert f"McNemar's p = {compared['p_value'].iloc[-1]:.3g}." in app.markdown[0].value
    apart = opened(beside="tatoeba-mlm", items="apart").dataframe[1].value
    assert (apart["correct"] != apart["correct_b"]).all()
    assert len(apart) == compared["only_a"].iloc[-1] + compared["only_b"].iloc[-1]


def test_the_items_of_a_group_and_the_wrong_ones_alone(kept: Path) -> None:
    opened().button(key="run").click().run()
    app = opened(group="2", item="3")
    items = example(LM).items.query("paradigm == 'reflexive'").reset_index(drop=True)
    assert app.dataframe[1].value["good"].tolist() == items["good"].tolist()
    nats = abs(items["difference"][3])
    assert f"{nats:.2f} nats likelier" in app.markdown[-1].value
    wrong = opened(items="wrong").dataframe[1].value
    assert not wrong["correct"].any()
    app.button(key="to_compare").click()


def test_a_run_that_was_stopped_goes_on(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import benchmark_runs

    monkeypatch.setattr("vizcore.evaluation.ITEMS_AT_ONCE", 20)
    plain = benchmark_runs.Run.__post_init__

    def stopped(run: Any) -> None:
        plain(run)
        run.stop()

    model = vizcore.load(LM)
    benchmark = vizcore.read_benchmark(vizcore.asset("benchmarks/sixty-pairs.jsonl"))
    asked = benchmark_runs.Asked((benchmark,))
    stream = vizcore.evaluation_stream(model, benchmark, asked.path(model))
    next(stream), next(stream)  # twenty items are done
    stream.close()
    app = opened()
    assert app.button(key="run").label == "Go on"
    assert app.info[0].value.startswith("Not all is done.")
    with monkeypatch.context() as patched:
        patched.setattr(benchmark_runs.Run, "__post_init__", stopped)
        app.button(key="run").click().run()
    assert app.button(key="run").label == "Go on"
    app.button(key="run").click().run()
    assert "of 60 right" in app.markdown[0].value


def test_a_file_of_ones_own_is_run_and_malformed_rows_are_named(uploads: dict[str, Any]) -> None:
    uploads["benchmark_files"] = [Upload(PAIRS + b'{"good": "x"}\n', "mine.jsonl")]
    app = opened(asked="files")
    assert "Line 3 has no 'bad'" in app.warning[0].value.replace("\\", "")
    app.button(key="run").click().run()
    assert "of 2 right" in app.markdown[0].value


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "a.jsonl", "a.jsonl has no rows"),
        (b'{"a": 1}\n', "<b>.jsonl", "It is not known which columns of <b>.jsonl are asked about"),
        (b"\xff\xfe\x00", "a.csv", "a.csv"),
        (b"text\tlabel\nx\ty\n", "a.tsv", "All rows of a.tsv have the label 'y'"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_in_words(
    content: bytes, name: str, said: str, uploads: dict[str, Any]
) -> None:
    uploads["benchmark_files"] = [Upload(content, name)]
    assert said in opened(asked="files").error[0].value.replace("\\", "")


def test_labels_are_asked_for_in_words_or_probed(uploads: dict[str, Any]) -> None:
    rows = "text\tlabel\n" + "".join(
        f"{text}\t{label}\n"
        for text, label in (("I love it.", "good"), ("I hate it.", "bad"))
        for _ in range(6)
    )
    uploads["benchmark_files"] = [Upload(rows.encode(), "mine.tsv")]
    app = opened(asked="files")
    app.button_group(key="benchmark_method").set_value("probe").run()
    assert app.info[0].value == "Upload the labelled items to learn from, too."
    uploads["benchmark_train"] = Upload(rows.encode(), "train.tsv")
    app.run()
    app.button(key="run").click().run()
    assert not app.exception
    assert "accuracy 1.000 at layer" in app.markdown[0].value.replace("\\", "")


def test_kept_results_are_read_again(uploads: dict[str, Any], tmp_path: Path) -> None:
    assert opened(asked="kept").info[0].value.startswith("Upload what this page")
    path = tmp_path / "a.parquet"
    vizcore.evaluate(vizcore.load(LM), vizcore.parse_benchmark(PAIRS, "mine.jsonl"), out=path)
    uploads["benchmark_results"] = [Upload(path.read_bytes(), "a.parquet")]
    assert "of 2 right" in opened(asked="kept").markdown[0].value
    uploads["benchmark_results"] = [Upload(b"PAR1", "b.parquet")]
    said = opened(asked="kept").error[0].value.replace("\\", "")
    assert said == "b.parquet is no Parquet file that can be read."


def test_a_model_without_likelihoods_is_said_in_words(kept: Path) -> None:
    assert "does not say how likely" in opened(model="minilm-l6").info[0].value


def test_an_error_of_a_run_is_shown(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_given: Any, **_settings: Any) -> Any:
        raise vizcore.DataError("Line 7 of <b>mine</b> is too long.")
        yield

    monkeypatch.setattr(vizcore, "evaluation_stream", fails)
    app = opened()
    app.button(key="run").click().run()
    assert app.error[0].value.replace("\\", "") == "Line 7 of <b>mine</b> is too long."
    assert app.button(key="run").label == "Run"
