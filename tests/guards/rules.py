"""The project's own rules about source text, as functions from text to complaints.

Each takes text (or what was parsed from it) and returns a list of complaints, empty when all is
well, so that a test can hold the project to the rule, and another feed it something bad.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

MAX_LINES = 400

# --- Imports ------------------------------------------------------------------------------------


def imported(source: str) -> list[tuple[int, str]]:
    """Every module that a source imports, anywhere in it, with the line: (3, "vizcore.maps").

    What is imported for type annotations alone (`if TYPE_CHECKING:`) is not: nothing is run then.
    """
    found = []
    for node in _run_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "vizcore":
                found += [(node.lineno, f"vizcore.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, module))
    return sorted(found)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    yield tree
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from _run_nodes(other)
        else:
            yield from _run_nodes(node)


def module_order(page: str) -> list[str]:
    """The modules in the order in which docs/architecture.md draws them, views as "views"."""
    tree = re.search(r"^    vizcore/\n((?:      .*\n)+)", page, re.MULTILINE)
    if tree is None:
        return []
    names = re.findall(r"^      (\w+)(?:\.py|/)\s", tree[1], re.MULTILINE)
    return [name for name in names if name != "__init__"]


def against_the_order(module: str, source: str, order: Sequence[str]) -> list[str]:
    """Imports of a module that is not drawn above this one, or not drawn at all."""
    own = module.split(".")[1]
    if own not in order:
        return [f"{module} is not in the order that docs/architecture.md draws"]
    complaints = []
    for line, name in imported(source):
        parts = name.split(".")
        if name.startswith("."):
            complaints.append(f"{module}:{line} imports relatively; write vizcore.… in full")
        elif parts[0] != "vizcore" or name == "vizcore.__version__" or own == order[-1]:
            continue  # All else stands above the last one, the package itself included.
        elif len(parts) == 1:
            complaints.append(f"{module}:{line} imports all of vizcore")
        elif parts[1] not in order:
            complaints.append(f"{module}:{line} imports {name}, which the order does not have")
        elif parts[1] != own and order.index(parts[1]) > order.index(own):
            complaints.append(f"{module}:{line} imports {name}, which stands below it")
    return complaints


def forbidden_imports(where: str, source: str, forbidden: Collection[str]) -> list[str]:
    """Imports of any of the packages that may not be imported here."""
    return [
        f"{where}:{line} imports {name}"
        for line, name in imported(source)
        if name.split(".")[0] in forbidden
    ]


def beyond_the_public_names(where: str, source: str, public: Collection[str]) -> list[str]:
    """What the app takes from vizcore other than its public names."""
    tree = ast.parse(source)
    used = [(line, name) for line, name in imported(source) if name.startswith("vizcore.")]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "vizcore"
        ):
            used.append((node.lineno, f"vizcore.{node.attr}"))
    return [
        f"{where}:{line} uses {name}, which vizcore does not export"
        for line, name in sorted(used)
        if name.removeprefix("vizcore.") not in public
    ]


def undeclared(
    where: str,
    source: str,
    declared: Collection[str],
    distributions: Mapping[str, Sequence[str]],
    own: Collection[str],
) -> list[str]:
    """Imports of packages that no declared distribution brings: they would be missing elsewhere.

    Args:
        declared: the distributions in pyproject.toml, in lower case with hyphens.
        distributions: for each importable package the distributions that have it.
        own: what needs no declaring: the standard library and this project.
    """
    complaints = []
    for line, name in imported(source):
        package = name.split(".")[0]
        bringing = {normal_name(found) for found in distributions.get(package, ())}
        if package not in own and not bringing & set(declared):
            complaints.append(f"{where}:{line} imports {package}, which pyproject.toml lacks")
    return complaints


def normal_name(distribution: str) -> str:
    """The name of a distribution as PyPI compares it: "PyYAML" is "pyyaml"."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", distribution, maxsplit=1)[0]).lower()


# --- Errors -------------------------------------------------------------------------------------


def broad_excepts(where: str, source: str) -> list[str]:
    """Handlers that catch everything and hide it.

    One that cleans up and raises again is fine, and so is one that hands the error to a Future,
    which raises it in whoever waits.
    """
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        last = ast.unparse(node.body[-1])
        if last == "raise" or (node.name and last.endswith(f".set_exception({node.name})")):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for one in caught:
            if one is None or (
                isinstance(one, ast.Name) and one.id in {"Exception", "BaseException"}
            ):
                complaints.append(f"{where}:{node.lineno} catches everything")
    return complaints


def error_tree(docstring: str) -> dict[str, tuple[str, str | None]]:
    """The tree drawn in errors.py: each error's parent, and the built-in it also is."""
    drawn: dict[str, tuple[str, str | None]] = {}
    above: list[str] = []
    for line in docstring.splitlines():
        found = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )(\w+)(?: \((\w+)\))?", line)
        if found is None:
            if re.match(r"    VizcoreError\s*$", line):
                above = ["VizcoreError"]
            continue
        depth = len(found[1]) // 4 + 1
        above = [*above[:depth], found[2]]
        drawn[found[2]] = (above[depth - 1], found[3])
    return drawn


