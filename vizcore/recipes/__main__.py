"""`python -m vizcore.recipes NAME …`: what the Makefile's targets for the bundled models call."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vizcore import terminal
from vizcore.errors import VizcoreError
from vizcore.recipes.bundle import make
from vizcore.terminal_train import training_progress

Name = Literal["tatoeba-translator", "tatoeba-lm", "tatoeba-mlm", "induction"]


def main(
    name: Annotated[Name, typer.Argument(help="Which model to make again.")],
    data: Annotated[Path | None, typer.Option(help="Tatoeba's pairs, a .tsv file.")] = None,
    work: Annotated[Path, typer.Option(help="Where it is trained.")] = Path(".cache/recipes"),
    bundle: Annotated[Path, typer.Option(help="Where it is put.")] = Path("assets/models"),
) -> None:
    """Train a bundled model again from its data; one that was stopped goes on."""
    try:
        with training_progress() as report:
            made = make(name, data=data, work=work, bundle=bundle, report=report)
    except VizcoreError as error:
        terminal.print_error(str(error))
        raise typer.Exit(1) from error
    print(f"Made {made}.")


if __name__ == "__main__":
    typer.run(main)
