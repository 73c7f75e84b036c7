"""The maps are what the model computes with, they change with its weights, and covering a part shows what it meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_less, assert_equal
from PIL import Image

from happysad.closeup import TYPICAL_LANDMARKS, Closeup, closeup
from happysad.errors import ImageError
from happysad.explain import evidence, explain, occlusion, regions, sheet, where_it_looked
from happysad.faces import FaceDetector
from happysad.predict import Predictor


@pytest.fixture(scope="module")
def face(portrait: Image.Image, predictor: Predictor) -> Closeup:
    found = closeup(np.asarray(portrait), predictor.contract, FaceDetector())
    assert found is not None
    return found


def test_the_mean_of_the_maps_is_the_answer(face: Closeup, predictor: Predictor) -> None:
    p = predictor.classify(face.crop[None])[0].astype(float)
    mean = evidence(predictor, face.crop[None])[0].mean(axis=(0, 1))
    assert_allclose(mean - mean[0], np.log(p) - np.log(p[0]), atol=1e-4)


def test_random_weights_change_the_map(face: Closeup, predictor: Predictor, tmp_path: Path) -> None:
    """A map that does not depend on what was learnt only shows edges (Adebayo et al. 2018)."""
    onnx = pytest.importorskip("onnx")
    from happysad.contract import read_bundled

    model = onnx.load_from_string(read_bundled("mood.onnx"))
    rng = np.random.default_rng(0)
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > 1000:
            weight.CopyFrom(onnx.numpy_helper.from_array(rng.permutation(values.ravel()).reshape(values.shape), weight.name))
    onnx.save(model, tmp_path / "random.onnx")
    learnt, random = (evidence(one, face.crop[None])[0] for one in (predictor, Predictor(tmp_path / "random.onnx")))
    for look in (0, 2):
        assert abs(np.corrcoef(learnt[..., look].ravel(), random[..., look].ravel())[0, 1]) < 0.6


def test_covering_nothing_that_matters_changes_nothing_and_the_falls_are_differences_of_p(predictor: Predictor) -> None:
    flat = np.full((48, 48, 1), 120, np.uint8)
    assert_allclose(occlusion(predictor, flat), 0, atol=1e-6)


def test_the_fall_is_largest_where_the_cover_takes_most_away(face: Closeup, predictor: Predictor) -> None:
    falls = occlusion(predictor, face.crop)
    y, x = np.unravel_index(np.abs(falls[0]).argmax(), falls[0].shape)
    covered = face.crop.copy()
    covered[max(0, y - 4) : y + 4, max(0, x - 4) : x + 4] = int(face.crop.mean())
    change = predictor.classify(face.crop[None])[0, 0] - predictor.classify(covered[None])[0, 0]
    assert_equal(np.sign(change), np.sign(falls[0, y, x]))


def test_landmarks_of_the_crop_lie_where_the_photo_has_them(portrait: Image.Image, predictor: Predictor, face: Closeup) -> None:
    assert_array_less(np.abs(face.landmarks - TYPICAL_LANDMARKS), 0.12)
    turned = closeup(np.asarray(portrait.rotate(20, fillcolor=(90, 90, 90))), predictor.contract, FaceDetector())
    assert turned is not None
    assert_array_less(np.abs(turned.landmarks - face.landmarks), 0.08)


def test_regions_are_apart_and_hold_their_landmarks() -> None:
    part = regions(TYPICAL_LANDMARKS, 48)
    assert not (part["eyes"] & part["mouth"]).any()
    for name, points in (("eyes", TYPICAL_LANDMARKS[:2]), ("mouth", TYPICAL_LANDMARKS[3:])):
        for x, y in (points * 48).astype(int):
            assert part[name][y, x]


def test_shares_of_the_map_sum_to_one(face: Closeup, predictor: Predictor) -> None:
    found = where_it_looked([face], predictor)
    one = found["happy" if found["happy"]["eyes"]["n"] else "sad"]
    assert_allclose(sum(one[name]["value"] for name in ("eyes", "mouth", "elsewhere")), 1)


def test_the_sheet_is_a_picture_with_a_panel_more_for_occlusion(portrait: Image.Image, predictor: Predictor) -> None:
    without, with_it = (sheet(explain(np.asarray(portrait), predictor, occlude=wish)) for wish in (False, True))
    assert_equal(with_it.width * 4, without.width * 5)
    assert np.asarray(with_it).std() > 20


def test_no_face_is_one_sentence(predictor: Predictor) -> None:
    with pytest.raises(ImageError, match="no face was found in this photo; if it is a face crop already, add --cropped"):
        explain(np.full((100, 100, 3), 128, np.uint8), predictor)


def test_the_command_writes_a_picture(happysad: Callable[..., Any], portrait_file: Path, tmp_path: Path) -> None:
    done = happysad("explain", portrait_file, "-o", tmp_path / "out.png", "--no-occlusion")
    assert_equal([done.returncode, done.stdout], [0, b""], done.stderr)
    assert Image.open(tmp_path / "out.png").width > 800
    wrong = happysad("explain", portrait_file, "-o", tmp_path / "no" / "out.png", "--no-occlusion")
    assert_equal(wrong.returncode, 1)
    assert b"name a .png file in a folder that exists" in wrong.stderr
