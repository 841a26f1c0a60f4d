"""What may not stand in any of the project's texts; and that each rule can find a breach."""

import ast

import pytest

from tests.guards import project, rules

CODE = ("vizcore", "app", "tests")


def test_nothing_is_left_unfinished() -> None:
    for path, text in project.texts():
        assert rules.matching(path, text, rules.UNFINISHED, "is unfinished") == []


def test_something_unfinished_is_found() -> None:
    to_do, missing = "TO-DO".replace("-", ""), "NotImplemented-Error".replace("-", "")
    text = f"fine\n# {to_do}: later\nraise {missing}"
    found = rules.matching("a.py", text, rules.UNFINISHED, "is unfinished")
    assert [line.split()[0] for line in found] == ["a.py:2", "a.py:3"]
    assert rules.matching("a.md", "Photo dodo", rules.UNFINISHED, "is unfinished") == []


def test_no_path_of_one_machine_is_written_down() -> None:
    for path, text in project.texts():
        assert rules.matching(path, text, rules.ONE_MACHINE, "is one machine's path") == []


@pytest.mark.parametrize("folder", ["home/ada", "root/x", "Users/ada", "work/main", "tmp/x"])
def test_a_path_of_one_machine_is_found(folder: str) -> None:
    text = f'open("/{folder}/file")'
    assert len(rules.matching("a.py", text, rules.ONE_MACHINE, "is one machine's path")) == 1


@pytest.mark.parametrize("text", ["/usr/bin/env bash", "a/work/b", "https://x.org/home/y", "~/tmp"])
def test_what_only_looks_like_a_path_of_one_machine_is_fine(text: str) -> None:
    assert rules.matching("a.py", text, rules.ONE_MACHINE, "is one machine's path") == []


def test_no_registry_or_address_is_written_down() -> None:
    for path, text in project.texts():
        if not path.startswith("assets/"):
            assert rules.matching(path, text, rules.REGISTRY_HOSTS, "names a host") == []


@pytest.mark.parametrize("host", ["pypi-.org", "10.0.0-.7", "registry.npmjs-.org"])
def test_a_registry_or_address_is_found(host: str) -> None:
    text = f"see https://{host.replace('-', '')}/simple"
    assert len(rules.matching("a.md", text, rules.REGISTRY_HOSTS, "names a host")) == 1


def test_the_loopback_address_and_versions_are_no_hosts() -> None:
    text = "127.0.0.1:8501, 0.0.0.0 and torch 2.13.0"
    assert rules.matching("a.md", text, rules.REGISTRY_HOSTS, "names a host") == []


def test_no_module_is_longer_than_one_can_keep_in_mind() -> None:
    for suffix in (".py", ".js"):
        for path, text in project.files(*CODE, suffix=suffix):
            assert rules.too_long(path, text) == []


def test_a_module_that_is_too_long_is_found() -> None:
    assert rules.too_long("a.py", "x\n" * 401) == ["a.py has 401 lines, more than 400"]
    assert rules.too_long("a.py", "x\n" * 400) == []


def test_no_handler_catches_everything() -> None:
    for path, source in project.files(*CODE, suffix=".py"):
        assert rules.broad_excepts(path, source) == []


@pytest.mark.parametrize("caught", ["", " Exception", " (OSError, BaseException)"])
def test_a_handler_that_catches_everything_is_found(caught: str) -> None:
    source = f"try:\n    f()\nexcept{caught}:\n    pass"
    assert rules.broad_excepts("a.py", source) == ["a.py:3 catches everything"]


@pytest.mark.parametrize(
    "handler",
    [
        "except OSError:\n    pass",
        "except BaseException:\n    g()\n    raise",
        "except BaseException as error:\n    job.made.set_exception(error)",
    ],
)
def test_a_narrow_handler_and_one_that_hands_the_error_on_are_fine(handler: str) -> None:
    assert rules.broad_excepts("a.py", f"try:\n    f()\n{handler}") == []


