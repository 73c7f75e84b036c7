"""Numbers that say how good predictions are, each with an interval and a count.

A *measure* takes weights ``(m, n)``, one row per resample and one column per face, and returns named values ``(m,)``. Weights
of one are the data as they are; the counts of a bootstrap resample (Efron 1979) are its weights. So every measure is written
once, and a thousand resamples are one matrix product instead of a thousand calls:

>>> says_happy, is_happy = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 0, 1])
>>> Resamples(5).estimates(classification(is_happy, says_happy, 2))["accuracy"]["value"]
0.8
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, TypedDict

import numpy as np

Measure = Callable[[np.ndarray], Mapping[str, np.ndarray]]

LEVEL = 0.95
RESAMPLES = 1000
BINS = 15
_CHUNK = 2_000_000  # weights worked on at a time: memory stays flat however many faces there are


class Estimate(TypedDict):
    """One figure: its value, the 95 % interval around it, and the number of faces behind it; None where it cannot be computed."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Resamples:
    """Bootstrap resamples of ``n`` faces, the same for every measure, so that differences between measures are differences.

    Args:
        n: number of faces.
        subjects: who is on each face (n,); whole people are drawn, as photos of one person are alike. ``""`` and None are
            people of their own. None: every photo is drawn by itself.
        count: number of resamples.
        seed: of the draws.
    """

    def __init__(
        self, n: int, subjects: Sequence[Any] | np.ndarray | None = None, *, count: int = RESAMPLES, seed: int = 0
    ) -> None:
        cluster = np.arange(n) if subjects is None else _numbered(subjects)
        drawn, rng = max(cluster.max(initial=-1) + 1, 1), np.random.default_rng(seed)
        times = (np.bincount(rng.integers(drawn, size=drawn), minlength=drawn) for _ in range(count))
        self._times = np.stack([one.astype(np.uint8) for one in times])[:, cluster]
        self._cluster = cluster

    @property
    def n(self) -> int:
        """Number of faces."""
        return len(self._cluster)

    @property
    def independent(self) -> bool:
        """Whether each face is of another subject."""
        return self.units == self.n

    @property
    def units(self) -> int:
        """Number of subjects, or of photos where subjects are not known."""
        return len(np.unique(self._cluster))

    def only(self, rows: np.ndarray) -> Resamples:
        """The same resamples seen through some of the faces: ``rows`` is a mask (n,) or an index."""
        part = object.__new__(Resamples)
        part._times, part._cluster = self._times[:, rows], self._cluster[rows]
        return part

    def half(self, seed: int = 0) -> np.ndarray:
        """Half of the faces by chance, bool (n,), nobody being in both halves."""
        _, person = np.unique(self._cluster, return_inverse=True)
        order = np.random.default_rng(seed).permutation(self.units)
        return np.asarray((order < self.units // 2)[person])

    def draws(self, measure: Measure) -> dict[str, np.ndarray]:
        """Each value of ``measure``, float64 (1 + count,): on the data, then on each resample; NaN where undefined."""
        step = max(1, _CHUNK // max(self.n, 1))
        chunks = (self._times[i : i + step].astype(np.float64) for i in range(0, len(self._times), step))
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = [measure(weights) for weights in itertools.chain([np.ones((1, self.n))], chunks)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def estimates(self, measure: Measure, *, centred: bool = False) -> dict[str, Estimate]:
        """Each value of ``measure`` with its percentile interval.

        Args:
            measure: any measure over these faces.
            centred: shift the interval so that its middle is the value: for figures such as a calibration error, which can
                only grow by chance and are larger on resamples than on the data.
        """
        if self.n == 0:
            return _Nowhere()
        return {name: self._percentiles(values, centred) for name, values in self.draws(measure).items()}

    def share(self, hits: np.ndarray, level: float = LEVEL) -> Estimate:
        """How many of the faces ``hits`` (n,) names, as a share: Wilson's interval, or the bootstrap's where people recur."""
        if self.n == 0:
            return nothing()
        if self.independent:
            value, (low, high) = float(np.mean(hits)), wilson(float(np.sum(hits)), self.n, level)
            return Estimate(value=value, low=low, high=high, n=self.n)
        return self._percentiles(self.draws(means(share=np.asarray(hits, np.float64)))["share"], False, level)

    def _percentiles(self, values: np.ndarray, centred: bool, level: float = LEVEL) -> Estimate:
        value, drawn = float(values[0]), values[1:][np.isfinite(values[1:])]
        if not np.isfinite(value) or not len(drawn):
            return Estimate(value=None, low=None, high=None, n=self.n)
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) + (value - np.median(drawn) if centred else 0.0)
        if centred:
            low = max(low, 0.0)
        if np.ptp(drawn) == 0 and value in (0.0, 1.0):  # no error was seen, so none is drawn; that does not rule errors out
            low, high = wilson(value * self.units, self.units, level)
        return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)), n=self.n)


