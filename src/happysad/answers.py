"""What a model says about n faces, and what people say about them, as arrays with a row per face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from happysad.contract import LOOKS, Contract
from happysad.errors import DataError, ModelError
from happysad.predict import GRADE_EDGES

if TYPE_CHECKING:
    import pandas as pd

HAPPY, NEUTRAL, SAD, OTHER = range(len(LOOKS))
UNKNOWN = -1


@dataclass(frozen=True)
class Answers:
    """What a model says about n faces; what `happysad.predict.FaceMood` is for one.

    Attributes:
        p: float64 (n, 4), columns as `happysad.contract.LOOKS`, rows sum to 1.
        mood: float64 (n,), p(happy) − p(sad).
        look: int (n,), index into `LOOKS`.
        says_happy: bool (n,), the two-way label.
        confidence: float64 (n,) in [0.5, 1], that the two-way label is right.
        certain: bool (n,), whether the answer should be used.
    """

    p: np.ndarray
    mood: np.ndarray
    look: np.ndarray
    says_happy: np.ndarray
    confidence: np.ndarray
    certain: np.ndarray

    @classmethod
    def of(cls, p: np.ndarray, contract: Contract, clear: np.ndarray | None = None) -> Answers:
        """From probabilities (n, 4), by the model's contract.

        Args:
            p: columns as `LOOKS`.
            contract: of the model.
            clear: bool (n,), whether each picture shows enough of a face for a certain answer; by default all do.

        Raises:
            DataError: ``p`` are not probabilities.
            ModelError: the model's classes are not looks.
        """
        p = np.asarray(p, np.float64)
        _check_probabilities(p)
        check_classes(contract)
        weight_of = dict(zip(contract.classes, contract.look_weights, strict=True))
        look = (p * [weight_of.get(look, 0.0) for look in LOOKS]).argmax(axis=1)
        confidence = np.array([contract.confidence_of(happy, sad) for happy, sad in p[:, [HAPPY, SAD]].tolist()], np.float64)
        certain = (look != OTHER) & (confidence >= contract.min_confidence)
        if clear is not None:
            certain &= clear
        return cls(p, p[:, HAPPY] - p[:, SAD], look, p[:, HAPPY] >= p[:, SAD], confidence, certain)

    @property
    def happy_of_two(self) -> np.ndarray:
        """Calibrated probability of happy, given that it is happy or sad: float64 (n,)."""
        return np.where(self.says_happy, self.confidence, 1 - self.confidence)

    def only(self, rows: np.ndarray) -> Answers:
        """The answers about some of the faces: ``rows`` is a mask (n,) or an index."""
        return Answers(*(values[rows] for values in vars(self).values()))


def check_classes(contract: Contract) -> None:
    """Raise `ModelError` unless the model tells happy from sad, and knows nothing but looks."""
    unknown = set(contract.classes) - set(LOOKS)
    if unknown or not {"happy", "sad"} <= set(contract.classes):
        raise ModelError(
            f"the model answers {', '.join(contract.classes)}; expected happy and sad, and nothing but {', '.join(LOOKS)}"
        )


def _check_probabilities(p: np.ndarray) -> None:
    if p.ndim != 2 or p.shape[1] != len(LOOKS):
        raise DataError(f"expected probabilities of {', '.join(LOOKS)}, of the shape (n, {len(LOOKS)}), got {p.shape}")
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1)).all(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3))
    if len(wrong):
        first = ", ".join(f"{value:.4g}" for value in p[wrong[0]])
        raise DataError(f"{len(wrong)} of {len(p)} rows are not probabilities, the first is row {wrong[0] + 1} ({first}): "
                        "expected numbers from 0 to 1 that sum to 1")  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What people say about n faces.

    Attributes:
        votes: float64 (n, 4), how many people chose each of `LOOKS`; 0 where nobody voted.
        label: int (n,), index into `LOOKS`, or `UNKNOWN`.
        not_happy: bool (n,), whether the label says no more than that.
    """

    votes: np.ndarray
    label: np.ndarray
    not_happy: np.ndarray

    @classmethod
    def of(cls, manifest: pd.DataFrame) -> Truth:
        """From the columns ``votes_happy`` … and ``label`` of a manifest."""
        votes = manifest[[f"votes_{look}" for look in LOOKS]].to_numpy(np.float64, na_value=np.nan)
        label = np.array([LOOKS.index(label) if label in LOOKS else UNKNOWN for label in manifest["label"]], int)
        return cls(np.nan_to_num(votes), label, (manifest["label"] == "not_happy").to_numpy(bool))

    @property
    def voted(self) -> np.ndarray:
        """Whether people voted on each face: bool (n,)."""
        return np.asarray(self.votes.sum(axis=1) > 0)

    @property
    def counted(self) -> bool:
        """Whether the votes are numbers of people, and not shares."""
        return bool(self.voted.any() and (self.votes == np.round(self.votes)).all())

    @property
    def shares(self) -> np.ndarray:
        """Shares of the votes, float64 (n, 4); where nobody voted, all for the label; zeros where nothing is known."""
        labels = np.eye(len(LOOKS))[self.label] * (self.label != UNKNOWN)[:, None]
        total = self.votes.sum(axis=1, keepdims=True)
        return np.where(total > 0, self.votes / np.where(total > 0, total, 1), labels)

    @property
    def mood(self) -> np.ndarray:
        """Share of happy − share of sad, float64 (n,) in [−1, 1]."""
        return np.asarray(self.shares[:, HAPPY] - self.shares[:, SAD])

    @property
    def look(self) -> np.ndarray:
        """The look with most votes, the first of equals; the label where nobody voted; else `UNKNOWN`: int (n,)."""
        return np.where(self.voted, self.votes.argmax(axis=1), self.label)

    def only(self, rows: np.ndarray) -> Truth:
        """The same for some of the faces: ``rows`` is a mask (n,) or an index."""
        return Truth(self.votes[rows], self.label[rows], self.not_happy[rows])


def grades(mood: np.ndarray) -> np.ndarray:
    """Index into `happysad.predict.GRADES`, int (n,), for moods (n,).

    Ten votes put many faces exactly on an edge, where the last digit of a float would decide; so moods are rounded first.
    """
    mood = np.round(np.asarray(mood, np.float64), 6)[:, None]
    edges = np.array(GRADE_EDGES)
    return np.asarray(np.where(edges < 0, mood >= edges, mood > edges).sum(axis=1))
