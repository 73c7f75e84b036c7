"""Find faces, and cut them out the way the mood model was trained to see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from happysad.contract import CropGeometry, open_session

STRIDES = (8, 16, 32)
BOX_UNIT, POINT_UNIT = 2.0, 4.0  # what an output of 1 means, in strides; see happysad.train.detector
SIZE_MULTIPLE = 32
MIN_SCORE = 0.5
WEAK_SCORE = 0.2  # from here on a cell may be a face: a reason to look closer
MIN_SIDE = 18.0  # pixels of the image: smaller faces cannot be read, and most finds this small are none
MAX_OVERLAP = 0.4

FIRST_LOOK = 320 * 240  # pixels of the first look; each further look doubles both sides
LOOKS = 3
MAX_LONG_SIDE = 1280  # of any look: more brings nothing but time
MAX_ENLARGED = 1.25  # times the picture's own size: a little helps with small faces, more shows nothing new
SMALL_SIDE = 32.0  # faces this small in a look hint at smaller ones


class Faces(NamedTuple):
    """Found faces, from left to right.

    Attributes:
        boxes: float32 (n, 4): x0, y0, x1, y1 in pixels of the image; may reach over its border where a face is cut off.
        scores: float32 (n,) in [0, 1].
        landmarks: float32 (n, 5, 2): x, y of the eyes (left in the image first), the nose and the mouth corners.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def sides(self) -> np.ndarray:
        """float32 (n,): square root of each box's area, a size that turning the head in the plane does not change."""
        return np.asarray(np.sqrt(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1)))

    def take(self, index: np.ndarray) -> Faces:
        return Faces(self.boxes[index], self.scores[index], self.landmarks[index])