class _Nowhere(dict[str, Estimate]):
    """The estimates of any measure over no faces."""

    def __missing__(self, name: str) -> Estimate:
        return nothing()


def nothing(n: int = 0) -> Estimate:
    """The estimate that could not be made."""
    return Estimate(value=None, low=None, high=None, n=n)


def _numbered(subjects: Sequence[Any] | np.ndarray) -> np.ndarray:
    """A number per subject, int (n,); whoever is not named gets a number of their own."""
    numbers: dict[Any, int] = {}
    names = (("face", row) if name is None or name == "" or name != name else name for row, name in enumerate(subjects))
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], int)


def wilson(hits: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval for a share (Wilson 1927), in [0, 1]; good for small ``n`` and for shares near 0 and 1."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, unit = hits / n, z * z / n
    middle, reach = share + unit / 2, z * (share * (1 - share) / n + unit / n / 4) ** 0.5
    low, high = (middle - reach) / (1 + unit), (middle + reach) / (1 + unit)
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def concordance(predicted: np.ndarray, true: np.ndarray) -> float:
    """Concordance correlation coefficient (Lin 1989), in [−1, 1]; 1 means equal, not only in line."""
    return float(agreement(predicted, true)(np.ones((1, len(true))))["ccc"][0])


# ---- measures


def means(**columns: np.ndarray) -> Measure:
    """The mean of each column (n,)."""
    table = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=1)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = weights @ table / weights.sum(axis=1, keepdims=True)
        return dict(zip(columns, sums.T, strict=True))

    return measure


def classification(true: np.ndarray, said: np.ndarray, k: int) -> Measure:
    """Figures of hard answers: ``true`` and ``said`` are int (n,) in [0, k).

    Gives ``accuracy``, ``balanced_accuracy`` (which is macro recall), ``lowest_recall``, ``macro_precision``, ``macro_f1``,
    ``mcc`` (Gorodkin 2004), and per class ``recall_0``, ``precision_0``, ``f1_0`` …. Means and lowest are over the classes that
    occur in ``true``. As in scikit-learn, the precision of a class that was never said is 0.
    """
    cells = _cells(true, said, k)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        counts = (weights @ cells).reshape(-1, k, k)
        hits, there, called = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)
        absent = there == 0
        recall = np.where(absent, np.nan, hits / there)
        precision = np.where(absent, np.nan, np.where(called == 0, 0, hits / called))
        f1 = np.where(absent, np.nan, 2 * hits / (there + called))
        total = there.sum(axis=1)
        per_class = {
            f"{name}_{i}": values[:, i]
            for name, values in (("recall", recall), ("precision", precision), ("f1", f1))
            for i in range(k)
        }
        return {
            "accuracy": hits.sum(axis=1) / total,
            "balanced_accuracy": _over_present(recall),
            "lowest_recall": np.where(absent, np.inf, recall).min(axis=1),
            "macro_precision": _over_present(precision),
            "macro_f1": _over_present(f1),
            "mcc": _matthews(hits.sum(axis=1), there, called, total),
            **per_class,
        }

    return measure


def _cells(true: np.ndarray, said: np.ndarray, k: int) -> np.ndarray:
    """float64 (n, k · k): one in the cell of the confusion matrix that each face falls into."""
    return np.asarray(np.eye(k * k)[np.asarray(true, int) * k + np.asarray(said, int)])


def _over_present(values: np.ndarray) -> np.ndarray:
    present = np.isfinite(values)
    return np.asarray(np.where(present, values, 0).sum(axis=1) / present.sum(axis=1))


def _matthews(hits: np.ndarray, there: np.ndarray, called: np.ndarray, total: np.ndarray) -> np.ndarray:
    together = hits * total - (there * called).sum(axis=1)
    spread = (total**2 - (there**2).sum(axis=1)) * (total**2 - (called**2).sum(axis=1))
    return np.asarray(np.where(spread == 0, 0.0, together / np.sqrt(np.where(spread == 0, 1, spread))))


