"""Which layer knows what: a linear model on each layer's frozen vectors.

Nothing of the network is trained. What a linear model reads off a layer's vectors is there in a
simple form (Alain & Bengio 2017); what it cannot read may still be there in another. Pairs of texts
are joined as in SentEval (Conneau & Kiela 2018). Not a substitute for fine-tuning, which is better.
"""

import warnings

import numpy as np
from jaxtyping import Float

from vizcore.errors import DataError
from vizcore.tasks import Task

PENALTY = 0.01
"""How strongly large weights are punished; vectors are standardised first, so it fits most."""
ITERATIONS = 2000


def joined_pair(
    first: Float[np.ndarray, "pair d_model"],
    second: Float[np.ndarray, "pair d_model"],
    *,
    symmetric: bool,
) -> Float[np.ndarray, "pair feature"]:
    """One vector for two: |u - v| and u v, with u and v themselves if their order matters."""
    parts = [np.abs(first - second), first * second]
    return np.concatenate(parts if symmetric else [first, second, *parts], axis=1)


def probe_predictions(
    training: Float[np.ndarray, "item feature"],
    labels: np.ndarray,
    held_out: Float[np.ndarray, "other feature"],
    task: Task,
    *,
    penalty: float | int = PENALTY,
) -> np.ndarray:
    """Fit on some items and predict others: logistic regression, or ridge if the task is graded.

    Args:
        training: vectors of the items to learn from.
        labels: theirs; numbers if the task is graded.
        held_out: vectors of the items to predict.
        task: says which it is.
        penalty: λ, where the mean loss of an item plus λ/2 |w|² is made least.

    Returns:
        Labels, or numbers.

    Raises:
        DataError: if the items to learn from all have one label.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len({*labels.tolist()}) < 2:
        raise DataError(
            f"All {len(labels)} rows to learn {task.name} from have the same label. Take more of "
            "them, or another file."
        )
    strength = penalty * len(labels)
    if task.graded:
        line = make_pipeline(StandardScaler(), Ridge(alpha=strength))
    else:
        line = make_pipeline(
            StandardScaler(), LogisticRegression(C=1 / strength, max_iter=ITERATIONS)
        )
    with warnings.catch_warnings():
        # So many steps are near enough; which of two such lines is taken changes no figure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        line.fit(training, labels)
    predicted: np.ndarray = line.predict(held_out)
    return predicted
