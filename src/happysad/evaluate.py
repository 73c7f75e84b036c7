"""How good a model is on labelled faces: told apart, graded, calibrated, each figure with its interval and beside people.

Every photo goes the way that it goes in use (decode, detect, crop, predict), through the exported model. Of several faces in a
photo the one in the manifest's box counts, or the largest where the manifest has no box.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad import metrics
from happysad.answers import HAPPY, OTHER, SAD, UNKNOWN, Answers, Truth, check_classes, grades
from happysad.closeup import SAME_FACE, overlaps
from happysad.contract import LOOKS, Contract
from happysad.errors import DataError, ImageError, MissingExtraError
from happysad.fairness import fairness
from happysad.manifest import BOX, attributes, listed, photo_bytes, read_manifest
from happysad.metrics import Estimate, Resamples
from happysad.parallel import map_in_order
from happysad.predict import GRADES, FaceMood, Predictor
from happysad.stress import stress

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
P = tuple(f"p_{look}" for look in LOOKS)
ADDED = (*P, "certain", "found")
FEW = 30  # faces; with fewer, a figure says little
CONFORMAL = (0.9, 0.95)
CURVE_POINTS = 200
LISTED = 12

Json = dict[str, Any]


# ---- the whole way


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        report: all figures, as plain data for JSON.
        scored: the rows with the model's answers, see `score`.
        base: the folder that relative paths of the rows lead from.
        asked_in_vain: sentences about what was asked for and could not be done.
    """

    report: Json
    scored: pd.DataFrame
    base: Path
    asked_in_vain: list[str]


