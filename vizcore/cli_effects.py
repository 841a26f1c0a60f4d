"""`vizcore ablate` and `vizcore patch`: what a model's heads and layers matter, in the terminal.

One prompt in quotes gives the largest effects; a file of prompts the mean of each head or cell over
all of them, with its confidence interval. With --out every prompt's effects are kept, and the same
command goes on where it was. Registered by `vizcore.cli`; the work is `vizcore.interventions`',
`vizcore.patching`'s and `vizcore.prompt_effects`'.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vizcore import terminal
from vizcore.cli_benchmark import STOPPED
from vizcore.cli_options import AsJson, Kind, ModelName, Target, load

if TYPE_CHECKING:
    import pandas as pd

    from vizcore.cache import Progress
    from vizcore.effect_metrics import Metric
    from vizcore.model import Model
    from vizcore.prompt_effects import Prompt

Token = Annotated[
    str | None,
    typer.Option(metavar="WORD", help="Whose log-probability is measured; else the likeliest."),
]
Against = Annotated[
    str | None,
    typer.Option(metavar="WORD", help="Measure how far the logit of --token is above this one's."),
]
Measured = Annotated[
    Literal["token", "kl", "likelihood"],
    typer.Option(
        "--measure",
        help="A token's log-probability, how much the prediction changes at all, or the likelihood "
        "of the whole text.",
    ),
]
Top = Annotated[int, typer.Option(min=1, help="How many rows are shown; all are in --json, --out.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="PARQUET",
        help="Keep every prompt's effects there. If some are there already, it goes on from them.",
    ),
]


def ablate(
    model: ModelName,
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE",
            help="A text in quotes; or a file of them: a text a line, or .csv, .tsv or .jsonl with "
            "the columns text and, if wanted, token, against and target.",
        ),
    ],
    token: Token = None,
    against: Against = None,
    measure: Measured = "token",
    how: Annotated[
        Literal["zero", "mean"],
        typer.Option(help="What a head gives instead: nothing, or its mean over the text."),
    ] = "zero",
    kind: Kind = None,
    target: Target = None,
    top: Top = 15,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Take each head away, and see what that does to what the model expects."""

    def tables(loaded: "Model", prompts: "list[Prompt]") -> "Iterator[pd.DataFrame]":
        from vizcore.prompt_effects import ablated_prompts

        asked = _metric(measure)
        return ablated_prompts(loaded, prompts, asked, kind=kind, how=how, out=out)

    prompts = _prompts(text, None, token, against, target)
    loaded, table = _measured(model, prompts, tables, out)
    _show(
        loaded,
        prompts,
        table,
        top=top,
        as_json=as_json,
        what="It is {original}. Without the head it changes by",
    )
    if out is not None and not as_json:
        print(f"\n{len(table)} rows are in {out}")


