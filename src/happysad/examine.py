"""Look at each photo of a manifest once, and keep what split, show and audit need: numbers only, never pixels.

The numbers are kept in a folder beside the manifest (``.faces.csv.seen``), some thousand rows to a file, so that work that was
interrupted goes on, and the next command has them at once. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad.duplicates import WINDOWS, descriptors
from happysad.errors import DataError, ImageError
from happysad.faces import yaw
from happysad.image import read_image
from happysad.manifest import BOX, landmarks_of, photo_bytes, write_aside
from happysad.parallel import map_in_order
from happysad.predict import DECODE_SIDE, sharpness

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 2048
VERSION = 2  # of what is kept; another number makes it be looked at again
LOOK_SIDE = 256
DARK = 30  # grey levels; darker areas are flat in good photos too
MEASURES = (
    *("brightness", "contrast", "sharpness", "colour", "flat", "flat_inside", "border"),
    *("face_side", "face_brightness", "face_contrast", "face_sharpness", "face_outside", "face_yaw"),
)
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")),
    (b"\x89PNG", "PNG", (".png", ".apng")),
    (b"GIF8", "GIF", (".gif",)),
    (b"RIFF", "WebP", (".webp",)),
    (b"BM", "BMP", (".bmp",)),
)


@dataclass(frozen=True)
class Examined:
    """What was seen, row by row of the manifest.

    Attributes:
        measures: float32 (n, 13), columns as `MEASURES`; NaN where the photo cannot be read, or has no face:
            mean and standard deviation of the grey levels; mean second difference; mean difference of the colour channels;
            share of the photo that is perfectly flat and not dark; share of the same among what has not the commonest colour;
            share of its border rows and columns that have one colour; then, for the face, its side in pixels of the photo, mean
            and standard deviation of its grey levels, its sharpness, the share of its box outside the photo, its turn.
        described: int8 (n, 6, 63), see `happysad.duplicates.descriptors`; 0 where unreadable.
        formats: str (n,): the true format where the file's ending says another one, else empty.
        errors: str (n,): one sentence where the photo cannot be read now, else empty.
    """

    measures: np.ndarray
    described: np.ndarray
    formats: np.ndarray
    errors: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        """One column of the measures, float32 (n,)."""
        return np.asarray(self.measures[:, MEASURES.index(name)])


def examine(frame: pd.DataFrame, manifest: str | os.PathLike[str]) -> Examined:
    """Look at all photos of the manifest at this path, or remember what was seen when they were looked at before."""
    base = Path(manifest).resolve().parent
    arrays = kept_by_chunk(frame, manifest, f"look{VERSION}", lambda row: _look(row, base), "Looking at photos")
    return Examined(**arrays)


def kept_by_chunk(
    frame: pd.DataFrame,
    manifest: str | os.PathLike[str],
    kind: str,
    look: Callable[[Any], dict[str, Any]],
    doing: str,
) -> dict[str, np.ndarray]:
    """``look`` at each row, results stacked by name; finished chunks are kept beside the manifest and not made again."""
    folder = Path(manifest).with_name(f".{Path(manifest).name}.seen")
    rows = list(frame.itertuples(index=False))
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    files = [folder / f"{kind}-{_key(chunk)}.npz" for chunk in chunks]
    missing = [row for chunk, file in zip(chunks, files, strict=True) if not file.exists() for row in chunk]
    looked = map_in_order(look, missing, len(missing), doing)
    parts = [_kept(file) if file.exists() else _made(chunk, looked, file) for chunk, file in zip(chunks, files, strict=True)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _key(rows: Sequence[Any]) -> str:
    """Names a chunk by all that decides what is seen in it."""
    digest = hashlib.sha256()
    for row in rows:
        name = row.sha256 or row.path  # a row without a hash was not imported by us
        digest.update(repr((name, Path(row.path).suffix, bool(row.cropped), *(getattr(row, side) for side in BOX))).encode())
    return digest.hexdigest()[:20]


def _kept(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def _made(rows: Sequence[Any], looked: Iterator[dict[str, Any]], file: Path) -> dict[str, np.ndarray]:
    seen = [next(looked) for _ in rows]
    part = {name: np.stack([np.asarray(one[name]) for one in seen]) for name in seen[0]}
    try:
        file.parent.mkdir(exist_ok=True)
        write_aside(file, lambda aside: np.savez_compressed(aside, allow_pickle=False, **part))
    except (OSError, DataError):  # a folder that cannot be written to costs time later, and nothing else
        return part
    return part


def _look(row: Any, base: Path) -> dict[str, Any]:
    measures = np.full(len(MEASURES), np.nan, np.float32)
    blank = np.zeros((len(WINDOWS), 63), np.int8)
    try:
        content = photo_bytes(row.path, base)
        photo = read_image(content, max_side=DECODE_SIDE if not row.cropped else None)
    except ImageError as error:
        return {"measures": measures, "described": blank, "formats": "", "errors": str(error)}
    image = photo.pixels
    measures[:7] = _measures_of_photo(image)
    if row.cropped:
        measures[7:] = (min(photo.width, photo.height), *_measures_of_face(image), 0, 0)
    elif np.isfinite(row.x0):
        scale = np.array(photo.scale)
        box = np.array([getattr(row, side) for side in BOX])
        x0, y0, x1, y1 = (int(value) for value in np.rint(box / np.tile(scale, 2)))
        face = image[max(y0, 0) : max(y1, 1), max(x0, 0) : max(x1, 1)]
        points = landmarks_of(row.landmarks)
        area = (box[2] - box[0]) * (box[3] - box[1])
        inside = (min(box[2], photo.width) - max(box[0], 0)) * (min(box[3], photo.height) - max(box[1], 0))
        measures[7:] = (area**0.5, *_measures_of_face(face), 1 - inside / area, 0 if points is None else yaw(points))
    return {"measures": measures, "described": descriptors(image), "formats": _true_format(row.path, content), "errors": ""}


def _measures_of_photo(image: np.ndarray) -> tuple[float, ...]:
    step = max(1, max(image.shape[:2]) // LOOK_SIDE)
    small = image[::step, ::step].astype(np.float32)
    grey = small.mean(axis=2)
    colour = float((small.max(axis=2) - small.min(axis=2)).mean())
    flat, inside = _flat(small, grey)
    return float(grey.mean()), float(grey.std()), _sharpness(image), colour, flat, inside, _border(grey)


def _flat(small: np.ndarray, grey: np.ndarray) -> tuple[float, float]:
    """Share of pixels that equal their neighbours and are not dark: of all, and of those that have not the commonest colour."""
    if min(grey.shape) < 3:
        return 0.0, 0.0
    across, down = np.abs(np.diff(grey, axis=1)) < 1, np.abs(np.diff(grey, axis=0)) < 1
    light = grey[1:, 1:] > DARK
    same = across[1:] & down[:, 1:] & light
    colours = (small[1:, 1:].astype(np.int64) // 24) @ np.array([1, 16, 256])
    values, counts = np.unique(colours[light], return_counts=True)
    other = light & (colours != values[counts.argmax()]) if len(values) else light
    return float(same.mean()), float(same[other].mean()) if other.mean() > 0.05 else 0.0


def _border(grey: np.ndarray) -> float:
    """Share of the outer rows and columns that have one colour, counted inwards from each side until the first that has more."""
    lines = []
    for side in (grey, grey[::-1], grey.T, grey.T[::-1]):
        plain = np.ptp(side, axis=1) < 4
        lines.append((len(plain) if plain.all() else int(np.argmin(plain))) / len(plain))
    return float(min(1.0, max(lines[0] + lines[1], lines[2] + lines[3])))


def _measures_of_face(face: np.ndarray) -> tuple[float, float, float]:
    if face.shape[0] < 3 or face.shape[1] < 3:
        return np.nan, np.nan, np.nan
    return float(face.mean()), float(face.mean(axis=2).std()), _sharpness(face)


def _sharpness(image: np.ndarray) -> float:
    """`happysad.predict.sharpness` in a size that depends little on the resolution: the long side in [48, 96)."""
    from PIL import Image

    factor = max(image.shape[:2]) // 48
    small = np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image
    return sharpness(small) if min(small.shape[:2]) > 2 else 0.0


def _true_format(path: str, content: bytes) -> str:
    """What the bytes are, where the ending says something else."""
    ending = Path(path).suffix.lower()
    if not any(ending in endings for _, _, endings in _SIGNATURES):
        return ""
    true = next(((name, endings) for sign, name, endings in _SIGNATURES if content.startswith(sign)), None)
    return true[0] if true is not None and ending not in true[1] else ""
