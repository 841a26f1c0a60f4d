"""The models known by name: what is said of them, and finding them by nearly the right name."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from vizcore import catalog
from vizcore.fetch import is_fetched

SOURCE = catalog.WheelSource("package", "1.0", "model.gguf", 1, "0" * 64)


def test_the_catalogue_begins_with_a_decoder_and_an_encoder() -> None:
    described = [
        (entry.name, entry.kind, entry.n_layers, entry.n_heads) for entry in catalog.entries()
    ]
    assert ("smollm2-135m", "decoder", 30, 9) in described
    assert ("minilm-l6", "encoder", 6, 12) in described


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_every_entry_says_what_people_need_to_choose(entry: catalog.CatalogEntry) -> None:
    assert entry.kind in ("decoder", "encoder", "encoder-decoder")
    assert entry.description
    assert "\n" not in entry.description
    assert entry.licence in ("Apache-2.0", "CC-BY-2.0-FR")


WHEELS = [entry for entry in catalog.entries() if entry.wheel]
BUNDLED = [entry for entry in catalog.entries() if entry.bundled]


@pytest.mark.parametrize("entry", WHEELS, ids=lambda entry: entry.name)
def test_what_is_fetched_can_be_verified(entry: catalog.CatalogEntry) -> None:
    assert entry.wheel is not None
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.origin)
    assert re.fullmatch(r"[0-9a-f]{64}", entry.wheel.sha256)
    assert entry.download_size > 1_000_000
    assert entry.wheel.path.endswith(".gguf") or "config.json" in entry.wheel.files
    assert not any("/" in name or name.startswith(".") for name in entry.wheel.files)


def test_what_is_bundled_is_there_whole_and_was_made_here() -> None:
    for entry in BUNDLED:
        assert is_fetched(entry), entry.name
        assert entry.download_size == 0
        assert entry.origin == "Headlight"


@pytest.mark.parametrize("entry", [*WHEELS[:1], *BUNDLED[:1]], ids=lambda entry: entry.name)
def test_a_model_comes_from_either_a_wheel_or_the_assets_errors(
    entry: catalog.CatalogEntry,
) -> None:
    for sources in ({"wheel": None, "bundled": None}, {"wheel": SOURCE, "bundled": "models/x"}):
        with pytest.raises(ValueError, match="either a wheel or a folder in assets"):
            replace(entry, **sources)


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
