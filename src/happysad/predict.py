"""From a photo to how happy or sad each face in it looks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from happysad.contract import LOOKS, open_session, read_contract
from happysad.errors import ImageError, MissingExtraError
from happysad.faces import FaceDetector, Faces, cut_out, fit_crop, yaw
from happysad.image import Decoded, read_image

GRADES = ("sad", "slightly sad", "neutral", "slightly happy", "happy")
GRADE_EDGES = (-0.6, -0.2, 0.2, 0.6)
DECODE_SIDE = 1280  # no look of the detector is larger, so photos need not be decoded any larger
MIN_FACE_SIDE = 24.0  # pixels of the photo; smaller faces show too little
MAX_YAW = 0.55
MIN_SHARPNESS = 4.0
BATCH = 64

WhichFaces = Literal["all", "largest"]


@dataclass(frozen=True)
class FaceMood:
    """How one face looks. The fields are those of the JSON that `happysad predict` prints.

    Attributes:
        box: x0, y0, x1, y1, half open, in pixels of the upright photo; None where the photo itself is the crop.
        detector_score: in [0, 1]; None where the photo itself is the crop.
        landmarks: five (x, y): eyes (left in the photo first), nose, mouth corners; None likewise.
        p: probability of each look; sums to 1.
        mood: p(happy) − p(sad), in [−1, 1].
        grade: one of `GRADES`, cut from ``mood``.
        look: the most fitting of the four looks.
        label: ``happy`` or ``sad``, whichever is likelier.
        confidence: calibrated probability that ``label`` is right, given that it is one of the two; in [0.5, 1].
        certain: False where the answer should not be used.
        reason: why not, in words; None where certain.
    """

    box: tuple[int, int, int, int] | None
    detector_score: float | None
    landmarks: tuple[tuple[float, float], ...] | None
    p: dict[str, float]
    mood: float
    grade: str
    look: str
    label: str
    confidence: float
    certain: bool
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, as the JSON has them."""
        return {
            **vars(self),
            "box": None if self.box is None else list(self.box),
            "landmarks": None if self.landmarks is None else [list(point) for point in self.landmarks],
            "p": dict(self.p),
        }


@dataclass(frozen=True)
class Prediction:
    """What was seen in one photo.

    Attributes:
        path: the photo as it was given; None for arrays, bytes and the like.
        width, height: of the upright photo in pixels; None where it could not be read.
        error: one sentence where the photo could not be read, else None.
        faces: from left to right; empty where there is none.
    """

    path: str | None
    width: int | None
    height: int | None
    error: str | None
    faces: tuple[FaceMood, ...]

    def to_dict(self) -> dict[str, Any]:
        """The object that `happysad predict --json` prints."""
        return {**vars(self), "faces": [face.to_dict() for face in self.faces]}


