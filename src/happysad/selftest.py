"""Does this installation see what the released models saw? Two drawn faces, with the numbers they must give.

The numbers lie beside the models, in ``models/selftest.json``. ``python -m happysad.selftest`` writes them anew, which is due
whenever a model or the drawing changes.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from happysad.contract import released_sha256
from happysad.drawn import draw_photo
from happysad.errors import ModelError
from happysad.faces import WEAK_SCORE, FaceDetector, cut_out
from happysad.predict import Predictor

SMILES = {"smiling": 1.0, "frowning": -1.0}
TOLERANCES = {"box": 1.0, "detector_score": 0.02, "p": 0.01}
"""Largest difference that counts as the same, in pixels and in probability; processors round differently by far less."""


def measure() -> dict[str, dict[str, Any]]:
    """What the bundled models see in each drawn photo, the way of every photo: ``box``, ``detector_score`` and ``p``.

    The face may be as weak as a candidate can be, so that a drawing serves for any detector.

    Raises:
        ModelError: a model cannot be used, or finds no face.
    """
    detector, predictor = FaceDetector(), Predictor()
    crop, size, channels = predictor.contract.crop, predictor.contract.input_size, predictor.contract.channels
    seen = {}
    for name, smile in SMILES.items():
        photo = draw_photo(smile)
        faces = detector(photo, min_score=WEAK_SCORE)
        if not faces.n:
            raise ModelError(f"the face detector does not find the {name} face that it is tested with")
        best = faces.take(np.argmax(faces.scores, keepdims=True))
        p = predictor.classify(cut_out(photo, best, crop, size, channels))[0]
        seen[name] = {
            "box": [round(float(value), 2) for value in best.boxes[0]],
            "detector_score": round(float(best.scores[0]), 4),
            "p": [round(float(value), 5) for value in p],
        }
    return seen


def differences() -> list[str]:
    """One sentence for each number that is not as released; empty where all is well.

    Raises:
        ModelError: a model, or the file of expected numbers, cannot be used.
    """
    expected, seen = _expected(), measure()
    return [
        f"{key} of the {name} face is {seen[name][key]}, released was {expected[name][key]}"
        for name in SMILES
        for key, tolerance in TOLERANCES.items()
        if not np.allclose(seen[name][key], expected[name][key], rtol=0, atol=tolerance)
    ]


def write(path: Path) -> None:
    """Store what the bundled models see as the numbers to expect from now on.

    Raises:
        ModelError: the smiling face does not look happier than the frowning one, so that the numbers would prove nothing.
    """
    seen = measure()
    happy, frown = (np.array(seen[name]["p"])[[0, 2]] @ [1, -1] for name in ("smiling", "frowning"))
    if happy < frown + 0.2:
        raise ModelError(f"the smiling face has the mood {happy:.2f} and the frowning one {frown:.2f}; expected a gap of 0.2")
    path.write_text(json.dumps({"sha256": released_sha256(), "seen": seen}, indent=1) + "\n", encoding="utf-8")


def stored() -> Path:
    """Where the expected numbers lie."""
    return Path(str(resources.files("happysad") / "models" / "selftest.json"))


def _expected() -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(stored().read_text(encoding="utf-8"))
        seen: dict[str, dict[str, Any]] = content["seen"]
        belongs = content["sha256"] == released_sha256()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("the expected numbers (selftest.json) are missing or damaged; install happysad again") from error
    if not belongs:
        raise ModelError("the expected numbers belong to other models; write them with: python -m happysad.selftest")
    return seen


if __name__ == "__main__":
    write(stored())
    print(f"wrote {stored()}")
