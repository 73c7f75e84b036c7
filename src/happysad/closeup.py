"""One face as the model sees it: the crop, and where eyes, nose and mouth lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from happysad.contract import Contract
from happysad.faces import FaceDetector, Faces, cut_out, fit_crop, roll
from happysad.image import read_image

SAME_FACE = 0.3  # least overlap (intersection over union) of a found face with the box that is meant
DECODE_SIDE = 1280

TYPICAL_LANDMARKS = np.array([[0.31, 0.41], [0.67, 0.41], [0.50, 0.60], [0.36, 0.74], [0.65, 0.74]])
"""Where the landmarks lie in the crop of most faces (medians over LFW), (5, 2) in sides of the crop."""


@dataclass(frozen=True)
class Closeup:
    """One face.

    Attributes:
        image: the decoded photo, uint8 (h, w, 3).
        box: x0, y0, x1, y1 in pixels of ``image``; None where the photo itself is the crop.
        crop: what the model gets, uint8 (s, s, channels).
        landmarks: eyes, nose, mouth corners, float (5, 2) in sides of the crop; typical ones where the photo is the crop.
    """

    image: np.ndarray
    box: np.ndarray | None
    crop: np.ndarray
    landmarks: np.ndarray


def closeup(
    photo: Any, contract: Contract, detector: FaceDetector, *, cropped: bool = False, box: Sequence[float] | None = None
) -> Closeup | None:
    """The face in a photo: the one in ``box`` (pixels of the full photo), else the largest; None where there is none.

    Raises:
        happysad.errors.ImageError: the photo cannot be read.
    """
    decoded = read_image(photo, max_side=DECODE_SIDE)
    image = decoded.pixels
    if cropped:
        return Closeup(image, None, fit_crop(image, contract.input_size, contract.channels), TYPICAL_LANDMARKS)
    faces = detector(image)
    wanted = None if box is None or np.isnan(box).any() else np.asarray(box, float) / np.tile(decoded.scale, 2)
    one = _chosen(faces, wanted)
    if one is None:
        return None
    crop = cut_out(image, one, contract.crop, contract.input_size, contract.channels)[0]
    return Closeup(image, one.boxes[0], crop, _in_crop(one, contract))


def _chosen(faces: Faces, box: np.ndarray | None) -> Faces | None:
    if not faces.n:
        return None
    if box is None:
        return faces.take(np.argmax(faces.sides, keepdims=True))
    shares = overlaps(faces.boxes, box)
    best = np.argmax(shares, keepdims=True)
    return faces.take(best) if shares[best[0]] >= SAME_FACE else None


def overlaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of each of ``boxes`` (n, 4) with ``box`` (4,), all x0, y0, x1, y1: float (n,)."""
    sides = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None)
    shared = np.prod(sides, axis=1)
    both = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(shared / (both - shared))


def _in_crop(face: Faces, contract: Contract) -> np.ndarray:
    """The landmarks of one face in its crop, (5, 2); the crop lies as `happysad.faces.cut_out` puts it."""
    turn = float(roll(face.landmarks)[0]) if contract.crop.level else 0.0
    side = float(face.sides[0]) * contract.crop.scale
    centre = (face.boxes[0, :2] + face.boxes[0, 2:]) / 2 + np.array([np.sin(turn), -np.cos(turn)]) * side * contract.crop.lift
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray((face.landmarks[0] - centre) @ turned.T / side + 0.5)
