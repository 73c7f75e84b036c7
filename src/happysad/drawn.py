"""Faces drawn by code: pictures whose answer is known, for the self-test and for tests that must not depend on any file."""

from __future__ import annotations

import numpy as np

BACKGROUND = (62, 66, 74)
SKIN, SHADE, HAIR = (205, 158, 132), (150, 108, 90), (46, 32, 25)
EYE_WHITE, IRIS, LIPS, TEETH, MOUTH = (236, 231, 226), (46, 32, 24), (158, 78, 76), (247, 243, 238), (70, 28, 28)


def draw_face(smile: float, size: int = 160) -> np.ndarray:
    """A face from the front, hair and neck included: uint8 RGB (size, size, 3).

    Args:
        smile: in [−1, 1]: 1 laughs with open mouth, 0 is at rest, −1 has the mouth corners down and the inner brows up.
        size: side of the picture in pixels; the face fills about two thirds of it across and 83 % down.
    """
    if not -1 <= smile <= 1:
        raise ValueError(f"smile must be from -1 to 1, got {smile}")
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    x = (x - 0.5) / 1.18 + 0.5  # wider than drawn: no long face
    canvas = np.empty((size, size, 3), np.float64)
    canvas[:] = BACKGROUND
    soft = 1.5 / size

    def paint(colour: tuple[int, int, int], inside: np.ndarray, edge: float = soft, strength: float = 1.0) -> None:
        """Cover where ``inside``, a distance to the border in sides of the picture, is positive; fade over ``edge``."""
        cover = np.clip(inside / edge + 0.5, 0, 1)[..., None] * strength
        canvas[:] = canvas * (1 - cover) + np.array(colour) * cover

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return np.asarray((1 - np.hypot((x - cx) / rx, (y - cy) / ry)) * min(rx, ry))

    def stroke(x0: float, x1: float, middle: np.ndarray, half: float) -> np.ndarray:
        """A line along ``middle`` (y as a function of x), ``half`` thick, from x0 to x1."""
        return np.asarray(np.minimum(half - abs(y - middle), np.minimum(x - x0, x1 - x)))

    happy, unhappy = max(smile, 0.0), max(-smile, 0.0)
    paint(HAIR, ellipse(0.5, 0.42, 0.34, 0.40), edge=0.02)
    paint(SHADE, np.minimum(0.13 - abs(x - 0.5), y - 0.7), edge=0.02)
    paint(SHADE, ellipse(0.5, 0.51, 0.285, 0.42), edge=0.01)
    paint(SKIN, ellipse(0.5, 0.51, 0.285, 0.42) - 0.05, edge=0.12)
    paint(HAIR, np.minimum(ellipse(0.5, 0.42, 0.33, 0.39), 0.215 - y + 0.35 * (x - 0.5) ** 2), edge=0.02)
    for side in (-1, 1):
        eye = 0.5 + side * 0.125
        paint(SHADE, ellipse(eye, 0.425, 0.10, 0.06), edge=0.06, strength=0.75)
        paint(SHADE, ellipse(eye, 0.435, 0.066, 0.034), edge=0.012)
        opening = 0.026 - 0.007 * happy
        paint(EYE_WHITE, ellipse(eye, 0.437, 0.058, opening))
        paint(IRIS, np.minimum(ellipse(eye, 0.435, 0.027, 0.027), ellipse(eye, 0.437, 0.058, opening)))
        outward = (x - eye) * side / 0.09  # -1 at the inner end of the brow, 1 at the outer
        brow = 0.362 + 0.014 * outward**2 + 0.026 * unhappy * outward
        paint(HAIR, stroke(eye - 0.09, eye + 0.09, brow, 0.013), edge=0.014, strength=0.9)
        crease = 0.5 + side * (0.105 + 0.02 * happy + 0.5 * np.clip(y - 0.6, 0, 1) ** 1.2)
        fold = np.minimum(0.010 - abs(x - crease), np.minimum(y - 0.61, 0.74 - y))
        paint(SHADE, fold, edge=0.03, strength=0.25 + 0.6 * happy)
    paint(SHADE, ellipse(0.5, 0.605, 0.062, 0.036), edge=0.05, strength=0.9)
    paint(SKIN, ellipse(0.5, 0.585, 0.034, 0.034), edge=0.03)
    for nostril in (0.474, 0.526):
        paint(MOUTH, ellipse(nostril, 0.619, 0.014, 0.009), edge=0.01, strength=0.8)

    half = 0.115 + 0.035 * happy
    along = np.clip((x - 0.5) / half, -1.2, 1.2)
    arch = 1 - along**2
    middle = 0.755 + 0.055 * (happy - 0.8 * unhappy) * (arch - 0.5)
    gap = (0.004 + 0.030 * happy) * np.clip(arch, 0, 1)
    within = half - abs(x - 0.5)
    lip = np.clip(0.014 * np.clip(arch, 0, 1) ** 0.5 + 0.004, 0, None)
    paint(LIPS, np.minimum(gap + lip - abs(y - middle), within))
    paint(MOUTH, np.minimum(gap - abs(y - middle), within))
    paint(TEETH, np.minimum(0.8 * gap - abs(y - middle + 0.15 * gap), within) - 0.002, strength=min(1.0, 2 * happy))
    paint(SHADE, ellipse(0.5, 0.82, 0.08, 0.012), edge=0.03, strength=0.5)
    return np.rint(canvas).astype(np.uint8)


def draw_photo(smile: float, width: int = 480, height: int = 360, size: int = 200) -> np.ndarray:
    """A drawn face (`draw_face`) in the middle of a plain picture: uint8 RGB (height, width, 3)."""
    photo = np.empty((height, width, 3), np.uint8)
    photo[:] = BACKGROUND
    top, left = (height - size) // 2, (width - size) // 2
    photo[top : top + size, left : left + size] = draw_face(smile, size)
    return photo
