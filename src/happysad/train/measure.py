"""Measure the shipped mood model on rows of FER2013 that it never saw, and write the figures down.

    python -m happysad.train.measure --data DATA --split test --out docs/models/mood-test.json

Everything goes through the bundled ONNX file. The test rows are for the final number only: choices are made on ``--split valid``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from happysad.answers import Answers
from happysad.contract import LOOKS, Contract
from happysad.evaluate import key_figures
from happysad.predict import Predictor
from happysad.train import fer2013


def measure(predictor: Predictor, faces: fer2013.VotedFaces) -> dict[str, Any]:
    """Key figures with intervals, and the confusion of looks: rows by majority of votes, columns by the answer."""
    p = predictor.classify(faces.images[..., None])
    label = np.where(faces.labels >= 0, fer2013.LOOK_OF_LABEL[faces.labels], -1)
    return {
        "figures": key_figures(p, faces.look_shares(), label, predictor.contract),
        "looks": list(LOOKS),
        "confusion_votes": confusion(p, faces.look_shares().argmax(axis=1), predictor.contract),
        "confusion_label": confusion(p[label >= 0], label[label >= 0], predictor.contract),
    }


def confusion(p: np.ndarray, true: np.ndarray, contract: Contract) -> list[list[int]]:
    look = Answers.of(p, contract).look
    return [[int(((true == row) & (look == column)).sum()) for column in range(len(LOOKS))] for row in range(len(LOOKS))]


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--split", type=click.Choice(["valid", "test"]), default="valid", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(data: Path, split: str, out: Path) -> None:
    measured = {"split": split, **measure(Predictor(), fer2013.load(data, split))}
    out.write_text(json.dumps(measured, indent=1) + "\n")
    for name, estimate in measured["figures"].items():
        click.echo(f"{name:20} {estimate['value']:.4f}  ({estimate['low']:.4f} to {estimate['high']:.4f})  n = {estimate['n']}")


if __name__ == "__main__":
    main()
