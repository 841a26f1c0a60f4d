"""`vizcore …` for the terminal: list and fetch models, look at attention, at the next token.

Each command loads, calls the library, and prints; what it prints is laid out in
`vizcore.terminal`. Anything heavy is imported in the command that needs it, so that `--help` and
`models` answer at once. For more than a look, the same calls are three lines of Python.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from vizcore import (
    __version__,
    cli_attribute,
    cli_benchmark,
    cli_catalog,
    cli_effects,
    cli_lens,
    cli_scores,
    cli_train,
    terminal,
)
from vizcore.cli_options import AsJson, Kind, ModelName, Target, TextArgument, examples, load
from vizcore.errors import VizcoreError

if TYPE_CHECKING:
    from vizcore.trace import Trace

HEADS_SHOWN = 3
"""How many heads of each pattern `vizcore attend` lists, unless --rows says otherwise."""


class _Group(TyperGroup):
    """Turns the library's errors into a sentence on standard error and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VizcoreError as error:
            terminal.print_error(str(error))
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    name="vizcore",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"headlight-viz {__version__}")
        raise typer.Exit
    return wanted


@app.callback(
    epilog=examples(
        'vizcore attend smollm2-135m "The cat sat on the mat"',
        'vizcore next smollm2-135m "The cat sat on the"',
        "vizcore app",
    )
)
def _vizcore(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """See where every attention head of a Transformer looks, and what it expects next."""


app.command(epilog=examples("vizcore models", "vizcore models --json"))(cli_catalog.models)
app.command(epilog=examples("vizcore fetch smollm2-135m", "vizcore fetch --all"))(cli_catalog.fetch)


@app.command(
    epilog=examples(
        'vizcore attend smollm2-135m "The cat sat on the mat"',
        'vizcore attend smollm2-135m "The cat sat" --layer 3 --head 2',
        'vizcore attend minilm-l6 "The cat sat" --html heads.html',
        'vizcore attend smollm2-135m "The cat sat" --layer 3 --head 2 --csv - | head',
    )
)
def attend(
    model: ModelName,
    text: TextArgument,
    layer: Annotated[
        int | None, typer.Option(min=0, help="Only this layer, counted from 0.")
    ] = None,
    head: Annotated[
        int | None, typer.Option(min=0, help="Show this head's weights; needs --layer.")
    ] = None,
    kind: Kind = None,
    target: Target = None,
    sort: Annotated[
        Literal["pattern", "layer"],
        typer.Option(help="By what heads do, the clearest first; or all, layer by layer."),
    ] = "pattern",
    rows: Annotated[
        int, typer.Option(min=0, help="How many heads to list of each pattern; 0 for all.")
    ] = HEADS_SHOWN,
    top: Annotated[
        int, typer.Option(min=1, help="Of a long text: how many tokens to name in each row.")
    ] = 5,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with all heads, which works offline."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the weights, one row a cell; - prints them."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where heads look in a text: what each mostly does, or the weights of one."""
    if head is not None and layer is None:
        raise typer.BadParameter("--head needs --layer: heads are counted in each layer.")
    if sum((html is not None, csv is not None, as_json)) > 1:
        raise typer.BadParameter("--html, --csv and --json exclude each other.")
    from vizcore import terminal_heads

    trace = _trace(model, text, target)
    if html is not None:
        terminal_heads.write_html(trace, layer, head, kind, html)
    elif csv is not None:
        terminal_heads.write_csv(trace, layer, head, kind, csv)
    elif layer is not None and head is not None:
        terminal_heads.show_map(trace, trace.map(layer, head, kind), top=top, as_json=as_json)
    else:
        terminal_heads.show_heads(trace, layer, kind, sort=sort, rows=rows, as_json=as_json)


@app.command(
    epilog=examples(
        "vizcore heads smollm2-135m",
        "vizcore heads smollm2-135m --by induction --rows 20",
        'vizcore heads minilm-l6 "The cat sat on the mat." "Who saw the cat?" --by same_token',
        "vizcore heads tatoeba-translator --kind cross --csv scores.csv",
    )
)
def heads(
    model: ModelName,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Measure on these texts, each in quotes; - reads them from standard input, one "
            "a line. Else on sentences that come with Headlight.",
            allow_dash=True,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE",
            help="List heads by this score, the highest first: induction, previous_token, "
            "first_token, entropy, …; else by what they do.",
        ),
    ] = None,
    kind: Kind = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=0, help="How many heads to list (of each pattern); 0 for all.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random tokens.")] = 0,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all scores, one row a head; - prints them."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what each head of a model does in general, over many texts."""
    if csv is not None and as_json:
        raise typer.BadParameter("--csv and --json exclude each other.")
    from vizcore import terminal_heads

    if texts == ["-"]:
        texts = [line for line in sys.stdin.read().splitlines() if line.strip()]
    with terminal.progress() as report:
        loaded = load(model, report)
        scores = terminal_heads.measure(loaded, texts, by, kind, seed, report)
    if csv is not None:
        terminal_heads.write_scores(scores, csv)
    elif as_json:
        terminal.print_json({"model": loaded.name, "heads": scores.to_dict("records")})
    else:
        terminal_heads.show_scores(loaded, scores, by, rows)


@app.command(
    "next",
    epilog=examples(
        'vizcore next smollm2-135m "The cat sat on the"',
        'vizcore next smollm2-135m "The cat sat on the mat" --position 1 -k 3',
    ),
)
def next_(
    model: ModelName,
    text: TextArgument,
    k: Annotated[int, typer.Option("-k", min=1, help="How many tokens to list.")] = 10,
    position: Annotated[
        int, typer.Option(help="After which token, counted from 0, or from -1 backwards.")
    ] = -1,
    target: Target = None,
    as_json: AsJson = False,
) -> None:
    """Show which token the model expects next, and how likely it finds it."""
    trace = _trace(model, text, target)
    frame = trace.next_tokens(position, k)
    tokens = trace.tokens if trace.target_tokens is None else trace.target_tokens
    place = position % len(tokens)
    if as_json:
        terminal.print_json(
            {
                "model": model,
                "position": place,
                "token": tokens[place],
                "next": frame.to_dict("records"),
            }
        )
        return
    where = "In place of" if trace.model.kind == "encoder" else "After"
    token = terminal.plain(tokens[place])
    print(f'{where} token {place} of {len(tokens)}, "{token}", {trace.model.name} expects:\n')
    terminal.console().print(terminal.next_table(frame))
    terminal.print_note(trace.model)


app.command(
    epilog=examples(
        "vizcore score smollm2-135m sentences.txt",
        "sort -u sentences.txt | vizcore score smollm2-135m - | sort -n",
        "vizcore score smollm2-135m endings.txt --given 'The cat sat on'",
        "vizcore score smollm2-135m sentences.txt --json",
        "vizcore score smollm2-135m corpus.txt --out scores.parquet",
    )
)(cli_scores.score)
app.command(
    epilog=examples(
        'vizcore surprisal smollm2-135m "The horse raced past the barn fell."',
        "vizcore surprisal smollm2-135m - < text.txt",
        'vizcore surprisal smollm2-135m "Unbelievably late." --by word --spaces trailing',
    )
)(cli_scores.surprisal)
app.command(
    epilog=examples(
        'vizcore compare smollm2-135m "The keys are here." "The keys is here."',
        'vizcore compare smollm2-135m "I am." "I is." --with tatoeba-lm',
    )
)(cli_scores.compare)
app.command(
    epilog=examples(
        "vizcore rescore smollm2-135m hypotheses.tsv",
        "vizcore rescore smollm2-135m hypotheses.tsv --weight 0.3 --reference 'it rains'",
    )
)(cli_scores.rescore)
app.command(
    epilog=examples(
        'vizcore attribute smollm2-135m "The keys to the cabinet" --token are --against is',
        'vizcore attribute tatoeba-mlm "The cat sat on the mat." --position 2',
        "vizcore attribute smollm2-135m prompts.txt --json",
    )
)(cli_attribute.attribute)
app.command(
    epilog=examples(
        'vizcore ablate smollm2-135m "When Mary and John went to the store, John gave a drink to"',
        "vizcore ablate smollm2-135m prompts.csv --how mean --out effects.parquet",
        'vizcore ablate tatoeba-translator "I am tired." --kind cross',
    )
)(cli_effects.ablate)
app.command(
    epilog=examples(
        'vizcore patch smollm2-135m "The keys to the door" "The key to the door" --where head',
        "vizcore patch smollm2-135m pairs.csv --where head --out effects.parquet",
    )
)(cli_effects.patch)
app.command(
    epilog=examples(
        "vizcore benchmark smollm2-135m blimp/*.jsonl --out smollm2.parquet",
        "vizcore benchmark tatoeba-lm blimp/*.jsonl --out ours.parquet --against smollm2.parquet",
        "vizcore benchmark smollm2-135m CoLA/dev.tsv --train CoLA/train.tsv --method likelihood",
        "vizcore benchmark minilm-l6 RTE/dev.tsv --train RTE/train.tsv --method probe",
        "vizcore benchmark smollm2-135m mine.csv --column good=right --column bad=wrong",
    )
)(cli_benchmark.benchmark)
app.command(
    epilog=examples(
        "vizcore train pairs.tsv my-translator",
        "vizcore train lines.txt my-model --task masked --steps 2000",
        "vizcore train pairs.tsv my-translator --resume",
    )
)(cli_train.train)


app.command(
    epilog=examples(
        "vizcore tune-lens smollm2-135m sentences.txt lens.safetensors",
        "vizcore tune-lens tatoeba-lm sentences.txt lens.safetensors --steps 300",
    )
)(cli_lens.tune_lens)


@app.command("app", epilog=examples("vizcore app", "vizcore app --port 8600 --no-browser"))
def app_(
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Else the first free one from 8501.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 lets other machines on the network in.")
    ] = "localhost",
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Open the app: type a sentence, see every head."""
    from vizcore.resources import app_folder

    folder = app_folder()
    command = [sys.executable, "-P", str(folder / "serve.py")]
    command += ["--server.address", host, "--server.headless", "false" if browser else "true"]
    command += ["--server.fileWatcherType", "none", "--browser.gatherUsageStats", "false"]
    # Else its first run on a machine stops to ask for an e-mail address.
    command += ["--server.showEmailPrompt", "false", "--client.toolbarMode", "minimal"]
    if port is not None:
        command += ["--server.port", str(port)]
    sys.stdout.flush()
    if os.name == "posix":
        # Becomes the server, so that whoever stops this process stops the server.
        os.execv(command[0], command)
    raise typer.Exit(subprocess.call(command))


def _trace(name: str, text: str, target: str | None) -> "Trace":
    """Load and run, telling on standard error what takes its time."""
    text = terminal.given_text(text)
    with terminal.progress() as report:
        model = load(name, report)
        report("Running the text", None)
        return model.trace(text, target)


def main() -> None:
    """The console script `vizcore`."""
    app(prog_name="vizcore")


if __name__ == "__main__":
    main()
