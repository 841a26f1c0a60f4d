"""Fits a tuned lens to a model on a file of text.

Least squares gives each layer's map a beginning, gradient descent on the divergence from the
model's own prediction goes on from there, and a map is kept only if it does better on text that
was held out: so it is never worse there than the logit lens, which is the map that changes nothing.
Texts are read as they are needed, and few states are in memory at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.corpus import Example, read_corpus
from vizcore.errors import DataError, EmptyTextError
from vizcore.lenses import CELLS_AT_ONCE, divergence
from vizcore.model import Model
from vizcore.residual_stream import ResidualStream, residual_stream
from vizcore.tuned_lens import TunedLens

RIDGES = (0.001, 0.03, 1.0)
"""How strongly first maps are held to changing nothing, beside the mean square of a state."""
N_CHECKS = 5
"""How often held-out text decides whether the maps have become better."""
HELD_OUT = 0.1
"""The share of the file's lines that is not fitted to."""

States = Float[Tensor, "layers position d_model"]
"""The stream at some positions: before layer 0, and after each layer."""
Maps = tuple[Float[Tensor, "state d_model d_model"], Float[Tensor, "state d_model"]]
"""A and b of x + A·x + b, for each state but the last."""


def fit_tuned_lens(
    model: Model,
    path: str | Path,
    *,
    steps: int = 100,
    batch_tokens: int = 256,
    n_tokens: int = 4096,
    held_out_tokens: int = 512,
    max_text_tokens: int = 128,
    learning_rate: float | int = 0.01,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> TunedLens:
    """Fit a tuned lens for a model on a file of text, one text a line.

    Each map minimises KL(model ‖ lens), the mean over positions (Belrose et al. 2023). A tenth of
    the lines is held out: one half decides which maps are kept, the other measures them.

    Args:
        model: with a language-model head.
        path: UTF-8; for an encoder-decoder, source and target with a tab between them.
        steps: of gradient descent (Adam, at a rate that falls to 0); 0 leaves it at least squares.
        batch_tokens: positions in a step.
        n_tokens: positions to which the first maps are fitted by least squares.
        held_out_tokens: positions in each half of what is held out, at most.
        max_text_tokens: texts are cut there.
        learning_rate: how far a step may move a translated state, beside the size of a last one.
        seed: which lines are held out.
        progress: called with the number of steps done, and of all.

    Raises:
        MissingHeadError: if the model has no language-model head.
        CaptureError: if its residual stream is not found.
        DataError: if the file is missing, empty, no UTF-8, or has too few lines.
    """
    stream = residual_stream(model)
    path = Path(path)
    corpus = read_corpus(path, pairs=model.kind == "encoder-decoder", seed=seed, share=HELD_OUT)
    reader = _Reader(model, stream, max_text_tokens)
    halves = [
        next(reader.batches(corpus.validation[half::2], held_out_tokens), None) for half in (0, 1)
    ]
    choosing, measuring = halves
    if choosing is None or measuring is None:
        raise DataError(
            f"{path} has too few texts that {model.name} can read: a tenth of them is held out. "
            "Give at least 20 lines, one text each."
        )
    kept = _Kept(stream, choosing)
    first = reader.batches(corpus.training, min(batch_tokens, n_tokens))
    for maps in _least_squares(stream, first, n_tokens):
        kept.take_better(maps)

    weights = [one.clone().requires_grad_() for one in kept.maps[0]]
    biases = [one.clone().requires_grad_() for one in kept.maps[1]]
    sizes = choosing.norm(dim=-1).median(dim=-1).values.clamp(min=1e-6).tolist()
    groups = []
    for weight, bias, size in zip(weights, biases, sizes, strict=False):
        groups.append(
            {"params": [weight], "lr": learning_rate * sizes[-1] / size / len(bias) ** 0.5}
        )
        groups.append({"params": [bias], "lr": learning_rate * sizes[-1] / len(bias) ** 0.5})
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / max(steps, 1))
    texts = reader.batches(cycle(corpus.training), batch_tokens)
    for step in range(1, steps + 1):
        _descend(stream, next(texts), weights, biases)
        optimiser.step()
        schedule.step()
        if step % max(1, steps // N_CHECKS) == 0 or step == steps:
            with torch.no_grad():
                kept.take_better((torch.stack(weights), torch.stack(biases)))
        if progress is not None:
            progress(step, steps)
    unchanged = tuple(torch.zeros_like(one) for one in kept.maps)
    return TunedLens(
        *kept.maps,
        facts={
            "model": model.name,
            "file": corpus.name,
            "sha256": corpus.sha256,
            "steps": steps,
            "batch_tokens": batch_tokens,
            "n_tokens": n_tokens,
            "max_text_tokens": max_text_tokens,
            "learning_rate": learning_rate,
            "seed": seed,
            "held_out_tokens": measuring.shape[1],
            "logit_lens": losses(stream, measuring, (unchanged[0], unchanged[1])).tolist(),
            "tuned_lens": losses(stream, measuring, kept.maps).tolist(),
        },
    )


class _Reader:
    """Lines of a file -> states of the stream, a few hundred positions at a time."""

    def __init__(self, model: Model, stream: ResidualStream, max_text_tokens: int) -> None:
        self.model, self.stream, self.limit = model, stream, max_text_tokens

    def batches(self, examples: Iterable[Example], n_tokens: int) -> Iterator[States]:
        """So many positions at a time; at the end what is left."""
        waiting: list[Tensor] = []
        for example in examples:
            states = self._states(example)
            if states is None:
                continue
            waiting.append(states)
            while sum(part.shape[1] for part in waiting) >= n_tokens:
                together = torch.cat(waiting, dim=1)
                yield together[:, :n_tokens]
                waiting = [together[:, n_tokens:]]
        if sum(part.shape[1] for part in waiting):
            yield torch.cat(waiting, dim=1)

    def _states(self, example: Example) -> States | None:
        """Of one text; None if there is nothing in it that the model reads."""
        try:
            ids = [self.model.encode(text) for text in example[:1]]
            trace = self.model.trace(ids[0][: self.limit], *self._target(example))
        except EmptyTextError:
            return None
        return torch.stack(self.stream.states(trace)).float()

    def _target(self, example: Example) -> list[list[int]]:
        if self.model.kind != "encoder-decoder":
            return []
        return [self.model._decoder_input(example[1])[: self.limit]]


class _Kept:
    """The best map of each layer so far, judged by text that nothing is fitted to."""

    def __init__(self, stream: ResidualStream, text: States) -> None:
        n, d_model = stream.n_layers, stream.d_model
        self.stream, self.text = stream, text
        self.maps: Maps = (text.new_zeros(n, d_model, d_model), text.new_zeros(n, d_model))
        self.losses = losses(stream, text, self.maps)

    def take_better(self, maps: Maps) -> None:
        """Take those that are better than what is kept."""
        found = losses(self.stream, self.text, maps)
        better = found < self.losses  # not a number is not better
        for mine, theirs in zip(self.maps, maps, strict=True):
            mine[better] = theirs[better]
        self.losses[better] = found[better]


def losses(stream: ResidualStream, states: States, maps: Maps) -> Float[Tensor, " state"]:
    """The mean divergence of each translated state's prediction from the model's own, in nats."""
    total = states.new_zeros(stream.n_layers)
    with torch.no_grad():
        for final, part in _parts(stream, states):
            for state, (weight, bias) in enumerate(zip(*maps, strict=True)):
                total[state] += _divergence(stream, final, part[state], weight, bias)
    return total / states.shape[1]


def _descend(
    stream: ResidualStream, states: States, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> None:
    """Set each map's gradient of the divergence. The network's own weights get none."""
    for one in (*weights, *biases):
        one.grad = torch.zeros_like(one)
    for final, part in _parts(stream, states):
        for state, maps in enumerate(zip(weights, biases, strict=True)):
            loss = _divergence(stream, final, part[state], *maps) / states.shape[1]
            gradients = torch.autograd.grad(loss, maps)
            for one, gradient in zip(maps, gradients, strict=True):
                assert one.grad is not None  # noqa: S101 - set above
                one.grad += gradient


def _parts(stream: ResidualStream, states: States) -> Iterator[tuple[Tensor, States]]:
    """So few positions at a time that their logits fit into memory, with the model's prediction."""
    n_at_once = min(CELLS_AT_ONCE, 64)
    for start in range(0, states.shape[1], n_at_once):
        part = states[:, start : start + n_at_once]
        with torch.no_grad():
            final = stream.logits(part[-1:])[0].float().log_softmax(dim=-1)
        yield final, part


def _divergence(
    stream: ResidualStream,
    final: Float[Tensor, "position vocab"],
    state: Float[Tensor, "position d_model"],
    weight: Float[Tensor, "d_model d_model"],
    bias: Float[Tensor, " d_model"],
) -> Float[Tensor, ""]:
    """The sum over positions."""
    translated = state + state @ weight.T + bias
    predicted = stream.logits(translated[None])[0].float().log_softmax(dim=-1)
    return divergence(final, predicted).sum()


def _least_squares(
    stream: ResidualStream, batches: Iterator[States], n_tokens: int
) -> Iterator[Maps]:
    """The maps that bring each state nearest to the last one, held back more and more.

    Positions count alike whatever the length of their last state, which a norm takes away.
    """
    n, d_model = stream.n_layers, stream.d_model
    device = stream.network.device
    squares = torch.zeros(n, d_model + 1, d_model + 1, device=device)
    products = torch.zeros(n, d_model + 1, d_model, device=device)
    n_read = 0
    for states in batches:
        last = states[-1]
        shares = 1 / last.square().mean(dim=-1).clamp(min=1e-12)  # position
        for state in range(n):
            given = torch.cat([states[state], torch.ones_like(last[:, :1])], dim=-1)
            squares[state] += (given * shares[:, None]).T @ given
            products[state] += (given * shares[:, None]).T @ (last - states[state])
        n_read += len(last)
        if n_read >= n_tokens:
            break
    for ridge in RIDGES:
        size = squares[:, :-1, :-1].diagonal(dim1=1, dim2=2).mean(dim=1)  # state
        held = torch.diag_embed((ridge * size)[:, None].expand(n, d_model).clone())
        held = torch.nn.functional.pad(held, (0, 1, 0, 1))
        held[:, -1, -1] = 1e-6 * squares[:, -1, -1]
        solved = torch.linalg.solve((squares + held).double(), products.double()).float()
        yield solved[:, :-1].transpose(1, 2).contiguous(), solved[:, -1].contiguous()
