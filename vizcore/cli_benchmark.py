"""`vizcore benchmark`: a model on benchmark files, in the terminal; stopped, killed, resumed.

Results go to standard output as a table, how far it is to standard error, and every item to a
Parquet file if one is named: the same command goes on where it was. Registered by `vizcore.cli`;
what a benchmark is and how it is answered is `vizcore.evaluation`'s.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from vizcore import terminal
from vizcore.cli_options import AsJson, ModelName, load
from vizcore.cli_scores import Bos, Fast, Masked
from vizcore.errors import SelectionError

if TYPE_CHECKING:
    from vizcore.benchmark_files import Benchmark
    from vizcore.cache import Progress
    from vizcore.results import Evaluation

_FILES, _LABELS = "The files", "Labels"
STOPPED = 130
"""What a command exits with that Ctrl-C has ended."""


def benchmark(
    model: ModelName,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="BLiMP's .jsonl, GLUE's .tsv, or your own tables."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PARQUET",
            help="Keep every item there. If it is there already, in full or in part, the run goes "
            "on from it.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="PARQUET", help="Compare with another model's results, in pairs."),
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="COLUMN", help="By what minimal pairs are counted.")
    ] = "paradigm",
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many items of each file, chosen by chance."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice.")] = 0,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME",
            help="Which column is good, bad and paradigm, or text, second and label.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="One of GLUE's, if it is not to be recognised.", rich_help_panel=_FILES),
    ] = None,
    graded: Annotated[
        bool,
        typer.Option("--graded", help="Labels are numbers, as in STS-B.", rich_help_panel=_FILES),
    ] = False,
    skip_malformed: Annotated[
        bool,
        typer.Option(
            "--skip-malformed",
            help="Leave out rows that cannot be used, and say which.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    method: Annotated[
        Literal["words", "likelihood", "probe"] | None,
        typer.Option(
            help="The label whose word is likeliest in a prompt; a threshold on the sentence's "
            "likelihood; or a linear probe on each layer.",
            rich_help_panel=_LABELS,
            show_default="words",
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="To learn thresholds and probes from.", rich_help_panel=_LABELS
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT",
            help="With {text}, {word}, and {second} if there are two texts.",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    word: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=WORD", help="Stands for a label.", rich_help_panel=_LABELS),
    ] = None,
    calibrated: Annotated[
        bool,
        typer.Option(
            "--calibrated",
            help="Take away how likely each word is without a text.",
            rich_help_panel=_LABELS,
        ),
    ] = False,
    pool: Annotated[
        Literal["mean", "last"],
        typer.Option(help="Of probes: which tokens' vectors.", rich_help_panel=_LABELS),
    ] = "mean",
    bos: Bos = None,
    masking: Masked = "within_word_l2r",
    fast: Fast = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model all items of benchmark files. Ctrl-C stops it; with --out it can go on."""
    columns = _pairs(column, "--column", "ROLE=NAME")
    words = _pairs(word, "--word", "LABEL=WORD")
    if (template is None) != (not words):
        raise typer.BadParameter("Give --template and a --word for each label together.")
    with terminal.progress() as report:
        report("Reading the files", None)
        from vizcore.benchmark_files import read_benchmark
        from vizcore.results import read_evaluation

        def read(path: Path) -> "Benchmark":
            found = read_benchmark(
                path, columns=columns, task=task, graded=graded, skip_malformed=skip_malformed
            )
            found = found if template is None else _with_prompt(found, template, words or {})
            return found if sample is None else found.sample(sample, seed=seed)

        benchmarks = [read(path) for path in files]
        learnt = None if train is None else read(train)
        other = None if against is None else read_evaluation(against)
    _tell_malformed([*benchmarks, *([] if learnt is None else [learnt])])
    from vizcore.evaluation import evaluate
    from vizcore.terminal_train import interruptible

    with terminal.progress() as report:
        loaded = load(model, report)
    with interruptible() as should_stop, _told() as report:
        found = evaluate(
            loaded,
            benchmarks,
            method=method,
            train=learnt,
            bos=bos,
            masking=masking,
            precision="fast" if fast else "exact",
            calibrated=calibrated,
            pool=pool,
            out=out,
            progress=report,
            should_stop=should_stop,
        )
    if not found.complete:
        _tell_stopped(found, out)
        raise typer.Exit(STOPPED)
    _show(found, other, by=by, as_json=as_json)
    if out is not None and not as_json:
        print(f"\n{len(found.items)} rows are in {out}")


def _show(found: "Evaluation", other: "Evaluation | None", *, by: str, as_json: bool) -> None:
    from vizcore import terminal_scores
    from vizcore.paired import paired_table
    from vizcore.score_tables import accuracy_table, metric_table

    pairs = found.settings["method"] == "pairs"
    table = accuracy_table(found, by=by) if pairs else metric_table(found)
    compared = None
    if other is not None:
        compared = paired_table(found.items, other.items, by=by if pairs else "benchmark")
    if as_json:
        beside = None if compared is None else terminal_scores.records(compared)
        terminal_scores.print_records("results", table, settings=found.settings, compared=beside)
        return
    output = terminal.console()
    print(f"{found.settings['model']}:\n")
    output.print(terminal_scores.frame_table(table, words=(by, "benchmark", "metric")))
    if other is not None and compared is not None:
        names = f"{found.settings['model']} (a) and {other.settings.get('model')} (b)"
        print(f"\n{names} on the same items:\n")
        shown = compared.drop(columns=["only_a", "only_b", "p_value"], errors="ignore")
        shown = shown.rename(columns={"accuracy_a": "a", "accuracy_b": "b"})
        output.print(terminal_scores.frame_table(shown, words=(by, "benchmark")))


def _pairs(given: Sequence[str] | None, option: str, form: str) -> dict[str, str] | None:
    """ROLE=NAME, several times."""
    if not given:
        return None
    found = {}
    for one in given:
        left, sign, right = one.partition("=")
        if not sign or not left or not right:
            raise typer.BadParameter(f"{option} takes {form}, not {one!r}.")
        found[left] = right
    return found


def _with_prompt(found: "Benchmark", template: str, words: dict[str, str]) -> "Benchmark":
    labels = () if found.task is None else found.task.labels or ("low", "high")
    unknown = next((label for label in words if label not in labels), None)
    if unknown is not None:
        raise SelectionError(
            f"{found.name} has no label {unknown!r}. It has: {', '.join(labels) or 'none'}."
        )
    return found.with_prompt(template, [words[label] for label in labels if label in words])


def _tell_malformed(benchmarks: Sequence["Benchmark"]) -> None:
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for one in benchmarks:
        for row in one.malformed.to_dict("records"):
            errors.print(f"Left out: line {row['line']} of {terminal.plain(one.name)} ", end="")
            errors.print(f"{terminal.plain(row['problem'])}.")


def _tell_stopped(found: "Evaluation", out: Path | None) -> None:
    if out is None:
        terminal.print_error("Stopped. Nothing was kept: with --out FILE it could go on later.")
    else:
        terminal.print_error(
            f"Stopped. {len(found.items)} items are kept beside {out}; the same command goes on "
            "from there."
        )


@contextmanager
def _told() -> Iterator["Progress"]:
    """A bar in a terminal; elsewhere, as in a log file, a line at every twentieth."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if errors.is_terminal:
        with terminal.progress() as report:
            yield report
        return
    told: list[int] = []

    def line(message: str, fraction: float | None) -> None:
        twentieth = int((fraction or 0.0) * 20)
        if not told or twentieth > told[-1]:
            told.append(twentieth)
            errors.print(terminal.plain(message))

    yield line
