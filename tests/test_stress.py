"""Damage does what its name says, keeps the shape, and leaves the undamaged figures alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import folder_of, jpeg, photo
from made_up import scored
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from happysad.predict import Predictor, sharpness
from happysad.stress import KINDS, stress


def crop() -> np.ndarray:
    return np.asarray(photo(3, 48).convert("L"))[..., None]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_keeps_shape_and_type_and_grows_with_its_level(kind: str) -> None:
    damage, _, levels = KINDS[kind]
    changes = []
    for level in levels:
        damaged = damage(crop(), level, np.random.default_rng(0))
        assert_equal([damaged.shape, damaged.dtype], [(48, 48, 1), np.uint8])
        changes.append(np.abs(damaged.astype(float) - crop()).mean())
    assert_array_equal(changes, sorted(changes))
    assert (changes[0] > 0) == (kind != "grey")


def test_blur_takes_sharpness_and_darkness_takes_light() -> None:
    damages = {kind: KINDS[kind][0](crop(), KINDS[kind][2][-1], np.random.default_rng(0)) for kind in ("blur", "dark", "bright")}
    assert sharpness(damages["blur"]) < sharpness(crop()) / 2
    assert damages["dark"].mean() < crop().mean() < damages["bright"].mean()


def test_a_shift_moves_the_picture_and_a_turn_by_nothing_leaves_it() -> None:
    marked = np.zeros((48, 48, 1), np.uint8)
    marked[20:28, 20:28] = 255
    shifted = KINDS["box shifted"][0](marked, 0.2, np.random.default_rng(1))
    rows, columns = np.nonzero(shifted[..., 0] > 128)
    assert_allclose(np.hypot(rows.mean() - 23.5, columns.mean() - 23.5), 0.2 * 48, atol=0.7)
    assert_array_equal(KINDS["turned"][0](crop(), 0, np.random.default_rng(0)), crop())


def test_undamaged_figures_are_those_of_the_plain_way(tmp_path: Path, predictor: Predictor) -> None:
    folder_of(tmp_path, {f"{i}.png": jpeg(photo(i, 48)) for i in range(6)})
    frame = scored(["happy", "sad"] * 3, ["happy", "sad"] * 3).assign(cropped=True)
    report = stress(frame, tmp_path, predictor)
    right = [predictor.predict(tmp_path / f"{i}.png", cropped=True).faces[0].label == ("happy", "sad")[i % 2] for i in range(6)]
    assert_allclose(report["undamaged"]["accuracy"]["value"], np.mean(right))
    assert_equal(report["undamaged"]["mood_change"]["value"], 0)
    assert_equal(report["kinds"]["grey"][0]["accuracy"], report["undamaged"]["accuracy"])
    assert_equal(
        {name: len(levels) for name, levels in report["kinds"].items()}, {name: len(kind[2]) for name, kind in KINDS.items()}
    )
