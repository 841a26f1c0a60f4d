"""What came out for one architecture, as plain data that can be kept as JSON.

It is made in `checking`, shown by `page`, and carried from process to process by `sweep`.
"""

from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["exact", "differs", "refused", "not built", "failed"]


@dataclass(frozen=True)
class Result:
    """What came out for one architecture.

    Args:
        outcome: "exact", "differs", "refused" (by vizcore, in words), "not built" (here, by
            transformers), or "failed" (without a word).
        network: the class of the network that was looked into.
        kind: "decoder", "encoder" or "encoder-decoder".
        way: "tap" or "eager".
        layers: for each kind of attention the layers that have it.
        n_layers: how many layers there are.
        difference: the largest difference of a weight.
        logits: the largest difference of a logit, as a part of the largest logit; None if it
            predicts no tokens.
        reason: why it is not exact.
        note: what else to know: kinds of attention that are not shown, a part that is.
    """

    model_type: str
    outcome: Outcome
    network: str = ""
    kind: str = ""
    way: str = ""
    layers: dict[str, list[int]] = field(default_factory=dict)
    n_layers: int = 0
    difference: float | None = None
    logits: float | None = None
    reason: str = ""
    note: str = ""

    def in_words(self) -> str:
        """One line for whoever watches."""
        if self.outcome == "exact":
            return f"exact by {self.way}, within {self.difference:.0e}"
        return f"{self.outcome}: {self.reason}"

    def layers_in_words(self) -> str:
        """Which layers have softmax attention."""
        if self.kind == "encoder-decoder":
            return ", ".join(f"{kind} {len(layers)}" for kind, layers in self.layers.items())
        (layers,) = self.layers.values()
        if len(layers) == self.n_layers:
            return f"all {self.n_layers}"
        plural = "s" if len(layers) > 1 else ""
        numbers = ", ".join(map(str, layers))
        return f"layer{plural} {numbers} of {self.n_layers}; the others have none"
