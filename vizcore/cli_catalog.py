"""`vizcore models` and `vizcore fetch`: which models are known by name, and getting them.

Both answer without PyTorch: the list has to come at once. Registered by `vizcore.cli`.
"""

from typing import Annotated

import typer

from vizcore import terminal
from vizcore.cli_options import AsJson
from vizcore.errors import ModelNotFoundError


def models(as_json: AsJson = False) -> None:
    """List the models that are known by name."""
    from vizcore.catalog import entries
    from vizcore.fetch import is_fetched, model_folder

    rows = [(entry, is_fetched(entry)) for entry in entries()]
    if as_json:
        terminal.print_json(
            [
                {
                    "name": entry.name,
                    "description": entry.description,
                    "kind": entry.kind,
                    "n_layers": entry.n_layers,
                    "n_heads": entry.n_heads,
                    "language_model": entry.language_model,
                    "licence": entry.licence,
                    "origin": entry.origin,
                    "requirement": entry.wheel.requirement if entry.wheel else None,
                    "download_size": entry.download_size,
                    "sha256": entry.wheel.sha256 if entry.wheel else None,
                    "folder": str(model_folder(entry)) if fetched else None,
                }
                for entry, fetched in rows
            ]
        )
        return
    for table in terminal.models_table(rows):
        terminal.console().print(table)
        print()
    print(
        "Any model on the Hub works too (by its id, such as openai-community/gpt2), and any local"
    )
    print("folder with safetensors, or .gguf file.")


def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Names from `vizcore models`.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Fetch models now, so that later they load without a network."""
    from vizcore.catalog import close_matches, entries, find
    from vizcore.fetch import fetch as fetch_entry

    if bool(names) == everything:
        raise typer.BadParameter("Give one or more names, or --all.", param_hint="NAME")
    wanted = list(entries()) if everything else []
    for name in names or ():
        entry = find(name)
        if entry is None:
            raise ModelNotFoundError(_not_known(name, close_matches(name)))
        wanted.append(entry)
    for entry in wanted:
        with terminal.progress() as report:
            folder = fetch_entry(entry, progress=report)
        print(f"{entry.name}: {folder}")


def _not_known(name: str, close: tuple[str, ...]) -> str:
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    return (
        f"There is no {name!r} in the catalogue.{meant} `vizcore models` lists it; a model from "
        "the Hub is fetched when it is first used."
    )
