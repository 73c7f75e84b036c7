"""Small data sets of drawn faces, made anew for each test that wants them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from happysad.drawn import draw_photo


def photo(seed: int, side: int = 96) -> Image.Image:
    """A picture with texture that is unlike any other: smooth noise of many sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        for n in (3, 6, 12, 48)
    ]
    mixed = np.average([np.asarray(layer, float) for layer in layers], axis=0, weights=[4, 3, 2, 1])
    return Image.fromarray(np.clip((mixed - 128) * 2 + 128, 0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, quality: int = 92) -> bytes:
    with io.BytesIO() as file:
        picture.save(file, "JPEG", quality=quality)
        return file.getvalue()


def face(mood: float) -> bytes:
    return jpeg(Image.fromarray(draw_photo(mood)))


def folder_of(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def happy_sad(n: int = 6) -> dict[str, bytes]:
    """Files of n photos in each of two folders, all small, so that they count as crops."""
    return {f"{label}/{i}.jpg": jpeg(photo(1000 * k + i)) for k, label in enumerate(("happy", "sad")) for i in range(n)}
