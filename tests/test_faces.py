"""Finding faces and cutting them out: geometry on pictures whose answer is known, and one real portrait."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from happysad.contract import CropGeometry
from happysad.drawn import draw_photo
from happysad.faces import WEAK_SCORE, FaceDetector, Faces, cut_out, fit_crop, roll, yaw

PLAIN = CropGeometry(scale=1.0, lift=0.0, level=True)
FRONTAL = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def turned(points: np.ndarray, degrees: float, around: tuple[float, float] = (50, 50)) -> np.ndarray:
    """Points (n, 2) turned clockwise as seen on a screen."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray((points - around) @ matrix.T + around, np.float32)


def face(box: tuple[float, float, float, float], landmarks: np.ndarray = FRONTAL) -> Faces:
    return Faces(np.array([box], np.float32), np.ones(1, np.float32), landmarks[None])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = float(np.prod(sides))
    return shared / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared)


# ---- cutting out


@given(st.floats(-180, 180))
def test_roll_is_the_angle_by_which_a_face_is_turned(degrees: float) -> None:
    measured = np.degrees(roll(turned(FRONTAL, degrees)[None]))[0]
    assert_allclose((measured - degrees + 180) % 360, 180, atol=1e-3)


@given(st.floats(-180, 180))
def test_yaw_is_not_changed_by_turning_in_the_plane(degrees: float) -> None:
    aside = FRONTAL.copy()
    aside[2, 0] = 60  # the nose halfway to an eye
    assert_allclose(yaw(turned(FRONTAL, degrees)), 0, atol=1e-4)
    assert_allclose(yaw(turned(aside, degrees)), 0.5, atol=1e-4)


@pytest.mark.parametrize("side", [12, 48, 60, 200])
def test_a_crop_shows_just_the_box_whatever_its_size(side: int) -> None:
    y, x = np.mgrid[0:300, 0:300]
    image = np.stack([0.8 * x, 0.8 * y, 0 * x], axis=2).round().astype(np.uint8)
    (crop,) = cut_out(image, face((40, 50, 40 + side, 50 + side)), PLAIN, 48, 3)
    middle = (np.arange(48) + 0.5) * side / 48 - 0.5
    assert crop.shape == (48, 48, 3)
    assert_allclose(crop[..., 0], np.tile(0.8 * (40 + middle), (48, 1)), atol=1.1)
    assert_allclose(crop[..., 1], np.tile(0.8 * (50 + middle)[:, None], (1, 48)), atol=1.1)


def test_a_large_face_is_made_small_without_aliasing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    (crop,) = cut_out(noise, face((50, 50, 650, 650)), PLAIN, 48, 1)
    assert abs(float(crop.mean()) - 127.5) < 3
    assert crop.std() < 12  # of single pixels it is 74


def test_a_crop_is_a_square_with_the_area_of_the_box_times_the_scale_moved_up_by_the_lift() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[150:250] = np.linspace(0, 250, 100)[:, None, None]
    image[250:] = 250
    narrow = face((175, 100, 225, 300))  # 50 x 200: as a square 100 x 100, from 150 to 250
    (plain,) = cut_out(image, narrow, PLAIN, 50, 1)
    (lifted,) = cut_out(image, narrow, CropGeometry(1.0, 0.1, True), 50, 1)
    (wide,) = cut_out(image, narrow, CropGeometry(2.0, 0.0, True), 50, 1)
    assert_allclose(plain[[0, 25, 49], 25, 0], [1, 127, 249], atol=4)
    assert_allclose(lifted[[5, 30, 49], 25, 0], [1, 127, 225], atol=4)
    assert_allclose(wide[[11, 25, 38], 25, 0], [0, 127, 250], atol=5)


@settings(max_examples=30)
@given(st.floats(-40, 40))
def test_a_turned_face_is_cut_out_level(degrees: float) -> None:
    """The picture is turned about its middle: the crop must be that of the upright one."""
    photo = Image.fromarray(draw_photo(1.0, 400, 400, 200))
    middle, points = (200.0, 200.0), FRONTAL * 2 + 100
    upright = cut_out(np.asarray(photo), face((150, 150, 250, 250), points), PLAIN, 48, 1)
    tilted = np.asarray(photo.rotate(-degrees, Image.Resampling.BICUBIC))
    level = cut_out(tilted, face((150, 150, 250, 250), turned(points, degrees, middle)), PLAIN, 48, 1)
    assert np.abs(level.astype(int) - upright).mean() < 3
    if abs(degrees) > 5:
        askew = cut_out(tilted, face((150, 150, 250, 250), points), CropGeometry(1.0, 0.0, False), 48, 1)
        assert np.abs(askew.astype(int) - upright).mean() > 3