class Predictions(list[Prediction]):
    """A list of `Prediction`, in the order given, that can turn into a table."""

    def to_pandas(self) -> Any:
        """A pandas DataFrame with one row per face; a photo without a face, or with an error, is one row with ``face`` missing.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("pandas", "to make a table", 'pip install "happysad[data]"') from None
        frame = pd.DataFrame(rows(self), columns=list(COLUMNS))
        return frame.astype({"face": "Int64"})


COLUMNS = (
    *("path", "width", "height", "face", "x0", "y0", "x1", "y1", "detector_score"),
    *(f"p_{look}" for look in LOOKS),
    *("mood", "grade", "look", "label", "confidence", "certain", "reason", "error"),
)


def rows(predictions: Iterable[Prediction]) -> Iterable[dict[str, Any]]:
    """Flat rows with the keys `COLUMNS`, one per face; None where a photo has none."""
    empty = dict.fromkeys(COLUMNS)
    for photo in predictions:
        head = {"path": photo.path, "width": photo.width, "height": photo.height, "error": photo.error}
        if not photo.faces:
            yield {**empty, **head}
        for index, face in enumerate(photo.faces):
            box = dict(zip(("x0", "y0", "x1", "y1"), face.box or (None,) * 4, strict=True))
            p = {f"p_{look}": value for look, value in face.p.items()}
            plain = {name: value for name, value in vars(face).items() if name in COLUMNS}
            yield {**empty, **head, "face": index, **box, **p, **plain}


class Predictor:
    """The face detector and a mood model, loaded once; threads may share it.

    Args:
        model: a ``model.onnx`` made by happysad; None takes the bundled one.
        threads: processor threads for one photo. Many photos go faster with one thread each, several at a time.

    Raises:
        happysad.errors.ModelError: the model file cannot be used.

    Example:
        >>> import numpy as np
        >>> from happysad import Predictor
        >>> Predictor().predict(np.zeros((90, 120, 3), np.uint8)).faces
        ()
    """

    def __init__(self, model: str | os.PathLike[str] | None = None, *, threads: int = 1) -> None:
        self._session = open_session(None if model is None else Path(model), "mood.onnx", threads)
        self.contract = read_contract(self._session)
        self._detector = FaceDetector(threads=threads)

    def predict(self, photo: Any, *, cropped: bool = False, faces: WhichFaces = "all") -> Prediction:
        """What is seen in one photo; an unreadable photo is a `Prediction` with an ``error``, not an exception.

        Args:
            photo: path, ``"-"`` for standard input, bytes, file object, numpy array (h, w[, 3 or 4]) or PIL image.
            cropped: the photo *is* a face crop, as in FER2013; nothing is searched.
            faces: ``"all"``, or ``"largest"`` for the largest only.
        """
        path = os.fspath(photo) if isinstance(photo, (str, os.PathLike)) else None
        try:
            decoded = read_image(photo, max_side=DECODE_SIDE)
        except ImageError as error:
            return Prediction(path, None, None, str(error), ())
        found = self._whole(decoded) if cropped else self._found(decoded, faces)
        return Prediction(path, decoded.width, decoded.height, None, found)

    def predict_many(self, photos: Iterable[Any], *, cropped: bool = False, faces: WhichFaces = "all") -> Predictions:
        """`predict` for each photo, in order."""
        return Predictions(self.predict(photo, cropped=cropped, faces=faces) for photo in photos)

    def classify(self, crops: np.ndarray) -> np.ndarray:
        """Probabilities of the looks for face crops.

        Args:
            crops: uint8 (n, size, size, channels), as the contract says.

        Returns:
            float32 (n, 4), columns as `happysad.contract.LOOKS`; rows sum to 1, and are 0 for looks that the model does not know.
        """
        own = self._run("p", crops)
        p = np.zeros((len(own), len(LOOKS)), np.float32)
        for column, name in enumerate(self.contract.classes):
            p[:, LOOKS.index(name)] = own[:, column]
        return p

    def maps(self, crops: np.ndarray) -> np.ndarray:
        """Where in the crops each look was seen: float32 (n, h, w, classes), whose mean over h and w is log p plus a constant."""
        return self._run("maps", crops)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """What the model knows about each crop before it decides: float32 (n, c)."""
        return self._run("embedding", crops)

    def _run(self, output: str, crops: np.ndarray) -> np.ndarray:
        wanted = (self.contract.input_size, self.contract.input_size, self.contract.channels)
        if crops.dtype != np.uint8 or crops.shape[1:] != wanted:
            raise ValueError(f"expected crops uint8 (n, {', '.join(map(str, wanted))}), got {crops.dtype} {crops.shape}")
        batches = [crops[i : i + BATCH] for i in range(0, len(crops), BATCH)] or [crops]
        return np.concatenate([self._session.run([output], {"crops": batch})[0] for batch in batches])

    def _whole(self, decoded: Decoded) -> tuple[FaceMood, ...]:
        crop = fit_crop(decoded.pixels, self.contract.input_size, self.contract.channels)
        p = self.classify(crop[None])[0]
        return (self._mood(p, None, None, None, self._doubt_of_size(min(decoded.width, decoded.height))),)

    def _found(self, decoded: Decoded, which: WhichFaces) -> tuple[FaceMood, ...]:
        faces = self._detector(decoded.pixels)
        if which == "largest" and faces.n:
            faces = faces.take(np.argmax(faces.sides, keepdims=True))
        crops = cut_out(decoded.pixels, faces, self.contract.crop, self.contract.input_size, self.contract.channels)
        p = self.classify(crops)
        full = _at_full_size(faces, decoded)
        return tuple(
            self._mood(
                p[i],
                _pixel_box(full.boxes[i], decoded),
                round(float(full.scores[i]), 4),
                tuple((round(float(x), 1), round(float(y), 1)) for x, y in full.landmarks[i]),
                self._doubt(full, crops, i),
            )
            for i in range(faces.n)
        )

    def _doubt(self, faces: Faces, crops: np.ndarray, i: int) -> str | None:
        """Why a picture of a face shows too little, whatever the model says about it."""
        if (reason := self._doubt_of_size(float(faces.sides[i]))) is not None:
            return reason
        if yaw(faces.landmarks[i]) > MAX_YAW:
            return "the face is turned too far away"
        if sharpness(crops[i]) < MIN_SHARPNESS:
            return "the face is too blurred"
        return None

    @staticmethod
    def _doubt_of_size(side: float) -> str | None:
        return f"the face is too small ({side:.0f} pixels, needs {MIN_FACE_SIDE:.0f})" if side < MIN_FACE_SIDE else None

    def _mood(
        self,
        p: np.ndarray,
        box: tuple[int, int, int, int] | None,
        score: float | None,
        landmarks: tuple[tuple[float, float], ...] | None,
        doubt: str | None,
    ) -> FaceMood:
        happy, _, sad, _ = (float(value) for value in p)
        label = "happy" if happy >= sad else "sad"
        confidence = self.contract.confidence_of(happy, sad)
        look = self.contract.look_of(p)
        reason = doubt or _doubt_of_answer(look, confidence, self.contract.min_confidence)
        mood = happy - sad
        return FaceMood(
            box=box,
            detector_score=score,
            landmarks=landmarks,
            p={name: round(float(value), 6) for name, value in zip(LOOKS, p, strict=True)},
            mood=round(mood, 6),
            grade=grade(mood),
            look=look,
            label=label,
            confidence=round(confidence, 6),
            certain=reason is None,
            reason=reason,
        )


def _doubt_of_answer(look: str, confidence: float, least: float) -> str | None:
    if look == "other":
        return "it looks like something other than happy, neutral or sad"
    if confidence < least:
        return f"happy and sad are too close to call (confidence {confidence:.2f}, needs {least:.2f})"
    return None


def grade(mood: float) -> str:
    """One of `GRADES` for a mood in [−1, 1]: sad < −0.6 ≤ slightly sad < −0.2 ≤ neutral ≤ 0.2 < slightly happy ≤ 0.6 < happy."""
    below = sum((mood >= edge) if edge < 0 else (mood > edge) for edge in GRADE_EDGES)
    return GRADES[below]


def sharpness(crop: np.ndarray) -> float:
    """Mean size of the second differences of a uint8 crop (s, s, c), in grey levels: low where nothing has an edge."""
    grey = crop.astype(np.float32).mean(axis=2)
    down, across = np.abs(np.diff(grey, n=2, axis=0)).mean(), np.abs(np.diff(grey, n=2, axis=1)).mean()
    return float(down + across)


def _at_full_size(faces: Faces, decoded: Decoded) -> Faces:
    """Faces found in reduced pixels, in pixels of the photo."""
    scale = np.array(decoded.scale, np.float32)
    return Faces(faces.boxes * np.tile(scale, 2), faces.scores, faces.landmarks * scale)


def _pixel_box(box: np.ndarray, decoded: Decoded) -> tuple[int, int, int, int]:
    """Whole pixels inside the photo, at least one each way."""
    x0, y0, x1, y1 = (int(value) for value in np.rint(box))
    x0, y0 = min(max(x0, 0), decoded.width - 1), min(max(y0, 0), decoded.height - 1)
    return x0, y0, max(min(x1, decoded.width), x0 + 1), max(min(y1, decoded.height), y0 + 1)


def predict(photos: Any, *, cropped: bool = False, faces: WhichFaces = "all") -> Any:
    """How happy or sad each face looks, by the bundled model.

    Args:
        photos: one photo (see `Predictor.predict`), or a list of them.
        cropped: each photo *is* a face crop.
        faces: ``"all"``, or ``"largest"`` for the largest of each photo only.

    Returns:
        `Prediction` for one photo, `Predictions` for a list.

    Example:
        >>> import numpy as np
        >>> import happysad
        >>> happysad.predict(np.full((64, 64), 128, np.uint8)).faces
        ()
    """
    predictor = _shared_predictor()
    if isinstance(photos, Sequence) and not isinstance(photos, (str, bytes)):
        return predictor.predict_many(photos, cropped=cropped, faces=faces)
    return predictor.predict(photos, cropped=cropped, faces=faces)


@cache
def _shared_predictor() -> Predictor:
    return Predictor()
