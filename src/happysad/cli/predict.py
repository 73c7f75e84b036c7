"""``happysad predict``: photos in, moods out."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rich.table import Table

    from happysad.predict import Prediction, Predictor

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it

Show = Callable[["Prediction"], None]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per photo and line, instead of a table.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write one row per face here.")
@click.option(
    "--annotate", "folder", type=click.Path(file_okay=False, path_type=Path), help="Also put marked copies in this folder."
)
@click.option("--faces", type=click.Choice(["all", "largest"]), default="all", show_default=True, help="Which faces of a photo.")
@click.option("--cropped", is_flag=True, help="Each photo is a face crop, as in FER2013: search no faces.")
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A model.onnx, not the bundled one.")
def command(
    paths: tuple[str, ...],
    as_json: bool,
    csv_file: Path | None,
    folder: Path | None,
    faces: Literal["all", "largest"],
    cropped: bool,
    model: Path | None,
) -> None:
    """Tell how happy or sad each face looks.

    PATH is a photo, a folder with photos (folders in it included), a pattern such as "*.jpg", or - for standard input.
    The exit status is 0, 1 if a photo could not be read, or 2 if the command was not understood.

    \b
    Example:
      happysad predict holiday/ --json
    """
    from happysad.image import find_images
    from happysad.predict import Predictor

    photos = list(find_images(paths))
    if not photos:
        click.echo(f"There is no photo in {_printable(', '.join(paths))}.", err=True)
    work = _Work(Predictor(model), cropped, faces, _copies(folder, photos))
    with _csv_rows(csv_file) as add_rows, _output(as_json) as show:
        sys.exit(_run(work, photos, [show, add_rows]))


@dataclasses.dataclass(frozen=True)
class _Work:
    """What is done with one photo, in one of several threads."""

    predictor: Predictor
    cropped: bool
    faces: Literal["all", "largest"]
    copies: Sequence[Path] | None

    def __call__(self, numbered: tuple[int, str, Any]) -> Prediction:
        number, path, source = numbered
        prediction = self.predictor.predict(source, cropped=self.cropped, faces=self.faces)
        prediction = dataclasses.replace(prediction, path=path)
        if self.copies is not None and prediction.error is None:
            from happysad.annotate import annotate, save

            save(annotate(source, prediction), self.copies[number])
        return prediction


def _run(work: _Work, photos: list[str], shows: Sequence[Show]) -> int:
    """Exit status, after each photo's prediction went through all of ``shows``, in order."""
    from happysad.parallel import map_in_order

    done = failed = 0
    try:
        for prediction in map_in_order(work, _sources(photos), len(photos), "photos"):
            for show in shows:
                show(prediction)
            done += 1
            failed += prediction.error is not None
    except KeyboardInterrupt:
        click.echo(f"Stopped after {done} of {len(photos)} photos.", err=True)
        return INTERRUPTED
    if failed:
        click.echo(f"{failed} of {len(photos)} photos could not be read.", err=True)
    return 1 if failed else 0


def _sources(photos: list[str]) -> Iterator[tuple[int, str, Any]]:
    """Number, path and what to read. Standard input can be read once only, and it is read here, where Ctrl-C can stop it."""
    stdin: bytes | None = None
    for number, path in enumerate(photos):
        if path == "-":
            stdin = sys.stdin.buffer.read() if stdin is None else stdin
        yield number, path, stdin if path == "-" else path


def _copies(folder: Path | None, photos: list[str]) -> list[Path] | None:
    """Where the annotated copies go; the folder is made. None of them is one of the photos."""
    if folder is None:
        return None
    from happysad.annotate import copy_names

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"the folder cannot be made: {error.strerror}", param_hint="--annotate") from error
    copies = [folder / name for name in copy_names(photos)]
    sources = {os.path.realpath(path) for path in photos}
    for copy in copies:
        if os.path.realpath(copy) in sources:
            message = f"the copy {_printable(copy.name)} would overwrite a photo that is read; name another folder"
            raise click.BadParameter(message, param_hint="--annotate")
    return copies


# ---- what a person and other programs see


@contextmanager
def _output(as_json: bool) -> Iterator[Show]:
    """Prints JSON at once, and the table at the end, also where Ctrl-C made the end come early."""
    if as_json:
        yield _print_json
        return
    table = _table()
    try:
        yield lambda prediction: _add_to_table(table, prediction)
    finally:
        if table.rows:
            from rich.console import Console

            # Where nobody looks (a pipe, a file) lines are as long as they need to be.
            Console(width=None if sys.stdout.isatty() else 10_000).print(table)


def _print_json(prediction: Prediction) -> None:
    # ASCII, as file names that are not UTF-8 then pass as escapes, whatever the terminal can show.
    sys.stdout.write(json.dumps(prediction.to_dict()) + "\n")
    sys.stdout.flush()


def _table() -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("face", justify="right")
    table.add_column("looks", no_wrap=True)
    table.add_column("mood", justify="right", no_wrap=True)
    table.add_column("confidence", no_wrap=True)
    table.add_column("certain?", overflow="fold")
    return table


_STYLES = {"sad": "blue", "slightly sad": "blue", "slightly happy": "yellow", "happy": "yellow"}


def _add_to_table(table: Table, prediction: Prediction) -> None:
    from rich.text import Text

    name = Text(_printable(prediction.path or ""))
    if prediction.error is not None:
        table.add_row(name, "", "", "", "", Text(f"failed: {prediction.error}", style="red"))
    elif not prediction.faces:
        table.add_row(name, "", "", "", "", Text("no face found", style="dim"))
    for number, face in enumerate(prediction.faces, start=1):
        certain = Text("certain") if face.certain else Text(f"not sure, because {face.reason}", style="dim")
        looks = Text(f"looks {face.grade}", style=_STYLES.get(face.grade, "") if face.certain else "dim")
        table.add_row(name, str(number), looks, f"{face.mood:+.2f}", f"{face.confidence:.0%} {face.label}", certain)


def _printable(text: str) -> str:
    """The text with escapes for what is not UTF-8 and for control characters, which can do anything to a terminal."""
    known = text.encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in known)


# ---- the table that others compute with


@contextmanager
def _csv_rows(path: Path | None) -> Iterator[Show]:
    """Takes predictions, and writes their rows to a file that appears under its name at the end, also at an early end."""
    if path is None:
        yield lambda prediction: None
        return
    from happysad.predict import COLUMNS, rows

    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise click.BadParameter(f"{path} is not a plain file", param_hint="--csv")
    aside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        file = aside.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint="--csv") from error
    with file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        try:
            yield lambda prediction: writer.writerows(rows([prediction]))
        finally:
            file.close()
            aside.replace(target)
