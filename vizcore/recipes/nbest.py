"""Makes the recorded list of a translator's hypotheses that the app opens with.

`python -m vizcore.recipes.nbest` writes assets/rescoring/translations.jsonl anew: the beams of the
bundled translator for a few sentences, each with its log P(target | source), against references
written for it. Nothing in it is chosen by hand but the sentences.
"""

import json
import sys
from pathlib import Path

from vizcore.loading import load
from vizcore.model import Model
from vizcore.translation import translate

SENTENCES = (
    ("I don't know where she lives.", "我不知道她住在哪里。"),
    ("I met him in the park yesterday.", "我昨天在公园里遇见了他。"),
    ("Do you want to drink tea with me?", "你想和我一起喝茶吗？"),
    ("She speaks English very well.", "她英语说得很好。"),
    ("The children are playing in the garden.", "孩子们在花园里玩。"),
    ("My father is too busy to help me.", "我父亲太忙了，没空帮我。"),
    ("It rained all day yesterday.", "昨天下了一整天的雨。"),
    ("He has never been to China.", "他从来没有去过中国。"),
    ("This book is more interesting than that one.", "这本书比那本有趣。"),
    ("What time does the train leave?", "火车几点开？"),
)
N_BEAMS = 8


def hypotheses(model: Model, source: str, *, n_beams: int = N_BEAMS) -> list[tuple[str, float]]:
    """The texts that a beam search ends with, best first, and their log-probabilities (nats).

    Each step keeps the likeliest beginnings, whether they have ended or not, until all have.
    """
    first = model.write(source)[:1]
    ends = translate(model, source).steps["token_id"].iloc[-1]
    beams: list[tuple[float, list[int], bool]] = [(0.0, first, False)]
    while not all(ended for _, _, ended in beams):
        grown = [beam for beam in beams if beam[2]]
        for total, ids, ended in beams:
            if ended:
                continue
            ahead = model.trace(source, ids).logits_at([-1])[0].float().log_softmax(dim=0)
            best = ahead.topk(n_beams)
            for value, token in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                is_end = token == ends
                grown.append((total + value, ids if is_end else [*ids, token], is_end))
        beams = sorted(grown, key=lambda beam: -beam[0])[:n_beams]
    found: dict[str, float] = {}
    for _, ids, _ in beams:
        translation = translate(model, source, target=[*ids, int(ends)])
        found.setdefault(translation.text, round(translation.log_likelihood, 4))
    return list(found.items())


def main(path: Path) -> None:
    """Write the list."""
    model = load("tatoeba-translator")
    lines = [
        {"id": source, "text": text, "score": score, "reference": reference}
        for source, reference in SENTENCES
        for text, score in hypotheses(model, source)
    ]
    written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(written, encoding="utf-8")
    print(f"Wrote {len(lines)} hypotheses to {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "assets/rescoring/translations.jsonl"))
