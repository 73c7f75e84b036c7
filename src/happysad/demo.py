"""A portrait that needs no network: the one in matplotlib's sample data."""

from __future__ import annotations

from pathlib import Path

from happysad import annotate
from happysad.errors import MissingExtraError
from happysad.predict import Prediction, Predictor


def portrait() -> Path:
    """A photo of Grace Hopper, 512 x 600 pixels, public domain.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.cbook import get_sample_data
    except ImportError:
        why = "for the portrait that comes with it"
        raise MissingExtraError("matplotlib", why, 'pip install "happysad[report]"') from None
    return Path(get_sample_data("grace_hopper.jpg", asfileobj=False))


def annotated_portrait(output: Path) -> Prediction:
    """What is seen in the portrait; a picture that shows it is written to ``output``, over what is there.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ImageError: the picture cannot be written.
    """
    photo = portrait()
    prediction = Predictor().predict(photo, faces="largest")
    annotate.save(annotate.annotate(photo, prediction), output)
    return prediction
