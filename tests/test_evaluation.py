"""A model on a benchmark: answers equal those of plain loops, and an interrupted run goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score
from sklearn.preprocessing import StandardScaler

import vizcore
from tests.support.benchmark_data import (
    PAIRS,
    acceptability,
    benchmark_of,
    cola,
    languages,
    pairs,
)
from tests.support.tiny import byte_level_tokenizer, tiny_network


@pytest.fixture(scope="module")
def lm() -> vizcore.Model:
    return vizcore.load("tatoeba-lm")


def log_likelihood(model: vizcore.Model, text: str) -> tuple[float, int]:
    """By the definition: the sum of the log-probability of each token after those before it."""
    ids = torch.tensor([model.encode(text)])
    network: Any = model.network
    with torch.inference_mode():
        logits = network(ids).logits[0].log_softmax(dim=-1)
    following = ids[0, 1:]
    return float(logits[range(len(following)), following].sum()), len(following)


def test_of_a_minimal_pair_the_good_sentence_has_to_be_the_likelier_one(lm: vizcore.Model) -> None:
    items = vizcore.evaluate(lm, pairs()).items
    for row, (paradigm, good, bad) in zip(items.to_dict("records"), PAIRS, strict=True):
        a, n_a = log_likelihood(lm, good)
        b, n_b = log_likelihood(lm, bad)
        assert (row["paradigm"], row["good"], row["bad"]) == (paradigm, good, bad)
        assert row["good_log_likelihood"] == pytest.approx(a, abs=1e-3)
        assert row["bad_log_likelihood"] == pytest.approx(b, abs=1e-3)
        assert (row["good_n_tokens"], row["bad_n_tokens"]) == (n_a, n_b)
        assert row["difference"] == pytest.approx(a - b, abs=1e-3)
        assert row["correct"] == (good != bad and a > b)
        assert row["correct_by_mean"] == (good != bad and a / n_a > b / n_b)


def test_accuracy_is_counted_by_paradigm_with_its_interval(lm: vizcore.Model) -> None:
    found = vizcore.evaluate(lm, pairs())
    counted = vizcore.accuracy_table(found)
    assert list(counted["paradigm"]) == ["agreement", "order", "all"]
    assert list(counted["n"]) == [2, 3, 5]
    right = found.items.groupby("paradigm")["correct"].sum()
    assert list(counted["n_correct"]) == [right["agreement"], right["order"], right.sum()]
    for row in counted.to_dict("records"):
        interval = vizcore.wilson_interval(row["n_correct"], row["n"])
        assert (row["low"], row["high"]) == interval
    assert counted["mean_difference"].iloc[-1] == pytest.approx(found.items["difference"].mean())


def test_a_same_sentence_twice_is_no_right_answer(lm: vizcore.Model) -> None:
    last = vizcore.evaluate(lm, pairs()).items.iloc[-1]
    assert last["difference"] == 0
    assert not last["correct"]


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_label_whose_word_is_likeliest_in_the_prompt_is_taken(
    calibrated: bool, lm: vizcore.Model
) -> None:
    found = vizcore.evaluate(lm, languages(), calibrated=calibrated)
    empty = [log_likelihood(lm, f" {word}")[0] for word in ("yes", "no")]
    for row in found.items.to_dict("records"):
        scores = [log_likelihood(lm, f"{row['text']} {word}")[0] for word in ("yes", "no")]
        if calibrated:
            scores = [one - other for one, other in zip(scores, empty, strict=True)]
        assert [row["log_likelihood_en"], row["log_likelihood_zh"]] == pytest.approx(
            scores, abs=1e-3
        )
        assert row["predicted"] == ("en" if scores[0] > scores[1] else "zh")
        assert row["correct"] == (row["predicted"] == row["label"])
    metrics = vizcore.metric_table(found).set_index("metric")
    assert metrics.loc["accuracy", "value"] == found.items["correct"].mean()
    assert {*metrics.index} == {"accuracy", "matthews"}


def test_a_graded_task_is_how_much_likelier_the_high_word_is(lm: vizcore.Model) -> None:
    rows = [("a cat", "a dog", 2.5), ("a cat", "a cat", 5), ("I am", "No", 0)]
    content = "index\tsentence1\tsentence2\tscore"
    graded = benchmark_of(
        "dev.tsv", content, [(n, *row) for n, row in enumerate(rows)], task="STS-B"
    )  # fmt: skip
    found = vizcore.evaluate(lm, graded)
    assert graded.task is not None
    for row in found.items.to_dict("records"):
        low, high = (
            log_likelihood(
                lm, graded.task.template.format(text=row["text"], second=row["second"], word=word)
            )[0]
            for word in ("no", "yes")
        )
        assert row["predicted"] == pytest.approx(high - low, abs=1e-3)
    metrics = vizcore.metric_table(found).set_index("metric")["value"]
    expected = np.corrcoef(found.items["predicted"], [2.5, 5, 0])[0, 1]
    assert metrics["pearson"] == pytest.approx(expected)
    assert list(metrics.index) == ["pearson", "spearman"]


@pytest.mark.parametrize("by", ["sum", "mean"])
def test_acceptability_by_likelihood_with_the_threshold_chosen_on_train(
    by: Any, lm: vizcore.Model
) -> None:
    train, dev = acceptability()
    found = vizcore.evaluate(lm, dev, method="likelihood", train=train, by=by)

    def score(text: str) -> float:
        total, n_tokens = log_likelihood(lm, text)
        return total if by == "sum" else total / n_tokens

    threshold = found.settings["threshold"]
    learnt = np.array([score(text) for text in train.items["text"]])
    labels = (train.items["label"] == "1").to_numpy()
    best = max(matthews_corrcoef(labels, learnt >= cut) for cut in sorted(learnt)[1:])
    assert matthews_corrcoef(labels, learnt >= threshold) == pytest.approx(best)
    assert found.settings["n_train"] == 9
    assert list(found.items["text"]) == list(dev.items["text"])
    scores = [score(text) for text in dev.items["text"]]
    assert list(found.items["score"]) == pytest.approx(scores, abs=1e-3)
    predicted = ["1" if one >= threshold else "0" for one in scores]
    assert list(found.items["predicted"]) == predicted
    metrics = vizcore.metric_table(found).set_index("metric")["value"]
    right = dev.items["label"]
    assert metrics["matthews"] == pytest.approx(matthews_corrcoef(right, predicted))
    assert metrics["auc"] == pytest.approx(roc_auc_score(right == "1", scores))


@pytest.fixture(scope="module")
def bert() -> vizcore.Model:
    return vizcore.Model.of(tiny_network("bert"), byte_level_tokenizer(), name="bert")


def test_a_probe_on_each_layer_is_scikit_learns(bert: vizcore.Model) -> None:
    train, dev = languages("train.tsv", first=2), languages("dev.tsv")
    found = vizcore.evaluate(bert, dev, method="probe", train=train)
    fitted = vizcore.layer_features(bert, [*train.items["text"]])
    asked = vizcore.layer_features(bert, [*dev.items["text"]])
    metrics = vizcore.metric_table(found)
    for layer in range(-1, bert.n_layers):
        scaler = StandardScaler().fit(fitted[:, layer + 1])
        line = LogisticRegression(C=1 / (0.01 * len(train.items)), max_iter=2000)
        line.fit(scaler.transform(fitted[:, layer + 1]), train.items["label"])
        predicted = line.predict(scaler.transform(asked[:, layer + 1]))
        rows = found.items[found.items["layer"] == layer]
        assert list(rows["predicted"]) == list(predicted)
        value = metrics[(metrics["layer"] == layer) & (metrics["metric"] == "accuracy")]["value"]
        assert value.item() == np.mean(predicted == dev.items["label"])
    assert found.settings["n_train"] == 6
    assert len(found.items) == (bert.n_layers + 1) * len(dev.items)


def test_a_probe_of_pairs_joins_two_vectors(bert: vizcore.Model) -> None:
    rows = [(n, a, b, 0.5 * n) for n, (_, a, b) in enumerate(PAIRS)]
    graded = benchmark_of("dev.tsv", "index\tsentence1\tsentence2\tscore", rows, task="STS-B")
    found = vizcore.evaluate(bert, graded, method="probe", train=graded)
    u = vizcore.layer_features(bert, [a for _, a, _ in PAIRS])[:, -1]
    v = vizcore.layer_features(bert, [b for _, _, b in PAIRS])[:, -1]
    joined = StandardScaler().fit_transform(np.concatenate([np.abs(u - v), u * v], axis=1))
    expected = Ridge(alpha=0.01 * 5).fit(joined, graded.items["label"]).predict(joined)
    last = found.items[found.items["layer"] == bert.n_layers - 1]
    np.testing.assert_allclose(last["predicted"], expected, atol=1e-4)
    assert "correct" not in found.items


def test_a_probe_where_the_order_matters_has_both_vectors_too(bert: vizcore.Model) -> None:
    rows = [(n, a, b, ["entailment", "not_entailment"][n % 2]) for n, (_, a, b) in enumerate(PAIRS)]
    task = benchmark_of("dev.tsv", "index\tsentence1\tsentence2\tlabel", rows, task="RTE")
    found = vizcore.evaluate(bert, task, method="probe", train=task)
    u = vizcore.layer_features(bert, [a for _, a, _ in PAIRS])[:, 1]
    v = vizcore.layer_features(bert, [b for _, _, b in PAIRS])[:, 1]
    joined = np.concatenate([u, v, np.abs(u - v), u * v], axis=1)
    line = LogisticRegression(C=1 / (0.01 * 5), max_iter=2000)
    x = StandardScaler().fit_transform(joined)
    predicted = line.fit(x, task.items["label"]).predict(x)
    assert list(found.items[found.items["layer"] == 0]["predicted"]) == list(predicted)


def test_glues_metrics_are_those_of_scikit_learn(lm: vizcore.Model) -> None:
    heading = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    rows = [(n % 2, n, n, a, b) for n, (_, a, b) in enumerate(PAIRS)]
    mrpc = benchmark_of("dev.tsv", heading, rows)
    found = vizcore.evaluate(lm, mrpc)
    metrics = vizcore.metric_table(found)
    assert list(metrics["metric"]) == ["f1", "accuracy"]
    right, said = found.items["label"], found.items["predicted"]
    expected = f1_score(right, said, pos_label="1", zero_division=np.nan)
    assert metrics["value"].iloc[0] == pytest.approx(expected, nan_ok=True)


def test_methods_that_do_not_fit_are_refused_errors(lm: vizcore.Model) -> None:
    train, dev = acceptability()
    mixed = [languages(), cola("dev.tsv", [("1", "I am."), ("0", "I is.")])]
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ([], {}, "There is no benchmark. Give at least one."),
        (
            [pairs(), pairs()],
            {},
            "Two benchmarks are called pairs: rename one of the files.",
        ),
        (
            mixed,
            {},
            "languages and CoLA dev are of different kinds. Evaluate them one after the other.",
        ),
        (
            pairs(),
            {"method": "words"},
            'pairs has minimal pairs: the method is "pairs", not "words".',
        ),
        (
            dev,
            {"method": "pairs"},
            'CoLA dev has labels: the method is "words", "likelihood" or "probe", not "pairs".',
        ),
        (
            dev,
            {"method": "likelihood"},
            'The method "likelihood" learns from labelled items: give `train` (in the terminal '
            "--train), such as the task's train.tsv.",
        ),
        (
            dev,
            {"train": train},
            'The method "words" learns nothing: leave out `train`.',
        ),
        (
            dev,
            {"method": "probe", "train": languages()},
            "languages and CoLA dev are of different kinds.",
        ),
        (
            benchmark_of("dev.tsv", "question\tsentence\tlabel", [("Who?", "I.", "entailment")]),
            {"method": "likelihood", "train": benchmark_of(
                "train.tsv", "question\tsentence\tlabel", [("Who?", "I.", "entailment")])},
            'The method "likelihood" is for sentences that are acceptable or not: one text and two '
            'labels. QNLI dev has something else; take "words" or "probe".',
        ),
    ]  # fmt: skip
    for benchmark, options, said in cases:
        with pytest.raises(vizcore.SelectionError) as caught:
            vizcore.evaluate(lm, benchmark, **options)
        assert str(caught.value) == said


def test_probing_needs_two_labels_to_learn_from_errors(bert: vizcore.Model) -> None:
    dev = languages()
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.evaluate(bert, dev, method="probe", train=dev.head(3))
    assert str(caught.value) == (
        "All 3 rows to learn languages from have the same label. Take more of them, or another "
        "file."
    )


def test_tables_that_do_not_fit_say_so_errors(lm: vizcore.Model) -> None:
    found = vizcore.evaluate(lm, pairs())
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.metric_table(found)
    assert str(caught.value) == (
        "Minimal pairs have no labels, so no such metrics: see accuracy_table."
    )
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.accuracy_table(found, by="field")
    assert str(caught.value).startswith(
        "These results have no column 'field'. They have: benchmark, line, paradigm, phenomenon, "
    )


def test_a_sample_of_the_real_blimp_on_the_real_model(smollm2: Any, shared_data: Path) -> None:
    path = shared_data / "blimp" / "anaphor_number_agreement.jsonl"
    found = vizcore.evaluate(smollm2, vizcore.read_benchmark(path).head(12))
    for row in found.items.head(3).to_dict("records"):
        assert row["difference"] == pytest.approx(
            log_likelihood(smollm2, row["good"])[0] - log_likelihood(smollm2, row["bad"])[0],
            abs=1e-3,
        )
    counted = vizcore.accuracy_table(found)
    assert list(counted["paradigm"]) == ["anaphor_number_agreement"]
    assert counted["accuracy"].item() > 0.8


def test_masked_models_answer_by_their_pseudo_log_likelihood() -> None:
    mlm = vizcore.load("tatoeba-mlm")
    found = vizcore.evaluate(mlm, pairs().head(2), masking="original")
    for row in found.items.to_dict("records"):
        expected = vizcore.score(mlm, [row["good"], row["bad"]], masking="original")
        good, bad = expected["log_likelihood"]
        assert row["difference"] == pytest.approx(good - bad, abs=1e-3)
    assert found.settings["masking"] == "original"
