"""Sequences of words that come twice, on which induction heads form.

A line is a row of random words, and then the same row again. What comes first cannot be known;
what comes again can, by a head that finds the word's first occurrence and looks at what followed
it: an induction head (Olsson et al. 2022). Rows differ in length, so that counting does not help.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from vizcore.bpe import SPECIAL, START_ID, finished
from vizcore.tap import Recorder
from vizcore.training_settings import TrainingSettings
from vizcore.transformer import Transformer

WORDS = (
    "apple bell bird boat book bread cake car cat chair clock cloud coat cow cup dog door duck egg "
    "fish fork frog goat hat horse key king lamp leaf lion moon mouse nest owl pig ring rose ship "
    "star tree"
).split()
N_LINES = 24_000
SHORTEST, LONGEST = 6, 14
SETTINGS = TrainingSettings(
    task="language-model",
    d_model=64,
    n_heads=4,
    n_layers=2,
    d_ff=0,
    dropout=0,
    positions="rope",
    norm="pre",
    steps=1500,
    batch_tokens=4096,
    learning_rate=4e-3,
    warmup=50,
    weight_decay=0.0,
    label_smoothing=0,
    average=0,
    keep="last",
    evaluate_every=25,
    patience=None,
    snapshots=30,
    seed=3,
    precision="float32",
)


def write_repeats(path: Path, *, seed: int) -> None:
    """Write a file of rows that come twice."""
    dice = random.Random(seed)
    rows = (dice.sample(WORDS, dice.randint(SHORTEST, LONGEST)) for _line in range(N_LINES))
    path.write_text("".join(f"{' '.join([*row, *row])}\n" for row in rows), encoding="utf-8")


def word_tokenizer() -> PreTrainedTokenizerBase:
    """One token a word."""
    vocabulary = {word: place for place, word in enumerate((*SPECIAL, "<unk>", *WORDS))}
    core = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return finished(core, "language-model")


def measure(network: Transformer) -> Mapping[str, float]:
    """The losses on words that come first and on words that come again, and the best head's score.

    Returns:
        first_half_loss, second_half_loss: nats a token; what begins the second half cannot be
            known either, so it counts to neither.
        induction_score: how much the head that does so most looks, from each word that comes
            again, at what followed its first occurrence: from 0 to 1.
    """
    n_words = 12
    dice = torch.Generator().manual_seed(0)
    first = len(SPECIAL) + 1
    rows = torch.stack(
        [torch.randperm(len(WORDS), generator=dice)[:n_words] + first for _row in range(64)]
    )
    tokens = torch.cat([torch.full((64, 1), START_ID), rows, rows], dim=1)
    device: Any = next(network.parameters()).device
    with torch.inference_mode(), Recorder() as recorder:
        logits = network(tokens[:, :-1].to(device))
    losses = nn.functional.cross_entropy(
        logits.transpose(1, 2), tokens[:, 1:].to(device), reduction="none"
    )  # row token
    by_head = torch.stack(
        [
            torch.stack([induction_score(call.weights(batch=row), n_words) for row in range(8)])
            for call in recorder.calls
        ]
    ).mean(dim=1)  # layer head
    return {
        "first_half_loss": losses[:, :n_words].mean().item(),
        "second_half_loss": losses[:, n_words + 1 :].mean().item(),
        "induction_score": by_head.max().item(),
    }


def induction_score(
    weights: Float[Tensor, "head query key"], n_words: int
) -> Float[Tensor, " head"]:
    """Of a row of n words and the same again, behind a first token: the mean weight on the stripe.

    Word k is at position k + 1, comes again at n_words + k + 1, and was followed by k + 2.
    """
    again: Int[Tensor, " word"] = torch.arange(n_words + 1, weights.shape[1])
    return weights[:, again, again - n_words + 1].mean(dim=1)
