"""Does it work equally well for everyone? Figures by subgroup, gaps between them, and the gaps that could not have been seen.

Accuracy is the first question and gets most of the 5 % chance of a false alarm, `ALARM`; the other measures share the rest.
Within each, the chance is divided by the number of comparisons (Bonferroni), so that in at least 95 % of audits of a model that
treats all alike, no gap is found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad import metrics
from happysad.answers import HAPPY, SAD, UNKNOWN, Answers, Truth
from happysad.errors import DataError, MissingExtraError
from happysad.metrics import Estimate, Resamples

if TYPE_CHECKING:
    import pandas as pd

ALARM = {"accuracy": 0.04, "others": 0.01}
POWER = 0.8
LEAST = 10  # faces in a subgroup, for it to be compared
COMPARED = ("accuracy", "recall_happy", "recall_sad", "selection_rate", "overconfidence", "mood_bias", "uncertain", "not_found")
NO_SHARE = ("overconfidence", "mood_bias")  # means of signed numbers: no Wilson interval, no ratio
MANY_VALUES, BANDS, MOST_SUBGROUPS, LISTED = 8, 4, 40, 10
CONFORMAL = 0.9

Json = dict[str, Any]


@dataclass(frozen=True)
class _Faces:
    """What counts of N faces, one value per face; where a face was not found, the others mean nothing."""

    found: np.ndarray
    known: np.ndarray
    happy: np.ndarray
    sad: np.ndarray
    voted: np.ndarray
    says_happy: np.ndarray
    certain: np.ndarray
    confidence: np.ndarray
    mood_error: np.ndarray
    in_set: np.ndarray

    def only(self, rows: np.ndarray) -> _Faces:
        return _Faces(*(values[rows] for values in vars(self).values()))


def fairness(answers: Answers, truth: Truth, found: np.ndarray, attributes: pd.DataFrame, draws: Resamples) -> Json:
    """Figures by subgroup and gaps between subgroups, for each attribute and each crossing of two.

    Args:
        answers: about the n faces that were found.
        truth: about all N faces.
        found: bool (N,), which of them were found.
        attributes: one column per attribute, N rows; ``""`` where it is not known. Numbers of many values are banded.
        draws: resamples of all N faces.

    Returns:
        ``comparisons``: how many accuracies, and how many other figures, were compared. ``attributes``: by name (``a × b`` for
        crossings), each with ``missing`` (rows without it), ``subgroups`` (figures by name) and ``gaps`` (by measure: the largest
        ``difference`` and ``ratio`` with intervals corrected for the number of comparisons, ``between`` whom, ``found``: whether
        an interval excludes 0, ``pairs``, and ``smallest_detectable``: what these data would have shown with 80 % probability).
        ``notes``: what could not be compared.

    Raises:
        MissingExtraError: fairlearn is not installed.
    """
    faces = _faces(answers, truth, found, draws)
    columns, notes = _usable(attributes)
    tables = {" × ".join(names): _subgroups(columns[list(names)], faces, draws) for names in _alone_and_crossed(list(columns))}
    pairs = {name: _pairs(table) for name, table in tables.items()}
    first = sum(len(each["accuracy"]) for each in pairs.values())
    others = sum(len(each[measure]) for each in pairs.values() for measure in COMPARED[1:])
    level = {measure: 1 - ALARM["others"] / max(others, 1) for measure in COMPARED[1:]}
    level["accuracy"] = 1 - ALARM["accuracy"] / max(first, 1)
    return {
        "comparisons": {"accuracy": first, "others": others},
        "attributes": {
            name: {
                "missing": int((columns[name.split(" × ")] == "").any(axis=1).sum()),
                "subgroups": table,
                "gaps": {measure: _gap(measure, table, pairs[name][measure], level[measure], draws) for measure in COMPARED},
                **_fairlearn_gaps(table, pairs[name], level, draws),
            }
            for name, table in tables.items()
        },
        "notes": notes,
    }


def _faces(answers: Answers, truth: Truth, found: np.ndarray, draws: Resamples) -> _Faces:
    def everyone(values: np.ndarray) -> np.ndarray:
        spread = np.zeros(len(found), values.dtype)
        spread[found] = values
        return spread

    look = truth.look
    known = found & (look != UNKNOWN)
    p = everyone(np.arange(len(answers.p)))[known]
    in_set = np.zeros(len(found), bool)
    if known.any():
        sets = metrics.conformal_sets(answers.p[p], look[known], draws.only(known).half(), CONFORMAL)
        in_set[known] = sets[np.arange(len(sets)), look[known]]
    return _Faces(
        found=found,
        known=known,
        happy=found & (look == HAPPY),
        sad=found & (look == SAD),
        voted=found & truth.voted,
        says_happy=everyone(answers.says_happy),
        certain=everyone(answers.certain),
        confidence=everyone(answers.confidence),
        mood_error=everyone(answers.mood) - truth.mood,
        in_set=in_set,
    )


# ---- attributes


def _usable(attributes: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The attributes that can be compared, as words, and sentences about the others."""
    notes, kept = [], {}
    for name in attributes.columns:
        column = _banded(attributes[name].fillna("").astype(str))
        values = sorted(set(column) - {""})
        if len(values) > MOST_SUBGROUPS:
            notes.append(f"The attribute {name} has {len(values)} values: put them into at most {MOST_SUBGROUPS} groups first.")
        elif not values:
            notes.append(f"The attribute {name} is empty in all {len(column)} rows.")
        else:
            kept[name] = column
        if len(values) == 1:
            notes.append(f"The attribute {name} has only one value, {values[0]}: there is nobody to compare with.")
    return attributes[[]].assign(**kept), notes


