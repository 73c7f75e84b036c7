"""The face crops of a manifest's rows, cut the way the model of a contract wants them."""

from __future__ import annotations

from typing import Any

import numpy as np

from happysad.contract import Contract
from happysad.faces import Faces, cut_out, fit_crop
from happysad.image import Decoded
from happysad.manifest import BOX, landmarks_of


def face_of(row: Any, photo: Decoded) -> Faces | None:
    """The one face that a row names, in the pixels of ``photo``; None where it names none.

    Args:
        row: anything with the manifest's columns as attributes, as ``frame.itertuples()`` gives.
    """
    points = landmarks_of(row.landmarks)
    box = np.array([getattr(row, name) for name in BOX], np.float32)
    if points is None or not np.isfinite(box).all():
        return None
    scale = np.array(photo.scale, np.float32)
    return Faces((box / np.tile(scale, 2))[None], np.array([row.detector_score], np.float32), (points / scale)[None])


def crop_of(row: Any, photo: Decoded, contract: Contract) -> np.ndarray | None:
    """uint8 (size, size, channels) as the contract has them; None where the row names no face and is no crop itself."""
    if row.cropped:
        return fit_crop(photo.pixels, contract.input_size, contract.channels)
    face = face_of(row, photo)
    return None if face is None else cut_out(photo.pixels, face, contract.crop, contract.input_size, contract.channels)[0]
