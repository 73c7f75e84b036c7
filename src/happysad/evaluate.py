"""How good a model is on labelled faces: told apart, graded, calibrated, each figure with its interval and beside people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from happysad import metrics
from happysad.contract import LOOKS, Contract
from happysad.metrics import Estimate, Resamples
from happysad.predict import GRADE_EDGES, GRADES

HAPPY, NEUTRAL, SAD, OTHER = range(len(LOOKS))


@dataclass(frozen=True)
class Answers:
    """What a model says about n faces, as arrays; what `happysad.predict.FaceMood` is for one.

    Attributes:
        p: float64 (n, 4), columns as `happysad.contract.LOOKS`, rows sum to 1.
        mood: float64 (n,), p(happy) − p(sad).
        look: int (n,), index into `LOOKS`.
        says_happy: bool (n,), the two-way label.
        confidence: float64 (n,) in [0.5, 1], that the two-way label is right.
        certain: bool (n,), whether the answers are sure enough to be used; what the pictures are like is not in it.
    """

    p: np.ndarray
    mood: np.ndarray
    look: np.ndarray
    says_happy: np.ndarray
    confidence: np.ndarray
    certain: np.ndarray

    @classmethod
    def of(cls, p: np.ndarray, contract: Contract) -> Answers:
        """From probabilities (n, 4), by the model's contract."""
        p = np.asarray(p, np.float64)
        weight = np.array([dict(zip(contract.classes, contract.look_weights, strict=True)).get(look, 0.0) for look in LOOKS])
        look = (p * weight).argmax(axis=1)
        pairs = p[:, [HAPPY, SAD]].tolist()
        confidence = np.array([contract.confidence_of(happy, sad) for happy, sad in pairs], np.float64)
        certain = (look != OTHER) & (confidence >= contract.min_confidence)
        return cls(p, p[:, HAPPY] - p[:, SAD], look, p[:, HAPPY] >= p[:, SAD], confidence, certain)


def grades(mood: np.ndarray) -> np.ndarray:
    """Index into `happysad.predict.GRADES`, int (n,), for moods (n,).

    Ten votes put many faces exactly on an edge, where the last digit of a float would decide; so moods are rounded first.
    """
    mood = np.round(np.asarray(mood, np.float64), 6)[:, None]
    edges = np.array(GRADE_EDGES)
    return np.asarray(np.where(edges < 0, mood >= edges, mood > edges).sum(axis=1))


def key_figures(
    p: np.ndarray, shares: np.ndarray, labels: np.ndarray, contract: Contract, *, resamples: Resamples | None = None
) -> dict[str, Estimate]:
    """The short table that a model is known by.

    Args:
        p: the model's probabilities, (n, 4), columns as `happysad.contract.LOOKS`.
        shares: shares of the votes, (n, 4), rows sum to 1. The majority is the look with most votes, the first of equals.
        labels: a second opinion, int (n,): index into `LOOKS`, −1 where there is none (for FER2013: its original label).
        contract: of the model.
        resamples: for the intervals; by default every face is drawn by itself.

    Returns:
        Estimates by name, in the order of the table: ``happy_sad_votes``, ``happy_sad_label``: happy told from sad, by the
        majority of votes and by the label. ``three_way``: the likeliest of happy, neutral and sad. ``look_macro_recall``,
        ``look_lowest_recall``: the word `look`, of all four, on faces that are one of the three (``other`` is an error).
        ``mood_ccc``. ``grade_exact``, ``grade_within_one``. ``confidence_ece``: where the majority is happy or sad.
        ``p_ece``: of the four probabilities against the shares of votes, averaged. ``certain``: share of certain answers.
        ``certain_happy_sad``: how many of them, where the majority is happy or sad, are right.
    """
    resamples = resamples or Resamples(len(p))
    answers, majority = Answers.of(p, contract), np.asarray(shares).argmax(axis=1)
    moods = shares[:, HAPPY] - shares[:, SAD]
    voted, labelled = np.isin(majority, [HAPPY, SAD]), np.isin(labels, [HAPPY, SAD])
    three = majority != OTHER
    right = answers.says_happy == (majority == HAPPY)
    among, pairs = resamples.only(three), resamples.only(voted)
    look = among.estimates(metrics.classification(majority[three], answers.look[three], len(LOOKS)))
    step = resamples.estimates(metrics.steps(grades(moods), grades(answers.mood), len(GRADES)))
    sure = voted & answers.certain
    return {
        "happy_sad_votes": pairs.share(right[voted]),
        "happy_sad_label": resamples.only(labelled).share((answers.says_happy == (labels == HAPPY))[labelled]),
        "three_way": among.share((answers.p[:, :OTHER].argmax(axis=1) == majority)[three]),
        "look_macro_recall": look["balanced_accuracy"],
        "look_lowest_recall": look["lowest_recall"],
        "mood_ccc": resamples.estimates(metrics.agreement(answers.mood, moods))["ccc"],
        "grade_exact": step["exact"],
        "grade_within_one": step["within_one"],
        "confidence_ece": pairs.estimates(metrics.calibration_error(answers.confidence[voted], right[voted]), centred=True)[
            "ece"
        ],
        "p_ece": resamples.estimates(metrics.calibration_error(answers.p, shares), centred=True)["ece"],
        "certain": resamples.share(answers.certain),
        "certain_happy_sad": resamples.only(sure).share(right[sure]),
    }
