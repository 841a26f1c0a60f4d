"""What the library promises: its names, docstrings, errors and version; and that breaches show."""

import builtins
import inspect
import tomllib

import pytest

import vizcore
import vizcore.errors
from tests.guards import project, rules

CHANGELOG = (project.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_public_names_are_sorted_complete_and_there() -> None:
    submodules = {
        path.split("/")[1].removesuffix(".py") for path, _ in project.files("vizcore", suffix=".py")
    }
    # A submodule that happens to be imported is an attribute too, but no promise, unless a public
    # function bears its name.
    public = {name for name in dir(vizcore) if not name.startswith("_")}
    public -= submodules - {*vizcore.__all__}
    available = {name for name in public if hasattr(vizcore, name)}
    listed = [name for name in vizcore.__all__ if name != "__version__"]
    assert rules.exports(listed, available) == []


def test_no_public_name_is_a_module() -> None:
    for name in vizcore.__all__:
        assert not inspect.ismodule(getattr(vizcore, name)), name


def test_every_public_name_is_in_the_directory_before_it_is_used() -> None:
    assert {*vizcore.__all__} <= {*dir(vizcore)}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="vizcore.*no_such_name"):
        vizcore.no_such_name  # noqa: B018


def test_a_wrong_list_of_names_is_found() -> None:
    assert rules.exports(["b", "a", "a"], ["a", "c"]) == [
        "__all__ is not sorted",
        "a is listed twice",
        "b is listed but not there",
        "c is public but not listed",
    ]


def test_everything_public_says_what_it_does() -> None:
    complaints = [
        complaint
        for path, source in project.files("vizcore", "app", suffix=".py")
        for complaint in rules.missing_docstrings(path, source)
    ]
    assert complaints == []


def test_a_missing_docstring_is_found() -> None:
    source = "class A:\n    '''Is.'''\n    def f(self): ...\n    def _g(self): ...\ndef h(): ..."
    assert rules.missing_docstrings("a.py", source) == [
        "a.py has no module docstring",
        "a.py:3 A.f has no docstring",
        "a.py:5 h has no docstring",
    ]


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    classes = {
        name: error
        for name, error in vars(vizcore.errors).items()
        if inspect.isclass(error) and issubclass(error, vizcore.errors.VizcoreError)
    }
    drawn = rules.error_tree(vizcore.errors.__doc__ or "")
    assert set(drawn) == set(classes) - {"VizcoreError"}
    for name, (parent, builtin) in drawn.items():
        assert classes[name].__bases__[0] is classes[parent], name
        if builtin is not None:
            assert issubclass(classes[name], getattr(builtins, builtin)), name


def test_every_error_is_public_and_also_the_builtin_one_that_fits() -> None:
    for name, error in vars(vizcore.errors).items():
        if inspect.isclass(error) and issubclass(error, vizcore.errors.VizcoreError):
            assert name in vizcore.__all__
            beside = (ValueError, LookupError, OSError, RuntimeError)
            assert error is vizcore.VizcoreError or issubclass(error, beside), name


def test_the_tree_of_errors_is_read_with_its_branches() -> None:
    drawing = """Errors.

    VizcoreError
    ├── AError (ValueError)    words
    │   ├── BError             words
    │   └── CError             words
    └── DError (LookupError)   words
    """
    assert rules.error_tree(drawing) == {
        "AError": ("VizcoreError", "ValueError"),
        "BError": ("AError", None),
        "CError": ("AError", None),
        "DError": ("VizcoreError", "LookupError"),
    }


def test_changelog_package_and_module_tell_the_same_version() -> None:
    metadata = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version = metadata["project"]["version"]
    assert rules.newest_version(CHANGELOG) == version
    assert vizcore.__version__ == version


def test_the_newest_version_is_the_first_in_the_changelog() -> None:
    assert rules.newest_version("# Changes\n\n## 1.2.0\n\n## 1.1.0\n") == "1.2.0"
    assert rules.newest_version("# Changes\n") is None
