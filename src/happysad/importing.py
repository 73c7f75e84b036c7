"""Bring labelled faces of any usual form into a manifest.

First a plan is made, without opening a photo: which photos there are and what is said about each. Then each photo is read
once: its hash, its size, the face in it. Finished rows are noted in a file beside the manifest, so that an interrupted import
goes on where it was; the manifest itself is written at the end, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad.archive import SIGN
from happysad.errors import DataError, ImageError
from happysad.faces import FaceDetector
from happysad.image import read_image
from happysad.manifest import BOX, as_text, check_ending, pandas, photo_bytes, typed, write_manifest
from happysad.parallel import map_in_order
from happysad.predict import DECODE_SIDE
from happysad.sources import Plan, Wishes, make_plan

if TYPE_CHECKING:
    import pandas as pd

MAX_CROP_SIDE = 112  # square photos up to this size are taken for face crops, as those of most face data sets are


def import_data(source: str, target: str | os.PathLike[str], wishes: Wishes | None = None, force: bool = False) -> list[str]:
    """Write the manifest of ``source`` to ``target``; the same source twice gives the same file, byte by byte.

    Args:
        source: a folder, a zip or tar, ``fer2013.csv``, any CSV or Parquet table of photos, ``kaggle:OWNER/NAME``,
            ``hf:OWNER/NAME``.
        target: a ``.csv`` or ``.parquet`` file.
        force: replace a manifest that is different.

    Returns:
        Notes for the user, one sentence each.

    Raises:
        DataError: the source or the target cannot be used; nothing is written then.
    """
    wishes, target = wishes or Wishes(), Path(target)
    check_ending(target)
    if not target.parent.is_dir():
        raise DataError(f"{target} cannot be written: the folder {target.parent} does not exist; make it first")
    local, name, notes = _fetched(source)
    plan = make_plan(local, target.parent, wishes, name)
    frame = pandas().DataFrame(_measured(plan, target, wishes.cropped), dtype=object)
    frame = typed(as_text(frame), target.name)
    return [*notes, *plan.notes, *_what_was_found(frame), _written(frame, target, force)]


def _written(frame: pd.DataFrame, target: Path, force: bool) -> str:
    aside = target.with_name(f".{target.stem}.new{target.suffix}")
    write_manifest(frame, aside)
    try:
        if target.exists() and target.read_bytes() == aside.read_bytes():
            return f"{target} is as it was: {len(frame):,} rows, nothing changed"
        if target.exists() and not force:
            raise DataError(f"{target} exists and is different; give another name, or --force to replace it")
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
        _journal(target).unlink(missing_ok=True)
    return f"{target}: {len(frame):,} rows"


def _what_was_found(frame: pd.DataFrame) -> Iterator[str]:
    counts = frame["label"].replace("", "no label").value_counts()
    yield "labels: " + ", ".join(f"{label} {n:,}" for label, n in counts.items())
    labels = set(frame["label"]) - {""}
    if len(labels) == 1:
        yield f"only one class was found, {labels.pop()}: nothing can be learnt from it alone"
    if broken := int((frame["error"] != "").sum()):
        yield f"{broken:,} photos cannot be read; their rows say why in the column error"
    if (none := int(((frame["faces"] == 0) & (frame["error"] == "")).sum())) > 0:
        yield f"no face was found in {none:,} photos"


def _fetched(source: str) -> tuple[Path, str, list[str]]:
    """The source on this machine, its name for the column ``source``, and notes."""
    scheme, _, handle = source.partition(":")
    if scheme in ("kaggle", "hf") and not Path(source).exists():
        from happysad import downloads

        folder, notes = downloads.fetch(scheme, handle)
        return folder, source, notes
    return Path(source), Path(source).resolve().name, []


# ---- reading each photo once


def _measured(plan: Plan, target: Path, cropped: bool | None) -> list[dict[str, Any]]:
    """The rows with what their photos show. Each finished row is noted, so that an interrupted import goes on."""
    job = _fingerprint(plan.rows, target.parent, cropped)
    journal = _journal(target)
    done = _noted(journal, job)
    detector = FaceDetector(threads=1)
    try:
        with journal.open("a" if done else "w", encoding="utf-8") as notes:
            if not done:
                notes.write(json.dumps({"job": job}) + "\n")
            rest = plan.rows[len(done) :]
            for seen in map_in_order(
                lambda row: see(row["path"], target.parent, cropped, detector), rest, len(rest), "Reading photos"
            ):
                notes.write(json.dumps(seen) + "\n")
                done.append(seen)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}; run the command again to go on") from error
    return [{**row, **seen} for row, seen in zip(plan.rows, done, strict=True)]


def _journal(target: Path) -> Path:
    return target.with_name(f".{target.name}.unfinished")


def _noted(journal: Path, job: str) -> list[dict[str, Any]]:
    """Rows that an interrupted import of the same job has finished. A last line that was cut off is left out, and cut away."""
    try:
        lines = journal.read_bytes().split(b"\n")[:-1]
        if not lines or json.loads(lines[0]) != {"job": job}:
            return []
        rows = [json.loads(line) for line in lines[1:]]
        os.truncate(journal, sum(len(line) + 1 for line in lines))
    except (OSError, ValueError):
        return []
    return rows


def _fingerprint(rows: Sequence[Mapping[str, Any]], base: Path, cropped: bool | None) -> str:
    """What makes an import the same: its rows, and size and time of the files."""
    digest = hashlib.sha256(repr(cropped).encode())
    for row in rows:
        digest.update(repr(sorted(row.items())).encode("utf-8", "surrogateescape"))
    for file in dict.fromkeys(row["path"].partition(SIGN)[0] for row in rows):
        try:
            status = (base / file).stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
        except (OSError, ValueError):
            digest.update(b"missing ")
    return digest.hexdigest()


def see(path: str, base: Path, cropped: bool | None, detector: FaceDetector) -> dict[str, Any]:
    """The columns of a manifest that only the photo itself can fill; ``error`` where it cannot be read."""
    try:
        content = photo_bytes(path, base)
        photo = read_image(content, max_side=DECODE_SIDE)
    except ImageError as error:
        return {"error": str(error), "cropped": bool(cropped)}
    row: dict[str, Any] = {"sha256": hashlib.sha256(content).hexdigest(), "width": photo.width, "height": photo.height}
    if cropped or (cropped is None and photo.width == photo.height <= MAX_CROP_SIDE):
        return {**row, "cropped": True, "faces": 1}
    faces = detector(photo.pixels)
    row |= {"cropped": False, "faces": faces.n}
    if not faces.n:
        return row
    largest, scale = int(np.argmax(faces.sides)), np.array(photo.scale)
    box = np.round(faces.boxes[largest] * np.tile(scale, 2), 1)
    points = np.round(faces.landmarks[largest] * scale, 1)
    row |= dict(zip(BOX, map(float, box), strict=True))
    return row | {"detector_score": round(float(faces.scores[largest]), 4), "landmarks": json.dumps(points.tolist())}
