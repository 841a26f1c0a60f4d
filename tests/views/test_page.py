"""Joining a view's modules into one text, and what its pages may not do."""

import re
from pathlib import Path

import pytest

from tests.views.synthetic import a_map, attention_maps
from vizcore.views import page
from vizcore.views.model_view import model_view

NASTY = "</script><script>alert(1)</script><!-- \u2028 ${x} ` \\ \ud800"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the joiner looks for modules, for the time of the test."""
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    page._joined.cache_clear()
    yield tmp_path
    page._joined.cache_clear()


def test_each_module_is_there_once_after_those_it_imports(folder: Path) -> None:
    (folder / "a.js").write_text("export const a = 1;\n")
    (folder / "b.js").write_text('import { a } from "./a.js";\nexport function b() { return a; }\n')
    (folder / "c.js").write_text(
        'import { a } from "./a.js";\nimport { b } from "./b.js";\n'
        "export default function mount() { return a + b(); }\n"
    )
    assert page.script("c") == (
        "const view = (() => {\n"
        "const $a = (() => {\nconst a = 1;\nreturn { a };\n})();\n"
        "const $b = (() => {\nconst { a } = $a;\nfunction b() { return a; }\nreturn { b };\n})();\n"
        "const $c = (() => {\nconst { a } = $a;\nconst { b } = $b;\n"
        "function mount() { return a + b(); }\nreturn { default: mount };\n})();\n"
        "return $c.default;\n})();\n"
        "export default view;\n"
    )


def test_lines_that_are_only_comments_stay_behind(folder: Path) -> None:
    (folder / "a.js").write_text(
        "/**\n * What for.\n */\n\n  // why\nexport default function mount() {\n"
        "  return /** @type {any} */ (1) / 2;\n}\n/** Not this: */ mount.x = 1;\n"
    )
    assert "const $a = (() => {\nfunction mount() {\n  return /** @type {any} */ (1) / 2;\n}\n" in (
        page.script("a")
    )
    assert "/** Not this: */ mount.x = 1;" in page.script("a")


@pytest.mark.parametrize(
    "line",
    [
        'import everything from "./a.js";',
        'import * as everything from "./a.js";',
        'import { a } from "https://example.org/a.js";',
        "export { a };",
        'export * from "./a.js";',
    ],
)
def test_a_form_of_import_that_the_joiner_does_not_know_is_refused_by_name_errors(
    folder: Path, line: str
) -> None:
    (folder / "a.js").write_text("export const a = 1;\n")
    (folder / "b.js").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="cannot be joined") as caught:
        page.script("b")
    assert str(caught.value) == f"b.js has a line that cannot be joined: {line!r}"


def test_modules_that_import_each_other_are_refused_errors(folder: Path) -> None:
    (folder / "a.js").write_text('import { b } from "./b.js";\n')
    (folder / "b.js").write_text('import { a } from "./a.js";\n')
    with pytest.raises(ValueError, match="imports itself") as caught:
        page.script("a")
    assert str(caught.value) == "a.js imports itself, by way of a and b."


@pytest.mark.parametrize("name", ["model_view", "tokens_view"])
def test_a_view_is_one_module_with_one_export_and_no_import(name: str) -> None:
    text = page.script(name)
    assert re.findall(r"^\s*(?:import|export)\b.*$", text, re.MULTILINE) == ["export default view;"]
    assert page.script(name) == text


def test_nothing_in_the_data_can_end_the_script_or_reach_the_network() -> None:
    map = a_map([[1.0]], [NASTY], [NASTY], layer=0, head=0, quantity=NASTY)
    for text in (model_view([map])._repr_html_(), model_view([map], title=NASTY).to_html()):
        assert len(re.findall(r"</?script", text, re.IGNORECASE)) == 2
        assert "<!--" not in text
        assert "alert(1)</script>" not in text
        assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text) == []
        text.encode("utf-8")


def test_every_output_has_an_id_of_its_own() -> None:
    view = model_view(attention_maps(1, 1, 3))
    first, second = (re.findall(r'<div id="(headlight-\w+)"', view._repr_html_())[0] for _ in "ab")
    assert first != second


def test_a_view_in_a_terminal_is_one_short_line() -> None:
    assert (
        repr(model_view(attention_maps(2, 3, 4))) == "<model_view: Attention, 2 layers × 3 heads>"
    )
