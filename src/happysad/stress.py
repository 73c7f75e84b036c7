"""What becomes of the answers when pictures get worse: a good model gets unsure, not wrong.

The face is cut out of the good picture first, then the crop is damaged; so all kinds of damage can be told apart, and faces
that would not be found any more are not mixed in.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

from happysad.answers import HAPPY, SAD, Answers, Truth
from happysad.closeup import Closeup, closeup
from happysad.errors import ImageError
from happysad.faces import FaceDetector
from happysad.manifest import BOX, photo_bytes
from happysad.metrics import Resamples, agreement, means
from happysad.parallel import map_in_order
from happysad.predict import MIN_SHARPNESS, Predictor, sharpness

if TYPE_CHECKING:
    import pandas as pd

MOST = 1000  # faces; more make the figures hardly sharper and the wait long

Json = dict[str, Any]
Damage = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def stress(scored: pd.DataFrame, base: str | os.PathLike[str], predictor: Predictor, *, seed: int = 0) -> Json:
    """Figures of the same faces under each kind and level of damage.

    Args:
        scored: what `happysad.evaluate.score` returns; at most `MOST` faces are taken, drawn by chance.
        base: the folder that relative paths lead from.
        predictor: with the model to measure.
        seed: of all draws.

    Returns:
        ``n`` faces, ``undamaged`` figures, and ``kinds``: by name, a list of ``{"level", "unit", **figures}``. Figures: happy/sad
        ``accuracy``, share of ``certain`` answers and their ``certain_accuracy``, share of ``certain_errors`` among all,
        ``mood_change`` (mean distance from the undamaged mood), and ``mood_ccc`` with the votes where there are any.
    """
    usable = scored[scored["found"]]
    rows = usable.sample(min(MOST, len(usable)), random_state=seed).sort_index()
    faces = list(map_in_order(_closeups(base, predictor), rows.to_dict("records"), len(rows), "crops"))
    kept = np.array([face is not None for face in faces])
    truth, draws = Truth.of(rows[kept]), Resamples(int(kept.sum()), rows["subject"].to_numpy()[kept], seed=seed)
    found = [face for face in faces if face is not None]
    cropped = rows["cropped"].to_numpy(bool)[kept]

    def answers(damage: Damage, level: float) -> Answers:
        rng = np.random.default_rng(seed)
        crops = np.stack([damage(face.crop, level, rng) for face in found])
        clear = cropped | np.array([sharpness(crop) >= MIN_SHARPNESS for crop in crops])
        return Answers.of(predictor.classify(crops), predictor.contract, clear)

    if not found:
        return {"n": 0, "undamaged": None, "kinds": {}}
    good = answers(_undamaged, 0)
    kinds = {
        name: [{"level": level, "unit": unit, **_figures(answers(damage, level), good, truth, draws)} for level in levels]
        for name, (damage, unit, levels) in KINDS.items()
    }
    return {"n": len(found), "undamaged": _figures(good, good, truth, draws), "kinds": kinds}


def _closeups(base: str | os.PathLike[str], predictor: Predictor) -> Callable[[Mapping[str, Any]], Closeup | None]:
    detector = FaceDetector(threads=1)

    def look(row: Mapping[str, Any]) -> Closeup | None:
        box = [row[side] for side in BOX]
        try:
            return closeup(photo_bytes(row["path"], base), predictor.contract, detector, cropped=row["cropped"], box=box)
        except ImageError:
            return None

    return look


def _figures(answers: Answers, good: Answers, truth: Truth, draws: Resamples) -> Json:
    pair = np.isin(truth.look, [HAPPY, SAD])
    right, sure = answers.says_happy == (truth.look == HAPPY), answers.certain
    votes = draws.only(truth.voted).estimates(agreement(answers.mood[truth.voted], truth.mood[truth.voted]))
    return {
        "accuracy": draws.only(pair).share(right[pair]),
        "certain": draws.only(pair).share(sure[pair]),
        "certain_accuracy": draws.only(pair & sure).share(right[pair & sure]),
        "certain_errors": draws.only(pair).share((sure & ~right)[pair]),
        "mood_change": draws.estimates(means(change=np.abs(answers.mood - good.mood)))["change"],
        "mood_ccc": votes["ccc"],
    }


# ---- kinds of damage: each takes a crop uint8 (s, s, c), a level and a generator, and returns a crop of the same shape


def _undamaged(crop: np.ndarray, _level: float, _rng: np.random.Generator) -> np.ndarray:
    return crop


def _through_pillow(change: Callable[[Image.Image, float], Image.Image]) -> Damage:
    def damage(crop: np.ndarray, level: float, _rng: np.random.Generator) -> np.ndarray:
        picture = Image.fromarray(crop.squeeze(2) if crop.shape[2] == 1 else crop)
        return np.asarray(change(picture, level)).reshape(crop.shape)

    return damage


def _blurred(picture: Image.Image, radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius * picture.width))


def _small(picture: Image.Image, side: float) -> Image.Image:
    return picture.resize((int(side), int(side)), Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR)


def _squeezed(picture: Image.Image, quality: float) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(quality))
    return Image.open(file)


def _grey(picture: Image.Image, _level: float) -> Image.Image:
    return picture.convert("L").convert(picture.mode)


def _noisy(crop: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(crop + rng.normal(0, deviation, crop.shape), 0, 255).astype(np.uint8)


def _lit(crop: np.ndarray, factor: float, _rng: np.random.Generator) -> np.ndarray:
    return np.clip(crop * np.float64(factor), 0, 255).astype(np.uint8)


def _turned(crop: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    return _moved(crop, angle=np.deg2rad(degrees) * rng.choice([-1, 1]))


def _scaled(crop: np.ndarray, factor: float, _rng: np.random.Generator) -> np.ndarray:
    return _moved(crop, zoom=factor)


def _shifted(crop: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    direction = rng.uniform(0, 2 * np.pi)
    return _moved(crop, shift=share * len(crop) * np.array([np.cos(direction), np.sin(direction)]))


def _moved(crop: np.ndarray, angle: float = 0.0, zoom: float = 1.0, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """The crop turned, enlarged and shifted (pixels) about its middle; what comes in from outside repeats the border."""
    side = len(crop)
    wide = np.pad(crop, ((side, side), (side, side), (0, 0)), mode="edge")
    picture = Image.fromarray(wide.squeeze(2) if crop.shape[2] == 1 else wide)
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    start = np.full(2, 1.5 * side) + shift - axes @ np.full(2, side / 2)
    moved = picture.transform(
        (side, side), Image.Transform.AFFINE, (*axes[0], start[0], *axes[1], start[1]), Image.Resampling.BILINEAR
    )
    return np.asarray(moved).reshape(crop.shape)


def _covered(top: float, bottom: float) -> Damage:
    """A bar over the whole width, in the mean grey of the crop, as by sunglasses or a mask."""

    def damage(crop: np.ndarray, _level: float, _rng: np.random.Generator) -> np.ndarray:
        covered = crop.copy()
        covered[round(top * len(crop)) : round(bottom * len(crop))] = crop.mean(axis=(0, 1)).astype(np.uint8)
        return covered

    return damage


KINDS: Mapping[str, tuple[Damage, str, tuple[float, ...]]] = {
    "blur": (_through_pillow(_blurred), "radius, in sides of the crop", (0.02, 0.04, 0.08)),
    "small": (_through_pillow(_small), "pixels across the crop", (24, 16, 10)),
    "noise": (_noisy, "standard deviation, of 255", (10, 25, 50)),
    "jpeg": (_through_pillow(_squeezed), "quality", (50, 20, 8)),
    "dark": (_lit, "times the light", (0.5, 0.25, 0.1)),
    "bright": (_lit, "times the light", (1.5, 2, 3)),
    "turned": (_turned, "degrees", (10, 20, 40)),
    "box too wide": (_scaled, "times the size", (0.9, 0.8, 0.65)),
    "box too narrow": (_scaled, "times the size", (1.1, 1.25, 1.5)),
    "box shifted": (_shifted, "sides of the crop", (0.05, 0.1, 0.2)),
    "eyes covered": (_covered(0.28, 0.52), "", (1,)),
    "mouth covered": (_covered(0.64, 0.86), "", (1,)),
    "grey": (_through_pillow(_grey), "", (1,)),
}
"""Name, damage, unit of the level, levels from mild to severe."""
