"""`vizcore attribute`: which tokens mattered for what a model expects, in the terminal.

A text in quotes gives a table to read; a file, or a pipe, gives one after another. Registered by
`vizcore.cli`; the work is `vizcore.attribution`'s.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizcore import terminal
from vizcore.cli_options import ModelName, Target, load

if TYPE_CHECKING:
    import pandas as pd

    from vizcore.attribution_tests import Faithfulness
    from vizcore.trace import Trace


def attribute(
    model: ModelName,
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE",
            help="The text, in quotes, or a file with a text a line; - reads standard input.",
            allow_dash=True,
        ),
    ],
    token: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="The word that is explained; else the likeliest token."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="WORD", help="Explain why it comes rather than this one.")
    ] = None,
    position: Annotated[
        int | None,
        typer.Option(
            help="After which token, counted from 0, or from -1 backwards; else the last. Of a "
            "masked model, which one is hidden.",
            show_default=False,
        ),
    ] = None,
    likelihood: Annotated[
        bool, typer.Option("--likelihood", help="Explain the likelihood of the whole text.")
    ] = False,
    target: Target = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="occlusion, integrated_gradients, gradient_x_input, attention_x_gradient or "
            "rollout; may be given several times. Else all.",
        ),
    ] = None,
    first: Annotated[
        bool, typer.Option("--first", help="A decoder's first token counts, too.")
    ] = False,
    faithful: Annotated[
        bool,
        typer.Option(
            "--faithful/--no-faithful", help="Measure how faithful each method is on this text."
        ),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, an object a text and line.")
    ] = False,
) -> None:
    """Show which tokens mattered for what a model expects, and which method to trust."""
    with terminal.progress() as report:
        loaded = load(model, report)
    from vizcore.attribution import attributions
    from vizcore.attribution_targets import AttributionTarget
    from vizcore.attribution_tests import faithfulness

    asked = AttributionTarget(token, against, position, of="likelihood" if likelihood else "token")
    for number, one in enumerate(_texts(text)):
        with terminal.progress() as report:
            report("Running the text", None)
            trace = loaded.trace(one, target)
            table = attributions(trace, asked, methods=method, first=first, progress=report)
            tested = faithfulness(trace, table, asked, progress=report) if faithful else None
        if as_json:
            _print_json(trace, one, table, tested)
            continue
        if number:
            print()
        _print(trace, table, tested)
    if not as_json:
        terminal.print_note(loaded)


def _texts(text: str) -> Iterator[str]:
    from vizcore import terminal_scores

    try:
        is_file = text == "-" or Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL: a text
        is_file = False
    if is_file:
        yield from terminal_scores.read_lines(text)
    else:
        yield text


def _print(trace: "Trace", table: "pd.DataFrame", tested: "Faithfulness | None") -> None:
    from vizcore import terminal_scores

    given = table.attrs
    print(terminal.plain(_heading(trace, given)) + "\n")
    wide = table.pivot(
        index=["side", "position", "token"], columns="method", values="attribution"
    ).reset_index()
    columns = list(dict.fromkeys(table["method"]))
    sides = ["side"] if trace.target_ids is not None else []
    shown = wide[[*sides, "position", "token", *columns]]
    output = terminal.console()
    output.print(terminal_scores.frame_table(shown, words=["side", "token"]))
    if tested is not None:
        print(f"\nProbabilities as tokens are replaced (by: {given['replaced_by']}):\n")
        output.print(terminal_scores.frame_table(tested.scores, words=["method"]))
    if given["completeness_error"] is not None:
        whole = given["value"] - given["replaced_value"]
        print(
            f"\nIntegrated gradients should add up to {whole:.3f} nats and miss that by "
            f"{abs(given['completeness_error']):.3f}."
        )
    for reason in given["left_out"].values():
        print(f"\n{terminal.plain(reason)}")


def _heading(trace: "Trace", given: dict[Any, Any]) -> str:
    if given["measure"] == "likelihood":
        return f"Why this text is as likely as it is: {given['value']:.3f} nats."
    label = trace.model.labels([given["token"]])[0]
    where = "in place of" if trace.model.kind == "encoder" else "after"
    where = f"{where} token {given['position']}"
    if given["against"] is None:
        return f'Why "{label}" {where}: {given["value"]:.3f} nats.'
    other = trace.model.labels([given["against"]])[0]
    return f'Why "{label}" rather than "{other}" {where}: {given["value"]:+.3f} nats apart.'


def _print_json(
    trace: "Trace", text: str, table: "pd.DataFrame", tested: "Faithfulness | None"
) -> None:
    from vizcore import terminal_scores

    terminal.print_json(
        {
            "model": trace.model.name,
            "text": text,
            **table.attrs,
            "attributions": terminal_scores.records(table),
            "faithfulness": None if tested is None else terminal_scores.records(tested.scores),
        }
    )
