"""docs/conformance.md tells about every text architecture of the installed transformers."""

import transformers

from tests.conformance.architectures import text_architectures
from tests.conformance.page import PAGE, page, read_rows, read_version
from tests.conformance.result import Result
from tests.test_conformance import RETURNED, TAPPED
from tests.test_positions import FAMILY

TEXT = PAGE.read_text(encoding="utf-8")
ROWS = read_rows(TEXT)
AGAIN = "`make conformance` makes docs/conformance.md again"
HYBRID = """
    bamba granitemoehybrid jamba kimi_linear lfm2 minimax nemotron_h qwen3_next recurrent_gemma
    zamba zamba2
""".split()


def test_the_page_was_made_with_the_installed_transformers() -> None:
    assert read_version(TEXT) == transformers.__version__, AGAIN


def test_every_text_architecture_has_one_result() -> None:
    named = [name for rows in ROWS.values() for name in rows]
    assert sorted(named) == text_architectures(), AGAIN
    assert len(named) > 200


def test_at_least_170_are_exact() -> None:
    exact = ROWS["Exact"]
    assert len(exact) >= 170
    assert all(float(cells[-1]) <= 1e-5 for cells in exact.values())
    assert {cells[2] for cells in exact.values()} == {"tap", "eager"}


def test_nothing_is_shown_wrongly_or_fails_without_words() -> None:
    assert "Shown, but not exact" not in ROWS
    assert "Failed" not in ROWS


def test_whatever_is_not_exact_has_a_reason() -> None:
    for title in ("Refused", "Not built"):
        assert all(len(reason) > 10 for (reason,) in ROWS[title].values())


def test_what_the_quick_tests_find_is_on_the_page() -> None:
    for names, way in ((TAPPED, "tap"), (RETURNED, "eager")):
        assert {ROWS["Exact"][name][2] for name in names} == {way}
    assert set(FAMILY) <= set(ROWS["Exact"])


def test_of_hybrid_networks_the_layers_that_attend_are_named() -> None:
    for name in HYBRID:
        layers = ROWS["Exact"][name][3]
        assert layers.startswith("layer")
        assert layers.endswith("; the others have none")


def test_networks_without_softmax_attention_are_refused_for_it() -> None:
    for name in ("mamba", "mamba2", "rwkv", "xlstm", "fnet", "falcon_mamba"):
        (reason,) = ROWS["Refused"][name]
        assert "has no attention weights to show: it has no softmax attention" in reason


def test_a_page_can_be_read_back() -> None:
    results = [
        Result("one", "exact", "OneModel", "decoder", "tap", {"decoder": [1]}, 3, 3e-7, 1e-6),
        Result(
            "two",
            "exact",
            "TwoModel",
            "encoder-decoder",
            "eager",
            {"encoder": [0, 1, 2], "decoder": [0, 1], "cross": [0, 1]},
            2,
            0.0,
        ),
        Result("three", "refused", reason="ThreeModel | has <none>"),
        Result("four", "failed", reason="its process ended with code -9"),
    ]
    text = page(results)
    assert read_version(text) == transformers.__version__
    assert read_rows(text) == {
        "Exact": {
            "one": ["OneModel", "decoder", "tap", "layer 1 of 3; the others have none", "3e-07"],
            "two": ["TwoModel", "encoder-decoder", "eager", "encoder 3, decoder 2, cross 2", "0"],
        },
        "Refused": {"three": ["ThreeModel \\| has \\<none\\>"]},
        "Failed": {"four": ["its process ended with code -9"]},
    }
    assert "| Text architectures | 4 |" in text
    assert "| **Exact** (1 decoders, 1 encoder-decoders) | 2 |" in text