def test_annotations_are_evaluated_so_that_shapes_can_be_asserted() -> None:
    for path, source in project.files(*CODE, suffix=".py"):
        assert rules.matching(path, source, rules.FUTURE_ANNOTATIONS, "delays annotations") == []


def test_delayed_annotations_are_found() -> None:
    source = "from __future__ import generators, annotations"
    assert rules.matching("a.py", source, rules.FUTURE_ANNOTATIONS, "delays annotations") != []


def test_no_code_that_comes_with_a_model_is_ever_run() -> None:
    for path, source in project.files("vizcore", "app", suffix=".py"):
        assert rules.runs_foreign_code(path, source) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import pickle", "a.py:1 imports pickle"),
        ("torch.load(path)", "a.py:1 calls torch.load"),
        ("eval(text)", "a.py:1 calls eval"),
        ("f(trust_remote_code=flag)", "a.py:1 lets a model bring code"),
    ],
)
def test_a_way_to_run_foreign_code_is_found(source: str, complaint: str) -> None:
    assert rules.runs_foreign_code("a.py", source) == [complaint]


def test_switching_foreign_code_off_and_the_eval_mode_are_fine() -> None:
    source = "f(trust_remote_code=False)\nnetwork.eval()"
    assert rules.runs_foreign_code("a.py", source) == []


def test_no_view_leaves_its_element() -> None:
    for suffix in (".js", ".css"):
        for path, text in project.files("vizcore", "app", suffix=suffix):
            assert rules.matching(path, text, rules.LEAVES_ITS_ELEMENT, "leaves its element") == []


@pytest.mark.parametrize(
    "text",
    [
        "await fetch(url)",
        "import(url)",
        "el.innerHTML = token",
        "localStorage.x = 1",
        "src: url(//x.org/font)",
    ],
)
def test_a_view_that_leaves_its_element_is_found(text: str) -> None:
    assert len(rules.matching("a.js", text, rules.LEAVES_ITS_ELEMENT, "leaves its element")) == 1


@pytest.mark.parametrize("text", ["el.innerHTML = MARKUP;", '{import("./types.d.ts").Maps}'])
def test_constant_markup_and_a_type_in_a_comment_are_fine(text: str) -> None:
    assert rules.matching("a.js", text, rules.LEAVES_ITS_ELEMENT, "leaves its element") == []


def test_no_test_skips_itself() -> None:
    for path, source in project.files("tests", suffix=".py"):
        if path != "tests/conftest.py":
            assert rules.skips(path, source) == []


@pytest.mark.parametrize("skip", ["pytest.skip('x')", "@pytest.mark.skipif(x)\ndef f(): ..."])
def test_a_test_that_skips_itself_is_found(skip: str) -> None:
    assert len(rules.skips("a.py", skip)) == 1


def test_the_one_helper_that_skips_is_in_conftest() -> None:
    source = (project.ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    helper = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "skip_or_fail"
    )
    assert len(rules.skips("helper", ast.unparse(helper))) == 1
    assert len(rules.skips("conftest", source)) == 1


def test_no_test_reads_the_clock() -> None:
    for path, source in project.files("tests", suffix=".py"):
        if not path.startswith("tests/benchmarks/") and not path.endswith("/conftest.py"):
            assert rules.reads_the_clock(path, source) == []


def test_a_test_that_reads_the_clock_is_found() -> None:
    source = "start = time.perf_counter()"
    assert rules.reads_the_clock("a.py", source) == ["a.py:1 reads the clock"]


def test_the_top_level_holds_only_what_it_should() -> None:
    entries = {path.name for path in project.ROOT.iterdir()} - {*project.LEFT_BEHIND}
    assert rules.unwelcome_entries(entries, project.TOP_LEVEL) == []


def test_a_stray_file_at_the_top_level_is_found() -> None:
    entries = [".gitignore", "README.md", "notes.txt"]
    assert rules.unwelcome_entries(entries, project.TOP_LEVEL) == [
        "notes.txt does not belong at the top level"
    ]
