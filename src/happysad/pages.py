"""Self-contained HTML pages about a data set. They lay out what others computed."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from happysad.contract import Contract
from happysad.crops import crop_of
from happysad.errors import ImageError, MissingExtraError
from happysad.manifest import read_photo, write_aside
from happysad.parallel import map_in_order

if TYPE_CHECKING:
    import pandas as pd

    from happysad.audit import Finding
    from happysad.examine import Examined

THUMBNAIL = 112
PER_KIND = 48  # pictures on the audit page for each kind of finding
PER_CLASS = 24  # pictures on a contact sheet
FOR_MEAN = 300  # faces in a mean image


@dataclass(frozen=True)
class Picture:
    """One picture on a page: a data URI, a caption, and what to show when pointing at it."""

    uri: str
    caption: str = ""
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with text, a table, pictures; any may be empty."""

    heading: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    pictures: Sequence[Picture] = field(default_factory=tuple)


def write_page(title: str, sections: Sequence[Section], path: str | os.PathLike[str]) -> None:
    """One HTML file that needs no other.

    Raises:
        DataError: it cannot be written.
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("jinja2", "to write pages", 'pip install "happysad[data]"') from None
    text = resources.files("happysad").joinpath("templates", "data.html").read_text("utf-8")
    html = jinja2.Environment(autoescape=True).from_string(text).render(title=title, sections=sections)

    def write(aside: Path) -> None:
        aside.write_text(html, "utf-8", errors="backslashreplace")

    write_aside(path, write)


# ---- the audit page


def write_audit_page(found: Sequence[Finding], manifest: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """The findings with their pictures, kind by kind, the kind with the worst finding first."""
    base = Path(manifest).resolve().parent
    kinds: dict[str, list[Finding]] = {}
    for finding in found:
        kinds.setdefault(finding.kind, []).append(finding)
    counts = [(kind, f"{len(rows):,}", rows[0].message) for kind, rows in kinds.items()]
    overview = Section(
        f"{len(found):,} findings", "Nothing was changed or deleted.", ("kind", "findings", "the worst of them"), counts
    )
    shown = [(finding, one) for rows in kinds.values() for finding in rows[:PER_KIND] for one in _paths_of(finding)]
    uris = map_in_order(lambda item: _thumbnail(item[1], base), shown, len(shown), "Making pictures")
    pictures: dict[str, list[Picture]] = {kind: [] for kind in kinds}
    for (finding, one), uri in zip(shown, uris, strict=True):
        caption = f"{finding.severity:.2f} {finding.message}" if one == finding.path else "see the picture before"
        pictures[finding.kind].append(Picture(uri, caption, _text(one)))
    sections = [overview]
    for kind, rows in kinds.items():
        more = f" The first {PER_KIND} are shown." if len(rows) > PER_KIND else ""
        text = f"{len(rows):,} findings.{more}"
        sections.append(Section(kind.replace("_", " "), text, pictures=[p for p in pictures[kind] if p.uri or p.caption]))
    write_page(f"Audit of {Path(manifest).name}", sections, path)


def _paths_of(finding: Finding) -> list[str]:
    """What to show of a finding: its row, and the first that it concerns."""
    return [finding.path, *finding.related[:1]]


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _thumbnail(path: str, base: Path) -> str:
    """A JPEG data URI; empty where there is no photo."""
    if not path:
        return ""
    try:
        photo = Image.fromarray(read_photo(path, base, 2 * THUMBNAIL).pixels)
    except ImageError:
        return ""
    return _uri(ImageOps.contain(photo, (THUMBNAIL, THUMBNAIL)))


def _uri(picture: Image.Image) -> str:
    with io.BytesIO() as file:
        picture.save(file, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


# ---- the page about what is in a data set


def write_show_page(
    summary: dict[str, Any], frame: pd.DataFrame, seen: Examined, manifest: str | os.PathLike[str], path: str | os.PathLike[str]
) -> None:
    """Counts, plots, a contact sheet and a mean face for each class."""
    base = Path(manifest).resolve().parent
    plain = ("rows", "unreadable", "without_face", "several_faces", "grey", "subjects")
    counts = [(name.replace("_", " "), f"{summary[name]:,}") for name in plain]
    if summary["votes"]:
        counts += [(f"votes: {name.replace('_', ' ')}", f"{value:,}") for name, value in summary["votes"].items()]
    sections = [Section("At a glance", " ".join(f"Note: {warning}." for warning in summary["warnings"]), ("", "photos"), counts)]
    sections += [_crossed("Labels by split", summary["labels"]), _crossed("Sources by label", summary["sources"])]
    words = list(next(iter(summary["measures"].values())))
    rows = [(name.replace("_", " "), *values.values()) for name, values in summary["measures"].items()]
    sections.append(Section("Measures", "", ("", *words), rows, _plots(frame, seen)))
    for label, part in frame[frame["error"] == ""].groupby("label"):
        sample = part.sample(min(len(part), FOR_MEAN), random_state=0)
        sheet = [Picture(_thumbnail(one, base), "", _text(one)) for one in sample["path"][:PER_CLASS]]
        mean = _mean_face(sample, base)
        sections.append(
            Section(f"Class {label or 'none'}", "The mean face, then photos drawn at random.", pictures=[*mean, *sheet])
        )
    write_page(f"What is in {Path(manifest).name}", sections, path)


def _crossed(heading: str, counts: dict[str, dict[str, int]]) -> Section:
    columns = sorted({name for row in counts.values() for name in row})
    rows = [(name, *(f"{row.get(column, 0):,}" for column in columns)) for name, row in counts.items()]
    return Section(heading, "", ("", *columns), rows)


def _mean_face(sample: pd.DataFrame, base: Path) -> list[Picture]:
    contract = Contract("mean face", input_size=96)

    def crop(row: Any) -> np.ndarray | None:
        try:
            return crop_of(row, read_photo(row.path, base), contract)
        except ImageError:
            return None

    rows = list(sample.itertuples(index=False))
    crops = [one for one in map_in_order(crop, rows, len(rows), "Averaging faces") if one is not None]
    if not crops:
        return []
    mean = np.mean([one[..., 0] for one in crops], axis=0).astype(np.uint8)
    return [Picture(_uri(Image.fromarray(mean)), f"mean of {len(crops)} faces")]


def _plots(frame: pd.DataFrame, seen: Examined) -> list[Picture]:
    """Histograms by label, as SVG data URIs."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "to draw plots", 'pip install "happysad[data]"') from None
    pictures = []
    labels = frame["label"].to_numpy(object)
    for name in ("brightness", "contrast", "sharpness", "face_side", "face_brightness"):
        values = seen[name]
        figure = Figure(figsize=(4, 2.4), layout="constrained")
        axes = figure.subplots()
        finite = values[np.isfinite(values)]
        if not len(finite):
            continue
        bins = np.linspace(finite.min(), np.quantile(finite, 0.99) + 1e-6, 30).tolist()
        for label in sorted(set(labels[np.isfinite(values)])):
            axes.hist(
                values[(labels == label) & np.isfinite(values)], bins=bins, histtype="step", density=True, label=label or "none"
            )
        axes.set(xlabel=name.replace("_", " "), ylabel="density")
        axes.legend(frameon=False, fontsize=7)
        with io.BytesIO() as file:
            figure.savefig(file, format="svg")
            pictures.append(Picture("data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()))
    return pictures
