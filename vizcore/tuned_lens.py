"""The tuned lens: what each layer's state says, translated first into the last layer's language.

For every layer there is an affine map, so that its state, translated, predicts what the whole model
predicts (Belrose et al. 2023); `vizcore.tuned_lens_fit` makes one from a file of text. It says what
a state could be read as; for what a model itself would make of it take the plain logit lens.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vizcore.errors import ModelFilesError

FORMAT = "headlight tuned lens 1"


@dataclass(frozen=True, eq=False)
class TunedLens:
    """An affine map for each state of the stream but the last: x + A·x + b.

    Made by `fit_tuned_lens`, or `read_tuned_lens`.

    Args:
        weight, bias: A and b of the embedding, of layer 0, and so on to the last layer but one.
        facts: what it was fitted to and how well; see `report`.
    """

    weight: Float[Tensor, "state d_model d_model"]
    bias: Float[Tensor, "state d_model"]
    facts: Mapping[str, Any] = field(default_factory=dict)
    name: str = field(default="tuned lens", init=False)

    def __repr__(self) -> str:
        return f"TunedLens({self.facts.get('model', '?')}, {self.n_layers} layers)"

    @property
    def n_layers(self) -> int:
        """How many layers the network has; the last needs no translation."""
        return len(self.weight)

    @property
    def d_model(self) -> int:
        """The width of a state."""
        return self.weight.shape[-1]

    def translate(
        self, state: Float[Tensor, "position d_model"], layer: int
    ) -> Float[Tensor, "position d_model"]:
        """The state after this layer (-1: the embedding) as the last layer might have left it."""
        weight, bias = self.weight[layer + 1].to(state), self.bias[layer + 1].to(state)
        return state + state @ weight.T + bias

    def report(self) -> pd.DataFrame:
        """How far each layer's prediction is from the model's own, on text that was held out.

        Returns:
            layer (-1: the embedding), logit_lens and tuned_lens: mean divergence, in nats.
        """
        return pd.DataFrame(
            {
                "layer": range(-1, self.n_layers - 1),
                "logit_lens": self.facts["logit_lens"],
                "tuned_lens": self.facts["tuned_lens"],
            }
        )

    def save(self, path: str | Path) -> Path:
        """Write it as safetensors, with its facts, whole or not at all.

        Raises:
            OSError: if it cannot be written.
        """
        path = Path(path)
        part = path.with_name(f".{path.name}.part")
        metadata = {"format": FORMAT, "facts": json.dumps(dict(self.facts), ensure_ascii=False)}
        tensors = {"weight": self.weight.cpu().contiguous(), "bias": self.bias.cpu().contiguous()}
        try:
            save_file(tensors, part, metadata=metadata)
            part.replace(path)
        except SafetensorError as error:
            raise OSError(f"{path} could not be written: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return path


def read_tuned_lens(path: str | Path) -> TunedLens:
    """A tuned lens that was saved.

    Raises:
        ModelFilesError: if there is none in this file.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ModelFilesError(
                    f"{path} holds no tuned lens. Give a file that TunedLens.save has written."
                )
            facts = json.loads(metadata["facts"])
            return TunedLens(file.get_tensor("weight"), file.get_tensor("bias"), facts)
    except (OSError, SafetensorError) as error:
        raise ModelFilesError(
            f"{path} cannot be read: {error}. Give a file that TunedLens.save has written."
        ) from error