# --- Texts --------------------------------------------------------------------------------------

UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|raise NotImplemented[E]rror)\b")
ONE_MACHINE = re.compile(
    r"(?<![\w.:~<}])/(?:home|root|Users|work|workspace|opt|srv|mnt|media|tmp)/[\w.-]"
    r"|\b[A-Za-z]:\\\\?Users\b"
)
REGISTRY_HOSTS = re.compile(
    r"\b(?:pypi\.(?:org|python\.org)|(?:files\.)?pythonhosted\.org|registry\.npmjs\.org"
    r"|deb\.debian\.org|download\.pytorch\.org"
    r"|(?!127\.0\.0\.1|0\.0\.0\.0|255\.)\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\.?\d))\b"
)
# A view asks no network, keeps nothing in the browser, and puts no text into the page as markup
# (a constant may be).
LEAVES_ITS_ELEMENT = re.compile(
    r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\beval\(|new Function\b"
    r"|(?<!\{)\bimport\("
    r"|innerHTML(?! = [A-Z_]+;)|outerHTML|insertAdjacentHTML|document\.(?:write|cookie)"
    r"|(?:local|session)Storage|indexedDB|url\(\s*['\"]?(?:https?:)?//"
)
FUTURE_ANNOTATIONS = re.compile(r"^from __future__ import .*\bannotations\b", re.MULTILINE)


def matching(where: str, text: str, pattern: re.Pattern[str], complaint: str) -> list[str]:
    """Every line in which the pattern is found."""
    return [
        f"{where}:{number} {complaint}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def too_long(where: str, text: str) -> list[str]:
    """A module of more lines than one can keep in mind."""
    lines = len(text.splitlines())
    return [f"{where} has {lines} lines, more than {MAX_LINES}"] if lines > MAX_LINES else []


# --- Docstrings ---------------------------------------------------------------------------------


def missing_docstrings(where: str, source: str) -> list[str]:
    """The module, public classes, functions and methods that say nothing about themselves."""
    tree = ast.parse(source)
    if not tree.body:
        return []
    complaints = [] if ast.get_docstring(tree) else [f"{where} has no module docstring"]
    for name, node in _public_definitions(tree):
        if not ast.get_docstring(node):
            complaints.append(f"{where}:{node.lineno} {name} has no docstring")
    return complaints


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public_definitions(
    scope: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, Definition]]:
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        decorators = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
        # A setter and an overload share the docstring of what they belong to.
        if node.name.startswith("_") or decorators & {"overload", "setter"}:
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public_definitions(node, f"{prefix}{node.name}.")


# --- Safety and tests ---------------------------------------------------------------------------


def runs_foreign_code(where: str, source: str) -> list[str]:
    """Ways in which code that comes with a model would be run."""
    complaints = [
        f"{where}:{line} imports {name}"
        for line, name in imported(source)
        if name.split(".")[0] in {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    ]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in {"torch.load", "eval", "exec", "np.load", "numpy.load"}:
            complaints.append(f"{where}:{node.lineno} calls {called}")
        for keyword in node.keywords:
            allowed = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg == "trust_remote_code" and not allowed:
                complaints.append(f"{where}:{node.lineno} lets a model bring code")
    return complaints


def skips(where: str, source: str) -> list[str]:
    """Tests that skip themselves; only conftest.skip_or_fail may, and says why."""
    names = {"pytest.skip", "pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif"}
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in names:
            complaints.append(f"{where}:{node.lineno} uses {ast.unparse(node)}")
    return complaints


def reads_the_clock(where: str, source: str) -> list[str]:
    """Tests that measure time: those fail on a busy machine, and belong in tests/benchmarks.

    A fixture that waits for something to begin may, so conftest.py is not asked.
    """
    clocks = {"time.time", "time.perf_counter", "time.monotonic", "time.process_time"}
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks:
            complaints.append(f"{where}:{node.lineno} reads the clock")
    return complaints


def unwelcome_entries(entries: Iterable[str], allowed: Collection[str]) -> list[str]:
    """What lies at the top level and should not; names that begin with a dot may."""
    return [
        f"{entry} does not belong at the top level"
        for entry in sorted(entries)
        if not entry.startswith(".") and entry not in allowed
    ]


def exports(names: Sequence[str], available: Collection[str]) -> list[str]:
    """What is wrong with an `__all__`: unsorted, twice, not there, or forgotten."""
    complaints = [] if list(names) == sorted(names) else ["__all__ is not sorted"]
    complaints += [f"{name} is listed twice" for name in {n for n in names if names.count(n) > 1}]
    complaints += [f"{name} is listed but not there" for name in sorted({*names} - {*available})]
    complaints += [f"{name} is public but not listed" for name in sorted({*available} - {*names})]
    return complaints


# --- Versions -----------------------------------------------------------------------------------


def newest_version(changelog: str) -> str | None:
    """The version of the first section of a changelog."""
    found = re.search(r"^## (\d+\.\d+\.\d+\S*)", changelog, re.MULTILINE)
    return found[1] if found else None
