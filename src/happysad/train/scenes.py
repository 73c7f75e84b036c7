"""Scenes for detector training, composed from photos whose faces are known.

A scene is a square canvas of one to sixteen tiles; each tile shows one photo, moved, turned, scaled and mirrored. The
canvas is then relit, greyed, blurred, made noisy or compressed. All is drawn from one random generator.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SURE = 0.5  # a teacher's score from which a box is a face; below it the box is neither face nor background
MIN_SIDE = 8.0  # faces smaller than this in the scene are neither face nor background
MIN_VISIBLE = 0.55
EMPTY_SHARE = 0.2  # of the tiles show the background only
MIRRORED_POINTS = [1, 0, 2, 4, 3]


@dataclass(frozen=True)
class Source:
    """One encoded photo with its faces: boxes float32 (n, 4), landmarks (n, 5, 2), sure bool (n,)."""

    photo: bytes
    boxes: np.ndarray
    landmarks: np.ndarray
    sure: np.ndarray


@dataclass(frozen=True)
class Scene:
    """What the detector learns from.

    Attributes:
        image: uint8 (size, size), grey.
        boxes: float32 (n, 4), corner form, in pixels of the scene; may reach over its border.
        landmarks: float32 (n, 5, 2).
        ignored: float32 (m, 4), areas that count neither as face nor as background.
    """

    image: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    ignored: np.ndarray


def read_sources(archive: Path, boxes_csv: Path) -> list[Source]:
    """Join the photos of a zip with the teacher's table (see `happysad.train.teacher`)."""
    rows: dict[str, list[list[float]]] = {}
    with boxes_csv.open(newline="") as file:
        for row in csv.DictReader(file):
            found = rows.setdefault(row["image"], [])
            if row["score"]:
                found.append([float(value) for name, value in row.items() if name not in ("image", "width", "height")])
    with zipfile.ZipFile(archive) as photos:
        return [_source(photos.read(name), found) for name, found in rows.items()]


def _source(photo: bytes, found: list[list[float]]) -> Source:
    table = np.array(found, np.float32).reshape(-1, 15)
    return Source(photo, table[:, :4], table[:, 5:].reshape(-1, 5, 2), table[:, 4] >= SURE)


def compose(portraits: list[Source], wild: list[Source], rng: np.random.Generator, size: int, wild_share: float = 0.4) -> Scene:
    """One scene of ``size`` pixels. ``portraits`` show mostly one face; ``wild`` photos bring bodies and surroundings."""
    canvas = _background(wild, rng, size)
    parts = []
    for tile in _tiles(rng, size):
        if rng.random() < EMPTY_SHARE:
            continue
        pool = wild if rng.random() < wild_share else portraits
        parts.append(_paint(canvas, tile, pool[rng.integers(len(pool))], rng))
    none = np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty((0, 4), np.float32)
    boxes, landmarks, ignored = (np.concatenate(part) for part in zip(none, *parts, strict=True))
    return Scene(_degrade(canvas, rng), boxes, landmarks, ignored)


def _background(wild: list[Source], rng: np.random.Generator, size: int) -> Image.Image:
    """Mostly a piece of a photo in which the teacher saw nothing like a face: clothes, hands, walls, leaves; else flat."""
    for _ in range(8 if rng.random() < 0.8 else 0):
        source = wild[rng.integers(len(wild))]
        photo = Image.open(io.BytesIO(source.photo))
        side = int(min(photo.size) * np.exp(rng.uniform(np.log(0.15), 0)))
        left, top = int(rng.integers(0, photo.width - side + 1)), int(rng.integers(0, photo.height - side + 1))
        piece = np.array([left, top, left + side, top + side])
        apart = (source.boxes[:, :2] >= piece[2:]).any(axis=1) | (source.boxes[:, 2:] <= piece[:2]).any(axis=1)
        if side >= 32 and apart.all():
            square = photo.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, tuple(piece.tolist()), reducing_gap=2.0)
            return square.rotate(90 * int(rng.integers(4)))
    return Image.new("RGB", (size, size), tuple(int(value) for value in rng.integers(0, 256, 3)))


def _tiles(rng: np.random.Generator, size: int) -> Iterable[tuple[int, int, int, int]]:
    """Cut the canvas into a grid with uneven lines: x0, y0, x1, y1 of each tile."""
    columns, rows = _GRIDS[rng.choice(len(_GRIDS), p=_GRID_SHARE)]
    xs, ys = _cuts(rng, columns, size), _cuts(rng, rows, size)
    return [(xs[i], ys[j], xs[i + 1], ys[j + 1]) for j in range(rows) for i in range(columns)]


_GRIDS = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (3, 3), (5, 4))
_GRID_SHARE = (0.4, 0.1, 0.1, 0.15, 0.1, 0.1, 0.05)


def _cuts(rng: np.random.Generator, parts: int, size: int) -> list[int]:
    step = size / parts
    inner = [round(step * i + rng.uniform(-0.15, 0.15) * step) for i in range(1, parts)]
    return [0, *inner, size]