@given(st.integers(-300, 400), st.integers(-300, 400), st.integers(1, 500), st.sampled_from([1, 3]))
@settings(max_examples=50)
def test_a_box_beyond_the_border_is_cut_out_with_the_border_repeated(x: int, y: int, side: int, channels: int) -> None:
    image = np.full((90, 120, 3), 77, np.uint8)
    crops = cut_out(image, face((x, y, x + side, y + side)), CropGeometry(), 48, channels)
    assert_array_equal(crops, np.full((1, 48, 48, channels), 77, np.uint8))


def test_no_face_gives_no_crop() -> None:
    none = Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))
    assert cut_out(np.zeros((9, 9, 3), np.uint8), none, PLAIN, 48, 1).shape == (0, 48, 48, 1)


def test_a_picture_of_the_models_size_is_taken_as_it_is() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (48, 48, 1), np.uint8)
    assert_array_equal(fit_crop(np.repeat(grey, 3, axis=2), 48, 1), grey)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (20, 80), (80, 20), (300, 299)])
def test_any_picture_becomes_a_square_without_changing_its_proportions(height: int, width: int) -> None:
    crop = fit_crop(np.full((height, width, 3), 200, np.uint8), 48, 3)
    assert_array_equal(crop, np.full((48, 48, 3), 200, np.uint8))
    disc = np.zeros((height, width, 3), np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    disc[np.hypot(y - height / 2, x - width / 2) < 8] = 255
    if min(height, width) >= 20:
        marked = fit_crop(disc, 48, 1)[..., 0] > 127
        assert abs(int(marked.any(axis=0).sum()) - int(marked.any(axis=1).sum())) <= 1


# ---- finding


def test_the_person_in_a_portrait_is_found(detector: FaceDetector, portrait: Image.Image) -> None:
    faces = detector(np.asarray(portrait))
    largest = faces.take(np.argmax(faces.sides, keepdims=True))
    assert overlap(largest.boxes[0], np.array([92, 60, 172, 175])) > 0.5
    left_eye, right_eye, nose, left_mouth, right_mouth = largest.landmarks[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert left_mouth[0] < right_mouth[0]


def test_faces_come_from_left_to_right(detector: FaceDetector, portrait: Image.Image) -> None:
    three = np.concatenate([np.asarray(portrait)] * 3, axis=1)
    faces = detector(three)
    middles = faces.boxes[:, 0] + faces.boxes[:, 2]
    assert faces.n >= 3
    assert_array_equal(middles, np.sort(middles))


def test_a_drawn_face_is_a_candidate_in_its_place(detector: FaceDetector) -> None:
    faces = detector(draw_photo(1.0), min_score=WEAK_SCORE)
    best = faces.boxes[np.argmax(faces.scores)]
    assert overlap(best, np.array([180, 105, 300, 262])) > 0.5


def test_a_higher_threshold_only_drops_faces(detector: FaceDetector, portrait: Image.Image) -> None:
    weak, strong = (detector(np.asarray(portrait), min_score=score) for score in (WEAK_SCORE, 0.6))
    assert weak.n >= strong.n > 0
    assert set(strong.scores) <= set(weak.scores)
    assert strong.scores.min() >= 0.6


@settings(max_examples=12)
@given(st.tuples(st.integers(1, 700), st.integers(1, 700)), st.integers(0, 255))
def test_a_plain_picture_of_any_size_has_no_face(detector: FaceDetector, size: tuple[int, int], grey: int) -> None:
    assert detector(np.full((*size, 3), grey, np.uint8)).n == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (31, 33), (40, 3000)])
def test_a_picture_of_odd_size_is_no_trouble(detector: FaceDetector, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    faces = detector(noise)
    assert faces.boxes.shape == (faces.n, 4)
    assert faces.landmarks.shape == (faces.n, 5, 2)
    assert np.isfinite(faces.boxes).all()


def test_people_in_a_group_are_found(detector: FaceDetector, shared_data: Path) -> None:
    found = {path.name: detector(np.asarray(Image.open(path).convert("RGB"))).n for path in (shared_data / "groups").iterdir()}
    assert found["human__group-1.jpg"] >= 10
    assert min(found.values()) >= 2
