"""Made-up answers of a model on made-up faces, as `happysad.evaluate.score` would give them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from happysad.manifest import COLUMNS

SURE = {
    "happy": (0.90, 0.05, 0.03, 0.02),
    "neutral": (0.1, 0.75, 0.1, 0.05),
    "sad": (0.03, 0.05, 0.90, 0.02),
    "other": (0.1, 0.1, 0.1, 0.7),
}


def scored(truth: list[str], said: list[str], *, voters: int = 10, **columns: object) -> pd.DataFrame:
    """Rows on which all voters see ``truth``, and the model says ``said`` with confidence; ``""`` where no face was found."""
    n = len(truth)
    frame = pd.DataFrame({name: [""] * n for name in COLUMNS})
    frame["path"] = [f"{i}.png" for i in range(n)]
    frame["label"], frame["cropped"] = truth, False
    for side in ("x0", "y0", "x1", "y1"):
        frame[side] = np.nan
    for look in SURE:
        frame[f"votes_{look}"] = [float(voters) * (one == look) if voters else np.nan for one in truth]
    p = np.array([SURE.get(one, (np.nan,) * 4) for one in said])
    rng = np.random.default_rng(0)
    p = p * rng.uniform(0.97, 1.03, p.shape)
    for k, look in enumerate(SURE):
        frame[f"p_{look}"] = (p / p.sum(axis=1, keepdims=True))[:, k]
    return frame.assign(certain=[one != "" for one in said], found=[one != "" for one in said], error="", **columns)


def told(n: int, accuracy: float, seed: int) -> tuple[list[str], list[str]]:
    """Truth and answers for n faces, half of them happy and half sad, of which a share by chance is told right."""
    rng = np.random.default_rng(seed)
    truth = ["happy", "sad"] * (n // 2)
    other = {"happy": "sad", "sad": "happy"}
    return truth, [one if right else other[one] for one, right in zip(truth, rng.random(n) < accuracy, strict=True)]
