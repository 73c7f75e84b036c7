"""Where a model looked: class-activation maps from its own feature map, and occlusion sensitivity for any model.

A class-activation map (Zhou et al. 2016) is exact here: the network ends in a linear layer and an average, so that the mean of
each map is the class's own score. What all maps have in common does not change the answer and is taken out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from happysad.answers import HAPPY, SAD
from happysad.closeup import Closeup, closeup
from happysad.contract import LOOKS
from happysad.errors import ImageError, MissingExtraError
from happysad.faces import FaceDetector
from happysad.metrics import Estimate, Resamples, means
from happysad.predict import Predictor, grade

PATCH, STEP = 1 / 6, 1 / 12  # of the grey square that covers a part, in sides of the crop
EYE, MOUTH = 0.12, 0.10  # reach of the regions around eyes and mouth corners, in sides of the crop
HAPPY_COLOUR, SAD_COLOUR = "#d98200", "#3f7fd9"

Json = dict[str, Any]


@dataclass(frozen=True)
class Explanation:
    """Where the model looked in one face.

    Attributes:
        face: what it was shown.
        p: its probabilities, float64 (4,), as `happysad.contract.LOOKS`.
        maps: float64 (4, s, s), how much each place of the crop speaks for each look, against the mean of all looks.
        occlusion: float64 (4, s, s), how much p of each look falls when the place is covered; None where it was not asked for.
    """

    face: Closeup
    p: np.ndarray
    maps: np.ndarray
    occlusion: np.ndarray | None


def explain(
    photo: Any, predictor: Predictor, *, cropped: bool = False, occlude: bool = True, detector: FaceDetector | None = None
) -> Explanation:
    """Where the model looked in the largest face of a photo.

    Args:
        photo: as for `happysad.image.read_image`.
        predictor: with the model to explain.
        cropped: the photo *is* a face crop.
        occlude: whether to measure occlusion sensitivity too: a hundred predictions more.
        detector: to find the face with; None loads the bundled one.

    Raises:
        ImageError: the photo cannot be read, or shows no face.
    """
    face = closeup(photo, predictor.contract, detector or FaceDetector(), cropped=cropped)
    if face is None:
        raise ImageError("no face was found in this photo; if it is a face crop already, add --cropped")
    p = predictor.classify(face.crop[None])[0].astype(np.float64)
    return Explanation(face, p, activation_maps(predictor, face.crop), occlusion(predictor, face.crop) if occlude else None)


def activation_maps(predictor: Predictor, crop: np.ndarray) -> np.ndarray:
    """Class-activation maps of a crop uint8 (s, s, c): float64 (4, s, s), zeros for looks that the model does not know.

    Before they are brought to the size of the crop, the difference of two means is the difference of the two log p.
    """
    coarse = evidence(predictor, crop[None])[0]
    return np.stack([_enlarged(one, len(crop)) for one in np.moveaxis(coarse, 2, 0)])


def evidence(predictor: Predictor, crops: np.ndarray) -> np.ndarray:
    """The maps of crops (n, s, s, c) in their own resolution, float64 (n, h, w, 4): each look against the mean of all looks."""
    own = predictor.maps(crops).astype(np.float64)
    against = own - own.mean(axis=3, keepdims=True)
    looks = np.zeros((*own.shape[:3], len(LOOKS)))
    for column, name in enumerate(predictor.contract.classes):
        looks[..., LOOKS.index(name)] = against[..., column]
    return looks


def _enlarged(values: np.ndarray, side: int) -> np.ndarray:
    picture = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float64)


def occlusion(predictor: Predictor, crop: np.ndarray) -> np.ndarray:
    """How much p of each look falls when a part of the crop is covered with grey (Zeiler and Fergus 2014): float64 (4, s, s)."""
    side = len(crop)
    patch, step = max(1, round(PATCH * side)), max(1, round(STEP * side))
    places = [(y, x) for y in range(0, side - patch + 1, step) for x in range(0, side - patch + 1, step)]
    covered = np.repeat(crop[None], len(places), axis=0)
    grey = crop.mean(axis=(0, 1)).astype(np.uint8)
    for one, (y, x) in zip(covered, places, strict=True):
        one[y : y + patch, x : x + patch] = grey
    falls = predictor.classify(crop[None]).astype(np.float64) - predictor.classify(covered)
    total, times = np.zeros((len(LOOKS), side, side)), np.zeros((side, side))
    for fall, (y, x) in zip(falls, places, strict=True):
        total[:, y : y + patch, x : x + patch] += fall[:, None, None]
        times[y : y + patch, x : x + patch] += 1
    return np.asarray(total / np.maximum(times, 1))


# ---- a picture of it


def sheet(explanation: Explanation) -> Image.Image:
    """The face, what speaks for happy and for sad in it, the effect of covering it, the mood and the probabilities, side by side.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "to draw an explanation", 'pip install "happysad[report]"') from None
    panels = list(_panels(explanation))
    figure = Figure(figsize=(2.4 * (len(panels) + 2), 2.9), dpi=120, layout="constrained", facecolor="white")
    photo, *maps, answer = figure.subplots(1, len(panels) + 2)
    _draw_photo(photo, explanation.face)
    for axes, (title, values, colour) in zip(maps, panels, strict=True):
        _draw_map(axes, title, explanation.face.crop, values, colour)
    _draw_answer(answer, explanation)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def _panels(explanation: Explanation) -> Iterator[tuple[str, np.ndarray, str]]:
    yield "speaks for happy", explanation.maps[HAPPY], HAPPY_COLOUR
    yield "speaks for sad", explanation.maps[SAD], SAD_COLOUR
    if explanation.occlusion is not None:
        label = HAPPY if explanation.p[HAPPY] >= explanation.p[SAD] else SAD
        colour = HAPPY_COLOUR if label == HAPPY else SAD_COLOUR
        yield f"covering this makes it less {LOOKS[label]}", explanation.occlusion[label], colour


