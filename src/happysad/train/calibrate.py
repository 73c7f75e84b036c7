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
    """Weights that make the lowest recall of happy, neutral and sad as high as it gets, "other" keeping a recall near theirs.

    Voters call a mildly sad face neutral, so the plain maximum of ``p`` would miss much sadness.
    """
    steps = np.exp(np.linspace(-1.2, 1.2, 25))
    best, chosen = -1.0, np.ones(len(LOOKS))
    for happy, sad, other in product(steps[::2], steps, steps[::2]):
        weights = np.array([happy, 1.0, sad, other])
        look = (p * weights).argmax(axis=1)
        recalls = np.array([(look[majority == k] == k).mean() for k in range(len(LOOKS))])
        worth = (
            recalls[:OTHER].min() + 0.2 * recalls[:OTHER].mean() + 0.2 * min(0.0, recalls[OTHER] - recalls[:OTHER].mean() + 0.1)
        )
        if worth > best:
            best, chosen = float(worth), weights
    return tuple(float(round(weight, 3)) for weight in chosen)


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
