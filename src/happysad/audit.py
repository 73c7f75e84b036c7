"""What is wrong with a data set: a list of findings, worst first. Nothing is changed or deleted.

Each kind of finding is one function that takes the `Case` and yields findings; `audit` asks them all.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad.duplicates import Pairs, find_pairs, groups
from happysad.errors import DataError
from happysad.examine import Examined, examine
from happysad.manifest import VOTES, attributes, pandas, read_manifest, write_manifest
from happysad.opinions import opinions
from happysad.predict import MAX_YAW, MIN_FACE_SIDE, MIN_SHARPNESS
from happysad.split import leaks

if TYPE_CHECKING:
    import pandas as pd

    from happysad.label_errors import Suspects

MIN_FACE_BRIGHTNESS = 45.0
MIN_CONTRAST = 8.0
MAX_OUTSIDE = 0.12
SURE_FACE, DOUBTFUL_FACE = 0.65, 0.55  # scores of the detector
FLAT, MOSTLY = 0.25, 0.8  # shares of a picture without texture
MIN_LABEL_ROWS, MIN_LABEL_SHARE = 20, 0.02
CLEAR_VOTES = 0.7
SHORTCUT = 0.8
MAX_VALUES = 50


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one row.

    Attributes:
        kind: one of `KINDS`.
        severity: in [0, 1].
        path: of the row; empty where the whole set is meant.
        message: what was seen, one sentence.
        related: paths of other rows that it concerns.
        label, suggested, probability: for label errors, what is given, what it should be, and how likely that is.
    """

    kind: str
    severity: float
    path: str
    message: str
    related: tuple[str, ...] = ()
    label: str | None = None
    suggested: str | None = None
    probability: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the JSON has them; what does not apply is left out."""
        plain = {**vars(self), "severity": round(self.severity, 4), "related": list(self.related)}
        return {name: value for name, value in plain.items() if value is not None}


@dataclass(frozen=True)
class Case:
    """All that is known about the data set under audit."""

    frame: pd.DataFrame
    seen: Examined
    pairs: Pairs
    suspects: Suspects | None = None
    suspect_rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def paths(self, rows: Any) -> tuple[str, ...]:
        return tuple(self.frame["path"].iloc[rows])

    def column(self, name: str) -> np.ndarray:
        return np.asarray(self.frame[name].to_numpy(object))


Look = Callable[[Case], Iterator[Finding]]


def audit(manifest: str | os.PathLike[str], model_has_seen: bool | None = None) -> list[Finding]:
    """All findings about the manifest at this path, worst first.

    Args:
        model_has_seen: whether the bundled model was trained on these photos, in which case it is not asked about their
            labels; None compares the model's contract with the rows' sources.

    Raises:
        DataError, MissingExtraError: the manifest cannot be read, or a library is missing.
    """
    frame = read_manifest(manifest)
    seen = examine(frame, manifest)
    pairs = find_pairs(frame, Path(manifest).resolve().parent, seen.described)
    rows, suspects = opinions(frame, manifest, pairs.rows, model_has_seen)
    return findings(Case(frame, seen, pairs, suspects, rows))


def findings(case: Case) -> list[Finding]:
    """What all kinds of looks find in a case, worst first."""
    found = [finding for look in LOOKS_AT for finding in look(case)]
    return sorted(found, key=lambda finding: (-finding.severity, finding.kind, finding.path))


# ---- photos


def _unreadable(case: Case) -> Iterator[Finding]:
    errors = np.where(case.seen.errors != "", case.seen.errors, case.column("error"))
    for i in np.flatnonzero(errors != ""):
        yield Finding("unreadable_photo", 1.0, case.column("path")[i], str(errors[i]))


def _wrongly_named(case: Case) -> Iterator[Finding]:
    for i in np.flatnonzero(case.seen.formats != ""):
        path = case.column("path")[i]
        yield Finding("misnamed_photo", 0.2, path, f"the file is {case.seen.formats[i]}, its name ends in {Path(path).suffix}")


def _not_a_photo(case: Case) -> Iterator[Finding]:
    """Drawings, icons and text have large areas of exactly one colour. So have cut-outs, but those show a sure face."""
    flat, inside, contrast = case.seen["flat"], case.seen["flat_inside"], case.seen["contrast"]
    score = case.frame["detector_score"].fillna(0).to_numpy(float)
    cropped = case.frame["cropped"].to_numpy(bool)
    drawn = (flat > MOSTLY) | (~cropped & (score < SURE_FACE) & ((flat > FLAT) | (inside > FLAT)))
    empty = contrast < MIN_CONTRAST
    for i in np.flatnonzero(drawn | empty):
        severity = 0.95 if empty[i] else 0.9 if score[i] == 0 else 0.6
        message = (
            f"the picture is empty (contrast {contrast[i]:.1f} of 128)"
            if empty[i]
            else f"a drawing, an icon or text? {flat[i]:.0%} of the picture has no texture at all"
        )
        yield Finding("not_a_photo", severity, case.column("path")[i], message)


# ---- faces


def _no_face(case: Case) -> Iterator[Finding]:
    for i in np.flatnonzero((case.frame["faces"] == 0).fillna(False).to_numpy(bool) & (case.seen.errors == "")):
        yield Finding("no_face", 0.85, case.column("path")[i], "no face was found")


def _several_faces(case: Case) -> Iterator[Finding]:
    counts = case.frame["faces"].fillna(0).to_numpy(int)
    for i in np.flatnonzero(counts > 1):
        message = f"{counts[i]} faces were found; the largest was taken, is it the one that the label means?"
        yield Finding("several_faces", min(0.35 + 0.05 * counts[i], 0.7), case.column("path")[i], message)


def _poor_face(case: Case) -> Iterator[Finding]:
    """Faces that show too little; one finding per kind and row."""
    seen, path = case.seen, case.column("path")
    score = case.frame["detector_score"].to_numpy(float)
    side, bright, sharp = seen["face_side"], seen["face_brightness"], seen["face_sharpness"]
    outside, turn = seen["face_outside"], seen["face_yaw"]
    looks: tuple[tuple[str, np.ndarray, np.ndarray, Callable[[Any], str]], ...] = (
        (
            "small_face",
            side < MIN_FACE_SIDE,
            1 - side / MIN_FACE_SIDE,
            lambda i: f"the face is {side[i]:.0f} pixels wide and high",
        ),
        ("cut_off_face", outside > MAX_OUTSIDE, outside * 2, lambda i: f"{outside[i]:.0%} of the face is outside the photo"),
        ("turned_face", turn > MAX_YAW, turn, lambda i: "the face is turned to the side"),
        (
            "covered_face",
            score < DOUBTFUL_FACE,
            1.2 - score,
            lambda i: f"the face is covered, or none (the detector gives it {score[i]:.2f})",
        ),
        ("dark_face", bright < MIN_FACE_BRIGHTNESS, 1 - bright / 90, lambda i: f"the face is dark (mean {bright[i]:.0f} of 255)"),
        (
            "blurred_face",
            sharp < MIN_SHARPNESS,
            1 - sharp / 8,
            lambda i: f"the face is blurred (sharpness {sharp[i]:.1f}, wanted {MIN_SHARPNESS:.0f})",
        ),
    )
    for kind, wrong, severity, message in looks:
        for i in np.flatnonzero(wrong):
            yield Finding(kind, float(np.clip(severity[i], 0.3, 0.9)), path[i], message(i))


# ---- the same photo


def _duplicates(case: Case) -> Iterator[Finding]:
    for (first, second), exact, alike, mirrored in zip(
        case.pairs.rows, case.pairs.exact, case.pairs.similarity, case.pairs.mirrored, strict=True
    ):
        kind = "exact_duplicate" if exact else "near_duplicate"
        how = "byte by byte" if exact else f"changed{' and mirrored' if mirrored else ''} (alike {alike:.2f})"
        yield Finding(
            kind, 0.5 if exact else 0.4, case.column("path")[second], f"the same photo again, {how}", case.paths([first])
        )


def _two_labels(case: Case) -> Iterator[Finding]:
    together = groups(len(case.frame), case.pairs.rows)
    labels = case.column("label")
    for rows in _by_group(together):
        names = sorted(set(labels[rows]) - {""})
        if len(names) > 1:
            message = f"the same photo is labelled {' and '.join(names)}"
            yield Finding("label_conflict", 0.95, case.column("path")[rows[0]], message, case.paths(rows[1:]), labels[rows[0]])


def _by_group(together: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(together, kind="stable")
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(together[order])) + 1) if len(rows) > 1]


def _split_leaks(case: Case) -> Iterator[Finding]:
    for leak in leaks(case.frame, case.pairs.rows):
        who = f"the person {leak.name}" if leak.kind == "subject" else "the same photo"
        message = f"{who} is in {' and '.join(leak.splits)}"
        yield Finding(f"{leak.kind}_in_two_splits", 0.9, case.column("path")[leak.rows[0]], message, case.paths(leak.rows[1:]))


# ---- labels


def _label_errors(case: Case) -> Iterator[Finding]:
    if case.suspects is None:
        return
    suggested, labels = case.suspects.suggested, case.column("label")
    for j in np.flatnonzero(case.suspects.is_error):
        i = case.suspect_rows[j]
        p = float(case.suspects.p[j].max())
        message = f"labelled {labels[i]}, looks {suggested[j]} (probability {p:.2f})"
        severity = float(np.clip(1 - case.suspects.quality[j], 0, 1))
        yield Finding("label_error", severity, case.column("path")[i], message, (), labels[i], str(suggested[j]), round(p, 4))


def _against_votes(case: Case) -> Iterator[Finding]:
    votes = case.frame[list(VOTES)].fillna(0).to_numpy(float)
    total = votes.sum(axis=1)
    share = votes.max(axis=1) / np.maximum(total, 1)
    winner = np.array([name.removeprefix("votes_") for name in VOTES])[votes.argmax(axis=1)]
    labels = case.column("label")
    agree = (labels == winner) | ((labels == "not_happy") & (winner != "happy")) | (labels == "")
    for i in np.flatnonzero((total > 0) & (share >= CLEAR_VOTES) & ~agree):
        message = f"labelled {labels[i]}, but {votes[i].max():.0f} of {total[i]:.0f} people say {winner[i]}"
        yield Finding(
            "label_against_votes", float(share[i]), case.column("path")[i], message, (), labels[i], winner[i], float(share[i])
        )


def _rare_label(case: Case) -> Iterator[Finding]:
    counts = Counter(label for label in case.column("label") if label)
    total = sum(counts.values())
    if len(counts) == 1:
        yield Finding(
            "rare_label", 1.0, "", f"there is only one class, {next(iter(counts))}: nothing can be learnt from it alone"
        )
    for label, n in counts.items():
        if n < MIN_LABEL_ROWS or n < MIN_LABEL_SHARE * total:
            yield Finding(
                "rare_label", 0.7, "", f"the class {label} has {n:,} of {total:,} rows: too few to learn it, or to measure it"
            )


def _shortcuts(case: Case) -> Iterator[Finding]:
    """Anything but the face that tells the label: a model would learn that instead.

    Balanced accuracy of a small tree on that one thing, cross-validated, scaled so that 0 is chance and 1 always right.
    """
    labels = case.column("label")
    rows = np.flatnonzero((labels != "") & (case.seen.errors == ""))
    names, counts = np.unique(labels[rows].astype(str), return_counts=True)
    if len(names) < 2 or counts.min() < MIN_LABEL_ROWS:
        return
    for name, values in _candidates_for_shortcuts(case):
        strength = _tells(values[rows], labels[rows].astype(str))
        if strength >= SHORTCUT:
            message = (
                f"{name} alone tells the label ({strength:.0%} of the way from chance to certainty): a model will learn that"
            )
            yield Finding("label_shortcut", min(1.0, strength), "", message)


def _candidates_for_shortcuts(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    for name in ("source", "licence", *attributes(case.frame)):
        values, codes = np.unique(case.column(name).astype(str), return_inverse=True)
        is_the_label = "label" in name or "emotion" in name
        if 1 < len(values) <= MAX_VALUES and not is_the_label:
            yield name, np.eye(len(values), dtype=np.float32)[codes]
    yield "the file's ending", np.array([[hash_of_ending(path)] for path in case.column("path")], np.float32)
    for name in ("width", "height"):
        yield f"the {name} of the photo", case.frame[name].to_numpy(float, na_value=0)[:, None]
    for name in ("brightness", "contrast", "sharpness", "colour", "border"):
        what = {"colour": "grey or colour", "border": "a border"}.get(name, f"the {name} of the photo")
        yield what, np.nan_to_num(case.seen[name])[:, None]


def hash_of_ending(path: str) -> int:
    """A small number for a file's ending, the same in every run."""
    return sum(ord(letter) * (i + 1) for i, letter in enumerate(Path(path).suffix.lower())) % 997