def _banded(column: pd.Series) -> pd.Series:
    """Numbers of many values as bands of about equally many rows, named ``18 to 25``; anything else as it is."""
    import pandas as pd

    known = column != ""
    numbers = pd.to_numeric(column[known], errors="coerce")
    if numbers.isna().any() or numbers.nunique() <= MANY_VALUES:
        return column
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BANDS + 1), method="nearest"))
    band = np.clip(np.searchsorted(edges, numbers, side="left") - 1, 0, len(edges) - 2)
    names = [f"{'' if i == 0 else 'above '}{low:g} to {high:g}" for i, (low, high) in enumerate(pairwise(edges))]
    banded = column.copy()
    banded[known] = [names[i] for i in band]
    return banded


def _alone_and_crossed(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [*((name,) for name in names), *combinations(names, 2)]


def _subgroups(columns: pd.DataFrame, faces: _Faces, draws: Resamples) -> dict[str, Json]:
    """Figures of each subgroup by its name, from the rows in which all these attributes are known."""
    try:
        from fairlearn.metrics import MetricFrame
    except ImportError:
        raise MissingExtraError("fairlearn", "to compare subgroups", 'pip install "happysad[report]"') from None
    rows = np.flatnonzero((columns != "").all(axis=1))
    if not len(rows):
        return {}
    sliced = MetricFrame(
        metrics=lambda part, _: _figures(faces.only(np.asarray(part)), draws.only(np.asarray(part))),
        y_true=rows,
        y_pred=rows,
        sensitive_features=columns.iloc[rows],
    )
    named = ((" × ".join([name] if isinstance(name, str) else name), figures) for name, figures in sliced.by_group.items())
    return {name: figures for name, figures in named if isinstance(figures, dict)}  # crossings that nobody is in are NaN


def _figures(faces: _Faces, draws: Resamples) -> Json:
    """What is known of one subgroup. Happy and sad: rates are over faces that are one of the two."""
    pair = faces.happy | faces.sad
    right = faces.says_happy == faces.happy

    def share(of: np.ndarray, among: np.ndarray) -> Estimate:
        return draws.only(among).share(of[among])

    def mean(of: np.ndarray, among: np.ndarray) -> Estimate:
        return draws.only(among).estimates(metrics.means(mean=of[among]))["mean"]

    return {
        "n": len(pair),
        "n_happy": int(faces.happy.sum()),
        "n_sad": int(faces.sad.sum()),
        "accuracy": share(right, pair),
        "recall_happy": share(right, faces.happy),
        "recall_sad": share(right, faces.sad),
        "false_happy": share(faces.says_happy, faces.sad),
        "false_sad": share(~faces.says_happy, faces.happy),
        "selection_rate": share(faces.says_happy, pair),
        "base_rate": share(faces.happy, pair),
        "ece": draws.only(pair).estimates(metrics.calibration_error(faces.confidence[pair], right[pair]), centred=True)["ece"],
        "overconfidence": mean(faces.confidence - right, pair),
        "mood_bias": mean(faces.mood_error, faces.voted),
        "uncertain": share(~faces.certain, faces.found),
        "not_found": share(~faces.found, np.ones(len(pair), bool)),
        "conformal_coverage": share(faces.in_set, faces.known),
    }


# ---- gaps


def _pairs(table: dict[str, Json]) -> dict[str, list[tuple[str, str]]]:
    """Which subgroups can be compared, by measure; the one with the larger value first. Where nothing differs, none."""
    pairs = {}
    for measure in COMPARED:
        groups = [
            name for name, figures in table.items() if figures[measure]["value"] is not None and figures[measure]["n"] >= LEAST
        ]
        groups.sort(key=lambda name: -table[name][measure]["value"])
        constant = measure == "not_found" and all(table[name][measure]["value"] == 0 for name in groups)
        pairs[measure] = [] if constant else list(combinations(groups, 2))
    return pairs


def _gap(measure: str, table: dict[str, Json], pairs: Sequence[tuple[str, str]], level: float, draws: Resamples) -> Json | None:
    """The largest difference between two subgroups in one measure; None where there are no two."""
    if not pairs:
        return None
    wide = {name: _widened(measure, table[name][measure], level, draws) for pair in pairs for name in pair}
    differences = {pair: _difference(wide[pair[0]], wide[pair[1]]) for pair in pairs}
    largest = max(pairs, key=lambda pair: differences[pair]["value"] or 0.0)
    by_sureness = sorted(pairs, key=lambda pair: -(differences[pair]["low"] or 0.0))
    return {
        "between": list(largest),
        "difference": differences[largest],
        "ratio": None if measure in NO_SHARE else _ratio(wide[largest[1]], wide[largest[0]]),
        "level": level,
        "found": any((one["low"] or 0.0) > 0 for one in differences.values()),
        "pairs": [{"between": list(pair), "difference": differences[pair]} for pair in by_sureness[:LISTED]],
        "smallest_detectable": _smallest_detectable([table[name][measure] for name in wide], level),
    }


def _fairlearn_gaps(
    table: dict[str, Json], pairs: dict[str, list[tuple[str, str]]], level: dict[str, float], draws: Resamples
) -> Json:
    """Demographic parity and equalized odds as fairlearn defines them; "selected" means called happy."""
    parity, true = (_gap(measure, table, pairs[measure], level[measure], draws) for measure in ("selection_rate", "recall_happy"))
    turned = [(low, high) for high, low in pairs["recall_sad"]]  # who is found sad less often is called happy more often
    false = _gap("false_happy", table, turned, level["recall_sad"], draws)
    return {
        "demographic_parity": parity and {"difference": parity["difference"], "ratio": parity["ratio"]},
        "equalized_odds": true
        and false
        and {
            "difference": max(true["difference"], false["difference"], key=lambda one: one["value"]),
            "ratio": min(true["ratio"], false["ratio"], key=lambda one: math.inf if one["value"] is None else one["value"]),
        },
    }


def _widened(measure: str, one: Estimate, level: float, draws: Resamples) -> Estimate:
    """The same estimate with an interval of another level than 95 %."""
    value, low, high = one["value"], one["low"], one["high"]
    if value is None or low is None or high is None:
        return one
    if draws.independent and measure not in NO_SHARE:
        low, high = metrics.wilson(value * one["n"], one["n"], level)
    else:
        wider = _z(level) / _z(metrics.LEVEL)
        low, high = value - (value - low) * wider, value + (high - value) * wider
        if measure not in NO_SHARE:
            low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(value=value, low=low, high=high, n=one["n"])


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _difference(a: Any, b: Any) -> Estimate:
    """The difference a − b, its interval made of the two intervals (Zou and Donner 2008; for shares Newcombe 1998)."""
    value = a["value"] - b["value"]
    low = value - math.hypot(a["value"] - a["low"], b["high"] - b["value"])
    high = value + math.hypot(a["high"] - a["value"], b["value"] - b["low"])
    return Estimate(value=value, low=low, high=high, n=a["n"] + b["n"])


def _ratio(a: Any, b: Any) -> Estimate:
    """The ratio a / b for shares, its interval made of the two intervals on the scale of logarithms; None where it has no end."""
    n = a["n"] + b["n"]
    if not b["value"]:
        return metrics.nothing(n)
    value = a["value"] / b["value"]
    if not a["value"]:
        return Estimate(value=0.0, low=0.0, high=a["high"] / b["low"] if b["low"] else None, n=n)
    low = value * math.exp(-math.hypot(math.log(a["value"] / a["low"]), math.log(b["high"] / b["value"]))) if a["low"] else 0.0
    high = value * math.exp(math.hypot(math.log(a["high"] / a["value"]), math.log(b["value"] / b["low"]))) if b["low"] else None
    return Estimate(value=value, low=low, high=high, n=n)


def _smallest_detectable(groups: Sequence[Estimate], level: float) -> float:
    """The difference between the two smallest subgroups that would be found with a probability of 80 %, roughly."""
    few = sorted(groups, key=lambda one: one["n"])[:2]
    errors = [((one["high"] or 0.0) - (one["low"] or 0.0)) / 2 / _z(metrics.LEVEL) for one in few]
    return (_z(level) + NormalDist().inv_cdf(POWER)) * math.hypot(*errors)


# ---- limits

_LIMIT = re.compile(r"gap:([a-z_]+)>(0?\.\d+|0|1)")


def parse_limit(text: str) -> tuple[str, float]:
    """Measure and limit of ``gap:accuracy>0.05``.

    Raises:
        DataError: it is not of that form.
    """
    match = _LIMIT.fullmatch(text.replace(" ", ""))
    if match is None or match[1] not in COMPARED:
        raise DataError(f"expected a limit such as gap:accuracy>0.05, got {text}; the measures are {', '.join(COMPARED)}")
    return match[1], float(match[2])


def crossed(report: Json, measure: str, limit: float) -> list[str]:
    """Sentences about the pairs of subgroups whose gap is above ``limit`` beyond chance: its interval excludes the limit."""
    pairs = (
        (name, *pair["between"], pair["difference"])
        for name, attribute in report["attributes"].items()
        if attribute["gaps"][measure]
        for pair in attribute["gaps"][measure]["pairs"]
    )
    return [
        f"{name}: {measure} of {high} is {gap['value']:.3f} above that of {low}, surely {gap['low']:.3f}; the limit is {limit:g}"
        for name, high, low, gap in pairs
        if gap["low"] > limit
    ]