class FaceDetector:
    """The bundled face detector, or another file of the same form; load once, threads may share it.

    Args:
        path: an ONNX file; None takes the bundled one.
        threads: processor threads for one picture.

    Raises:
        happysad.errors.ModelError: the file cannot be used.
    """

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        self._session = open_session(path, "face-detector.onnx", threads)
        self._outputs = [f"stride{stride}" for stride in STRIDES]

    def __call__(self, image: np.ndarray, min_score: float = MIN_SCORE) -> Faces:
        """Faces in a uint8 RGB image (h, w, 3), any size.

        The first look is small and finds most faces. Where it finds small or doubtful ones, or none, the picture is
        looked at again in higher resolution, as far as it has any.
        """
        grey = Image.fromarray(image).convert("L")
        found: list[Faces] = []
        for scale in _look_scales(grey.size):
            look = self._look(grey, scale)
            found.append(look)
            if not _worth_another_look(look, scale, len(found)):
                break
        faces = _merge(found)
        faces = faces.take((faces.scores >= min_score) & (faces.sides >= MIN_SIDE))
        return faces.take(np.argsort(faces.boxes[:, 0] + faces.boxes[:, 2], kind="stable"))

    def _look(self, grey: Image.Image, scale: float) -> Faces:
        """Candidates down to `WEAK_SCORE` in one resolution, in pixels of the full picture."""
        width, height = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
        resized = np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
        padding = ((0, -height % SIZE_MULTIPLE), (0, -width % SIZE_MULTIPLE))
        blob = np.pad(resized, padding, mode="edge")[None, :, :, None]
        maps = self._session.run(self._outputs, {"image": blob})
        parts = [_decode(cells[0], stride) for cells, stride in zip(maps, STRIDES, strict=True)]
        faces = Faces(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        ratio = np.array([grey.width / width, grey.height / height], np.float32)
        return _suppress(Faces(faces.boxes * np.tile(ratio, 2), faces.scores, faces.landmarks * ratio))


def _look_scales(size: tuple[int, int]) -> Iterator[float]:
    """Scales of the looks: each twice the one before, as far as the picture's own resolution and `MAX_LONG_SIDE` allow."""
    scale = min((FIRST_LOOK / (size[0] * size[1])) ** 0.5, MAX_LONG_SIDE / 2 / max(size))
    most = min(MAX_ENLARGED, MAX_LONG_SIDE / max(size))
    for look in range(LOOKS):
        if look and scale >= most / 1.2:
            return  # the look before was almost as large as one may be
        scale = min(scale * 2, most) if look else scale
        yield scale


def _worth_another_look(faces: Faces, scale: float, look: int) -> bool:
    sure = faces.scores >= MIN_SCORE
    if not faces.n:
        return look == 1
    small = faces.sides * scale < SMALL_SIDE
    return bool((small | ~sure).any()) or not bool(sure.any())


def _decode(cells: np.ndarray, stride: int) -> Faces:
    """Candidates of one map (h', w', 15), in pixels of the look."""
    threshold = np.log(WEAK_SCORE / (1 - WEAK_SCORE))
    rows, columns = np.nonzero(cells[..., 0] > threshold)
    chosen = cells[rows, columns]
    middle = (np.stack([columns, rows], axis=1) + 0.5).astype(np.float32) * stride
    reach = np.exp(np.clip(chosen[:, 1:5], -5, 5)) * (BOX_UNIT * stride)
    boxes = np.concatenate([middle - reach[:, :2], middle + reach[:, 2:]], axis=1)
    landmarks = chosen[:, 5:].reshape(-1, 5, 2) * (POINT_UNIT * stride) + middle[:, None]
    return Faces(boxes, 1 / (1 + np.exp(-chosen[:, 0])), landmarks)


def _suppress(faces: Faces) -> Faces:
    """Greedy non-maximum suppression, best score first."""
    order = np.argsort(-faces.scores, kind="stable")
    keep: list[int] = []
    while order.size:
        best, rest = int(order[0]), order[1:]
        keep.append(best)
        order = rest[_overlap(faces.boxes[best], faces.boxes[rest]) <= MAX_OVERLAP]
    return faces.take(np.array(keep, int))


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union (n,), or three quarters of the smaller box's covered share if that is more.

    The second part drops a nose or a chin inside a face.
    """
    sides = np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None)
    shared = sides[:, 0] * sides[:, 1]
    area, areas = np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(np.maximum(shared / (area + areas - shared), 0.75 * shared / np.minimum(area, areas)))


def _merge(looks: list[Faces]) -> Faces:
    if len(looks) == 1:
        return looks[0]
    return _suppress(Faces(*(np.concatenate(part) for part in zip(*looks, strict=True))))


def roll(landmarks: np.ndarray) -> np.ndarray:
    """How far each face is turned in the plane, from the line of the eyes and of the mouth: radians (n,), clockwise."""
    across = (landmarks[:, 1] - landmarks[:, 0]) + (landmarks[:, 4] - landmarks[:, 3])
    return np.asarray(np.arctan2(across[:, 1], across[:, 0]))


def yaw(landmarks: np.ndarray) -> float:
    """How far one face (5, 2) is turned to a side: 0 looks at the camera, 1 has the nose over an eye (a rough measure)."""
    across = landmarks[1] - landmarks[0]
    along = float((landmarks[2] - landmarks[0]) @ across / max(float(across @ across), 1e-6))
    return abs(2 * along - 1)


def fit_crop(image: np.ndarray, size: int, channels: int) -> np.ndarray:
    """A picture that is a face crop already, uint8 (h, w, 3), as (size, size, channels); widened to a square by its border."""
    height, width = image.shape[:2]
    side = max(height, width)
    low = np.array([(width - side) // 2, (height - side) // 2])
    square = Image.fromarray(_region(image, low, low + side))
    resized = (square.convert("L") if channels == 1 else square).resize(
        (size, size), Image.Resampling.BILINEAR, reducing_gap=None
    )
    return np.asarray(resized).reshape(size, size, channels)


def cut_out(image: np.ndarray, faces: Faces, geometry: CropGeometry, size: int, channels: int) -> np.ndarray:
    """Square crops of all faces: uint8 (n, size, size, channels), grey or RGB.

    What lies outside the image repeats its border.
    """
    turns = roll(faces.landmarks) if geometry.level else np.zeros(faces.n)
    sides = faces.sides * geometry.scale
    up = np.stack([np.sin(turns), -np.cos(turns)], axis=1)
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 + up * (sides * geometry.lift)[:, None]
    crops = [_cut(image, *one, size, channels) for one in zip(centres, sides, turns, strict=True)]
    return np.stack(crops) if crops else np.empty((0, size, size, channels), np.uint8)


def _cut(image: np.ndarray, centre: np.ndarray, side: float, turn: float, size: int, channels: int) -> np.ndarray:
    """One crop: the part of the image around the square, brought near the final size first so that nothing aliases."""
    reach = side * 0.5 * (abs(np.cos(turn)) + abs(np.sin(turn))) + 2
    low, high = np.floor(centre - reach).astype(int), np.ceil(centre + reach).astype(int)
    part = Image.fromarray(_region(image, low, high))
    if channels == 1:
        part = part.convert("L")
    shrink = max(1.0, side / (2 * size))
    if shrink > 1:
        part = part.resize((max(1, round(part.width / shrink)), max(1, round(part.height / shrink))), Image.Resampling.BOX)
    ratio = np.array([part.width, part.height]) / (high - low)
    fine = size * 2 if side >= size else size
    step = side / fine
    axes = step * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * ratio[:, None]
    start = (centre - low) * ratio - axes @ np.full(2, fine / 2)
    turned = part.transform(
        (fine, fine), Image.Transform.AFFINE, (*axes[0], start[0], *axes[1], start[1]), Image.Resampling.BILINEAR
    )
    final = turned.reduce(2) if fine > size else turned
    return np.asarray(final).reshape(size, size, channels)


def _region(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The pixels [low, high) of the image; outside, the nearest pixel of its border."""
    height, width = image.shape[:2]
    if (low >= 0).all() and high[0] <= width and high[1] <= height:
        return image[low[1] : high[1], low[0] : high[0]]
    rows, columns = (np.clip(np.arange(low[axis], high[axis]), 0, image.shape[1 - axis] - 1) for axis in (1, 0))
    return np.asarray(image[rows[:, None], columns])
