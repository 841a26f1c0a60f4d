"""The card of each bundled model: what it is, what it was made from, what it can and cannot do."""

from collections.abc import Mapping
from typing import Any

TATOEBA = """\
[Tatoeba](https://tatoeba.org), by way of the Anki bilingual sentence pairs (manythings.org/anki),
English–Mandarin Chinese: {sentences:,} sentences or pairs, characters simplified with OpenCC, and
500 English sentences with all of their translations held out for the scores. The sentences are by
Tatoeba's contributors, under [CC BY 2.0 FR](https://creativecommons.org/licenses/by/2.0/fr/); this
model, made from them, is under the same licence. Please name Tatoeba if you pass it on."""

WHAT = {
    "tatoeba-translator": """\
An encoder-decoder that translates short English sentences into simplified Chinese, after
"Attention Is All You Need", but for pre-norm: sinusoidal positions, embeddings shared and tied.""",
    "tatoeba-lm": """\
A decoder that knows short English and Chinese sentences, for the probability of a sentence:
pre-norm, sinusoidal positions, tied embeddings. A text begins with `<s>`.""",
    "tatoeba-mlm": """\
An encoder that fills in a `<mask>` in short English and Chinese sentences: pre-norm, sinusoidal
positions, tied embeddings, masked as in BERT.""",
    "induction": """\
A decoder of two layers with attention alone (no feed-forward), trained on rows of words that come
twice. What comes again can be predicted by a head that looks at what followed the word's first
occurrence: an induction head (Olsson et al. 2022). Its snapshots show the head forming.""",
}

CANNOT = {
    "tatoeba-translator": """\
Long sentences, names, numbers and rare words: it knows some 28,000 everyday sentences, and writes
something fluent about them where it does not understand. It is a model to look into, not one to
rely on. Like its data it mentions Tom often.""",
    "tatoeba-lm": """\
Anything beyond short everyday sentences: no facts, no long texts, no traditional characters. Its
probabilities compare sentences of one language, and mean little across languages.""",
    "tatoeba-mlm": """\
Anything beyond short everyday sentences. It fills in one or two tokens; it does not write.""",
    "induction": """\
Language: it knows forty words, and their meaning is nothing to it. Other words become `<unk>`.""",
}

MEANING = {
    "validation_loss": "validation loss, nats a token",
    "bleu_greedy": "BLEU, 500 held-out sentences, greedy (sacreBLEU, zh, all references)",
    "bleu_beam_4": "the same by beam search with 4 beams",
    "perplexity_english": "perplexity a token, held-out English sentences",
    "perplexity_chinese": "perplexity a token, held-out Chinese sentences",
    "order_english": "share of held-out English sentences likelier than their words shuffled",
    "order_chinese": "share of held-out Chinese sentences likelier than their characters shuffled",
    "first_english": "share of masked tokens that are its first guess, held-out English",
    "first_chinese": "share of masked tokens that are its first guess, held-out Chinese",
    "among_five_english": "the same among its first five guesses, English",
    "among_five_chinese": "the same among its first five guesses, Chinese",
    "first_half_loss": "loss on words that come first, nats a token (ln 40 = 3.69 is guessing)",
    "second_half_loss": "loss on words that come again, nats a token",
    "induction_score": "weight of its best head on what followed the first occurrence",
}


def card(name: str, facts: Mapping[str, Any], *, size: int) -> str:
    """The README.md of a bundled model.

    Args:
        facts: from its training.json.
        size: of its weights, in bytes.
    """
    settings, scores, data = facts["settings"], facts["scores"], facts["data"]
    is_tatoeba = name != "induction"
    sentences = data["training_sentences"] + data["validation_sentences"]
    origin = TATOEBA.format(sentences=sentences) if is_tatoeba else "Made up: see the recipe."
    layers = f"{settings['n_layers']} layers" + (
        " in the encoder and in the decoder" if settings["task"] == "translation" else ""
    )
    rows = "\n".join(
        f"| {MEANING[key]} | {value:,.4g} |" for key, value in scores.items() if key in MEANING
    )
    if "preferences" in scores:
        rows += (
            "\n| of five pairs such as *They are here.* and *They is here.*, how many times the "
            f"right one is likelier | {scores['preferences']} |"
        )
    needs = " DATA=path/to/tatoeba-cmn-eng.tsv" if is_tatoeba else ""
    return f"""# {name}

{WHAT[name]}

| | |
| --- | --- |
| parameters | {facts["n_parameters"]:,} |
| size | {size / 1e6:.1f} MB, float16 |
| sizes | {layers}, {settings["n_heads"]} heads, width {settings["d_model"]} |
| training | {facts["steps"]:,} steps ({facts["epochs"]:g} epochs), {_time(facts["seconds"])} |
| licence | {"CC BY 2.0 FR" if is_tatoeba else "Apache-2.0"} |

## Data

{origin}

## Scores

| | |
| --- | --- |
{rows}

## What it cannot do

{CANNOT[name]}

## Making it again

`make {name}{needs}`
trains it anew with the same seed and writes this folder. The weights depend on the processor and on
the version of PyTorch; the scores come out alike.
"""


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return (f"{minutes:.0f} minutes" if minutes >= 2 else f"{seconds:.0f} seconds") + " on a CPU"
