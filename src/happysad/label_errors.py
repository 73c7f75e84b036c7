"""Labels that are probably wrong: what a model that has not seen a row thinks of it, against what the label says.

The opinions are out of sample. Where the bundled model has not seen the data, it gives its opinion, and so does a logistic
regression on its features, cross-validated on the data at hand. Where it has, features are made from the crops alone: responses
to small patches that are learnt from the set itself, without labels (Coates, Lee and Ng 2011), and a support vector machine
is cross-validated on them. The ranking is cleanlab's (Northcutt, Jiang and Chuang 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from happysad.contract import LOOKS
from happysad.errors import MissingExtraError

MIN_ROWS, MIN_PER_CLASS = 200, 20  # below, cross-validation on the user's own rows says nothing
FOLDS = 5
NEUTRAL_WEIGHT = 3.0
"""Wrong labels are not symmetric: people, and search words above all, put a look on neutral faces far more often than they take
one away (of FER2013's sad faces half are neutral to most of ten voters, of its neutral ones 2 % are sad). Where an opinion was
learnt from such labels alone, it has that bias too, and neutral counts this much more."""
NEAREST = {
    "happy": ("other", "neutral"),
    "neutral": ("not_happy", "sad", "other"),
    "sad": ("not_happy", "neutral", "other"),
    "other": ("not_happy", "sad", "neutral"),
}
OPINION_WEIGHT = 0.5  # of the bundled model, against the cross-validated one


@dataclass(frozen=True)
class Suspects:
    """Out-of-sample opinions about labels.

    Attributes:
        classes: names of the columns of ``p``.
        p: float32 (n, classes), rows sum to 1.
        quality: float (n,) in [0, 1], of the given label; 0 is surely wrong.
        is_error: bool (n,): cleanlab takes the label for wrong.
    """

    classes: tuple[str, ...]
    p: np.ndarray
    quality: np.ndarray
    is_error: np.ndarray

    @property
    def suggested(self) -> np.ndarray:
        """The likeliest class of each row, str (n,)."""
        names: np.ndarray = np.asarray(self.classes)[self.p.argmax(axis=1)]
        return names


def suspects(labels: np.ndarray, p: np.ndarray, classes: tuple[str, ...]) -> Suspects:
    """Rank labels by out-of-sample probabilities.

    Args:
        labels: str (n,), each one of ``classes``.
        p: float (n, classes).

    Raises:
        MissingExtraError: cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise MissingExtraError("cleanlab", "to find label errors", 'pip install "happysad[data]"') from None
    given = np.array([classes.index(label) for label in labels])
    quality = get_label_quality_scores(given, p, method="normalized_margin")
    is_error = find_label_issues(given, p, filter_by="predicted_neq_given", n_jobs=1)
    return Suspects(classes, np.asarray(p, np.float32), np.asarray(quality), np.asarray(is_error))


def opinion_on(classes: tuple[str, ...], p: np.ndarray) -> np.ndarray:
    """Probabilities of the looks, float (n, 4), as probabilities of the classes of a data set: (n, classes).

    A look that the data set has no class for counts for the nearest class: in a set of happy and sad faces, a neutral face is
    not a happy one.
    """
    own = np.full((len(p), len(classes)), 1e-4)
    for look, nearest in NEAREST.items():
        home = next((name for name in (look, *nearest) if name in classes), None)
        if home is not None:
            own[:, classes.index(home)] += p[:, LOOKS.index(look)]
    return np.asarray(own / own.sum(axis=1, keepdims=True))


def cross_validated(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: tuple[str, ...], model: Any
) -> np.ndarray:
    """Out-of-sample probabilities (n, classes); no group is on both sides, so that a copy of a photo cannot vouch for it.

    A model without probabilities gives its decision values, which a logistic regression turns into probabilities (Platt 2000).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    given = np.array([classes.index(label) for label in labels])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)

    def out_of_sample(one: Any, what: np.ndarray, method: str) -> np.ndarray:
        return np.asarray(cross_val_predict(one, what, given, groups=groups, cv=folds, method=method))

    if hasattr(model, "predict_proba"):
        return out_of_sample(model, features, "predict_proba")
    decisions = out_of_sample(model, features, "decision_function").reshape(len(features), -1)
    return out_of_sample(LogisticRegression(), decisions, "predict_proba")


def neutral_first(p: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Probabilities (n, classes) in which neutral counts `NEUTRAL_WEIGHT` times; unchanged where there is no such class."""
    weighted = p * np.where(np.array(classes) == "neutral", NEUTRAL_WEIGHT, 1.0)
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def is_large_enough(labels: np.ndarray) -> bool:
    """Whether cross-validation on these rows is worth something."""
    _, counts = np.unique(labels, return_counts=True)
    return len(labels) >= MIN_ROWS and len(counts) > 1 and int(counts.min()) >= MIN_PER_CLASS


def linear_model() -> Any:
    """For features of a network: standardised, then logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))
