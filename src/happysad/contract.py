"""What a model file promises: one ONNX file that carries its own description.

The description is JSON under the metadata key `METADATA_KEY`. A file without it is not loaded: class order, crop and
calibration are never guessed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from happysad.errors import ModelError

METADATA_KEY = "happysad"
FORMAT = 1
LOOKS = ("happy", "neutral", "sad", "other")
BUNDLED = ("mood.onnx", "face-detector.onnx")


@dataclass(frozen=True)
class CropGeometry:
    """How the square crop lies on a found face; the same in training and in use.

    Attributes:
        scale: side of the square, in units of the square root of the box's area.
        lift: how far the square's centre lies above the box's centre, in sides of the square, along the face's own axis.
        level: whether the crop is turned so that the eyes are level.
    """

    scale: float = 1.19
    lift: float = 0.017
    level: bool = True


@dataclass(frozen=True)
class Contract:
    """The promise of a mood model.

    Attributes:
        name: what the model is called in reports.
        classes: names of the columns of output ``p``, in order.
        input_size: side of the square uint8 crops in pixels.
        channels: 1 (grey) or 3 (RGB).
        crop: how crops are cut.
        look_weights: per class; the look is the class with the largest probability times weight.
        confidence: slope and offset of the line in log-odds that turns p(happy) against p(sad) into a calibrated confidence.
        min_confidence: below it an answer is not certain.
        trained_on: data sets with their terms.
        scores: measured figures, each ``{"value", "low", "high", "n"}``.
        recipe: the command and settings that made it.
    """

    name: str
    classes: tuple[str, ...] = LOOKS
    input_size: int = 48
    channels: int = 1
    crop: CropGeometry = field(default_factory=CropGeometry)
    look_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    confidence: tuple[float, float] = (1.0, 0.0)
    min_confidence: float = 0.9
    trained_on: tuple[str, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def look_of(self, p: np.ndarray) -> str:
        """The most fitting of `LOOKS` for probabilities (4,): the largest of probability times weight."""
        weight = dict(zip(self.classes, self.look_weights, strict=True))
        weighted = [float(value) * weight.get(look, 0.0) for look, value in zip(LOOKS, p, strict=True)]
        return LOOKS[int(np.argmax(weighted))]

    def confidence_of(self, happy: float, sad: float) -> float:
        """Calibrated probability, in [0.5, 1], that the likelier of the two is right, given that it is one of them."""
        tiny = 1e-6
        odds = abs(math.log((happy + tiny) / (sad + tiny)))
        slope, offset = self.confidence
        return max(0.5, 1 / (1 + math.exp(-(slope * odds + offset))))

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "kind": "mood", **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Raises `ModelError` where the text is not a contract of this format."""
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT or content.pop("kind") != "mood":
                raise ModelError(f"the model file is not a mood model of format {FORMAT}; export it again with this version")
            known = {item.name for item in fields(cls)}
            content["crop"] = CropGeometry(**content["crop"])
            lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
            return cls(**{name: value for name, value in (content | lists).items() if name in known})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"the model file's contract cannot be read ({error}); export the model again") from error


def open_session(path: Path | None, bundled: str, threads: int) -> ort.InferenceSession:
    """An ONNX session for the file at ``path``, or for the bundled file of that name, checked against its sha256.

    Raises:
        ModelError: missing, damaged, or not an ONNX file.
    """
    try:
        content = read_bundled(bundled) if path is None else path.read_bytes()
    except OSError as error:
        raise ModelError(f"the model file cannot be read: {error.strerror or error}") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which are not public
        raise ModelError("the model file is not an ONNX file that onnxruntime can load; expected one made by happysad") from error


def read_bundled(name: str) -> bytes:
    """The bytes of a model file of the package.

    Raises:
        ModelError: the bytes are not the ones that were released.
    """
    content = resources.files("happysad").joinpath("models", name).read_bytes()
    expected = released_sha256()[name]
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelError(f"{name} is damaged (sha256 {found[:12]}…, released {expected[:12]}…); install happysad again")
    return content


def released_sha256() -> dict[str, str]:
    """sha256 of each bundled model file, by name."""
    lines = resources.files("happysad").joinpath("models", "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def read_contract(session: ort.InferenceSession) -> Contract:
    """The promise that a mood model carries.

    Raises:
        ModelError: there is none.
    """
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise ModelError(
            "this ONNX file carries no happysad contract (classes, crop, calibration); use a model.onnx of a happysad run"
        )
    return Contract.from_json(metadata[METADATA_KEY])
