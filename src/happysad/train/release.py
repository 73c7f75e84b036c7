"""Turn finished trainings into the two model files that ship.

    python -m happysad.train.release --data DATA --mood runs/mood --detector runs/detector

Calibrates the mood model on the valid rows, writes both ONNX files into the package, and lists their sha256.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import click
import keras
import numpy as np

from happysad.contract import BUNDLED, Contract
from happysad.train import calibrate, fer2013, mood
from happysad.train.detector import WEIGHTS
from happysad.train.detector import network as detector_network
from happysad.train.export import mirror_averaged, mirror_averaged_detector, write_onnx

MODELS = Path(str(resources.files("happysad"))) / "models"
TRAINED_ON = (
    "FER2013 (Goodfellow et al. 2013), train rows: images for research, rights of the photos unresolved; original labels",
    "FER+ (Barsoum et al. 2016), votes of the same rows: MIT licence",
)


def release_mood(data: Path, run: Path, settings: mood.Settings) -> Contract:
    """Calibrate and export the mood model; returns its contract."""
    trained = mood.network(settings)
    trained.load_weights(run / "mood.weights.h5")
    valid = fer2013.load(data, "valid")
    plain = mirror_averaged(trained, 1.0, np.zeros(len(fer2013.LOOKS)))
    logits = plain.predict(valid.images[..., None], batch_size=256, verbose=0)["maps"].mean(axis=(1, 2))
    fitted = calibrate.calibrate(logits, valid.look_shares())
    contract = Contract(
        name="happysad mood 1",
        look_weights=fitted.look_weights,
        confidence=fitted.confidence,
        min_confidence=fitted.min_confidence,
        trained_on=TRAINED_ON,
        recipe={
            "command": "python -m happysad.train.mood --data DATA --run runs/mood",
            "settings": asdict(settings),
            "data_sha256": _sha256(data / fer2013.ARCHIVE),
            "calibrated_on": "FER2013 valid rows",
        },
    )
    write_onnx(mirror_averaged(trained, fitted.scale, fitted.shift), MODELS / "mood.onnx", contract)
    return contract


def release_detector(run: Path) -> None:
    """Export the face detector."""
    trained = detector_network()
    trained.load_weights(run / WEIGHTS)
    write_onnx(mirror_averaged_detector(trained), MODELS / "face-detector.onnx")


def write_sums() -> None:
    """List the sha256 of the bundled models, in the form that ``sha256sum -c`` reads."""
    lines = [f"{_sha256(MODELS / name)}  {name}\n" for name in BUNDLED]
    (MODELS / "SHA256SUMS").write_text("".join(lines))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--mood", "mood_run", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--detector", "detector_run", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
def main(data: Path, mood_run: Path, detector_run: Path) -> None:
    keras.config.set_dtype_policy("float32")
    settings = mood.Settings(**json.loads((mood_run / "settings.json").read_text()))
    contract = release_mood(data, mood_run, settings)
    release_detector(detector_run)
    write_sums()
    click.echo(contract.to_json())


if __name__ == "__main__":
    main()
