"""Go through suspects by hand: decisions in a small SQLite file beside the manifest, and the manifest that follows from them.

A decision is written the moment it is made, with who and when, so that a crash or a closed tab loses nothing. Decisions are
only ever added; taking one back is a decision as well. The last one of each reviewer counts.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from happysad.audit import Finding
from happysad.errors import DataError
from happysad.manifest import LABELS

if TYPE_CHECKING:
    import pandas as pd

KEEP, SKIP, UNDO = "keep", "skip", "undo"
CHOICES = (KEEP, *LABELS, SKIP, UNDO)
PATIENCE = 10.0  # seconds to wait for another reviewer's write
_TABLE = """
CREATE TABLE IF NOT EXISTS decisions (
  number INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL, choice TEXT NOT NULL,
  reviewer TEXT NOT NULL, at TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class Suspect:
    """One photo to decide about, with all that was found about it, worst first."""

    path: str
    sha256: str
    label: str
    findings: tuple[Finding, ...]


class Review:
    """The decisions about one manifest. Threads and processes may each have their own on the same file.

    Args:
        manifest: path of the manifest; the decisions lie beside it, in ``MANIFEST.review.sqlite``.
    """

    def __init__(self, manifest: str | os.PathLike[str]) -> None:
        self.file = Path(manifest).with_name(f"{Path(manifest).name}.review.sqlite")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.file, timeout=PATIENCE)) as connection, connection:
                connection.execute(_TABLE)
                yield connection
        except sqlite3.Error as error:
            raise DataError(f"{self.file} cannot be used ({error}): check that its folder may be written to") from error

    def decide(self, path: str, sha256: str, choice: str, reviewer: str) -> None:
        """Note one decision.

        Raises:
            DataError: no such choice, no name, or the file cannot be written.
        """
        if choice not in CHOICES:
            raise DataError(f"expected one of {', '.join(CHOICES)}, got {choice!r}")
        if not reviewer.strip():
            raise DataError("a decision needs the name of its reviewer; start with: happysad data review MANIFEST --name NAME")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._open() as connection:
            connection.execute(
                "INSERT INTO decisions (path, sha256, choice, reviewer, at) VALUES (?, ?, ?, ?, ?)",
                (_safe(path), sha256, choice, reviewer.strip(), now),
            )

    def choices(self) -> dict[str, dict[str, str]]:
        """The last choice of each reviewer: reviewer → path → choice; what was taken back is left out."""
        if not self.file.exists():
            return {}
        with self._open() as connection:
            rows = connection.execute("SELECT reviewer, path, choice FROM decisions ORDER BY number").fetchall()
        latest: dict[str, dict[str, str]] = {}
        for reviewer, path, choice in rows:
            latest.setdefault(reviewer, {})[path] = choice
        kept = {who: {path: choice for path, choice in of.items() if choice != UNDO} for who, of in latest.items()}
        return {who: of for who, of in kept.items() if of}

    def last_path(self, reviewer: str) -> str | None:
        """The photo of the reviewer's last decision that still stands; None where there is none."""
        if not self.file.exists():
            return None
        standing = self.choices().get(reviewer, {})
        with self._open() as connection:
            rows = connection.execute("SELECT path FROM decisions WHERE reviewer = ? ORDER BY number DESC", (reviewer,))
            return next((path for (path,) in rows if path in standing), None)


def _safe(path: str) -> str:
    """A path as SQLite can hold it; file names that are not UTF-8 get escapes, always the same."""
    return path.encode("utf-8", "backslashreplace").decode()


def suspects_of(frame: pd.DataFrame, found: Sequence[Finding], kinds: Sequence[str] = ()) -> list[Suspect]:
    """One per photo, in the order of its worst finding; only findings of these kinds, if any are given."""
    by_path: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.path and (not kinds or finding.kind in kinds):
            by_path.setdefault(finding.path, []).append(finding)
    known = {row.path: row for row in frame.itertuples(index=False)}
    rows = [(known[path], findings) for path, findings in by_path.items() if path in known]
    return [Suspect(row.path, row.sha256, row.label, tuple(findings)) for row, findings in rows]


def kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Cohen's kappa (1960) of two reviewers' choices on the same photos: 1 is full agreement, 0 what chance gives.

    NaN where both always made one and the same choice, or there are no choices.
    """
    names, codes = np.unique([*first, *second], return_inverse=True)
    if len(names) < 2:
        return float("nan")
    a, b = codes[: len(first)], codes[len(first) :]
    chance = float(sum((a == i).mean() * (b == i).mean() for i in range(len(names))))
    return float(((a == b).mean() - chance) / (1 - chance))


def agreement(choices: dict[str, dict[str, str]]) -> list[tuple[str, str, int, float]]:
    """Each pair of reviewers, on how many photos both decided, and kappa there."""
    names = sorted(choices)
    pairs = []
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = sorted(set(choices[one]) & set(choices[other]))
            if both:
                k = kappa([choices[one][path] for path in both], [choices[other][path] for path in both])
                pairs.append((one, other, len(both), k))
    return pairs


def applied(frame: pd.DataFrame, choices: dict[str, dict[str, str]]) -> tuple[pd.DataFrame, list[str]]:
    """The manifest with the reviewers' choices: labels put right, skipped rows left out; and what changed, in sentences.

    Where reviewers disagree, the choice of most counts; a tie changes nothing, and is reported.
    """
    verdicts: dict[str, str] = {}
    ties = []
    for path in dict.fromkeys(path for of in choices.values() for path in of):
        votes = Counter(of[path] for of in choices.values() if path in of).most_common(2)
        if len(votes) == 2 and votes[0][1] == votes[1][1]:
            ties.append(path)
        else:
            verdicts[path] = votes[0][0]
    verdict = np.array([verdicts.get(_safe(path), KEEP) for path in frame["path"]], object)
    changed = np.isin(verdict, LABELS) & (verdict != frame["label"].to_numpy(object))
    moves = Counter(zip(frame["label"].to_numpy(object)[changed], verdict[changed], strict=True))
    notes = [f"{n:,} rows: {old or 'no label'} became {new}" for (old, new), n in sorted(moves.items())]
    notes.append(f"{int((verdict == SKIP).sum()):,} rows were left out")
    notes += [f"{len(ties):,} photos were left as they are, because the reviewers disagree, such as {ties[0]!r}"] if ties else []
    unknown = set(verdicts) - set(frame["path"].map(_safe))
    notes += [f"{len(unknown):,} decisions are about photos that the manifest does not have"] if unknown else []
    corrected = frame.assign(label=frame["label"].mask(changed, verdict))
    return corrected[verdict != SKIP].reset_index(drop=True), notes


def without(frame: pd.DataFrame, found: Sequence[Finding], kinds: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The manifest without the rows that have a finding of these kinds; and what changed, in sentences."""
    notes = []
    leave: set[str] = set()
    for kind in kinds:
        paths = {finding.path for finding in found if finding.kind == kind and finding.path}
        notes.append(f"{len(paths - leave):,} rows were left out for {kind}")
        leave |= paths
    return frame[~frame["path"].isin(leave)].reset_index(drop=True), notes