def steps(true: np.ndarray, said: np.ndarray, k: int) -> Measure:
    """Figures of ordered grades, int (n,) in [0, k): ``exact``, ``within_one`` and quadratic weighted ``kappa`` (Cohen 1968)."""
    cells = _cells(true, said, k)
    apart = np.abs(np.arange(k)[:, None] - np.arange(k))

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        counts = (weights @ cells).reshape(-1, k, k)
        total = counts.sum(axis=(1, 2))
        chance = counts.sum(axis=2)[:, :, None] * counts.sum(axis=1)[:, None, :] / total[:, None, None]
        return {
            "exact": (counts * (apart == 0)).sum(axis=(1, 2)) / total,
            "within_one": (counts * (apart <= 1)).sum(axis=(1, 2)) / total,
            "kappa": 1 - (counts * apart**2).sum(axis=(1, 2)) / (chance * apart**2).sum(axis=(1, 2)),
        }

    return measure


def ranking(true: np.ndarray, score: np.ndarray) -> Measure:
    """How well ``score`` (n,) puts the true ones (bool (n,)) first: ``auc`` (area under the ROC curve), ``average_precision``.

    Equal scores count as in scikit-learn: half for the area, one threshold for the precision.
    """
    order = np.argsort(-score, kind="stable")
    positive, starts = np.asarray(true, bool)[order], _starts(score[order])

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        ordered = weights[:, order]
        hits = np.add.reduceat(ordered * positive, starts, axis=1)
        misses = np.add.reduceat(ordered * ~positive, starts, axis=1)
        hits_to, misses_to = hits.cumsum(axis=1), misses.cumsum(axis=1)
        all_hits, all_misses = hits_to[:, -1], misses_to[:, -1]
        above = (hits * (all_misses[:, None] - misses_to + misses / 2)).sum(axis=1)
        precision = hits_to / np.maximum(hits_to + misses_to, 1)
        return {"auc": above / (all_hits * all_misses), "average_precision": (hits * precision).sum(axis=1) / all_hits}

    return measure


def _starts(ordered: np.ndarray) -> np.ndarray:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def probability(true: np.ndarray, p: np.ndarray) -> Measure:
    """Figures of a probability ``p`` (n,) for a yes-or-no truth: ``brier`` (Brier 1950; a coin: 0.25), ``log_loss`` in nats."""
    true, p = np.asarray(true, bool), np.asarray(p, np.float64)
    tiny = np.finfo(np.float64).eps
    return means(brier=(p - true) ** 2, log_loss=-np.log(np.clip(np.where(true, p, 1 - p), tiny, 1)))


def agreement(predicted: np.ndarray, true: np.ndarray) -> Measure:
    """Figures of a graded answer: ``ccc`` (Lin 1989), mean absolute error ``mae``, and ``bias``, the mean of predicted − true."""
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    middle = y.mean() if len(y) else 0.0  # moments about a point near the data keep all their digits
    x, y = x - middle, y - middle
    moments = means(x=x, y=y, xx=x * x, yy=y * y, xy=x * y, mae=np.abs(x - y))

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        m = moments(weights)
        spread = m["xx"] + m["yy"] - 2 * m["x"] * m["y"]
        return {"ccc": 2 * (m["xy"] - m["x"] * m["y"]) / spread, "mae": m["mae"], "bias": m["x"] - m["y"]}

    return measure


def rank_correlation(predicted: np.ndarray, true: np.ndarray) -> Measure:
    """``spearman`` (1904), in [−1, 1]: whether the order is right, whatever the distances."""
    rank_x, rank_y = _ranking_of(predicted), _ranking_of(true)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(axis=1, keepdims=True)
        x, y = (ranks(weights) - (total + 1) / 2 for ranks in (rank_x, rank_y))  # the mean rank is (total + 1) / 2
        spread = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
        return {"spearman": (weights * x * y).sum(axis=1) / spread}

    return measure


def _ranking_of(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """From weights (m, n) to the rank that each face has in each resample, equal values sharing the middle one."""
    order = np.argsort(values, kind="stable")
    starts = _starts(np.asarray(values)[order])
    group = np.empty(len(order), int)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(order)]))

    def ranks(weights: np.ndarray) -> np.ndarray:
        together = np.add.reduceat(weights[:, order], starts, axis=1)
        return np.asarray((together.cumsum(axis=1) - (together - 1) / 2)[:, group])

    return ranks