def _paint(
    canvas: Image.Image, tile: tuple[int, int, int, int], source: Source, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one photo into one tile; boxes, landmarks and ignored areas in pixels of the canvas."""
    width, height = tile[2] - tile[0], tile[3] - tile[1]
    photo = Image.open(io.BytesIO(source.photo))
    scale, anchor = _placement(source, photo.size, width, height, rng)
    angle = np.deg2rad(_angle(rng))
    mirror = rng.random() < 0.5
    # canvas = turn @ (photo - anchor) + target, with the anchor of the photo landing at a random place of the tile
    turn = (
        scale
        * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        @ np.diag([-1.0 if mirror else 1.0, 1.0])
    )
    target = np.array([width, height]) * rng.uniform(0.3, 0.7, 2)
    drawn, mask = _transform(photo, turn, anchor, target, (width, height))
    canvas.paste(drawn, tile[:2], mask)
    boxes, landmarks = _move(source, turn, anchor, target, mirror, angle)
    visible = _visible_share(boxes, width, height)
    side = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    is_face = source.sure & (visible >= MIN_VISIBLE) & (side >= MIN_SIDE)
    is_ignored = ~is_face & (visible > 0.05)
    corner = np.array(tile[:2], np.float32)
    return boxes[is_face] + np.tile(corner, 2), landmarks[is_face] + corner, boxes[is_ignored] + np.tile(corner, 2)


def _placement(
    source: Source, photo_size: tuple[int, int], width: int, height: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Scale of the photo, and the point of it that is put near the middle of the tile."""
    extent = np.array(photo_size, float)
    anchor = extent * rng.uniform(0.2, 0.8, 2)
    fit = min(width / extent[0], height / extent[1])
    if not source.sure.any() or rng.random() < 0.25:
        return fit * np.exp(rng.uniform(-0.3, 1.3)), anchor
    box = source.boxes[rng.choice(np.nonzero(source.sure)[0])]
    side = float(np.sqrt(np.prod(box[2:] - box[:2])))
    tile = min(width, height)
    wanted = np.exp(rng.uniform(np.log(max(0.08 * tile, 11.0)), np.log(1.05 * tile)))
    scale = float(np.clip(wanted / side, 0.12 * fit, 6.0))
    return scale, (box[:2] + box[2:]) / 2


def _angle(rng: np.random.Generator) -> float:
    kind = rng.random()
    return 0.0 if kind < 0.25 else float(rng.normal(0, 10)) if kind < 0.6 else float(rng.uniform(-50, 50))


def _transform(
    photo: Image.Image, turn: np.ndarray, anchor: np.ndarray, target: np.ndarray, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    """The photo as the tile shows it, and a mask of where the tile shows it."""
    scale = float(np.sqrt(abs(np.linalg.det(turn))))
    full = np.array(photo.size)
    if photo.format == "JPEG":
        photo.draft("RGB", (max(1, int(full[0] * scale)), max(1, int(full[1] * scale))))
    rgb = photo.convert("RGB")
    factor = max(1, int(rgb.size[0] / (full[0] * scale)))
    if factor > 1:
        rgb = rgb.reduce(factor)
    to_photo = np.linalg.inv(turn) * (rgb.size[0] / full[0])
    shift = anchor * (rgb.size[0] / full[0]) - to_photo @ target
    coefficients = (*to_photo[0], shift[0], *to_photo[1], shift[1])
    mask = Image.new("L", rgb.size, 255)
    return (
        rgb.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR),
        mask.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST),
    )


def _move(
    source: Source, turn: np.ndarray, anchor: np.ndarray, target: np.ndarray, mirror: bool, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks move with the photo; a turned box becomes the box around the turned ellipse that filled it."""
    scale = float(np.sqrt(abs(np.linalg.det(turn))))
    centres = ((source.boxes[:, :2] + source.boxes[:, 2:]) / 2 - anchor) @ turn.T + target
    half_w, half_h = ((source.boxes[:, 2:] - source.boxes[:, :2]) / 2 * scale).T
    reach_x = np.hypot(half_w * np.cos(angle), half_h * np.sin(angle))
    reach_y = np.hypot(half_w * np.sin(angle), half_h * np.cos(angle))
    reach = np.stack([reach_x, reach_y], axis=1)
    landmarks = (source.landmarks - anchor) @ turn.T + target
    if mirror:
        landmarks = landmarks[:, MIRRORED_POINTS]
    return np.concatenate([centres - reach, centres + reach], axis=1).astype(np.float32), landmarks.astype(np.float32)


def _visible_share(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    inside = np.minimum(boxes[:, 2:], [width, height]) - np.maximum(boxes[:, :2], 0)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(np.prod(np.clip(inside, 0, None), axis=1) / np.maximum(area, 1e-6))


def _degrade(canvas: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Grey, then blur, compression, darkness and noise, each on a part of the scenes."""
    canvas = canvas.convert("L")
    if rng.random() < 0.2:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.6)))
    if rng.random() < 0.2:
        buffer = io.BytesIO()
        canvas.save(buffer, "JPEG", quality=int(rng.integers(15, 70)))
        canvas = Image.open(buffer)
    levels = np.arange(256, dtype=np.float32) / 255
    gamma, gain = np.exp(rng.normal(0, 0.3)), np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.1:
        gain *= rng.uniform(0.1, 0.4)
    curve = np.clip(levels**gamma * gain + rng.normal(0, 0.05), 0, 1) * 255
    image = np.asarray(canvas.point(np.rint(curve).astype(int).tolist()))
    if rng.random() < 0.2:
        noisy = image + rng.standard_normal(image.shape, np.float32) * rng.uniform(2, 14)
        image = np.clip(noisy, 0, 255).astype(np.uint8)
    return image
