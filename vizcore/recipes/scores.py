"""What the bundled models can do, measured on sentences that they never saw."""

import random
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import torch

from vizcore.bpe import END_ID, START_ID
from vizcore.decoding import write
from vizcore.likelihood import surprisal
from vizcore.model import Model
from vizcore.recipes.tatoeba import Tatoeba

N_BEAMS = 4
N_ORDERS = 200
"""Sentences of each language whose words are put into another order."""
PREFERENCES = (
    ("They are here.", "They is here."),
    ("She has a cat.", "She have a cat."),
    ("我爱你。", "我你爱。"),
    ("我爱你。", "爱你我。"),
    ("他在看书。", "他看书在。"),
)
"""Of each two, the first should be likelier."""


def translator_scores(
    model: Model, tatoeba: Tatoeba, *, beams: Sequence[int] = (1, N_BEAMS)
) -> dict[str, float]:
    """BLEU (sacreBLEU, tokenize zh, all references), greedy and by beam search."""
    import sacrebleu

    sources = list(tatoeba.test)
    most = max(len(references) for references in tatoeba.test.values())
    columns: Any = [  # sacreBLEU takes None where a sentence has fewer references
        [references[place] if place < len(references) else None for references in _lists(tatoeba)]
        for place in range(most)
    ]
    scores: dict[str, float] = {}
    for n_beams in beams:
        name = "bleu_greedy" if n_beams == 1 else f"bleu_beam_{n_beams}"
        written = translated(model, sources, n_beams=n_beams)
        bleu = sacrebleu.corpus_bleu(written, columns, tokenize="zh")
        scores[name] = round(bleu.score, 2)
    return scores | {"test_sentences": len(sources)}


def translated(model: Model, sources: Sequence[str], *, n_beams: int = 1) -> list[str]:
    """What a translator writes for each sentence, as text."""
    network: Any = model.network
    tokenizer: Any = model.tokenizer
    ids = write(
        network.transformer,
        [model.encode(source) for source in sources],
        prefix=[START_ID],
        ends={END_ID},
        n_beams=n_beams,
    )
    return [str(tokenizer.decode(text, skip_special_tokens=True)) for text in ids]


def language_model_scores(model: Model, tatoeba: Tatoeba) -> dict[str, float]:
    """Perplexity a token, and how often the words in their order are likelier than shuffled."""
    english = list(tatoeba.test)
    chinese = [references[0] for references in tatoeba.test.values()]
    scores = {
        f"perplexity_{name}": round(_perplexity(model, sentences), 2)
        for name, sentences in (("english", english), ("chinese", chinese))
    }
    scores["order_english"] = round(_prefers_order(model, english, chinese=False), 4)
    scores["order_chinese"] = round(_prefers_order(model, chinese, chinese=True), 4)
    right = [likelihood(model, good) > likelihood(model, bad) for good, bad in PREFERENCES]
    return scores | {"preferences": sum(right), "of_preferences": len(right)}


def likelihood(model: Model, sentence: str) -> float:
    """log P(sentence), in nats."""
    return float(surprisal(model, sentence)["log_probability"].sum())


def masked_scores(model: Model, tatoeba: Tatoeba) -> dict[str, float]:
    """How often a masked token is the likeliest, or among the five likeliest, each masked alone."""
    tokenizer: Any = model.tokenizer
    scores = {}
    sentences: Mapping[str, Sequence[str]] = {
        "english": list(tatoeba.test),
        "chinese": [references[0] for references in tatoeba.test.values()],
    }
    for name, texts in sentences.items():
        ranks = []
        for text in texts[:N_ORDERS]:
            ids = torch.tensor(model.encode(text))
            places = torch.arange(1, len(ids) - 1)
            masked = ids.repeat(len(places), 1)
            masked[torch.arange(len(places)), places] = tokenizer.mask_token_id
            network: Any = model.network
            with torch.inference_mode():
                logits = network(input_ids=masked).logits
            asked = logits[torch.arange(len(places)), places]
            right = asked.gather(1, ids[places][:, None])
            ranks += (asked > right).sum(dim=1).tolist()
        scores[f"first_{name}"] = round(mean(rank == 0 for rank in ranks), 4)
        scores[f"among_five_{name}"] = round(mean(rank < 5 for rank in ranks), 4)
    return scores


def _lists(tatoeba: Tatoeba) -> list[tuple[str, ...]]:
    return list(tatoeba.test.values())


def _perplexity(model: Model, sentences: Sequence[str]) -> float:
    log_probabilities = [
        value
        for sentence in sentences
        for value in surprisal(model, sentence)["log_probability"].dropna()
    ]
    return float(torch.tensor(log_probabilities).mean().neg().exp())


def _prefers_order(model: Model, sentences: Sequence[str], *, chinese: bool) -> float:
    """How often a sentence is likelier than its words (or characters) in another order."""
    dice = random.Random(0)
    right: list[bool] = []
    for sentence in sentences:
        end = sentence[-1] if not sentence[-1].isalnum() else ""
        body = sentence.removesuffix(end)
        parts = list(body) if chinese else body.split()
        shuffled = parts[:]
        dice.shuffle(shuffled)
        if shuffled == parts or len(right) == N_ORDERS:
            continue
        other = ("" if chinese else " ").join(shuffled) + end
        right.append(likelihood(model, sentence) > likelihood(model, other))
    return mean(right)