def _tells(values: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    if (values == values[0]).all():
        return 0.0
    tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, random_state=0)
    score = cross_val_score(tree, values, labels, cv=3, scoring="balanced_accuracy").mean()
    chance = 1 / len(np.unique(labels))
    return float((score - chance) / (1 - chance))


LOOKS_AT: tuple[Look, ...] = (
    _unreadable,
    _wrongly_named,
    _not_a_photo,
    _no_face,
    _several_faces,
    _poor_face,
    _duplicates,
    _two_labels,
    _split_leaks,
    _label_errors,
    _against_votes,
    _rare_label,
    _shortcuts,
)
KINDS = (
    *("unreadable_photo", "misnamed_photo", "not_a_photo"),
    *("no_face", "several_faces", "small_face", "cut_off_face", "turned_face", "covered_face", "dark_face", "blurred_face"),
    *("exact_duplicate", "near_duplicate", "label_conflict", "subject_in_two_splits", "duplicate_in_two_splits"),
    *("label_error", "label_against_votes", "rare_label", "label_shortcut"),
)


def write_findings(found: list[Finding], path: str | os.PathLike[str]) -> None:
    """One row per finding as CSV; related paths as JSON.

    Raises:
        DataError: it cannot be written.
    """
    columns = ("kind", "severity", "path", "message", "label", "suggested", "probability", "related")
    rows = [{**finding.to_dict(), "related": json.dumps(list(finding.related))} for finding in found]
    frame = pandas().DataFrame(rows, columns=list(columns))
    write_manifest(frame, path)


def crossed(found: list[Finding], limits: dict[str, int]) -> list[str]:
    """One sentence for each kind of which there are as many findings as its limit, or more.

    Raises:
        DataError: there is no such kind.
    """
    for kind in limits:
        if kind not in KINDS:
            raise DataError(f"there is no kind {kind} of finding; the kinds are {', '.join(KINDS)}")
    counts = Counter(finding.kind for finding in found)
    return [f"{counts[kind]} findings of kind {kind}, the limit is {n}" for kind, n in limits.items() if counts[kind] >= n]
