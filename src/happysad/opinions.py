"""Who is asked about the labels of a data set, and what they say: see `happysad.label_errors`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad.crops import crop_of
from happysad.errors import ImageError
from happysad.examine import kept_by_chunk
from happysad.label_errors import (
    OPINION_WEIGHT,
    Suspects,
    cross_validated,
    is_large_enough,
    linear_model,
    neutral_first,
    opinion_on,
    suspects,
)
from happysad.manifest import LABELS, read_photo
from happysad.predict import DECODE_SIDE, Predictor
from happysad.split import kept_together

if TYPE_CHECKING:
    import pandas as pd

    from happysad.contract import Contract


def opinions(
    frame: pd.DataFrame, manifest: str | os.PathLike[str], pairs: np.ndarray, model_has_seen: bool | None
) -> tuple[np.ndarray, Suspects | None]:
    """Numbers of the rows that have a label and a face, and what is thought of their labels.

    None where nobody can be asked: one class, or too few rows and a model that has seen them.
    """
    predictor = Predictor()
    # With several faces it is not known whose look the label means; that is a finding of its own.
    one_face = frame["cropped"] | (frame["faces"] == 1).fillna(False)
    labelled = (frame["label"] != "") & (frame["error"] == "") & one_face & (frame["cropped"] | frame["x0"].notna())
    chosen = np.flatnonzero(labelled.to_numpy(bool))
    labels = frame["label"].to_numpy(object)[chosen].astype(str)
    classes = tuple(label for label in LABELS if label in labels)
    if len(classes) < 2:
        return chosen, None
    seen = has_seen(predictor.contract, frame) if model_has_seen is None else model_has_seen
    if seen and not is_large_enough(labels):
        return chosen, None
    part, base = frame.iloc[chosen], Path(manifest).resolve().parent
    together = kept_together(frame, pairs)[chosen]
    if seen:
        p, readable = _from_crops(part, base, labels, together, classes, predictor)
    else:
        p, readable = _from_model(part, base, manifest, labels, together, classes, predictor)
    return chosen[readable], suspects(labels[readable], p[readable], classes)


def has_seen(contract: Contract, frame: pd.DataFrame) -> bool:
    """Whether the rows' ``source`` or file names a data set that the model was trained on; True where the contract names none."""
    known = [name for given in contract.trained_on if len(name := _letters(given.split()[0])) > 4]
    names = " ".join(_letters(name) for name in {*frame["source"], *(path.split("::")[0] for path in frame["path"])})
    return not known or any(name in names for name in known)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _from_model(
    part: pd.DataFrame,
    base: Path,
    manifest: str | os.PathLike[str],
    labels: np.ndarray,
    together: np.ndarray,
    classes: tuple[str, ...],
    predictor: Predictor,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, classes) and which rows could be read: the bundled model, and a cross-validated one on its features."""

    def look(row: Any) -> dict[str, Any]:
        crop = _crop(row, base, predictor)
        blank = crop is None
        crops = np.zeros((1, *_shape(predictor)), np.uint8) if crop is None else crop[None]
        return {"p": predictor.classify(crops)[0], "embedding": predictor.embed(crops)[0].astype(np.float16), "blank": blank}

    name = re.sub(r"\W", "", predictor.contract.name)
    kept = kept_by_chunk(part, manifest, f"model-{name}", look, "Asking the model")
    p = opinion_on(classes, kept["p"])
    if is_large_enough(labels):
        own = cross_validated(kept["embedding"].astype(np.float32), labels, together, classes, linear_model())
        p = OPINION_WEIGHT * p + (1 - OPINION_WEIGHT) * own
    return p, ~kept["blank"]


def _from_crops(
    part: pd.DataFrame, base: Path, labels: np.ndarray, together: np.ndarray, classes: tuple[str, ...], predictor: Predictor
) -> tuple[np.ndarray, np.ndarray]:
    """The same, from nothing but the crops and their labels."""
    from happysad.parallel import map_in_order
    from happysad.patches import learn_and_describe, model

    rows = list(part.itertuples(index=False))
    crops = list(map_in_order(lambda row: _crop(row, base, predictor), rows, len(rows), "Cutting out faces"))
    blank = np.array([crop is None for crop in crops])
    grey = np.stack([np.zeros(_shape(predictor), np.uint8) if crop is None else crop for crop in crops]).mean(axis=3)
    p = cross_validated(learn_and_describe(grey), labels, together, classes, model())
    return neutral_first(p, classes), ~blank


def _crop(row: Any, base: Path, predictor: Predictor) -> np.ndarray | None:
    try:
        photo = read_photo(row.path, base, None if row.cropped else DECODE_SIDE)
    except ImageError:
        return None
    return crop_of(row, photo, predictor.contract)


def _shape(predictor: Predictor) -> tuple[int, int, int]:
    contract = predictor.contract
    return contract.input_size, contract.input_size, contract.channels
