"""What the commands of the terminal share: their common arguments, examples in help, loading.

Annotations are the arguments' only declaration: a model is named and described in one place, and a
command that takes one says so by its type. Nothing heavy is imported before a model is loaded.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from vizcore.cache import Progress
    from vizcore.model import Model


def examples(*commands: str) -> str:
    """The end of a help page. Blank lines keep every command on a line of its own."""
    return "\n\n".join(["Examples:", *(f"  {command}" for command in commands)])


ModelName = Annotated[
    str,
    typer.Argument(
        help="A name that `vizcore models` lists, a Hub id, a folder, or a .gguf file.",
    ),
]
TextArgument = Annotated[
    str,
    typer.Argument(help="The text, in quotes; - reads it from standard input.", allow_dash=True),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="For encoder-decoders, what the decoder reads; else the model writes it by itself.",
    ),
]
Kind = Annotated[
    Literal["encoder", "decoder", "cross"] | None,
    typer.Option(help="For encoder-decoders: which attention.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]


def load(name: str, report: "Progress") -> "Model":
    """The model of that name, or an error that the terminal shows as a sentence."""
    report("Starting PyTorch", None)
    from transformers.utils import logging

    from vizcore.loading import load as load_model

    # One progress bar is enough, and it is ours.
    quieten: Any = logging
    quieten.disable_progress_bar()
    quieten.set_verbosity_error()
    return load_model(name, progress=report)
