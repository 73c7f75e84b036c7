"""What several test modules need: drawn faces, one real portrait, and the data folder where it lies beside the repository."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from happysad import demo
from happysad.drawn import draw_photo
from happysad.predict import Predictor

ROOT = Path(__file__).parents[1]

settings.register_profile("happysad", deadline=None)  # a busy machine is no failure
settings.load_profile("happysad")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with data sets that are too large, or not ours, to be in the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}")
    return folder


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    """The bundled models, loaded once for all tests."""
    return Predictor()


@pytest.fixture(scope="session")
def portrait_file() -> Path:
    """A real photo of one person, 512 x 600, that matplotlib ships."""
    return demo.portrait()


@pytest.fixture(scope="session")
def portrait(portrait_file: Path) -> Image.Image:
    """The same, decoded, at half the size for speed: 256 x 300, the face about 80 pixels wide."""
    return Image.open(portrait_file).convert("RGB").reduce(2)


@pytest.fixture(scope="session")
def smile() -> np.ndarray:
    """A photo, uint8 (360, 480, 3), of a drawn face that laughs."""
    return draw_photo(1.0)


def encoded(pixels: np.ndarray | Image.Image, file_format: str = "PNG", **how: Any) -> bytes:
    """The bytes of a photo file."""
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, file_format, **how)
    return file.getvalue()


@pytest.fixture(scope="session")
def happysad() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs ``happysad`` with some arguments as a process of its own, as a person does."""

    def run(*arguments: str | bytes | Path, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, cwd=cwd, env=ENVIRONMENT, check=False)

    return run


COMMAND = [sys.executable, "-c", "from happysad.cli import main; main(prog_name='happysad')"]
PLAIN = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # it would hide a missing flush
ENVIRONMENT = PLAIN | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
