"""`vizcore score`, `surprisal`, `compare` and `rescore`: how likely texts are, in the terminal.

Sentences come from files or pipes, one a line, and go out one a line as soon as they are known, so
files may be longer than memory. Registered by `vizcore.cli`; laid out in `vizcore.terminal_scores`.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from vizcore import terminal
from vizcore.cli_options import AsJson, ModelName, TextArgument, load

Bos = Annotated[
    bool | None,
    typer.Option(
        "--bos/--no-bos",
        help="Put the model's beginning-of-text token in front, or leave it out; else as its "
        "tokenizer does.",
        show_default=False,
    ),
]
Fast = Annotated[
    bool, typer.Option("--fast", help="Multiply in bfloat16, where the processor has it.")
]
Masked = Annotated[
    Literal["within_word_l2r", "original"],
    typer.Option(
        "--masking",
        help="Of masked models: hide with a token those that follow it in its word, or it alone.",
    ),
]
FileOrPipe = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="Text, a sentence a line; - reads standard input.", allow_dash=True
    ),
]


def score(
    model: ModelName,
    file: FileOrPipe,
    given: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What stands before each sentence and is not scored."),
    ] = None,
    bos: Bos = None,
    masking: Masked = "within_word_l2r",
    fast: Fast = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PARQUET",
            help="Keep the table there instead of printing it. If it is there in part, the run "
            "goes on from it.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, an object a sentence and line.")
    ] = False,
) -> None:
    """Print how likely each sentence of a file is: log-likelihood (nats), tokens, perplexity."""
    from vizcore import terminal_scores

    with terminal.progress() as report:
        loaded = load(model, report)
    sentences = terminal_scores.read_lines(file)
    precision = "fast" if fast else "exact"
    if out is not None:
        from vizcore.kept_scores import keep_scores

        n_kept = 0
        with terminal.progress() as report:
            for n_kept in keep_scores(
                loaded, sentences, out, bos=bos, given=given, masking=masking, precision=precision
            ):
                report(f"{n_kept} sentences", None)
        print(f"{n_kept} sentences are in {out}")
        return
    from vizcore.likelihood import score_stream

    tables = score_stream(
        loaded, sentences, bos=bos, given=given, masking=masking, precision=precision
    )
    n_printed = 0
    with terminal.progress(beside=sys.stdout) as report:
        report("Scoring", None)
        for table in tables:
            terminal_scores.print_scores(table, as_json=as_json, heading=not n_printed)
            n_printed += len(table)
            report(f"{n_printed} sentences", None)


def surprisal(
    model: ModelName,
    text: TextArgument,
    by: Annotated[
        Literal["token", "word"], typer.Option(help="What makes a row; words are sums of tokens.")
    ] = "token",
    spaces: Annotated[
        Literal["leading", "trailing"],
        typer.Option(
            help="Of words: count the space before a word to it, as tokenizers do, or to the word "
            "before, so that a word pays for its own end."
        ),
    ] = "leading",
    bos: Bos = None,
    as_json: AsJson = False,
) -> None:
    """Show how surprised a model is by each token or word of a text, in bits."""
    from vizcore import terminal_scores

    text = terminal.given_text(text)
    with terminal.progress() as report:
        loaded = load(model, report)
        report("Running the text", None)
        from vizcore.likelihood import surprisal as surprisal_of

        frame = surprisal_of(loaded, text, bos=bos, by=by, spaces=spaces)
    if as_json:
        terminal_scores.print_records(f"{by}s", frame, model=loaded.name)
        return
    terminal.console().print(terminal_scores.surprisal_table(frame))
    total = frame["log_probability"].sum()
    n_scored = int(frame["log_probability"].notna().sum())
    print(f"\n{n_scored} {by}s scored: log-likelihood {total:.3f} nats", end="")
    print(f", {frame['surprisal'].mean():.2f} bits a {by}." if n_scored else ".")
    terminal.print_note(loaded)


def compare(
    model: ModelName,
    sentences: Annotated[
        list[str],
        typer.Argument(
            metavar="SENTENCE...",
            help="Two or more, each in quotes; - reads them from standard input, one a line.",
            allow_dash=True,
        ),
    ],
    other: Annotated[
        str | None,
        typer.Option("--with", metavar="MODEL", help="A second model, on the same sentences."),
    ] = None,
    by: Annotated[
        Literal["token", "word"], typer.Option(help="By what the parts are listed.")
    ] = "token",
    source: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="For encoder-decoders, what the sentences are translations of."
        ),
    ] = None,
    bos: Bos = None,
    as_json: AsJson = False,
) -> None:
    """Show which of some sentences is the likeliest, by how much, and where they part."""
    from vizcore import terminal_scores

    texts = [*terminal_scores.read_lines("-")] if sentences == ["-"] else sentences
    names = [model] if other is None else [model, other]
    with terminal.progress() as report:
        loaded = [load(name, report) for name in names]
        report("Running the sentences", None)
        from vizcore.sentence_columns import side_by_side

        found = side_by_side(loaded, texts, by=by, bos=bos, source=source)
    if as_json:
        parts = terminal_scores.records(found.parts)
        terminal_scores.print_records("sentences", found.lines, parts=parts, parting=found.parting)
        return
    terminal.console().print(terminal_scores.compared_table(found.lines, models=len(names) > 1))
    if len(names) == 1:
        print()
        width = terminal.console().width
        table = terminal_scores.parts_table(found.parts, len(texts), width=width)
        if table is not None:
            terminal.console().print(table)
        if found.parting is not None:
            print(f"\nThey part in column {found.parting}.")
    for one in loaded:
        terminal.print_note(one)


def rescore(
    model: ModelName,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Hypotheses: a text, a tab and its score a line, a blank line between lists; or "
            "JSON lines. - reads standard input.",
            allow_dash=True,
        ),
    ],
    weight: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of the language model: 0 leaves the order as it is."),
    ] = 0.5,
    reference: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What is right, to count errors by.")
    ] = None,
    given: Annotated[str | None, typer.Option(metavar="TEXT", help="What was said before.")] = None,
    bos: Bos = None,
    as_json: AsJson = False,
) -> None:
    """Weigh a recogniser's or translator's hypotheses against what a language model expects."""
    from vizcore import terminal_scores
    from vizcore.nbest_files import parse_nbest, read_nbest

    if file == "-":
        lists = parse_nbest(sys.stdin.buffer.read(), "standard input")
    else:
        lists = read_nbest(file)
    with terminal.progress() as report:
        loaded = load(model, report)
        report("Scoring the hypotheses", None)
        from vizcore.rescoring import error_rates
        from vizcore.rescoring import rescore as rescored

        found = rescored(loaded, lists, given=given, bos=bos, reference=reference)
    rates = None
    if all(one.reference is not None for one in found):
        rates = error_rates(found)
    if as_json:
        terminal_scores.print_rescored(loaded.name, weight, found, rates)
        return
    output = terminal.console()
    for one in found:
        print(f"{terminal.plain(one.name)}, at weight {weight:g} of {loaded.name}:\n")
        output.print(terminal_scores.rescored_table(one, weight))
        print()
        output.print(terminal_scores.winners_table(one.winners()))
        print()
    if rates is not None and len(found) > 1:
        print("Error rate of all lists together:\n")
        output.print(terminal_scores.frame_table(rates))
        print()
    terminal.print_note(loaded)
