"""The wheel, built from this checkout, works where there is nothing else.

It is installed into an empty environment, with the dependencies that it names itself, and used
from another folder with nothing of the checkout on the path. That takes about a minute, most of it
PyTorch being unpacked; it is the only proof that no dependency, asset or page was forgotten.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.wheel


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; the test fails with all of it if the command does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Path]:
    """An empty folder outside the checkout, gone afterwards: what is put there is large."""
    folder = Path(tempfile.mkdtemp(prefix="headlight-wheel-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wheel(elsewhere: Path) -> Path:
    """The wheel, built with the tools that the test extra brings."""
    run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", elsewhere, ROOT,
        cwd=elsewhere,
    )  # fmt: skip
    (built,) = elsewhere.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(elsewhere: Path, wheel: Path) -> Path:
    """The Python of an environment in which the wheel and what it asks for are all there is."""
    environment = elsewhere / "environment"
    run(sys.executable, "-m", "venv", environment, cwd=elsewhere)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(
        python, "-m", "pip", "install", "--no-compile", "--quiet", wheel,
        "--constraint", ROOT / "constraints.txt",
        cwd=elsewhere,
    )  # fmt: skip
    return python


@pytest.fixture(scope="module")
def tiny_model(elsewhere: Path) -> Path:
    """A folder with a small random GPT-2 and a tokenizer that knows five words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<unk>", "the", "cat", "sat", "on", "mat"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=32,
        n_embd=12,
        n_layer=2,
        n_head=3,
        bos_token_id=0,
        eos_token_id=0,
    )
    folder = elsewhere / "tiny"
    GPT2LMHeadModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    return folder


def test_the_wheel_holds_the_app_and_the_assets_inside_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"vizcore", f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"}
    for path in ("assets/models.toml", "_app/app/main.py", "py.typed", "views/model_view.js"):
        assert f"vizcore/{path}" in names
    assert not [name for name in names if "__pycache__" in name]


def test_it_loads_traces_and_draws(python: Path, tiny_model: Path, elsewhere: Path) -> None:
    code = f"""
import pathlib, vizcore
assert pathlib.Path(vizcore.__file__).is_relative_to({str(elsewhere)!r}), vizcore.__file__
model = vizcore.load({str(tiny_model)!r})
trace = model.trace("the cat sat on the mat")
weights = trace.attention(layer=1, head=2)
assert weights.shape == (6, 6), weights.shape
assert abs(weights.sum(-1) - 1).max() < 1e-5
page = vizcore.model_view(trace)._repr_html_()
assert "cat" in page and "<script" in page
print(model.n_layers, model.n_heads, vizcore.__version__)
"""
    assert run(python, "-I", "-c", code, cwd=elsewhere).split() == ["2", "3", "0.1.0"]


def test_its_first_page_shows_the_heads_of_a_text(
    python: Path, tiny_model: Path, elsewhere: Path
) -> None:
    code = f"""
from streamlit.testing.v1 import AppTest
from vizcore.resources import app_folder
page = AppTest.from_file(str(app_folder() / "main.py"), default_timeout=120)
page.query_params.update(model={str(tiny_model)!r}, text="the cat sat", layer="1", head="2")
page.run()
assert not page.exception and not page.error, (page.exception, page.error)
heading = page.markdown[0].value.splitlines()[0]
print(len(page.get("bidi_component")), len(page.get("plotly_chart")), heading)
"""
    said = run(python, "-I", "-c", code, cwd=elsewhere).splitlines()[-1]
    assert said.startswith("2 1 **Layer 1, head 2**")


def test_its_command_tells_the_models(python: Path, elsewhere: Path) -> None:
    assert "smollm2-135m" in run(python.parent / "vizcore", "models", cwd=elsewhere)
