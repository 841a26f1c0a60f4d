"""`vizcore train`: a file of sentences -> a model, in the terminal.

The command is registered by `vizcore.cli`. It only turns options into settings; what a run is and
how it can be resumed is `vizcore.training`'s.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Annotated[
    Path,
    typer.Argument(
        help="UTF-8 text: a sentence, a tab and its translation a line; or a sentence a line.",
    ),
]
Folder = Annotated[
    Path, typer.Argument(help="Where the model goes, with its curves and snapshots.")
]
_NETWORK, _RUN = "The network", "The run"


def train(
    data: Data,
    folder: Folder,
    task: Annotated[
        Literal["translation", "language-model", "masked"] | None,
        typer.Option(
            help="What to learn: to translate pairs, to go on with a line, or to fill in masked "
            "words. Without it: translation if the first line has a tab, else language-model.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in FOLDER, with the settings that it began with."
        ),
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Updates of the weights, instead of --epochs.", show_default=False
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How often to see each sentence.")] = 10,
    d_model: Annotated[int, typer.Option(min=1, help="Width.", rich_help_panel=_NETWORK)] = 256,
    heads: Annotated[int, typer.Option(min=1, help="A layer.", rich_help_panel=_NETWORK)] = 4,
    layers: Annotated[
        int, typer.Option(min=1, help="In each stack.", rich_help_panel=_NETWORK)
    ] = 3,
    d_ff: Annotated[
        int,
        typer.Option(min=0, help="Width of feed-forward; 0: none.", rich_help_panel=_NETWORK),
    ] = 1024,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.99, rich_help_panel=_NETWORK, help="While training.")
    ] = 0.1,
    inner_dropout: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.99,
            rich_help_panel=_NETWORK,
            help="Of attention's weights and inside feed-forward layers, while training.",
        ),
    ] = 0.0,
    positions: Annotated[
        Literal["sinusoidal", "learned", "rope", "alibi", "none"],
        typer.Option(rich_help_panel=_NETWORK, help="How it knows where a token stands."),
    ] = "sinusoidal",
    norm: Annotated[
        Literal["post", "pre"],
        typer.Option(rich_help_panel=_NETWORK, help="Layer norm after or before each part."),
    ] = "post",
    vocab_size: Annotated[
        int, typer.Option(min=1, help="Tokens to learn.", rich_help_panel=_NETWORK)
    ] = 8000,
    word_dropout: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, help="Share of the tokens read that are hidden.", rich_help_panel=_RUN
        ),
    ] = 0.0,
    agreement: Annotated[
        float,
        typer.Option(
            min=0,
            help="What it costs that two passes with other neurons dropped disagree.",
            rich_help_panel=_RUN,
        ),
    ] = 0.0,
    agreement_from: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, help="From which share of the steps on.", rich_help_panel=_RUN
        ),
    ] = 0.0,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="In a batch.", rich_help_panel=_RUN)
    ] = 4096,
    learning_rate: Annotated[float, typer.Option(help="The highest.", rich_help_panel=_RUN)] = 1e-3,
    warmup: Annotated[
        int, typer.Option(min=0, help="Steps until it is reached.", rich_help_panel=_RUN)
    ] = 400,
    patience: Annotated[
        int,
        typer.Option(
            min=0,
            help="Stop after so many evaluations without a better one; 0: never.",
            rich_help_panel=_RUN,
        ),
    ] = 10,
    keep: Annotated[
        Literal["best", "last"], typer.Option(help="Which weights.", rich_help_panel=_RUN)
    ] = "best",
    evaluate_every: Annotated[int, typer.Option(min=1, help="Steps.", rich_help_panel=_RUN)] = 200,
    checkpoint_every: Annotated[
        int,
        typer.Option(
            min=1, help="Steps: at most that much is lost by a kill.", rich_help_panel=_RUN
        ),
    ] = 100,
    snapshots: Annotated[
        int,
        typer.Option(min=0, help="Sets of weights to keep for playing back.", rich_help_panel=_RUN),
    ] = 12,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(help="Of matrix products.", rich_help_panel=_RUN),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of all that is random.", rich_help_panel=_RUN)] = 0,
) -> None:
    """Train a Transformer on a file of sentences. Ctrl-C stops it; --resume goes on."""
    from vizcore import terminal
    from vizcore.corpus import first_line
    from vizcore.terminal_train import interruptible, training_progress

    if task is None:
        task = "translation" if "\t" in first_line(data) else "language-model"
        print(f"Task: {task}")
    with terminal.progress() as starting:
        starting("Starting PyTorch", None)
        from vizcore.training import train as run
        from vizcore.training_settings import TrainingSettings
    settings = TrainingSettings(
        task=task,
        d_model=d_model,
        n_heads=heads,
        n_layers=layers,
        d_ff=d_ff,
        dropout=dropout,
        inner_dropout=inner_dropout,
        positions=positions,
        norm=norm,
        word_dropout=word_dropout,
        agreement=agreement,
        agreement_from=agreement_from,
        vocab_size=vocab_size,
        steps=steps,
        epochs=epochs,
        batch_tokens=batch_tokens,
        learning_rate=learning_rate,
        warmup=warmup,
        keep=keep,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
        patience=patience or None,
        snapshots=snapshots,
        seed=seed,
        precision=precision,
    )
    with interruptible() as should_stop, training_progress() as report:
        run(data, folder, settings, resume=resume, report=report, should_stop=should_stop)
    print(f'The model is in {folder}: vizcore attend {folder} "…"')
