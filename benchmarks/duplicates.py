"""How many planted copies are found among 5,000 photos, and how many unrelated photos are called duplicates.

python benchmarks/duplicates.py lfw_expressions.zip
"""

from __future__ import annotations

import io
import sys
import zipfile

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from happysad.duplicates import MIN_SIMILARITY, candidates, confirm_view, descriptors, similarity
from happysad.image import IMAGE_ENDINGS

PHOTOS, COPIES = 5000, 200


def encoded(photo: Image.Image) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def cropped(photo: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    return photo.crop(tuple(round(side * share) for side, share in zip(photo.size * 2, (left, top, right, bottom), strict=True)))


CHANGES = {
    "re-encoded": encoded,
    "resized": lambda photo: photo.resize((photo.width * 6 // 10, photo.height * 6 // 10)),
    "mirrored": ImageOps.mirror,
    "cropped by 5 %": lambda photo: cropped(photo, 0.05, 0, 1, 0.95),
    "cropped by 5 % on each side": lambda photo: cropped(photo, 0.05, 0.05, 0.95, 0.95),
    "brightness": lambda photo: ImageEnhance.Brightness(photo).enhance(1.4),
}


def main(archive: str) -> None:
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.lower().endswith(IMAGE_ENDINGS)]
        chosen = rng.choice(names, PHOTOS, replace=False)
        photos = [Image.open(io.BytesIO(file.read(name))).convert("RGB") for name in chosen]
    origin = rng.choice(PHOTOS, COPIES, replace=False)
    how = [list(CHANGES)[i % len(CHANGES)] for i in range(COPIES)]
    images = [np.asarray(photo) for photo in [*photos, *(CHANGES[name](photos[i]) for i, name in zip(origin, how, strict=True))]]
    pairs = np.unique(np.concatenate(list(candidates(np.stack([descriptors(image) for image in images])))), axis=0)
    views = [confirm_view(image) for image in images]
    alike = [similarity(views[a], views[b][:, ::-1] if mirrored else views[b]) for a, b, mirrored in pairs]
    found = {(int(a), int(b)) for (a, b, _), one in zip(pairs, alike, strict=True) if one >= MIN_SIMILARITY}
    planted = {(int(i), PHOTOS + j): name for j, (i, name) in enumerate(zip(origin, how, strict=True))}
    for name in CHANGES:
        wanted = {pair for pair, change in planted.items() if change == name}
        print(f"{name}: {len(wanted & found)} of {len(wanted)}")
    others = {pair for pair in found - set(planted) if max(pair) < PHOTOS}
    print(
        f"{len(set(planted) & found)} of {COPIES} copies found; {len(others)} other pairs among {PHOTOS} photos: {sorted(others)}"
    )


if __name__ == "__main__":
    main(sys.argv[1])
