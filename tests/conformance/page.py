"""docs/conformance.md: the results of the sweep as a page, and what is read back from it.

The page is for people who want to know whether their model is supported, and how; the tests read
its tables to hold it against the installed transformers.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers

from tests.conformance.result import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
LONGEST_REASON = 260
"""Characters; transformers' messages can fill a page."""

HEAD = """\
# Which architectures are supported

Headlight has no list of architectures: when a model is loaded, it finds out by trying how its
attention can be captured (`model.capture` says what was found), and a network whose attention it
cannot show exactly is refused in words. This page is that, tried out: every text architecture of
transformers {transformers}, built tiny and random, saved, loaded by `vizcore.load`, traced, and
compared with a second copy that transformers {transformers} itself runs in its eager mode.

{totals}

## How to read it

**Exact** means: of every head in every layer, for every kind of attention, no weight differs from
eager mode's by more than 0.00001 (1e-5), and no logit by more than a ten-thousandth of the largest;
in float32 on a processor (PyTorch {torch}), on {n_tokens} random tokens, which is more than every
sliding window here. The layers that attend must have their right numbers, and each head asked for
alone the same map. The column *difference* is the largest that was found.

**Tap** and **eager** are the two ways of capturing. With the *tap*, a forward pass costs what it
always costs, and maps are computed when somebody looks, so long texts fit. A network that does not
call transformers' attention interface, or asks more of it than the tap can do, is run in *eager*
mode, which returns all maps at once: as exact, but the memory grows with the square of the length.

**Layers.** In a hybrid network only some layers have softmax attention; the others (state-space
layers, linear attention, convolutions) mix tokens in a way that has no attention maps. Asking for
one of those says so, and `model.layers()` names the ones that have.

**Networks that also see or hear** are built whole, and traced on text alone: what is compared is
their text part.

A network that is *refused* raises `vizcore.CaptureError` with the sentence that is given here. What
is *not built* here could not be made small or random by a script, or needs a package that is not
installed; that says nothing about real models of that type: load one, and see what
`model.capture` says.

To make this page again, after an upgrade of transformers for instance:

```sh
make conformance
```

A part of it, one architecture for each peculiarity, is tested whenever `make test` runs.
"""
TABLE = """\
## Exact

| Architecture | Network | Kind | Way | Layers with softmax attention | Difference |
| --- | --- | --- | --- | --- | ---: |
{rows}
"""
OTHERS = """\
## {title}

{introduction}

| Architecture | What it says |
| --- | --- |
{rows}
"""
SECTIONS = {
    "differs": ("Shown, but not exact", "These are shown, and something is not as it should be."),
    "refused": ("Refused", "What `vizcore.load` says, word by word (long ones are cut)."),
    "failed": ("Failed", "These ended without a result."),
    "not built": ("Not built", "Why there is no tiny network of this kind to try."),
}


def page(results: Sequence[Result], *, n_tokens: int = 21) -> str:
    """The whole page."""
    exact = [result for result in results if result.outcome == "exact"]
    head = HEAD.format(
        transformers=transformers.__version__,
        torch=torch.__version__.split("+")[0],
        totals=totals(results),
        n_tokens=n_tokens,
    )
    parts = [head, TABLE.format(rows="\n".join(map(_row, exact)))]
    for outcome, (title, introduction) in SECTIONS.items():
        rows = [_other(result) for result in results if result.outcome == outcome]
        if rows:
            parts.append(
                OTHERS.format(title=title, introduction=introduction, rows="\n".join(rows))
            )
    return "\n".join(parts)


def totals(results: Sequence[Result]) -> str:
    """How many came out how, as a table."""
    counts = Counter(result.outcome for result in results)
    ways = Counter(result.way for result in results if result.outcome == "exact")
    kinds = Counter(result.kind for result in results if result.outcome == "exact")
    of_kinds = ", ".join(f"{kinds[kind]} {kind}s" for kind in sorted(kinds))
    lines = [
        ("Text architectures", len(results)),
        (f"**Exact** ({of_kinds})", counts["exact"]),
        ("- by the tap", ways["tap"]),
        ("- in eager mode", ways["eager"]),
        ("Shown, but not exact", counts["differs"]),
        ("Refused, in words", counts["refused"]),
        ("Failed without words", counts["failed"]),
        ("Not built here", counts["not built"]),
    ]
    rows = "\n".join(f"| {name} | {number} |" for name, number in lines)
    return f"| | |\n| --- | ---: |\n{rows}"


def read_rows(text: str) -> dict[str, dict[str, list[str]]]:
    """The tables of the page: by section, by architecture, the other cells of its row."""
    found: dict[str, dict[str, list[str]]] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        rows = [line.strip("| ").split(" | ") for line in body.splitlines() if line[:3] == "| `"]
        if rows:
            found[title] = {cells[0].strip("`"): cells[1:] for cells in rows}
    return found


def read_version(text: str) -> str:
    """The version of transformers that the page was made with."""
    found = re.search(r"transformers (\d\S*\d),? built", " ".join(text.split()))
    assert found is not None, "the page does not say which transformers it was made with"
    return found[1]


def _row(result: Result) -> str:
    layers = result.layers_in_words() + (f" ({result.note})" if result.note else "")
    difference = "0" if result.difference == 0 else f"{result.difference:.0e}"
    cells = (result.network, result.kind, result.way, layers, difference)
    return f"| `{result.model_type}` | " + " | ".join(cells) + " |"


def _other(result: Result) -> str:
    reason = re.sub(r"\S*/tmp\w*[^\s,]*", "its folder", result.reason)
    if len(reason) > LONGEST_REASON:
        reason = reason[: LONGEST_REASON - 1].rsplit(" ", 1)[0] + " …"
    shown = re.sub(r"([|<>*_`\[\]$])", r"\\\1", reason)
    return f"| `{result.model_type}` | {shown} |"
