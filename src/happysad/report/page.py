"""One self-contained HTML page: no script, nothing from elsewhere, dark and light, narrow and wide, on paper too."""

from __future__ import annotations

import base64
import io
from importlib import resources
from typing import TYPE_CHECKING, Any

from PIL import Image

from happysad.errors import ImageError, MissingExtraError
from happysad.manifest import read_photo
from happysad.report import plots, words

if TYPE_CHECKING:
    from happysad.evaluate import Evaluation

THUMBNAIL = 96  # pixels
MARGIN = 0.25  # around the box of a face, in sides of the box

Json = dict[str, Any]


def html(report: Json, pictures: dict[str, str]) -> str:
    """The page as text.

    Args:
        report: what `happysad.evaluate.evaluate` returns.
        pictures: data URIs of faces by their path, see `pictures`; may be empty.

    Raises:
        MissingExtraError: Jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError:
        raise MissingExtraError("Jinja2", "to write a page", 'pip install "happysad[report]"') from None
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "estimate": words.estimate,
        "number": words.number,
        "interval": words.interval,
        "percent": words.percent,
    }
    template = environment.from_string(resources.files("happysad.report").joinpath("page.html.j2").read_text(encoding="utf-8"))
    drawn = {name: markupsafe.Markup(svg) for name, svg in _plots(report).items()}
    return template.render(report=report, words=words, pictures=pictures, plots=drawn)


def pictures(done: Evaluation) -> dict[str, str]:
    """The faces that the page shows, as data URIs by path; photos that cannot be read any more are left out."""
    found = {}
    for example in (one for some in done.report["examples"].values() for one in some):
        try:
            decoded = read_photo(example["path"], done.base)
        except ImageError:
            continue
        found[example["path"]] = _data_uri(Image.fromarray(decoded.pixels), example["box"])
    return found


def _data_uri(photo: Image.Image, box: list[float] | None) -> str:
    if box is not None:
        x0, y0, x1, y1 = box
        more = MARGIN * max(x1 - x0, y1 - y0)
        photo = photo.crop((max(0, int(x0 - more)), max(0, int(y0 - more)), int(x1 + more), int(y1 + more)))
    photo.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _plots(report: Json) -> dict[str, str]:
    """All plots that these figures allow, by name."""
    made: dict[str, str] = {}
    two, calibration, certain = report["two_way"], report["calibration"], report["certain"]
    if two and two["curves"]:
        auc, precision = words.estimate(two["auc"]), words.estimate(two["average_precision"])
        curves = two["curves"]
        labels = ("sad faces called happy", "happy faces found")
        made["roc"] = plots.curve("roc", f"ROC curve of happy against sad; area {auc}", curves["roc"], labels, diagonal=True)
        made["precision"] = plots.curve(
            "precision",
            f"Precision over recall of happy; average precision {precision}",
            curves["precision_recall"],
            ("recall", "precision"),
        )
        made["histogram"] = plots.histogram(
            "histogram",
            "Scores of happy and of sad faces",
            curves["histogram"],
            ("happy to people", "sad to people"),
            "p(happy) of happy or sad",
        )
    if calibration["confidence"]["reliability"]:
        alt = f"Confidence against accuracy in bins; calibration error {words.estimate(calibration['confidence']['ece'])}"
        made["confidence"] = plots.reliability("confidence", alt, {"confidence": calibration["confidence"]["reliability"]}, 0.5)
        alt = f"Share of errors over share of answers kept; area {words.estimate(certain['aurc'])}"
        made["risk"] = plots.risk_coverage(alt, certain["risk_coverage"])
    if report["calibration"]["p"]["ece"]["value"] is not None:
        alt = f"The four probabilities against what people say, in bins; error {words.estimate(calibration['p']['ece'])}"
        made["p"] = plots.reliability("p", alt, calibration["p"]["reliability"])
    if report["fairness"]:
        for number, (name, attribute) in enumerate(report["fairness"]["attributes"].items()):
            accuracies = ((group, figures["accuracy"]) for group, figures in attribute["subgroups"].items())
            rows = [(group, one) for group, one in accuracies if one["value"] is not None]
            if rows:
                alt = f"Accuracy by {name}: " + "; ".join(f"{group} {words.estimate(one)}" for group, one in rows)
                made[f"by {name}"] = plots.subgroups(f"by{number}", alt, rows, "accuracy, happy against sad")
    if report["learning"]:
        made["learning"] = plots.learning("Figures after each epoch of training", report["learning"])
    if report["stress"] and report["stress"]["n"]:
        for name, levels in report["stress"]["kinds"].items():
            alt = f"{name}: accuracy " + ", ".join(words.number(level["accuracy"]["value"]) for level in levels)
            made[f"stress {name}"] = plots.stress(name, alt, levels, report["stress"]["undamaged"])
    return made
