"""What is in a data set, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from happysad.examine import Examined
from happysad.manifest import VOTES, attributes

if TYPE_CHECKING:
    import pandas as pd

MAX_RATIO = 3.0  # of the largest class to the smallest
GREY = 3.0  # mean difference of the colour channels below which a photo counts as grey
QUANTILES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}


def summary(frame: pd.DataFrame, seen: Examined) -> dict[str, Any]:
    """Counts and distributions, plain values that JSON can hold.

    Returns:
        ``rows``, ``unreadable``, ``without_face``, ``several_faces``, ``grey``; ``labels`` by split and ``sources`` by label as
        counts; ``subjects``; ``attributes``: how many values each has; ``measures``: quantiles of each; ``votes``: entropy in
        bits, where there are votes; ``warnings``: sentences.
    """
    readable = seen.errors == ""
    return {
        "rows": len(frame),
        "unreadable": int((~readable).sum()),
        "without_face": int((frame["faces"] == 0).sum()),
        "several_faces": int((frame["faces"] > 1).sum()),
        "grey": int((seen["colour"][readable] < GREY).sum()),
        "subjects": int(frame["subject"].replace("", None).nunique()),
        "labels": _counts(frame, "label", "split"),
        "sources": _counts(frame, "source", "label"),
        "attributes": {name: int(frame[name].nunique()) for name in attributes(frame)},
        "measures": _quantiles(frame, seen),
        "votes": _votes(frame),
        "warnings": _warnings(frame),
    }


def _counts(frame: pd.DataFrame, first: str, second: str) -> dict[str, dict[str, int]]:
    table = frame.groupby([frame[first].replace("", "none"), frame[second].replace("", "none")]).size()
    counts: dict[str, dict[str, int]] = {}
    for (one, other), n in table.items():
        counts.setdefault(one, {})[other] = int(n)
    return counts


def _quantiles(frame: pd.DataFrame, seen: Examined) -> dict[str, dict[str, float]]:
    columns = {name: frame[name].to_numpy(float, na_value=np.nan) for name in ("width", "height", "detector_score")}
    for name in ("brightness", "contrast", "sharpness", "colour", "face_side", "face_brightness", "face_sharpness"):
        columns[name] = seen[name].astype(float)
    return {
        name: {word: round(float(np.nanquantile(values, q)), 2) for word, q in QUANTILES.items()}
        for name, values in columns.items()
        if np.isfinite(values).any()
    }


def entropy(votes: np.ndarray) -> np.ndarray:
    """How much voters disagree, in bits (n,), from 0 (all chose one look) to 2 (all four as often). Votes (n, 4), not all 0."""
    share = votes / votes.sum(axis=1, keepdims=True)
    return np.asarray(-(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1) + 0.0)


def _votes(frame: pd.DataFrame) -> dict[str, float] | None:
    votes = frame[list(VOTES)].fillna(0).to_numpy(float)
    votes = votes[votes.sum(axis=1) > 0]
    if not len(votes):
        return None
    bits = entropy(votes)
    return {"rows": len(votes), "mean_bits": round(float(bits.mean()), 3), "all_agree": int((bits == 0).sum())}


def _warnings(frame: pd.DataFrame) -> list[str]:
    counts = frame["label"][frame["label"] != ""].value_counts()
    if not len(counts):
        return ["no row has a label"]
    warnings = []
    if len(counts) == 1:
        warnings.append(f"there is only one class, {counts.index[0]}")
    if counts.iloc[0] > MAX_RATIO * counts.iloc[-1]:
        ratio = counts.iloc[0] / counts.iloc[-1]
        warnings.append(
            f"{counts.index[0]} has {ratio:.1f} times as many rows as {counts.index[-1]}: give scores by class, not accuracy"
        )
    if not (frame["subject"] != "").any():
        warnings.append("no row names its subject: photos of one person may end up in two splits")
    return warnings
