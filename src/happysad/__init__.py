"""How happy or sad does a face look? Graded, calibrated, and honest about what it does not know.

>>> import happysad
>>> happysad.predict("photo.jpg").faces[0].grade  # doctest: +SKIP
'slightly happy'
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from happysad.errors import HappysadError, ImageError, MissingExtraError, ModelError
    from happysad.predict import FaceMood, Prediction, Predictions, Predictor, predict

__version__ = "0.1.0"
__all__ = [
    "FaceMood",
    "HappysadError",
    "ImageError",
    "MissingExtraError",
    "ModelError",
    "Prediction",
    "Predictions",
    "Predictor",
    "predict",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that ``import happysad`` costs next to nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'happysad' has no attribute {name!r}")
    room = "errors" if name.endswith("Error") else "predict"
    value = getattr(importlib.import_module(f"happysad.{room}"), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """This package, in which ``happysad.predict`` is the function, though a module has that name too.

    When a module of a package is loaded, Python sets it as an attribute of the package, over what was there.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