def calibration_error(p: np.ndarray, share: np.ndarray, bins: int = BINS) -> Measure:
    """``ece``: expected calibration error in bins of equally many faces (Naeini et al. 2015; Nixon et al. 2019), in [0, 1].

    Args:
        p: the probabilities given, (n,), or (n, k) for k classes, whose errors are averaged.
        share: what came true, 0 or 1, or the share of people who said so; of the same shape.
        bins: how many.
    """
    p, share = np.atleast_2d(np.asarray(p, np.float64).T), np.atleast_2d(np.asarray(share, np.float64).T)
    columns = [_in_bins(one, bins) * (one - true)[:, None] for one, true in zip(p, share, strict=True)]
    table = np.concatenate(columns, axis=1)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"ece": np.abs(weights @ table).sum(axis=1) / weights.sum(axis=1) / len(columns)}

    return measure


def _in_bins(values: np.ndarray, bins: int) -> np.ndarray:
    """float64 (n, b): one in the bin that each value falls into; b is ``bins``, or n where there are fewer values."""
    which = np.empty(len(values), int)
    parts = np.array_split(np.argsort(values, kind="stable"), min(bins, max(len(values), 1)))
    for i, part in enumerate(parts):
        which[part] = i
    return np.eye(len(parts))[which]


def selective_risk(confidence: np.ndarray, right: np.ndarray) -> Measure:
    """``aurc``: the mean share of errors among the most confident answers, over all ways to cut (Geifman & El-Yaniv 2017)."""
    order = np.argsort(-confidence, kind="stable")
    wrong, starts = ~np.asarray(right, bool)[order], _starts(confidence[order])

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        together = np.add.reduceat(weights[:, order], starts, axis=1)
        errors = np.add.reduceat(weights[:, order] * wrong, starts, axis=1).cumsum(axis=1)
        kept = together.cumsum(axis=1)
        return {"aurc": (together * errors / np.maximum(kept, 1)).sum(axis=1) / kept[:, -1]}

    return measure


# ---- curves and sets


def reliability(p: np.ndarray, share: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """What was promised and what came ``true`` (with Wilson's ``low`` and ``high``) in bins of equally many faces."""
    table = []
    for rows in np.array_split(np.argsort(p, kind="stable"), min(bins, max(len(p), 1))):
        if len(rows):
            hits = float(share[rows].sum())
            low, high = wilson(hits, len(rows))
            table.append({"promised": float(p[rows].mean()), "true": hits / len(rows), "low": low, "high": high, "n": len(rows)})
    return table


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of answers kept, most confident first, and share of errors among those kept: two float64 (n,)."""
    wrong = ~np.asarray(right, bool)[np.argsort(-confidence, kind="stable")]
    kept = np.arange(1, len(wrong) + 1)
    return kept / max(len(wrong), 1), wrong.cumsum() / kept


def conformal_threshold(p_of_true: np.ndarray, coverage: float) -> float:
    """The least probability that puts a class into the set, so that sets hold the truth in at least ``coverage`` of new faces.

    Split conformal prediction (Vovk et al. 2005; the score 1 − p of Sadinle et al. 2019): it holds for any model as long as new
    faces are like those that the threshold is taken from. 0, which means every class, where these are too few.

    Args:
        p_of_true: the probability given to the true class of each face kept aside, (n,).
        coverage: in (0, 1).
    """
    n = len(p_of_true)
    rank = int(np.ceil((n + 1) * coverage - 1e-9))
    return 0.0 if rank > n else float(np.sort(p_of_true)[n - rank])


def conformal_sets(p: np.ndarray, true: np.ndarray, half: np.ndarray, coverage: float) -> np.ndarray:
    """Which classes each face may be of, bool (n, k): each half of the faces by the threshold that the other half gives.

    Args:
        p: probabilities (n, k).
        true: the true class, int (n,).
        half: which faces are in the first half, bool (n,).
        coverage: how often the sets are to hold the truth, in (0, 1).
    """
    of_true = p[np.arange(len(p)), true]
    of_first, of_second = (conformal_threshold(of_true[part], coverage) for part in (half, ~half))
    return np.asarray(p >= np.where(half, of_second, of_first)[:, None])


def drawn_voters(votes: np.ndarray, size: int | np.ndarray, seed: int = 0) -> np.ndarray:
    """Some of the people who voted on each face, drawn without replacement: what they chose.

    Args:
        votes: how many people chose each look, int (n, k).
        size: how many people to draw, for all faces or int (n,).
        seed: of the draw.

    Returns:
        int (n, k), rows sum to ``size``.
    """
    rng = np.random.default_rng(seed)
    sizes = np.broadcast_to(size, len(votes))
    rows = [rng.multivariate_hypergeometric(row, some) for row, some in zip(np.asarray(votes, int), sizes, strict=True)]
    return np.array(rows, int).reshape(-1, np.shape(votes)[1])
