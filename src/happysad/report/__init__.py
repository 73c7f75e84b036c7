"""What was measured, for people: an HTML page, a model card, a data sheet, and all figures as JSON. Nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from happysad.errors import DataError
from happysad.manifest import write_aside

if TYPE_CHECKING:
    from happysad.evaluate import Evaluation

__all__ = ["write_report"]


def write_report(done: Evaluation, folder: Path, *, html: bool = True, pictures: bool = True) -> list[Path]:
    """Write ``metrics.json`` and, with ``html``, ``report.html``, ``model-card.md`` and ``data-sheet.md`` into ``folder``.

    Args:
        done: what `happysad.evaluate.evaluate_file` returns.
        folder: made if it is not there.
        html: whether people will read it.
        pictures: whether the files show and name the worst and the least certain faces; leave them out where that may not be.

    Returns:
        The files.

    Raises:
        DataError: the folder cannot be written to.
        MissingExtraError: matplotlib or Jinja2 is not installed.
    """
    texts = dict(_texts(done, html, pictures))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror or error}") from error
    for name, text in texts.items():
        write_aside(folder / name, lambda path, text=text: path.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    return [folder / name for name in texts]


def _texts(done: Evaluation, html: bool, pictures: bool) -> Iterator[tuple[str, str]]:
    report = done.report if pictures else done.report | {"examples": {kind: [] for kind in done.report["examples"]}}
    yield "metrics.json", json.dumps(report, indent=1, allow_nan=False) + "\n"
    if html:
        from happysad.report import cards, page

        yield "report.html", page.html(report, page.pictures(done) if pictures else {})
        yield "model-card.md", cards.model_card(report)
        yield "data-sheet.md", cards.data_sheet(report)
