"""`vizcore tune-lens`: fits a tuned lens to a model on a file of text, and says how much it helps.

Registered by `vizcore.cli`; the fitting is `vizcore.tuned_lens_fit`'s.
"""

from pathlib import Path
from typing import Annotated

import typer

from vizcore import terminal
from vizcore.cli_options import AsJson, ModelName, load


def tune_lens(
    model: ModelName,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Text, one a line; for encoder-decoders, source and target with a tab between.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="SAFETENSORS", help="Where the lens is written.")],
    steps: Annotated[
        int, typer.Option(min=0, help="Of gradient descent; 0 leaves it at least squares.")
    ] = 100,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Positions in a step.")] = 256,
    n_tokens: Annotated[
        int, typer.Option(min=1, help="Positions for the first maps, by least squares.")
    ] = 4096,
    seed: Annotated[int, typer.Option(help="Which lines are held out.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fit a tuned lens: for each layer the map by which it predicts what the whole model does."""
    from vizcore import terminal_scores

    with terminal.progress() as report:
        loaded = load(model, report)
        report("Fitting by least squares", None)
        from vizcore.tuned_lens_fit import fit_tuned_lens

        lens = fit_tuned_lens(
            loaded,
            file,
            steps=steps,
            batch_tokens=batch_tokens,
            n_tokens=n_tokens,
            seed=seed,
            progress=lambda done, of: report(f"Step {done} of {of}", done / of),
        )
    lens.save(out)
    table = lens.report()
    if as_json:
        terminal_scores.print_records("layers", table, model=loaded.name, path=str(out))
        return
    print("Divergence from what the whole model predicts, in nats, on text that was held out:\n")
    terminal.console().print(terminal_scores.frame_table(table))
    print(f"\nThe lens is in {out}")
    terminal.print_note(loaded)
