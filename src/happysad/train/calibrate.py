"""What is fitted on the valid rows after training: calibration, the weights of the words, and when an answer is certain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import optimize, special

from happysad.contract import LOOKS

HAPPY, NEUTRAL, SAD, OTHER = range(len(LOOKS))
CERTAIN_ACCURACY = 0.99


@dataclass(frozen=True)
class Calibration:
    """How logits become answers.

    Attributes:
        scale, shift: logits are multiplied with ``scale`` (1 / temperature), then ``shift`` (4,) is added.
        confidence: slope and offset; see `happysad.contract.Contract`.
        look_weights: per look.
        min_confidence: least confidence of a certain answer.
    """

    scale: float
    shift: np.ndarray
    confidence: tuple[float, float]
    look_weights: tuple[float, ...]
    min_confidence: float


def calibrate(logits: np.ndarray, shares: np.ndarray) -> Calibration:
    """Fit everything on rows that were not trained on.

    Args:
        logits: float (n, 4), of the mirror-averaged network.
        shares: float (n, 4), shares of the votes for each look.
    """
    scale, shift = fit_temperature(logits, shares)
    p = special.softmax(logits * scale + shift, axis=1)
    majority = shares.argmax(axis=1)
    slope, offset = fit_confidence(p, majority)
    weights = choose_look_weights(p, majority)
    least = choose_min_confidence(p, majority, (slope, offset), weights)
    return Calibration(scale, shift, (slope, offset), weights, least)


def fit_temperature(logits: np.ndarray, shares: np.ndarray) -> tuple[float, np.ndarray]:
    """Temperature scaling (Guo et al. 2017) with a shift per look: the least cross-entropy with the shares of the votes."""

    def cross_entropy(parameters: np.ndarray) -> float:
        log_p = special.log_softmax(logits * np.exp(parameters[0]) + np.append(parameters[1:], 0.0), axis=1)
        return float(-(shares * log_p).sum(axis=1).mean())

    best = optimize.minimize(cross_entropy, np.zeros(len(LOOKS)), method="BFGS")
    return float(np.exp(best.x[0])), np.append(best.x[1:], 0.0)


def fit_confidence(p: np.ndarray, majority: np.ndarray) -> tuple[float, float]:
    """Logistic regression of "the label is right" on the distance between happy and sad in log-odds (Platt 1999)."""
    odds, right = _distance_and_truth(p, majority)

    def loss(parameters: np.ndarray) -> float:
        return float(np.logaddexp(0, -np.where(right, 1, -1) * (parameters[0] * odds + parameters[1])).mean())

    slope, offset = optimize.minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return float(slope), float(offset)


def _distance_and_truth(p: np.ndarray, majority: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For the rows voted happy or sad: how far the two are apart in log-odds, and whether the likelier one is right."""
    rows = np.isin(majority, (HAPPY, SAD))
    tiny = 1e-6
    signed = np.log((p[rows, HAPPY] + tiny) / (p[rows, SAD] + tiny))
    return np.abs(signed), (signed >= 0) == (majority[rows] == HAPPY)


def choose_look_weights(p: np.ndarray, majority: np.ndarray) -> tuple[float, ...]:
    """Weights that make the recalls of happy, neutral and sad high and alike: the best sum of their mean and their lowest.

    Voters call a mildly sad face neutral, so the plain maximum of ``p`` would miss much sadness. The weight of "other" is the
    largest that costs the three no more than a hundredth of their mean recall.
    """
    steps = np.exp(np.linspace(-1.6, 1.6, 33))
    three = [(recalls(p, majority, np.array([happy, 1.0, sad, 0.0])), happy, sad) for happy, sad in product(steps, steps)]
    best, happy, sad = max(three, key=lambda one: one[0][:OTHER].mean() + one[0][:OTHER].min())
    for other in steps[::-1]:
        weights = np.array([happy, 1.0, sad, other])
        if recalls(p, majority, weights)[:OTHER].mean() >= best[:OTHER].mean() - 0.01:
            break
    return tuple(float(round(weight, 3)) for weight in weights)


def recalls(p: np.ndarray, majority: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the rows voted each look that are given it: float (4,)."""
    look = (p * weights).argmax(axis=1)
    return np.array([(look[majority == k] == k).mean() for k in range(len(LOOKS))])


def choose_min_confidence(
    p: np.ndarray, majority: np.ndarray, confidence: tuple[float, float], weights: tuple[float, ...]
) -> float:
    """The least confidence from which the label is right in `CERTAIN_ACCURACY` of the rows voted happy or sad."""
    odds, right = _distance_and_truth(p, majority)
    rows = np.isin(majority, (HAPPY, SAD))
    usable = (p[rows] * np.array(weights)).argmax(axis=1) != OTHER
    values = special.expit(confidence[0] * odds + confidence[1])[usable]
    right = right[usable]
    for least in np.arange(0.5, 1.0, 0.005):
        if right[values >= least].mean() >= CERTAIN_ACCURACY:
            return float(round(least, 3))
    return 0.995