def patch(
    model: ModelName,
    clean: Annotated[
        str,
        typer.Argument(
            metavar="CLEAN|FILE",
            help="The text with the prediction that is explained; or a file of pairs: .csv, .tsv "
            "or .jsonl with the columns text and corrupted and, if wanted, token, against, target.",
        ),
    ],
    corrupted: Annotated[
        str | None,
        typer.Argument(help="A text of as many tokens without it; the clean run is put into it."),
    ] = None,
    where: Annotated[
        Literal["residual", "head", "pattern", "attention", "feed-forward"],
        typer.Option(help="What is put in: at each layer and token, or for each head."),
    ] = "residual",
    token: Token = None,
    against: Against = None,
    kind: Kind = None,
    target: Target = None,
    top: Top = 15,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Put parts of one run into another, and see how much of its prediction comes back."""

    def tables(loaded: "Model", prompts: "list[Prompt]") -> "Iterator[pd.DataFrame]":
        from vizcore.prompt_effects import patched_prompts

        return patched_prompts(loaded, prompts, where=where, kind=kind, out=out)

    prompts = _prompts(clean, corrupted, token, against, target, patches=True)
    loaded, table = _measured(model, prompts, tables, out)
    _show(
        loaded,
        prompts,
        table,
        top=top,
        as_json=as_json,
        what=f"In the corrupted text it is {{original}}. With the clean {where} it changes by",
    )
    if out is not None and not as_json:
        print(f"\n{len(table)} rows are in {out}")


def _prompts(
    text: str,
    corrupted: str | None,
    token: str | None,
    against: str | None,
    target: str | None,
    *,
    patches: bool = False,
) -> "list[Prompt]":
    """The prompt, or those of the file; what is asked of all fills what they leave open."""
    from dataclasses import replace

    from vizcore.prompt_effects import Prompt, read_prompts

    if (token is None) and (against is not None):
        raise typer.BadParameter("--against goes with --token.")
    if not _is_file(text):
        if patches and corrupted is None:
            raise typer.BadParameter("Give two texts, clean and corrupted, or a file of pairs.")
        return [Prompt(terminal.given_text(text), corrupted, token, against, target)]
    if corrupted is not None:
        raise typer.BadParameter("A file of pairs has both texts: leave out the second argument.")
    found = read_prompts(text, patches=patches)
    return [
        replace(
            one,
            token=one.token or token,
            against=one.against or (against if one.token is None else None),
            target=one.target or target,
        )
        for one in found
    ]


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL: a text
        return False


def _metric(measure: str) -> "Metric | None":
    from vizcore.effect_metrics import KLDivergence, LogLikelihood

    return {"token": None, "kl": KLDivergence(), "likelihood": LogLikelihood()}[measure]


def _measured(
    name: str,
    prompts: "list[Prompt]",
    tables: "Callable[[Model, list[Prompt]], Iterator[pd.DataFrame]]",
    out: Path | None,
) -> "tuple[Model, pd.DataFrame]":
    """The effects of all prompts; Ctrl-C ends the command, and what is done is kept."""
    import pandas as pd

    from vizcore.terminal_train import interruptible

    with terminal.progress() as report:
        loaded = load(name, report)
    found: list[pd.DataFrame] = []
    with interruptible() as should_stop, terminal.progress() as report:
        _tell(report, 0, len(prompts))
        for rows in tables(loaded, prompts):
            found.append(rows)
            _tell(report, len(found), len(prompts))
            if should_stop() and len(found) < len(prompts):
                terminal.print_error(
                    "Stopped. Nothing was kept: with --out FILE it could go on later."
                    if out is None
                    else f"Stopped. {len(found)} prompts are kept beside {out}; the same command "
                    "goes on from there."
                )
                raise typer.Exit(STOPPED)
    return loaded, pd.concat(found, ignore_index=True)


def _tell(report: "Progress", n_done: int, n_prompts: int) -> None:
    report(f"Measuring: {n_done} of {n_prompts} prompts", n_done / n_prompts)


def _show(
    model: "Model",
    prompts: "list[Prompt]",
    table: "pd.DataFrame",
    *,
    top: int,
    as_json: bool,
    what: str,
) -> None:
    from vizcore import terminal_scores
    from vizcore.prompt_effects import mean_effects

    means = mean_effects(table)
    if as_json:
        terminal_scores.print_records("effects", means, model=model.name, n_prompts=len(prompts))
        return
    single = len(prompts) == 1
    shown = means.drop(columns=["n_prompts", "low", "high"]) if single else means
    if single and "position" in shown:
        tokens = table.drop_duplicates("position").set_index("position")["token"]
        shown.insert(2, "token", [tokens[place] for place in shown["position"]])
    original = table.groupby("prompt")["original"].first().mean()
    of_all = "" if single else f", mean over {len(prompts)} prompts"
    labels = table["metric"].unique()
    measured = labels[0] if len(labels) == 1 else "what each prompt asks for"
    print(terminal.plain(f"Measured: {measured}."))
    print(f"{what.format(original=f'{original:.3f}{of_all}')}:\n")
    terminal.console().print(terminal_scores.frame_table(shown.head(top), words=["token"]))
    if len(shown) > top:
        print(f"\nThe largest {top} of {len(shown)}: --top shows more.")
    terminal.print_note(model)
