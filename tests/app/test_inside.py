"""The page Inside attention without a browser: its formula, its fields, what it cannot show."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.formulas import head_formula
from tests.support.tiny import save, tiny_network
from vizcore.model import Model
from vizcore.steps import attention_steps

PAGE = """
import streamlit as st
from app import sidebar
from app.app_pages import inside

sidebar.choose()
inside.show()
"""


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_string(PAGE, default_timeout=120)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def formula(architecture: str, step: str, *, kind: str = "decoder", **more: bool) -> str:
    """The formula of a head of a tiny network, without what marks its current part."""
    model = Model.of(tiny_network(architecture), None)
    ids = [5, 9, 17, 23, 40]
    trace = model.trace(ids, ids[:4]) if model.kind == "encoder-decoder" else model.trace(ids)
    return head_formula(attention_steps(trace, 0, 1, 2, kind=kind, **more), step, dark=False)


def test_the_whole_formula_is_there_and_the_current_part_is_marked() -> None:
    app = opened(model="minilm-l6", text="a b c", layer="2", head="3", step="softmax")
    (latex,) = app.latex
    assert r"\mathrm{head}_{3} = \colorbox" in latex.value
    assert r"\mathrm{softmax}\Bigl(\frac{q\,K^{\top}}{\sqrt{d_k}}\Bigr)$}\,V" in latex.value
    assert r"\mathrm{Concat}(\mathrm{head}_0 \ldots \mathrm{head}_{11})\,W^O" in latex.value


@pytest.mark.parametrize(
    ("architecture", "step", "more", "part"),
    [
        (
            "llama",
            "sum",
            {},
            r"\mathrm{softmax}\Bigl(\frac{q\,K^{\top}}{\sqrt{d_k}}\,+\,M\Bigr)\,V",
        ),
        ("llama", "sum", {"scaling": False}, r"{\cancel{\sqrt{d_k}}}"),
        ("llama", "sum", {"mask": False}, r"\,\cancel{+\,M}"),
        ("gemma2", "sum", {}, r"c\,\tanh\frac{1}{c}\Bigl(0.0625 \cdot q\,K^{\top}\Bigr)"),
        ("t5", "sum", {}, r"\Bigl(q\,K^{\top}\,+\,B\,+\,M\Bigr)"),
    ],
)
def test_the_formula_is_that_of_the_network(
    architecture: str, step: str, more: dict[str, bool], part: str
) -> None:
    assert part in formula(architecture, step, **more)


@pytest.mark.parametrize(
    ("step", "marked"),
    [
        ("query", "q"),
        ("keys", r"K^{\top}"),
        ("scores", r"q\,K^{\top}"),
        ("mask", r"\,+\,M"),
        ("values", "V"),
        ("concat", r"\mathrm{Concat}(\mathrm{head}_0 \ldots \mathrm{head}_{3})"),
        ("output", "W^O"),
    ],
)
def test_exactly_one_part_is_marked_at_each_step(step: str, marked: str) -> None:
    latex = formula("llama", step)
    assert latex.count(r"\colorbox") == 1
    assert rf"$\displaystyle\color{{#a83400}}{marked}$" in latex


def test_a_switch_leaves_a_step_out_and_the_address_says_so() -> None:
    app = opened(model="smollm2-135m", text="The cat sat on the mat", layer="3", head="4")
    scaling, mask = app.toggle
    assert (scaling.label, mask.label) == ("Without scaling", "Without mask")
    scaling.set_value(True).run()
    assert app.query_params["without"] == "scaling"
    app.toggle[1].set_value(True).run()
    assert app.query_params["without"] == "scaling-mask"
    assert r"\cancel{\sqrt{d_k}}" in app.latex[0].value
    app.toggle[0].set_value(False).run()
    app.toggle[1].set_value(False).run()
    assert "without" not in app.query_params


def test_of_an_encoder_there_is_no_mask_to_leave_out() -> None:
    app = opened(model="minilm-l6", text="a b c", without="mask")
    assert app.toggle[1].disabled
    assert not app.toggle[1].value
    assert app.toggle[1].help == (
        "Nothing is hidden from this token, so there is no mask to leave out."
    )


def test_a_step_that_this_model_does_not_have_opens_the_first() -> None:
    app = opened(model="minilm-l6", text="a b c", step="rotation")
    assert r"$\displaystyle\color{#a83400}q$" in app.latex[0].value


def test_an_encoder_decoder_shows_each_kind_of_attention(tmp_path: Path) -> None:
    folder = str(save(tiny_network("t5"), tmp_path))
    app = opened(model=folder, text="one two three", kind="decoder", target="two")
    (kinds,) = app.button_group
    assert kinds.value == "decoder"
    assert app.toggle[0].disabled  # T5 does not scale
    assert not app.toggle[1].disabled


def test_a_model_that_cannot_be_taken_apart_says_so_and_what_to_do(tmp_path: Path) -> None:
    folder = save(tiny_network("bloom"), tmp_path / "bloom")
    app = opened(model=str(folder), text="one two three")
    assert app.info[0].value.replace("\\", "") == (
        f"**{folder} cannot be shown step by step**: transformers returns the weights of its "
        "attention, but not the queries, keys and values that they come from. See where it "
        "looks on the page Attention, or choose another model on the left, such as smollm2-135m."
    )
    assert not app.latex
