"""Learns a tokenizer from the sentences that a network is trained on.

Byte-pair encoding (Sennrich et al. 2016) as the package `tokenizers` does it: English falls into
pieces of words, and each Chinese character stays a token of its own. Rare characters fall into
their bytes, so that every text can be read. For tokenizers of other models, load the model.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from vizcore.errors import TrainingError

Task = Literal["translation", "language-model", "masked"]
"""What a network learns: pairs of sentences, the next token, or tokens that are masked."""
SPECIAL = ("<pad>", "<s>", "</s>", "<mask>")
PAD_ID, START_ID, END_ID, MASK_ID = range(len(SPECIAL))
AROUND: dict[Task, str] = {
    "translation": "$A </s>",
    "language-model": "<s> $A",
    "masked": "<s> $A </s>",
}
"""What a tokenizer puts around a text. What a decoder reads of a target begins with <s>."""
SPACE = "\u2581"
"""Stands for the space before a word, as in SentencePiece."""
PIECE = rf"{SPACE}?\p{{Latin}}+|{SPACE}?\p{{N}}|\p{{Han}}|{SPACE}?[^\p{{Han}}]"
"""A word, a digit, a Chinese character, or any other character: no token is longer than that."""
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def learn_tokenizer(
    texts: Sequence[str], *, task: Task, vocab_size: int, rarest: int = 2
) -> PreTrainedTokenizerFast:
    """A tokenizer learned from these texts.

    Args:
        texts: all that is trained on.
        task: decides what is put around a text, see `AROUND`.
        vocab_size: at most that many tokens.
        rarest: characters and pieces that occur less often get no token of their own.

    Raises:
        TrainingError: if so few tokens cannot hold the bytes and the frequent characters.
    """
    learner = _with_text_rules(Tokenizer(BPE()))
    counted = Counter(character for text in texts for character in _normal(learner, text))
    alphabet = sorted(character for character, n in counted.items() if n >= rarest)
    room = vocab_size - len(SPECIAL) - len(BYTES)
    if room < len(alphabet):
        raise TrainingError(
            f"A vocabulary of {vocab_size} is too small: {len(SPECIAL)} special tokens, 256 bytes "
            f"and {len(alphabet)} characters that occur {rarest} times or more need at least "
            f"{vocab_size - room + len(alphabet)}. Give a larger one."
        )
    trainer = BpeTrainer(
        vocab_size=room,
        min_frequency=rarest,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    learned = json.loads(learner.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].get)
    vocabulary = {piece: place for place, piece in enumerate((*SPECIAL, *BYTES, *pieces))}
    merges = [(one, other) for one, other in learned["merges"]]
    core = _with_text_rules(Tokenizer(BPE(vocabulary, merges, byte_fallback=True)))
    core.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Replace(SPACE, " "),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return finished(core, task)


def finished(core: Tokenizer, task: Task) -> PreTrainedTokenizerFast:
    """A tokenizer that puts around a text what the task needs, and knows its special tokens.

    Args:
        core: its first tokens must be those of `SPECIAL`.
        task: see `AROUND`.
    """
    core.post_processor = processors.TemplateProcessing(
        single=AROUND[task],
        special_tokens=[("<s>", START_ID), ("</s>", END_ID)],
    )
    names = dict(zip(("pad_token", "bos_token", "eos_token", "mask_token"), SPECIAL, strict=True))
    if task != "masked":
        del names["mask_token"]
    make: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = make(
        tokenizer_object=core, clean_up_tokenization_spaces=False, **names
    )
    return tokenizer


def _with_text_rules(core: Tokenizer) -> Tokenizer:
    core.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Strip(),
            normalizers.Replace(Regex(r"\s+"), SPACE),
            # A word is the same token at the beginning of a text as within it.
            normalizers.Replace(Regex(r"^(?=[\p{Latin}\p{N}])"), SPACE),
        ]
    )
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), "isolated")
    return core


def _normal(core: Tokenizer, text: str) -> str:
    normalizer = core.normalizer
    return text if normalizer is None else str(normalizer.normalize_str(text))
