"""Training ends with the same weights whether it ran through or was cut; what is exported says what Keras says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs the train extra")
onnxruntime = pytest.importorskip("onnxruntime")

from happysad.contract import METADATA_KEY, Contract  # noqa: E402
from happysad.train import augment, detector, export, fer2013, mood, scenes  # noqa: E402

TINY = mood.Settings(epochs=2, batch=16, stem=8, blocks=((8, 2), (16, 2), (16, 2)), mixed_precision=False)


@pytest.fixture(scope="module")
def faces() -> fer2013.VotedFaces:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 48, 48), dtype=np.uint8)
    votes = rng.multinomial(10, [0.3, 0.3, 0.05, 0.2, 0.05, 0.04, 0.04, 0.02], 64).astype(np.float32)
    return fer2013.VotedFaces(images, votes, rng.integers(-1, 7, 64))


def test_a_training_that_was_cut_and_resumed_ends_with_the_weights_of_one_that_ran_through(
    faces: fer2013.VotedFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mood.train(faces, faces, tmp_path / "whole", TINY).get_weights()

    class Cut(Exception):
        pass

    def cut_after_first_epoch(*_: object) -> dict[str, float]:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(mood, "valid_figures", cut_after_first_epoch)
        with pytest.raises(Cut):
            mood.train(faces, faces, tmp_path / "cut", TINY)
    resumed = mood.train(faces, faces, tmp_path / "cut", TINY).get_weights()
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_exported_mood_model_says_what_keras_says(batch: int, tmp_path: Path) -> None:
    model = export.mirror_averaged(mood.network(TINY), 0.7, np.array([0.1, 0.0, -0.2, 0.3]))
    export.write_onnx(model, tmp_path / "model.onnx", Contract("tiny"))
    crops = np.random.default_rng(1).integers(0, 256, (batch, 48, 48, 1), dtype=np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    expected = model.predict(crops, verbose=0)
    for name in ("p", "maps", "embedding"):
        np.testing.assert_allclose(session.run([name], {"crops": crops})[0], expected[name], rtol=1e-4, atol=1e-5)
    assert Contract.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY]) == Contract("tiny")


def test_the_exported_mood_model_says_the_same_of_a_mirrored_crop(tmp_path: Path) -> None:
    export.write_onnx(export.mirror_averaged(mood.network(TINY), 1.0, np.zeros(4)), tmp_path / "model.onnx")
    crops = np.random.default_rng(2).integers(0, 256, (3, 48, 48, 1), dtype=np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    p, mirrored = (session.run(["p"], {"crops": c})[0] for c in (crops, np.ascontiguousarray(crops[:, :, ::-1])))
    np.testing.assert_allclose(p, mirrored, atol=1e-6)


def test_the_mean_of_the_maps_is_the_logarithm_of_p_but_for_a_constant(tmp_path: Path) -> None:
    model = export.mirror_averaged(mood.network(TINY), 1.3, np.array([0.5, 0.0, 0.0, -0.5]))
    outputs = model.predict(np.random.default_rng(3).integers(0, 256, (4, 48, 48, 1), dtype=np.uint8), verbose=0)
    difference = outputs["maps"].mean(axis=(1, 2)) - np.log(outputs["p"])
    np.testing.assert_allclose(difference, difference[:, :1].repeat(4, axis=1), atol=1e-4)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 64, 96), (2, 128, 64)])
def test_the_exported_detector_says_what_keras_says_at_any_size(batch: int, height: int, width: int, tmp_path: Path) -> None:
    model = export.mirror_averaged_detector(detector.network())
    export.write_onnx(model, tmp_path / "detector.onnx")
    images = np.random.default_rng(4).integers(0, 256, (batch, height, width, 1), dtype=np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx")
    expected = model.predict(images, verbose=0)
    for name, output in expected.items():
        np.testing.assert_allclose(session.run([name], {"image": images})[0], output, rtol=1e-4, atol=1e-4)


def test_a_mirrored_image_gives_the_detector_mirrored_maps() -> None:
    model = export.mirror_averaged_detector(detector.network())
    image = np.random.default_rng(6).integers(0, 256, (1, 64, 96, 1), dtype=np.uint8)
    plain, mirrored = (model.predict(picture, verbose=0) for picture in (image, image[:, :, ::-1]))
    for name, cells in plain.items():
        back = mirrored[name][:, :, ::-1]
        np.testing.assert_allclose(back[..., 0], cells[..., 0], atol=1e-4)
        np.testing.assert_allclose(back[..., [3, 2, 1, 4]], cells[..., 1:5], atol=1e-4)
        eyes, swapped = cells[..., 5:9], back[..., [7, 8, 5, 6]] * [-1, 1, -1, 1]
        np.testing.assert_allclose(swapped, eyes, atol=1e-4)


def test_looks_are_shares_of_votes_and_the_original_label_counts_as_further_votes() -> None:
    votes = np.array([[4, 0, 0, 6, 0, 0, 0, 0], [0, 5, 2, 0, 3, 0, 0, 0]], np.float32)  # neutral/sad, happy/surprise/anger
    rows = fer2013.VotedFaces(np.zeros((2, 48, 48), np.uint8), votes, np.array([fer2013.LABELS.index("sad"), -1]))
    np.testing.assert_allclose(rows.look_shares(), [[0, 0.4, 0.6, 0], [0.5, 0, 0, 0.5]])
    np.testing.assert_allclose(rows.look_shares(10), [[0, 0.2, 0.8, 0], [0.5, 0, 0, 0.5]], atol=1e-6)


def test_every_target_sums_to_one_even_where_the_original_label_is_not_known(faces: fer2013.VotedFaces) -> None:
    assert (faces.labels == -1).any()
    for shares in (faces.vote_shares, faces.label_shares, faces.look_shares(3)):
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


def test_augmentation_is_decided_by_its_generator_and_keeps_size_and_type() -> None:
    images = np.random.default_rng(5).integers(0, 256, (9, 48, 48), dtype=np.uint8)
    first, again, other = (augment.augment(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_a_face_in_a_scene_is_learnt_at_the_cell_of_its_centre_and_nowhere_else() -> None:
    box, points = np.array([[100, 60, 180, 160]], np.float32), np.zeros((1, 5, 2), np.float32)
    scene = scenes.Scene(np.zeros((320, 320), np.uint8), box, points, np.empty((0, 4), np.float32))
    maps = detector.targets(scene, 320)
    assert [int((maps[f"stride{s}"][..., 0] == 1).sum()) for s in detector.STRIDES] == [0, 1, 0]  # its side is 89 pixels
    target = maps["stride16"][110 // 16, 140 // 16]
    middle = np.array([8.5 * 16, 6.5 * 16])
    np.testing.assert_allclose(target[3:7] * 16, [middle[0] - 100, middle[1] - 60, 180 - middle[0], 160 - middle[1]])
    assert maps["stride16"][4, 7, 0] < 0.2  # an eye: inside the face, yet background


def test_the_detector_loss_is_least_where_the_output_is_the_target() -> None:
    box, points = np.array([[100, 60, 180, 160]], np.float32), np.full((1, 5, 2), 120, np.float32)
    scene = scenes.Scene(np.zeros((320, 320), np.uint8), box, points, np.empty((0, 4), np.float32))
    target = detector.targets(scene, 320)["stride16"][None]
    geometry = [np.log(np.maximum(target[..., 3:7], 1e-3) / detector.BOX_UNIT), target[..., 7:] / detector.POINT_UNIT]
    right = np.concatenate([np.where(target[..., :1] == 1, 9.0, -9.0), *geometry], axis=-1).astype(np.float32)
    best = float(detector.loss(target, right))
    assert best < 0.01
    for channel in range(detector.CHANNELS):
        wrong = right.copy()
        wrong[..., channel] += 1.5 if channel else -12
        assert float(detector.loss(target, wrong)) > best + 0.01
