"""How fast our Transformer learns, beside PyTorch's own of the same size, and how fast it writes.

Both read the same batches of made-up sentence pairs, as long as everyday sentences are, and take
whole steps: forward, label-smoothed loss, backward, clipping, AdamW. In float32, and where the
processor multiplies bfloat16 itself, in that too. Then one sentence is translated greedily, with
the cache and without it.
"""

import math
import os

import pandas as pd
import torch
from _table import in_turns, show
from torch import Tensor, nn

from vizcore.decoding import write
from vizcore.precision import has_fast_bfloat16, matrix_precision
from vizcore.transformer import Transformer, TransformerConfig, sinusoids

SIZES = TransformerConfig("encoder-decoder", vocab_size=8000)
BATCH, N_BATCHES = 64, 3
PAD = 0
N_WRITTEN = 12
CPU = torch.device("cpu")


class Theirs(nn.Module):
    """torch.nn.Transformer between the embedding and the tied output that ours has, too."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.d_model = config.d_model
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(self.tokens.weight, std=config.d_model**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = nn.Transformer(
            config.d_model,
            config.n_heads,
            config.n_layers,
            config.n_layers,
            config.d_ff,
            config.dropout,
            batch_first=True,
        )

    def embedded(self, tokens: Tensor) -> Tensor:
        """Vectors with positions."""
        x = self.tokens(tokens) * math.sqrt(self.d_model)
        return self.dropout(x + sinusoids(0, tokens.shape[1], self.d_model))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The logits."""
        hidden = self.transformer(
            self.embedded(source),
            self.embedded(target),
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(target.shape[1]),
            tgt_is_causal=True,
            src_key_padding_mask=source == PAD,
            memory_key_padding_mask=source == PAD,
        )
        return nn.functional.linear(hidden, self.tokens.weight)


class Ours(Transformer):
    """Ours, called in the same way."""

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The logits."""
        return super().forward(source, target, present=source != PAD)


def main() -> None:
    """Measure and print."""
    torch.manual_seed(0)
    batches = [(_sentences(3, 16), _sentences(4, 20)) for _ in range(N_BATCHES)]
    n_tokens = sum(int((target != PAD).sum()) for _, target in batches)
    modes = [False, True] if has_fast_bfloat16(CPU) else [False]
    for half in modes:
        networks = {"torch.nn.Transformer": Theirs(SIZES), "vizcore.transformer": Ours(SIZES)}
        runs = {name: _Run(network, batches, half=half) for name, network in networks.items()}
        table = in_turns({name: run.steps for name, run in runs.items()})
        table["target tokens a second"] = n_tokens / table["seconds"]
        table["throughput, ratio"] = 1 / table.pop("ratio")
        table["parameters (millions)"] = [
            sum(weights.numel() for weights in network.parameters()) / 1e6
            for network in networks.values()
        ]
        show(f"training, {'bfloat16' if half else 'float32'}, {os.cpu_count()} cores", table)
    show(f"writing {N_WRITTEN} tokens for one sentence, {os.cpu_count()} cores", _writing())


class _Run:
    """One network, its optimizer, and what it learns from."""

    def __init__(
        self, network: nn.Module, batches: list[tuple[Tensor, Tensor]], *, half: bool
    ) -> None:
        self.network, self.batches, self.half = network.train(), batches, half
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def steps(self) -> None:
        """A step for each batch."""
        for source, target in self.batches:
            with matrix_precision(CPU, half=self.half):
                logits = self.network(source, target[:, :-1])
            loss = nn.functional.cross_entropy(
                logits.float().flatten(0, 1),
                target[:, 1:].flatten(),
                ignore_index=PAD,
                label_smoothing=0.1,
            )
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def _sentences(shortest: int, longest: int) -> Tensor:
    lengths = torch.randint(shortest, longest + 1, (BATCH, 1))
    tokens = torch.randint(1, SIZES.vocab_size, (BATCH, int(lengths.max())))
    return tokens.where(torch.arange(tokens.shape[1]) < lengths, PAD)


def _writing() -> pd.DataFrame:
    network = Transformer(SIZES).eval()
    source = torch.randint(1, SIZES.vocab_size, (10,)).tolist()
    how = {"prefix": [1], "ends": (), "max_new_tokens": N_WRITTEN}
    table = in_turns(
        {
            "greedily, each token read once": lambda: write(network, [source], **how),
            "greedily, everything read again each time": lambda: _without_cache(network, source),
            "beam search with 4 beams": lambda: write(network, [source], n_beams=4, **how),
        }
    )
    table.insert(0, "milliseconds", 1000 * table.pop("seconds"))
    return table


@torch.inference_mode()
def _without_cache(network: Transformer, source: list[int]) -> list[int]:
    memory = network.encode(torch.tensor([source]))
    written = [1]
    for _ in range(N_WRITTEN):
        hidden = network.decode(torch.tensor([written]), memory)
        written.append(int(network.logits(hidden[:, -1:]).argmax()))
    return written


if __name__ == "__main__":
    main()
