"""FER2013 faces (Goodfellow et al. 2013) with the ten votes per face of FER+ (Barsoum et al. 2016)."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ARCHIVE = "fer2013plus.zip"
VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
LABELS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
LOOKS = ("happy", "neutral", "sad", "other")
LOOK_OF_VOTE = np.array([1, 0, 3, 2, 3, 3, 3, 3])
LOOK_OF_LABEL = np.array([1, 0, 3, 2, 3, 3, 3])


@dataclass(frozen=True)
class VotedFaces:
    """Face crops with the votes of people, row by row.

    Attributes:
        images: uint8 (n, 48, 48), grey.
        votes: float32 (n, 8), how many people chose each of `VOTES`; rows sum to at least 1.
        labels: int (n,), index into `LABELS` of the original single label, −1 where it is not known.
    """

    images: np.ndarray
    votes: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def vote_shares(self) -> np.ndarray:
        """float32 (n, 8), rows sum to 1."""
        return np.asarray(self.votes / self.votes.sum(axis=1, keepdims=True))

    @property
    def label_shares(self) -> np.ndarray:
        """float32 (n, 7), rows sum to 1: the original label, or the vote shares of the seven where it is not known.

        Rows of zeros would be wrong: the gradient of a cross-entropy takes for granted that its target sums to 1.
        """
        seven = self.votes[:, : len(LABELS)] + 1e-6
        onehot = self.labels[:, None] == np.arange(len(LABELS))
        shares = np.where(self.labels[:, None] >= 0, onehot, seven / seven.sum(axis=1, keepdims=True))
        return np.asarray(shares, np.float32)

    def look_shares(self, label_votes: float = 0.0) -> np.ndarray:
        """float32 (n, 4): shares of `LOOKS` among the votes, the original label counting as ``label_votes`` more."""
        looks = _collapse(self.votes, LOOK_OF_VOTE) + label_votes * _collapse(self.label_shares, LOOK_OF_LABEL)
        return np.asarray(looks / looks.sum(axis=1, keepdims=True))


def _collapse(columns: np.ndarray, look_of: np.ndarray) -> np.ndarray:
    return np.stack([columns[:, look_of == look].sum(axis=1) for look in range(len(LOOKS))], axis=1)


def load(data: Path, usage: str) -> VotedFaces:
    """Read the rows of one usage (``train``, ``valid`` or ``test``) from `ARCHIVE` in the folder ``data``.

    Rows on which more people voted "not a face" or "unknown" than for any look are left out, as in the FER+ paper.
    """
    with zipfile.ZipFile(data / ARCHIVE) as archive:
        table = csv.DictReader(io.TextIOWrapper(archive.open("labels.csv"), "utf-8"))
        rows = [row for row in table if row["usage"] == usage and _is_usable(row)]
        images = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(row["image"]))).convert("L")) for row in rows])
    votes = np.array([[int(row[vote]) for vote in VOTES] for row in rows], np.float32)
    labels = np.array([LABELS.index(row["fer2013_label"]) if row["fer2013_label"] else -1 for row in rows])
    return VotedFaces(images, votes, labels)


def _is_usable(row: dict[str, str]) -> bool:
    return max(int(row[vote]) for vote in VOTES) > max(int(row["unknown"]), int(row["not_face"]))