def evaluate_file(
    manifest: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    by: Sequence[str] = (),
    damaged: bool = False,
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure a model on the rows of a manifest.

    Args:
        manifest: CSV or Parquet, see `happysad.manifest`.
        model: a ``model.onnx``, or the folder of a run that holds one; None takes the bundled model.
        split: ``train``, ``valid``, ``test`` or ``all``; None takes the test rows where there are some, else all.
        damaged: also measure the same faces under blur, noise and so on, see `happysad.stress.stress`.
        by, resamples, seed: see `evaluate`.

    Raises:
        DataError: the manifest cannot be read, or has no such rows.
        ModelError: the model cannot be used.
        MissingExtraError: a package of ``happysad[report]`` is not installed.
    """
    predictor = Predictor(_model_file(model))
    check_classes(predictor.contract)
    rows, split = _of_split(read_manifest(manifest), split)
    known = [name for name in by if name in attributes(rows)]
    there = listed(attributes(rows))
    in_vain = [f"There is no attribute {name} in {Path(manifest).name}; there are: {there}." for name in by if name not in known]
    scored = score(rows, Path(manifest).parent, predictor)
    report = evaluate(scored, predictor.contract, by=known, resamples=resamples, seed=seed)
    report["data"] |= {"manifest": Path(manifest).name, "split": split}
    report["stress"] = stress(scored, Path(manifest).parent, predictor, seed=seed) if damaged else None
    report["learning"] = _learning(model)
    report["notes"] += in_vain
    return Evaluation(report, scored, Path(manifest).parent, in_vain)


def _model_file(model: str | os.PathLike[str] | None) -> Path | None:
    if model is None:
        return None
    return Path(model, "model.onnx") if Path(model).is_dir() else Path(model)


def _of_split(frame: pd.DataFrame, split: str | None) -> tuple[pd.DataFrame, str]:
    split = split or ("test" if (frame["split"] == "test").any() else "all")
    rows = frame if split == "all" else frame[frame["split"] == split]
    if rows.empty:
        there = ", ".join(f"{name or 'no split'} {n}" for name, n in frame["split"].value_counts().items())
        raise DataError(f"there are no {split} rows in the manifest (rows: {there}); use --split all, or: happysad data split")
    return rows.reset_index(drop=True), split


def _learning(model: str | os.PathLike[str] | None) -> list[Json] | None:
    """What the log of a run says about each epoch; None without a run."""
    log = Path(model, "log.jsonl") if model is not None else None
    if log is None or not log.is_file():
        return None
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]


# ---- from photos to answers


def score(manifest: pd.DataFrame, base: str | os.PathLike[str], predictor: Predictor) -> pd.DataFrame:
    """The manifest with the model's answers beside it.

    Args:
        manifest: rows as `happysad.manifest.read_manifest` gives them.
        base: the folder that relative paths lead from.
        predictor: with the model to measure.

    Returns:
        The rows with the columns ``p_happy`` … ``p_other`` (NaN where no face was found), ``certain`` (bool), ``found`` (bool)
        and ``error`` (text where the photo could not be read).
    """
    rows = manifest.to_dict("records")
    answers = list(map_in_order(lambda row: _answer(row, base, predictor), rows, len(rows), "faces"))
    return manifest.assign(**{name: [answer[name] for answer in answers] for name in (*P, "certain", "found", "error")})


def _answer(row: Json, base: str | os.PathLike[str], predictor: Predictor) -> Json:
    nothing = {**dict.fromkeys(P, np.nan), "certain": False, "found": False, "error": ""}
    try:
        photo = predictor.predict(photo_bytes(row["path"], base), cropped=row["cropped"])
    except ImageError as error:
        return nothing | {"error": str(error)}
    if photo.error is not None:
        return nothing | {"error": photo.error}
    face = _chosen(photo.faces, np.array([row[side] for side in BOX], np.float64))
    if face is None:
        return nothing
    return nothing | {f"p_{look}": p for look, p in face.p.items()} | {"certain": face.certain, "found": True}


def _chosen(faces: Sequence[FaceMood], box: np.ndarray) -> FaceMood | None:
    """The face that the row is about: the one in the box, or the largest where there is no box; None where it was not found."""
    if not faces or faces[0].box is None:
        return faces[0] if faces else None
    boxes = np.array([face.box for face in faces], np.float64)
    if np.isnan(box).any():
        return faces[int(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax())]
    shared = overlaps(boxes, box)
    return faces[int(shared.argmax())] if shared.max() >= SAME_FACE else None


# ---- all figures


def evaluate(
    scored: pd.DataFrame, contract: Contract, *, by: Sequence[str] = (), resamples: int = metrics.RESAMPLES, seed: int = 0
) -> Json:
    """All figures of a model on labelled faces, as plain data for JSON; ``docs/metrics.md`` describes each key.

    Args:
        scored: what `score` returns.
        contract: of the model.
        by: names of attributes to compare subgroups by, alone and crossed in twos.
        resamples: how many, for the intervals.
        seed: of all draws.

    Raises:
        DataError: nothing is labelled, or the probabilities are none.
        ModelError: the model's classes are not looks.
        MissingExtraError: scikit-learn or fairlearn is not installed.
    """
    _need_sklearn()
    readable = scored[scored["error"] == ""].reset_index(drop=True)
    found = readable["found"].to_numpy(bool)
    everyone = Resamples(len(readable), readable["subject"].to_numpy(), count=resamples, seed=seed)
    truth_of_all = Truth.of(readable)
    seen, truth, draws = readable[found], truth_of_all.only(found), everyone.only(found)
    answers = Answers.of(seen[list(P)].to_numpy(np.float64), contract, seen["certain"].to_numpy(bool))
    if not (truth_of_all.look != UNKNOWN).any() and not truth_of_all.not_happy.any():
        raise DataError("no row that can be read has a label or votes: there is nothing to measure the answers by")
    report: Json = {
        "format": FORMAT,
        "model": {"name": contract.name, "trained_on": list(contract.trained_on), "classes": list(contract.classes)},
        "data": _data(scored, truth_of_all, found),
        "key_figures": key_figures(answers.p, truth.shares, truth.label, contract, resamples=draws) if truth.counted else None,
        "two_way": _two_way(answers, truth.look, draws),
        "two_way_by_label": _two_way(answers, truth.label, draws) if truth.voted.any() else None,
        "end_to_end": _end_to_end(answers, truth_of_all, found, everyone),
        "happy_or_not": _happy_or_not(answers, truth, draws),
        "three_way": _three_way(answers, truth, contract, draws),
        "looks": _looks(answers, truth, draws),
        "graded": _graded(answers, truth, draws),
        "people": _people(answers, truth, draws, seed),
        "calibration": _calibration(answers, truth, draws),
        "certain": _certain(answers, truth, draws),
        "conformal": _conformal(answers, truth, draws, seed),
        "fairness": fairness(answers, truth_of_all, found, readable[list(by)], everyone) if by else None,
        "stress": None,
        "examples": _examples(answers, truth, seen),
        "learning": None,
    }
    return report | {"notes": _notes(report)}


def _need_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError("scikit-learn", "to measure a model", 'pip install "happysad[report]"') from None


def _data(scored: pd.DataFrame, truth: Truth, found: np.ndarray) -> Json:
    counts = {look: int((truth.look == k).sum()) for k, look in enumerate(LOOKS)}
    return {
        "manifest": "a data set",
        "split": "all",
        "n": len(scored),
        "unreadable": int((scored["error"] != "").sum()),
        "not_found": int((~found).sum()),
        "cropped": int(scored["cropped"].sum()),
        "subjects": int(scored["subject"].replace("", None).nunique()),
        "by_votes": int(truth.voted.sum()),
        "by_label": int((~truth.voted & (truth.label != UNKNOWN)).sum()),
        "looks": counts | {"not_happy": int((truth.not_happy & ~truth.voted).sum())},
        "face": "the one in the manifest's box, or the largest where there is no box",
        "splits": _counts(scored["split"]),
        "sources": _counts(scored["source"]),
        "licences": _counts(scored["licence"]),
        "attributes": {name: _counts(scored[name]) for name in attributes(scored) if name not in ADDED},
    }


def _counts(column: pd.Series) -> dict[str, int]:
    """How often each value occurs, the most frequent first, at most `LISTED`."""
    return {str(value): int(n) for value, n in column.value_counts().head(LISTED).items()}


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


# ---- told apart


def _two_way(answers: Answers, look: np.ndarray, draws: Resamples) -> Json | None:
    """Happy against sad, on faces that are one of the two."""
    rows = np.isin(look, [HAPPY, SAD])
    if not rows.any():
        return None
    answers, draws, happy = answers.only(rows), draws.only(rows), look[rows] == HAPPY
    margin = answers.p[:, HAPPY] / np.maximum(answers.p[:, HAPPY] + answers.p[:, SAD], 1e-12)
    return {
        **_hard(np.where(happy, 0, 1), np.where(answers.says_happy, 0, 1), ("happy", "sad"), draws),
        **draws.estimates(metrics.ranking(happy, margin)),
        **draws.estimates(metrics.probability(happy, answers.happy_of_two)),
        "curves": _curves(happy, margin),
    }


def _happy_or_not(answers: Answers, truth: Truth, draws: Resamples) -> Json | None:
    """Happy against all else: the answer is yes where `look` is happy, the score is p(happy)."""
    rows = (truth.look != UNKNOWN) | truth.not_happy
    if not rows.any():
        return None
    answers, draws, happy = answers.only(rows), draws.only(rows), truth.look[rows] == HAPPY
    p = answers.p[:, HAPPY]
    return {
        **_hard(np.where(happy, 0, 1), np.where(answers.look == HAPPY, 0, 1), ("happy", "not happy"), draws),
        **draws.estimates(metrics.ranking(happy, p)),
        **draws.estimates(metrics.probability(happy, p)),
        "curves": _curves(happy, p),
    }


def _three_way(answers: Answers, truth: Truth, contract: Contract, draws: Resamples) -> Json | None:
    """The likeliest of happy, neutral and sad, on faces that are one of the three."""
    rows = np.isin(truth.look, range(OTHER))
    if not rows.any() or "neutral" not in contract.classes:
        return None
    return _hard(truth.look[rows], answers.p[rows, :OTHER].argmax(axis=1), LOOKS[:OTHER], draws.only(rows))


def _looks(answers: Answers, truth: Truth, draws: Resamples) -> Json | None:
    """The word `look`, one of four, on all faces."""
    rows = truth.look != UNKNOWN
    return _hard(truth.look[rows], answers.look[rows], LOOKS, draws.only(rows)) if rows.any() else None


def _end_to_end(answers: Answers, truth: Truth, found: np.ndarray, everyone: Resamples) -> Json | None:
    """Happy against sad over all photos that could be read; a face that was not found is an error."""
    rows = np.isin(truth.look, [HAPPY, SAD])
    if not rows.any():
        return None
    right = np.zeros(len(found), bool)
    right[found] = answers.says_happy == (truth.look[found] == HAPPY)
    return {
        "accuracy": everyone.only(rows).share(right[rows]),
        "not_found": everyone.only(rows).share(~found[rows]),
        **{LOOKS[k]: {"recall": everyone.only(truth.look == k).share(right[truth.look == k])} for k in (HAPPY, SAD)},
    }


def _hard(true: np.ndarray, said: np.ndarray, names: Sequence[str], draws: Resamples) -> Json:
    """What is known of hard answers: figures overall and per class, the confusion matrix, scikit-learn's report as text."""
    from sklearn.metrics import classification_report, confusion_matrix

    labels = range(len(names))
    figures = draws.estimates(metrics.classification(true, said, len(names)))
    return {
        "accuracy": draws.share(true == said),
        "balanced_accuracy": figures["balanced_accuracy"],
        "lowest_recall": figures["lowest_recall"],
        "mcc": figures["mcc"],
        "macro": {
            "precision": figures["macro_precision"],
            "recall": figures["balanced_accuracy"],
            "f1": figures["macro_f1"],
        },
        **{name: _of_class(k, true, figures) for k, name in enumerate(names)},
        "confusion": {"classes": list(names), "counts": confusion_matrix(true, said, labels=labels).tolist()},
        "report": classification_report(true, said, labels=labels, target_names=list(names), digits=3, zero_division=0),
    }


def _of_class(k: int, true: np.ndarray, figures: dict[str, Estimate]) -> dict[str, Estimate]:
    """Precision, recall and F1 of one class; their n is the number of faces of that class."""
    named = {name: figures[f"{name}_{k}"].copy() for name in ("precision", "recall", "f1")}
    for one in named.values():
        one["n"] = int((true == k).sum())
    return named


def _curves(true: np.ndarray, score: np.ndarray) -> Json | None:
    """Points for drawing: ROC, precision-recall, and histograms of the score of both classes; None for one class only."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    if true.all() or not true.any():
        return None
    false_rate, true_rate, _ = roc_curve(true, score)
    precision, recall, _ = precision_recall_curve(true, score)
    edges = np.linspace(0, 1, 21)
    return {
        "roc": _thinned(false_rate, true_rate),
        "precision_recall": _thinned(recall, precision),
        "histogram": {
            "edges": edges.tolist(),
            "yes": np.histogram(score[true], edges)[0].tolist(),
            "no": np.histogram(score[~true], edges)[0].tolist(),
        },
    }


def _thinned(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    """At most `CURVE_POINTS` points of a curve, its ends among them."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(CURVE_POINTS, len(x))).round().astype(int))
    return np.stack([x, y], axis=1)[kept].round(5).tolist()  # type: ignore[no-any-return]


# ---- graded, and beside people


def _graded(answers: Answers, truth: Truth, draws: Resamples) -> Json | None:
    """`mood` and `grade` against the votes."""
    rows = truth.voted
    if not rows.any():
        return None
    answers, truth, draws = answers.only(rows), truth.only(rows), draws.only(rows)
    true, said = grades(truth.mood), grades(answers.mood)
    counts = np.zeros((len(GRADES), len(GRADES)), int)
    np.add.at(counts, (true, said), 1)
    return {
        **draws.estimates(metrics.agreement(answers.mood, truth.mood)),
        **draws.estimates(metrics.rank_correlation(answers.mood, truth.mood)),
        **draws.estimates(metrics.steps(true, said, len(GRADES))),
        "confusion": {"classes": list(GRADES), "counts": counts.tolist()},
    }


def _people(answers: Answers, truth: Truth, draws: Resamples, seed: int) -> Json | None:
    """How well people agree with people, and the model with the same people, so that its figures can be read.

    One person, drawn from those who voted on a face, against all others; half of them against the other half.
    """
    rows = truth.votes.sum(axis=1) >= 2
    if not truth.counted or not rows.any():
        return None
    answers, votes, draws = answers.only(rows), truth.votes[rows].astype(int), draws.only(rows)
    one = metrics.drawn_voters(votes, 1, seed)
    half = metrics.drawn_voters(votes, votes.sum(axis=1) // 2, seed)
    other_half = metrics.drawn_voters(votes - half, votes.sum(axis=1) // 2, seed + 1)
    model = (answers.look, np.where(answers.says_happy, 1, -1), answers.mood)
    return {
        "voters": float(np.median(votes.sum(axis=1))),
        "one_against_rest": {
            "person": _against(*_spoken(one), votes - one, draws),
            "model": _against(*model, votes - one, draws),
        },
        "half_against_half": {
            "people": _against(*_spoken(half), other_half, draws),
            "model": _against(*model, other_half, draws),
        },
    }


def _spoken(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What votes (n, 4) say together: look, side (1 happy, −1 sad, 0 neither), mood."""
    mood = (votes[:, HAPPY] - votes[:, SAD]) / votes.sum(axis=1)
    return votes.argmax(axis=1), np.sign(mood), mood


def _against(look: np.ndarray, side: np.ndarray, mood: np.ndarray, votes: np.ndarray, draws: Resamples) -> Json:
    """One opinion against the votes of others; happy against sad counts where both have said one of the two."""
    true_look, _, true_mood = _spoken(votes)
    three, pair = true_look != OTHER, np.isin(true_look, [HAPPY, SAD]) & (side != 0)
    step = draws.estimates(metrics.steps(grades(true_mood), grades(mood), len(GRADES)))
    agreement = draws.estimates(metrics.agreement(mood, true_mood))
    return {
        "happy_sad": draws.only(pair).share((side == np.where(true_look == HAPPY, 1, -1))[pair]),
        "three_way": draws.only(three).share((look == true_look)[three]),
        **{name: draws.only(true_look == k).share((look == k)[true_look == k]) for k, name in enumerate(LOOKS)},
        "mood_ccc": agreement["ccc"],
        "mood_mae": agreement["mae"],
        "grade_exact": step["exact"],
        "grade_within_one": step["within_one"],
    }


# ---- calibrated, and knowing when not to answer


def _calibration(answers: Answers, truth: Truth, draws: Resamples) -> Json:
    """Promised against true: `confidence` on faces that are happy or sad, `p` against the shares of votes (or the label)."""
    pair, known = np.isin(truth.look, [HAPPY, SAD]), truth.look != UNKNOWN
    right = (answers.says_happy == (truth.look == HAPPY))[pair]
    p, shares = answers.p[known], truth.shares[known]
    return {
        "confidence": {
            "ece": draws.only(pair).estimates(metrics.calibration_error(answers.confidence[pair], right), centred=True)["ece"],
            "reliability": metrics.reliability(answers.confidence[pair], right),
        },
        "p": {
            "ece": draws.only(known).estimates(metrics.calibration_error(p, shares), centred=True)["ece"],
            "reliability": {look: metrics.reliability(p[:, k], shares[:, k]) for k, look in enumerate(LOOKS)},
        },
    }


def _certain(answers: Answers, truth: Truth, draws: Resamples) -> Json:
    """Which answers say that they can be used, and whether they are right; and what other cuts would give."""
    pair = np.isin(truth.look, [HAPPY, SAD])
    right, sure = answers.says_happy == (truth.look == HAPPY), answers.certain
    kept, risk = metrics.risk_coverage(answers.confidence[pair], right[pair])
    return {
        "share": draws.share(sure),
        "share_of_happy_or_sad": draws.only(pair).share(sure[pair]),
        "accuracy": draws.only(pair & sure).share(right[pair & sure]),
        "accuracy_of_uncertain": draws.only(pair & ~sure).share(right[pair & ~sure]),
        "aurc": draws.only(pair).estimates(metrics.selective_risk(answers.confidence[pair], right[pair]))["aurc"],
        "risk_coverage": _thinned(kept, risk),
    }


def _conformal(answers: Answers, truth: Truth, draws: Resamples, seed: int) -> Json | None:
    """Sets of looks that hold the truth as often as promised; each half of the faces is measured by the other's threshold."""
    known = truth.look != UNKNOWN
    if known.sum() < FEW:
        return None
    p, look, draws = answers.p[known], truth.look[known], draws.only(known)
    return {f"{coverage:g}": _sets(p, look, coverage, draws, seed) for coverage in CONFORMAL}


def _sets(p: np.ndarray, look: np.ndarray, coverage: float, draws: Resamples, seed: int) -> Json:
    sets = metrics.conformal_sets(p, look, draws.half(seed), coverage)
    held = sets[np.arange(len(p)), look]
    return {
        "coverage": draws.share(held),
        "size": draws.estimates(metrics.means(size=sets.sum(axis=1)))["size"],
        "one_look_only": draws.share(sets.sum(axis=1) == 1),
        "by_look": {name: draws.only(look == k).share(held[look == k]) for k, name in enumerate(LOOKS)},
    }


# ---- what to look at


def _examples(answers: Answers, truth: Truth, seen: pd.DataFrame) -> Json:
    """Rows worth a look: the most confident answers that are wrong, and the least confident ones."""
    pair = np.isin(truth.look, [HAPPY, SAD])
    wrong = np.flatnonzero(pair & (answers.says_happy != (truth.look == HAPPY)))
    doubtful = np.flatnonzero(pair)
    errors = wrong[np.argsort(-answers.confidence[wrong], kind="stable")[:LISTED]]
    unsure = doubtful[np.argsort(answers.confidence[doubtful], kind="stable")[:LISTED]]
    return {
        "certain_errors": [_example(row, answers, truth, seen) for row in errors],
        "least_certain": [_example(row, answers, truth, seen) for row in unsure],
    }


def _example(row: int, answers: Answers, truth: Truth, seen: pd.DataFrame) -> Json:
    face = seen.iloc[row]
    box = face[list(BOX)].to_numpy(np.float64)
    return {
        "path": face["path"],
        "cropped": bool(face["cropped"]),
        "box": None if np.isnan(box).any() else box.round(1).tolist(),
        "truth": LOOKS[truth.look[row]],
        "label": "happy" if answers.says_happy[row] else "sad",
        "confidence": round(float(answers.confidence[row]), 4),
        "p": dict(zip(LOOKS, answers.p[row].round(4).tolist(), strict=True)),
    }


def _notes(report: Json) -> list[str]:
    """What a reader must know before the figures: what is missing, and where there is too little to say anything."""
    data, looks = report["data"], report["data"]["looks"]
    pair = looks["happy"] + looks["sad"]
    notes = []
    if data["unreadable"]:
        notes.append(f"{data['unreadable']} of {data['n']} photos could not be read; they are in no figure.")
    if data["not_found"]:
        notes.append(
            f"In {data['not_found']} photos the face was not found; they count as errors in the end-to-end figures only."
        )
    if pair and not (looks["happy"] and looks["sad"]):
        only = "happy" if looks["happy"] else "sad"
        notes.append(f"All {pair} faces that are happy or sad are {only}: how well the two are told apart cannot be said.")
    if not pair:
        notes.append("No face is labelled happy or sad: how well the two are told apart cannot be said.")
    notes += [
        f"Only {looks[look]} faces are {look}: with fewer than {FEW} their figures say little."
        for look in LOOKS
        if 0 < looks[look] < FEW
    ]
    if not data["by_votes"]:
        notes.append("There are no votes: how well the mood is graded, and how well people agree, cannot be said.")
    elif report["people"] is None:
        notes.append("The votes are shares, or one per face: how well people agree with each other cannot be said.")
    if report["three_way"] is None and looks["neutral"]:
        notes.append("The model does not know neutral: there is no three-way figure.")
    if not data["subjects"]:
        notes.append("No subjects are named: if people are on several photos, the intervals are too narrow.")
    return notes
