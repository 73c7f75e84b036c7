"""The way from a photo to moods: one answer whatever form the photo has, and answers that hang together."""

from __future__ import annotations

import dataclasses
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import happysad
from happysad import selftest
from happysad.contract import LOOKS
from happysad.drawn import draw_face
from happysad.errors import ModelError
from happysad.predict import COLUMNS, GRADES, FaceMood, Prediction, Predictions, Predictor, grade, rows, sharpness

STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What a camera held so does to the upright picture, by EXIF orientation."""


def largest(predictor: Predictor, photo: Any) -> FaceMood:
    (face,) = predictor.predict(photo, faces="largest").faces
    return face


def p_of(face: FaceMood) -> list[float]:
    return [face.p[look] for look in LOOKS]


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    """A drawn laughing face that fills the picture, uint8 (132, 116, 3)."""
    return draw_face(1.0)[18:150, 22:138]


# ---- the same photo in other forms


def test_path_bytes_file_array_and_picture_give_the_same_faces(
    predictor: Predictor, portrait: Image.Image, tmp_path: Path
) -> None:
    content = encoded(portrait)
    path = tmp_path / "portrait.png"
    path.write_bytes(content)
    expected = predictor.predict(path)
    assert expected.faces
    assert expected.path == str(path)
    for photo in (str(path), content, io.BytesIO(content), np.asarray(portrait), portrait):
        assert predictor.predict(photo).faces == expected.faces


@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_photo_stored_turned_gives_the_same_faces_as_the_upright_one(
    predictor: Predictor, portrait: Image.Image, orientation: int
) -> None:
    turn = STORED_AS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = encoded(portrait if turn is None else portrait.transpose(turn), exif=exif)
    seen = predictor.predict(stored)
    assert (seen.width, seen.height) == portrait.size
    assert seen.faces == predictor.predict(portrait).faces


@settings(max_examples=12)
@given(st.floats(-40, 40))
def test_a_photo_turned_in_the_plane_shows_the_same_face_with_a_similar_mood(
    predictor: Predictor, portrait: Image.Image, degrees: float
) -> None:
    upright = largest(predictor, portrait)
    tilted = portrait.rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(90, 110, 150))
    face = largest(predictor, tilted)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert upright.landmarks
    assert face.landmarks
    nose = turn @ (np.array(upright.landmarks[2]) - np.array(portrait.size) / 2) + np.array(tilted.size) / 2
    assert_allclose(face.landmarks[2], nose, atol=20)
    assert abs(face.mood - upright.mood) < 0.4


def test_a_mirrored_photo_gives_nearly_the_same_p(predictor: Predictor, portrait: Image.Image) -> None:
    mirrored = largest(predictor, portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert_allclose(p_of(mirrored), p_of(largest(predictor, portrait)), atol=0.25)


def test_a_mirrored_crop_gives_the_same_p(predictor: Predictor, crop: np.ndarray) -> None:
    p, mirrored = (predictor.predict(picture, cropped=True).faces[0].p for picture in (crop, crop[:, ::-1]))
    assert_allclose(list(mirrored.values()), list(p.values()), atol=1e-3)


def test_a_larger_photo_gives_the_same_face_in_larger_pixels(predictor: Predictor, portrait: Image.Image) -> None:
    small, large = largest(predictor, portrait), largest(predictor, portrait.resize((256 * 9, 300 * 9), Image.Resampling.BICUBIC))
    assert small.box
    assert large.box
    assert_allclose(np.array(large.box) / 9, small.box, atol=8)
    assert abs(large.mood - small.mood) < 0.25


def test_a_grey_photo_is_no_trouble(predictor: Predictor, portrait: Image.Image) -> None:
    assert abs(largest(predictor, portrait.convert("L")).mood - largest(predictor, portrait).mood) < 0.25


# ---- answers


def test_a_drawn_smile_looks_happier_than_a_drawn_frown(predictor: Predictor) -> None:
    smile, frown = (predictor.predict(draw_face(s)[18:150, 22:138], cropped=True).faces[0] for s in (1.0, -1.0))
    assert smile.mood > frown.mood + 0.2


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_every_answer_hangs_together(predictor: Predictor, seed: int, smoothness: float) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (48, 48, 3)).astype(np.float64)
    picture = (noise * (1 - smoothness) + draw_face(2 * smoothness - 1, 48) * smoothness).astype(np.uint8)
    (face,) = predictor.predict(picture, cropped=True).faces
    assert tuple(face.p) == LOOKS
    assert_allclose(sum(face.p.values()), 1, atol=1e-4)
    assert min(face.p.values()) >= 0
    assert_allclose(face.mood, face.p["happy"] - face.p["sad"], atol=1e-5)
    assert face.grade == grade(face.mood)
    assert face.label == ("happy" if face.mood >= 0 else "sad")
    assert 0.5 <= face.confidence <= 1
    assert face.certain == (face.reason is None)
    assert not (face.certain and (face.look == "other" or face.confidence < predictor.contract.min_confidence))


@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        (-1.0, "sad"),
        (np.nextafter(-0.6, -1), "sad"),
        (-0.6, "slightly sad"),
        (np.nextafter(-0.2, -1), "slightly sad"),
        (-0.2, "neutral"),
        (0.0, "neutral"),
        (0.2, "neutral"),
        (np.nextafter(0.2, 1), "slightly happy"),
        (0.6, "slightly happy"),
        (np.nextafter(0.6, 1), "happy"),
        (1.0, "happy"),
    ],
)
def test_grades_change_just_at_their_edges(mood: float, expected: str) -> None:
    assert grade(mood) == expected


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_higher_mood_never_has_a_lower_grade(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert GRADES.index(grade(low)) <= GRADES.index(grade(high))


def test_a_plain_picture_has_no_face_and_no_error(predictor: Predictor) -> None:
    assert predictor.predict(np.full((90, 120, 3), 128, np.uint8)) == Prediction(None, 120, 90, None, ())


def test_largest_is_the_one_with_the_largest_area(predictor: Predictor, portrait: Image.Image) -> None:
    pair = Image.new("RGB", (128 + 256, 300))
    pair.paste(portrait.reduce(2), (0, 75))
    pair.paste(portrait, (128, 0))
    everyone, (one,) = predictor.predict(pair).faces, predictor.predict(pair, faces="largest").faces

    def area(face: FaceMood) -> int:
        assert face.box
        return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])

    assert len(everyone) >= 2
    assert one.box == max(everyone, key=area).box


def test_boxes_lie_within_the_photo_even_where_the_face_does_not(predictor: Predictor, portrait: Image.Image) -> None:
    half = portrait.crop((50, 30, 145, 210))
    for face in predictor.predict(half).faces:
        assert face.box
        x0, y0, x1, y1 = face.box
        assert 0 <= x0 < x1 <= half.width
        assert 0 <= y0 < y1 <= half.height


# ---- doubts


def test_a_crop_with_too_few_pixels_is_not_certain(predictor: Predictor, crop: np.ndarray) -> None:
    tiny = np.asarray(Image.fromarray(crop).resize((16, 16)))
    (face,) = predictor.predict(tiny, cropped=True).faces
    assert face.certain is False
    assert face.reason == "the face is too small (16 pixels, needs 24)"


def test_a_blurred_crop_is_less_sharp_than_the_same_in_focus(crop: np.ndarray) -> None:
    blurred = np.asarray(Image.fromarray(crop).resize((12, 12)).resize((116, 132), Image.Resampling.BICUBIC))
    assert sharpness(blurred) < sharpness(crop) / 2
    assert sharpness(np.full((48, 48, 1), 90, np.uint8)) == 0


@pytest.mark.parametrize(
    ("other_weighs", "min_confidence", "reason"),
    [
        (0.0, 1.1, "happy and sad are too close to call"),
        (1e9, 0.5, "it looks like something other than happy, neutral or sad"),
    ],
)
def test_a_doubtful_answer_says_why(crop: np.ndarray, other_weighs: float, min_confidence: float, reason: str) -> None:
    doubter = Predictor()
    weights = tuple(other_weighs if look == "other" else 1.0 for look in doubter.contract.classes)
    doubter.contract = dataclasses.replace(doubter.contract, look_weights=weights, min_confidence=min_confidence)
    (face,) = doubter.predict(crop, cropped=True).faces
    assert face.certain is False
    assert face.reason is not None
    assert face.reason.startswith(reason)


# ---- many photos, many threads


def test_many_photos_give_what_each_gives_alone(predictor: Predictor, portrait: Image.Image, smile: np.ndarray) -> None:
    photos = [smile, portrait, b"no photo", np.zeros((40, 40), np.uint8), smile]
    assert list(predictor.predict_many(photos)) == [predictor.predict(photo) for photo in photos]


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 130])
def test_a_batch_of_crops_gives_what_each_crop_gives_alone(predictor: Predictor, n: int) -> None:
    size, channels = predictor.contract.input_size, predictor.contract.channels
    crops = np.random.default_rng(n).integers(0, 256, (n, size, size, channels), np.uint8)
    p = predictor.classify(crops)
    assert p.shape == (n, 4)
    assert p.dtype == np.float32
    for index in {0, n // 2, n - 1} & set(range(n)):
        assert_allclose(p[index], predictor.classify(crops[index : index + 1])[0], atol=1e-5)
    assert_allclose(p.sum(axis=1), np.ones(n), atol=1e-5)


def test_threads_may_share_a_predictor(predictor: Predictor, portrait: Image.Image, smile: np.ndarray) -> None:
    photos = [portrait, smile] * 6
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predictor.predict, photos)) == [predictor.predict(photo) for photo in photos]


def test_the_maps_average_to_the_logarithm_of_p(predictor: Predictor, crop: np.ndarray) -> None:
    size, channels = predictor.contract.input_size, predictor.contract.channels
    crops = np.random.default_rng(1).integers(0, 256, (3, size, size, channels), np.uint8)
    logits = predictor.maps(crops).mean(axis=(1, 2))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = [LOOKS.index(name) for name in predictor.contract.classes]
    assert_allclose(p, predictor.classify(crops)[:, own], atol=1e-4)
    assert len(predictor.embed(crops)) == 3


def test_crops_of_another_form_are_refused_with_what_is_expected(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match=r"expected crops uint8 \(n, .*got float64 \(1, 5, 5, 1\)"):
        predictor.classify(np.zeros((1, 5, 5, 1)))


# ---- Python's front door, and what comes out of it


def test_one_photo_gives_a_prediction_and_a_list_gives_a_list(smile: np.ndarray) -> None:
    one, many = happysad.predict(smile), happysad.predict([smile, smile])
    assert isinstance(one, Prediction)
    assert isinstance(many, Predictions)
    assert list(many) == [one, one]


def test_an_unreadable_photo_is_a_prediction_with_an_error(predictor: Predictor, tmp_path: Path) -> None:
    missing = predictor.predict(tmp_path / "missing.jpg")
    assert missing == Prediction(str(tmp_path / "missing.jpg"), None, None, "there is no such file: check the path", ())


def test_the_json_has_every_key_with_its_type(predictor: Predictor, portrait_file: Path) -> None:
    seen = json.loads(json.dumps(predictor.predict(portrait_file).to_dict()))
    assert list(seen) == ["path", "width", "height", "error", "faces"]
    assert (seen["path"], seen["width"], seen["height"], seen["error"]) == (str(portrait_file), 512, 600, None)
    assert seen["faces"]
    for face in seen["faces"]:
        types = {key: type(value) for key, value in face.items()}
        assert types.pop("reason") is (type(None) if face["certain"] else str)
        assert list(types.items()) == [
            ("box", list),
            ("detector_score", float),
            ("landmarks", list),
            ("p", dict),
            ("mood", float),
            ("grade", str),
            ("look", str),
            ("label", str),
            ("confidence", float),
            ("certain", bool),
        ]
        assert [type(value) for value in face["box"]] == [int] * 4
        assert np.array(face["landmarks"]).shape == (5, 2)
        assert list(face["p"]) == ["happy", "neutral", "sad", "other"]
        assert 0.5 <= face["detector_score"] <= 1


def test_a_crop_has_neither_box_nor_landmarks(predictor: Predictor, crop: np.ndarray) -> None:
    (face,) = predictor.predict(crop, cropped=True).to_dict()["faces"]
    assert (face["box"], face["detector_score"], face["landmarks"]) == (None, None, None)


def test_the_table_has_a_row_per_face_and_one_for_a_photo_without(predictor: Predictor, portrait: Image.Image) -> None:
    photos = predictor.predict_many([portrait, np.zeros((40, 40), np.uint8), "missing.jpg"])
    first = photos[0].faces[0]
    photos[0] = dataclasses.replace(photos[0], faces=(first, first))
    table = list(rows(photos))
    assert {tuple(row) for row in table} == {COLUMNS}
    assert [row["face"] for row in table] == [0, 1, None, None]
    assert [row["error"] is None for row in table] == [True, True, True, False]
    assert (table[0]["x0"], table[0]["y0"], table[0]["x1"], table[0]["y1"]) == first.box
    assert [table[0][f"p_{look}"] for look in LOOKS] == p_of(first)
    assert table[0]["mood"] == first.mood


def test_predictions_turn_into_a_data_frame(predictor: Predictor, smile: np.ndarray) -> None:
    pytest.importorskip("pandas")
    seen = predictor.predict_many([smile, np.zeros((40, 40), np.uint8)])
    frame = seen.to_pandas()
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == max(1, len(seen[0].faces)) + 1
    assert frame["face"].isna().iloc[-1]


# ---- the self-test


def test_the_self_test_passes_with_the_released_models() -> None:
    assert selftest.differences() == []


def test_the_self_test_notices_another_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = selftest.measure()
    seen["frowning"]["p"] = [seen["frowning"]["p"][0] + 0.02, *seen["frowning"]["p"][1:]]
    monkeypatch.setattr(selftest, "measure", lambda: seen)
    (difference,) = selftest.differences()
    assert difference.startswith("p of the frowning face is [")


def test_the_self_test_notices_that_its_numbers_belong_to_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "released_sha256", lambda: {"mood.onnx": "0" * 64})
    with pytest.raises(ModelError, match=r"python -m happysad\.selftest"):
        selftest.differences()


def test_numbers_for_the_self_test_are_written_only_if_they_prove_something(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "selftest.json"
    selftest.write(path)
    assert json.loads(path.read_text())["seen"] == selftest.measure()
    monkeypatch.setattr(selftest, "SMILES", {"smiling": 0.0, "frowning": 0.0})
    with pytest.raises(ModelError, match=r"expected a gap of 0\.2"):
        selftest.write(path)


def test_a_drawn_face_of_another_smile_is_another_picture() -> None:
    assert_array_equal(draw_face(0.5), draw_face(0.5))
    assert (draw_face(0.5) != draw_face(-0.5)).any()
    assert draw_face(0.0, 33).shape == (33, 33, 3)
    with pytest.raises(ValueError, match="from -1 to 1, got 2"):
        draw_face(2)