def _draw_photo(axes: Any, face: Closeup) -> None:
    axes.imshow(face.image)
    axes.set_title("photo", fontsize=9)
    axes.axis("off")
    if face.box is not None:
        x0, y0, x1, y1 = face.box
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="white", linewidth=3)
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="black", linewidth=1.2)


def _draw_map(axes: Any, title: str, crop: np.ndarray, values: np.ndarray, colour: str) -> None:
    """The crop in grey, coloured where the map is above 0; the strongest place of each map is as strong as another's."""
    axes.imshow(crop.mean(axis=2), cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
    strength = np.clip(values, 0, None) / max(float(values.max()), 1e-9)
    paint = np.zeros((*strength.shape, 4))
    paint[..., :3] = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    paint[..., 3] = 0.7 * strength
    axes.imshow(paint, interpolation="bicubic")
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def _draw_answer(axes: Any, explanation: Explanation) -> None:
    """The mood on its scale, and below it the four probabilities."""
    mood = float(explanation.p[HAPPY] - explanation.p[SAD])
    colours = (HAPPY_COLOUR, "#9a9a9a", SAD_COLOUR, "#3f9a5f")
    axes.barh(range(len(LOOKS)), explanation.p, color=colours)
    axes.set_yticks(
        range(len(LOOKS)), [f"{look} {value:.2f}" for look, value in zip(LOOKS, explanation.p, strict=True)], fontsize=9
    )
    axes.axhline(-0.75, color="#dddddd", linewidth=6, solid_capstyle="round")
    axes.plot([(mood + 1) / 2], [-0.75], marker="o", markersize=9, color=HAPPY_COLOUR if mood > 0 else SAD_COLOUR, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(len(LOOKS) - 0.4, -1.2), xticks=[])
    axes.set_title(f"looks {grade(mood)}, mood {mood:+.2f}".replace("-", "−"), fontsize=9)
    for side in axes.spines.values():
        side.set_visible(False)


# ---- one number over many photos


def regions(landmarks: np.ndarray, side: int) -> dict[str, np.ndarray]:
    """Which of side × side places belong to the ``eyes`` (with brows) and to the ``mouth``: bool (side, side) each.

    Args:
        landmarks: (5, 2), in sides of the crop.
        side: of the map.
    """
    across = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(across, across)
    left, right, _, mouth_left, mouth_right = landmarks

    def band(a: np.ndarray, b: np.ndarray, reach: float, up: float) -> np.ndarray:
        low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
        return np.asarray((x >= low[0]) & (x <= high[0]) & (y >= low[1] - up) & (y <= high[1]))

    return {"eyes": band(left, right, EYE, 0.04), "mouth": band(mouth_left, mouth_right, MOUTH, 0.0)}


def where_it_looked(faces: Iterable[Closeup], predictor: Predictor) -> Json:
    """How much of what speaks for the answer (happy or sad, whichever is likelier) lies in the eyes and in the mouth.

    Args:
        faces: n of them, see `happysad.closeup.closeup`.
        predictor: with the model to explain.

    Returns:
        For ``happy`` and ``sad`` answers: estimates of ``eyes``, ``mouth``, ``elsewhere`` (shares of the positive part of the
        map, which sum to 1) and of ``eyes_area``, ``mouth_area`` (the shares that a map without any preference would have).
    """
    shares: dict[str, list[list[float]]] = {"happy": [], "sad": []}
    for face in faces:
        p, maps = predictor.classify(face.crop[None])[0], activation_maps(predictor, face.crop)
        label = HAPPY if p[HAPPY] >= p[SAD] else SAD
        mass = np.clip(maps[label], 0, None)
        if mass.sum() > 0:
            part = regions(face.landmarks, len(face.crop))
            inside = {name: float(mass[where].sum() / mass.sum()) for name, where in part.items()}
            area = [float(where.mean()) for where in part.values()]
            shares[LOOKS[label]].append([inside["eyes"], inside["mouth"], 1 - sum(inside.values()), *area])
    return {label: _means(np.array(rows).reshape(-1, 5)) for label, rows in shares.items()}


def _means(rows: np.ndarray) -> dict[str, Estimate]:
    names = ("eyes", "mouth", "elsewhere", "eyes_area", "mouth_area")
    found = Resamples(len(rows)).estimates(means(**dict(zip(names, rows.T, strict=True))))
    return {name: found[name] for name in names}
