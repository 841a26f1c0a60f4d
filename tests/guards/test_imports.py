"""Who may import whom, as docs/architecture.md draws it; and that each rule can find a breach."""

import importlib.metadata
import subprocess
import sys
import tomllib

import pytest

import vizcore
from tests.guards import project, rules

ARCHITECTURE = (project.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
HEAVY = {"torch", "transformers", "streamlit", "plotly", "pandas", "accelerate", "gguf", "typer"}
TREE = """
    vizcore/
      __init__.py      the public names
      errors.py        every error
      maps.py          the seam
      views/           maps -> something to look at
      cli.py           the terminal
    app/
"""


def test_a_vizcore_module_imports_only_from_those_above_it() -> None:
    order = rules.module_order(ARCHITECTURE)
    complaints = [
        complaint
        for path, source in project.files("vizcore", suffix=".py")
        if path != "vizcore/__init__.py"
        for complaint in rules.against_the_order(project.module_name(path), source, order)
    ]
    assert complaints == []


def test_the_architecture_page_draws_every_module_and_no_other() -> None:
    there = {
        path.split("/")[1].removesuffix(".py") for path, _ in project.files("vizcore", suffix=".py")
    }
    assert set(rules.module_order(ARCHITECTURE)) == there - {"__init__"}


def test_the_order_is_read_from_the_drawing() -> None:
    assert rules.module_order(TREE) == ["errors", "maps", "views", "cli"]
    assert rules.module_order("no drawing here") == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        (
            "vizcore.maps",
            "from vizcore.cli import main",
            "vizcore.maps:1 imports vizcore.cli, which stands below it",
        ),
        (
            "vizcore.errors",
            "def f():\n    import vizcore.maps",
            "vizcore.errors:2 imports vizcore.maps, which stands below it",
        ),
        ("vizcore.maps", "import vizcore", "vizcore.maps:1 imports all of vizcore"),
        (
            "vizcore.cli",
            "from . import maps",
            "vizcore.cli:1 imports relatively; write vizcore.… in full",
        ),
        (
            "vizcore.maps",
            "from vizcore import stray",
            "vizcore.maps:1 imports vizcore.stray, which the order does not have",
        ),
        (
            "vizcore.stray",
            "",
            "vizcore.stray is not in the order that docs/architecture.md draws",
        ),
    ],
)
def test_an_import_against_the_order_is_found(module: str, source: str, complaint: str) -> None:
    assert rules.against_the_order(module, source, rules.module_order(TREE)) == [complaint]


def test_an_import_from_above_or_beside_is_fine() -> None:
    order = rules.module_order(TREE)
    assert rules.against_the_order("vizcore.views", "from vizcore.maps import A", order) == []
    assert rules.against_the_order("vizcore.maps", "from vizcore import __version__", order) == []
    assert (
        rules.against_the_order("vizcore.cli", "import vizcore\nfrom vizcore import load", order)
        == []
    )
    assert rules.against_the_order("vizcore.views.a", "import vizcore.views.b", order) == []


def test_an_import_for_annotations_alone_is_not_counted() -> None:
    source = "if TYPE_CHECKING:\n    import torch\nelse:\n    import json"
    assert rules.imported(source) == [(4, "json")]


def test_vizcore_imports_neither_streamlit_nor_the_app() -> None:
    for path, source in project.files("vizcore", suffix=".py"):
        assert rules.forbidden_imports(path, source, {"streamlit", "app", "tests"}) == []


def test_the_views_import_neither_torch_nor_transformers() -> None:
    for path, source in project.files("vizcore/views", suffix=".py"):
        assert rules.forbidden_imports(path, source, {"torch", "transformers", "streamlit"}) == []


def test_the_app_does_no_arithmetic_on_tensors() -> None:
    for path, source in project.files("app", suffix=".py"):
        assert rules.forbidden_imports(path, source, {"torch", "transformers", "numpy"}) == []


def test_a_forbidden_import_is_found() -> None:
    source = "import json\ndef f():\n    from torch.nn import Linear"
    assert rules.forbidden_imports("a.py", source, {"torch"}) == ["a.py:3 imports torch.nn"]


def test_the_app_uses_only_the_public_names() -> None:
    for path, source in project.files("app", suffix=".py"):
        assert rules.beyond_the_public_names(path, source, vizcore.__all__) == []


@pytest.mark.parametrize(
    "source",
    ["from vizcore import hidden", "import vizcore\nvizcore.hidden()", "import vizcore.hidden"],
)
def test_a_use_of_a_name_that_is_not_public_is_found(source: str) -> None:
    line = source.count("\n") + 1
    assert rules.beyond_the_public_names("a.py", source, ["load"]) == [
        f"a.py:{line} uses vizcore.hidden, which vizcore does not export"
    ]


def test_every_imported_package_is_declared_in_pyproject() -> None:
    metadata = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    always = metadata["project"]["dependencies"]
    recipes = metadata["project"]["optional-dependencies"]["recipes"]
    distributions = importlib.metadata.packages_distributions()
    own = {*sys.stdlib_module_names, "vizcore", "app"}
    for path, source in [*project.files("vizcore", "app", suffix=".py")]:
        # The app's own folder is on the path when Streamlit runs it.
        beside = {p.stem for p in (project.ROOT / "app").iterdir()} if "app/" in path else set()
        needed = [*always, *recipes] if path.startswith("vizcore/recipes/") else always
        declared = [rules.normal_name(name) for name in needed]
        assert rules.undeclared(path, source, declared, distributions, own | beside) == []


def test_an_undeclared_package_is_found() -> None:
    distributions = {"yaml": ["PyYAML"], "numpy": ["numpy"]}
    source = "import json\nimport numpy as np\nimport yaml"
    assert rules.undeclared("a.py", source, ["numpy"], distributions, {"json"}) == [
        "a.py:3 imports yaml, which pyproject.toml lacks"
    ]
    assert rules.undeclared("a.py", source, ["numpy", "pyyaml"], distributions, {"json"}) == []
    assert rules.normal_name("Huggingface_hub>=1.31") == "huggingface-hub"


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=project.ROOT
    )
    return set(done.stdout.split())


def test_importing_vizcore_loads_nothing_heavy() -> None:
    assert _loaded_by("import vizcore") & HEAVY == set()


def test_loading_something_heavy_is_noticed() -> None:
    assert "pandas" in _loaded_by("import pandas")


def test_no_view_brings_torch_with_it() -> None:
    modules = [
        project.module_name(path) for path, _ in project.files("vizcore/views", suffix=".py")
    ]
    loaded = _loaded_by("\n".join(f"import {module}" for module in modules))
    assert loaded & {"torch", "transformers", "streamlit"} == set()
