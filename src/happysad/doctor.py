"""What state is this installation in? Versions, models against their sha256, a self-test, and which extras are there."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable
from importlib import metadata
from typing import Any

from happysad import __version__
from happysad.errors import HappysadError, ModelError

BASE = ("numpy", "onnxruntime", "pillow")
EXTRAS = {
    "train": ("keras", "tensorflow", "tf2onnx", "onnx", "scipy"),
    "report": ("matplotlib", "jinja2", "scikit-learn", "fairlearn", "pandas", "scipy"),
    "app": ("fastapi", "uvicorn", "gradio", "python-multipart"),
    "batch": ("pyarrow", "ray"),
    "video": ("av",),
    "data": ("pandas", "pyarrow", "scikit-learn", "cleanlab", "scipy", "jinja2", "matplotlib"),
}
"""The parts of each optional extra, by their name on PyPI, as pyproject.toml has them (a test compares the two)."""


def examine() -> dict[str, Any]:
    """The state as plain lists and texts.

    Returns:
        ``ok``; ``versions`` by name, None where missing; ``checks``, each with ``name``, ``ok`` and ``found``, a sentence;
        ``extras``, each with ``name``, ``ok``, ``missing`` and ``install``, the command that brings what is missing, or None.
        ``ok`` is about the checks: a missing extra breaks nothing.
    """
    checks = [_check(name, look) for name, look in _CHECKS.items()]
    return {
        "ok": all(check["ok"] for check in checks),
        "versions": {"python": platform.python_version(), "happysad": __version__} | {name: version(name) for name in BASE},
        "checks": checks,
        "extras": [*(_extra(name, parts) for name, parts in EXTRAS.items()), _heic()],
    }


def version(part: str) -> str | None:
    """Installed version of a part by its name on PyPI; None where it is missing. Imports nothing."""
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return None


def _check(name: str, look: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "found": look()}
    except HappysadError as error:
        return {"name": name, "ok": False, "found": str(error)}
    except Exception as error:  # a doctor that falls ill with the patient is of no use
        return {"name": name, "ok": False, "found": f"{type(error).__name__}: {error}"}


def _imports() -> str:
    for module in ("numpy", "PIL.Image", "onnxruntime", "click", "rich"):
        importlib.import_module(module)
    return "all parts of the base install can be imported"


def _bundled(name: str) -> Callable[[], str]:
    def look() -> str:
        from happysad.contract import read_bundled  # here, so that a broken onnxruntime is a finding and not the end

        return f"as released, {len(read_bundled(name)) / 1e6:.1f} MB"

    return look


def _selftest() -> str:
    from happysad import selftest

    if found := selftest.differences():
        raise ModelError("; ".join(found))
    return "a drawn smile and a drawn frown give the released numbers"


_CHECKS: dict[str, Callable[[], str]] = {
    "base install": _imports,
    "model mood.onnx": _bundled("mood.onnx"),
    "model face-detector.onnx": _bundled("face-detector.onnx"),
    "self-test": _selftest,
}


def _extra(name: str, parts: tuple[str, ...]) -> dict[str, Any]:
    missing = [part for part in parts if version(part) is None]
    return {
        "name": name,
        "ok": not missing,
        "missing": missing,
        "install": f'pip install "happysad[{name}]"' if missing else None,
    }


def _heic() -> dict[str, Any]:
    """HEIC photos are read by a part that belongs to no extra, as its codec has terms of its own."""
    part = "pillow-heif"
    there = version(part) is not None
    return {
        "name": "HEIC photos",
        "ok": there,
        "missing": [] if there else [part],
        "install": None if there else f"pip install {part}",
    }
