"""``happysad data``: bring labelled faces in, see what is wrong with them, mend it, split it."""

from __future__ import annotations

from pathlib import Path

import click

NEW_FILE = click.Path(dir_okay=False, path_type=Path)
MANIFEST = click.Path(dir_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Bring labelled faces in, see what is wrong with them, mend it, and split it so that the score means something.

    \b
    Example:
      happysad data import web.zip -o faces.csv
      happysad data audit faces.csv --html audit.html
      happysad data review faces.csv
      happysad data apply faces.csv -o clean.csv
      happysad data split clean.csv -o split.csv
    """


def _say(*notes: str) -> None:
    for note in notes:
        click.echo(note, err=True)


def _pairs(values: tuple[str, ...], option: str) -> dict[str, str]:
    """``A=B C=D`` in any number of values."""
    pairs = {}
    for value in " ".join(values).split() if option == "--columns" else values:
        left, sign, right = value.rpartition("=")
        if not (left and sign and right):
            raise click.BadParameter(f"expected NAME=VALUE, got {value!r}", param_hint=option)
        pairs[left] = right
    return pairs


@command.command("import")
@click.argument("source")
@click.argument("more_columns", nargs=-1, metavar="")
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The manifest: .csv or .parquet.")
@click.option(
    "--map",
    "words",
    multiple=True,
    metavar="NAME=LABEL",
    help="What a class name means: happy, neutral, sad, other, not_happy or skip.",
)
@click.option(
    "--columns", multiple=True, metavar="OURS=THEIRS...", help="Columns of a table: path, label, subject, split, votes_happy ..."
)
@click.option("--cropped/--photos", default=None, help="Each photo is a face crop / a whole photo; told by its size if not said.")
@click.option("--licence", default="", help="The terms of the photos, for the column licence.")
@click.option("--force", is_flag=True, help="Replace a manifest that is different.")
def import_(
    source: str,
    more_columns: tuple[str, ...],
    output: Path,
    words: tuple[str, ...],
    columns: tuple[str, ...],
    cropped: bool | None,
    licence: str,
    force: bool,
) -> None:
    """Write the manifest of SOURCE: one row per photo, with its label and the face in it.

    SOURCE is a folder with one folder per class, a zip or tar of such folders, fer2013.csv, any CSV or Parquet table that names
    photos, kaggle:OWNER/NAME, or hf:OWNER/NAME. An import that was interrupted goes on where it was.

    \b
    Example:
      happysad data import web.zip -o faces.csv
      happysad data import lfw.csv --columns path=file label=emotion subject=person -o lfw.csv
    """
    from happysad.importing import import_data
    from happysad.sources import Wishes

    wishes = Wishes(_pairs(words, "--map"), _pairs((*columns, *more_columns), "--columns"), cropped, licence)
    _say(*import_data(source, output, wishes, force))
