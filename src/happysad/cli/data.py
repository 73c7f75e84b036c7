"""``happysad data``: bring labelled faces in, see what is wrong with them, mend it, split it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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


@command.command("split")
@click.argument("manifest", type=MANIFEST)
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The manifest with its splits.")
@click.option(
    "--shares", default="0.7,0.15,0.15", show_default=True, help="Of train, valid and test; two shares are train and test."
)
@click.option("--folds", type=click.IntRange(2), help="Equal folds instead: fold0, fold1 ...")
@click.option("--seed", default=0, show_default=True)
def split(manifest: Path, output: Path, shares: str, folds: int | None, seed: int) -> None:
    """Divide MANIFEST into train, valid and test, alike in labels; no person and no photo is in two of them.

    Rows without a label, or whose photo cannot be read, get no split. What cannot be done honestly is refused, with the reason.

    \b
    Example:
      happysad data split faces.csv -o split.csv
      happysad data split faces.csv -o folds.csv --folds 5
    """
    from happysad.manifest import moved, write_manifest
    from happysad.split import names_of, split_of

    frame, pairs = _with_pairs(manifest)
    sizes = [1.0] * folds if folds else _numbers(shares)
    names = tuple(f"fold{i}" for i in range(folds)) if folds else names_of(len(sizes))
    part = split_of(frame, pairs.rows, sizes, seed)
    frame["split"] = [names[i] if i >= 0 else "" for i in part]
    write_manifest(moved(frame, manifest.parent, output.parent), output)
    for name in names:
        rows = frame[frame["split"] == name]
        labels = ", ".join(f"{label} {n:,}" for label, n in rows["label"].value_counts().sort_index().items())
        _say(f"{name}: {len(rows):,} rows ({labels}), {rows['subject'].replace('', None).nunique():,} named subjects")
    if left := int((part < 0).sum()):
        _say(f"{left:,} rows have no split: they have no label, or their photo cannot be read")
    _say(f"{len(pairs.rows):,} pairs of duplicates were kept together")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"expected numbers with commas, such as 0.7,0.15,0.15, got {text!r}", param_hint="--shares"
        ) from None


def _with_pairs(manifest: Path) -> tuple[Any, Any]:
    """The manifest and its duplicates."""
    from happysad.duplicates import find_pairs
    from happysad.examine import examine
    from happysad.manifest import read_manifest

    frame = read_manifest(manifest)
    return frame, find_pairs(frame, manifest.resolve().parent, examine(frame, manifest).described)


@command.command("check")
@click.argument("manifest", type=MANIFEST)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per leak and line.")
def check(manifest: Path, as_json: bool) -> None:
    """Tell whether the splits of MANIFEST leak: a person or a photo in two of them. Exit status 3 if so.

    \b
    Example:
      happysad data check split.csv
    """
    from happysad.split import leaks

    frame, pairs = _with_pairs(manifest)
    if not (frame["split"] != "").any():
        raise click.ClickException(f"{manifest} has no splits; make them with: happysad data split {manifest} -o split.csv")
    found = leaks(frame, pairs.rows)
    for leak in found:
        paths = frame["path"].iloc[leak.rows].tolist()
        who = f"subject {leak.name}" if leak.name else "the same photo"
        message = f"{who} is in {' and '.join(leak.splits)} ({len(paths)} rows)"
        row = {"kind": leak.kind, "splits": leak.splits, "subject": leak.name, "paths": paths, "message": message}
        click.echo(json.dumps(row) if as_json else f"{message}: {paths[0]!r}, {paths[1]!r}")
    _say(f"{len(found)} leaks" if found else "no leaks: no person and no photo is in two splits")
    sys.exit(3 if found else 0)


@command.command("audit")
@click.argument("manifest", type=MANIFEST)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding and line, instead of a summary.")
@click.option("--csv", "csv_file", type=NEW_FILE, help="Also write one row per finding here.")
@click.option("--html", "html_file", type=NEW_FILE, help="Also write a page with the pictures here, worst first.")
@click.option(
    "--fail-on", "limits", multiple=True, metavar="KIND[:N]", help="Exit status 3 if there are N findings of a kind, or more (1)."
)
@click.option("--model-seen/--model-unseen", default=None, help="Whether the bundled model was trained on these photos.")
def audit(
    manifest: Path,
    as_json: bool,
    csv_file: Path | None,
    html_file: Path | None,
    limits: tuple[str, ...],
    model_seen: bool | None,
) -> None:
    """Tell what is wrong with MANIFEST: photos, faces, duplicates, labels, splits. Nothing is changed.

    \b
    Example:
      happysad data audit faces.csv --html audit.html
      happysad data audit faces.csv --fail-on label_error:10 --fail-on exact_duplicate
    """
    from happysad.audit import audit as run
    from happysad.audit import crossed, write_findings

    limit = {kind: _count(n) if n else 1 for kind, _, n in (text.partition(":") for text in limits)}
    crossed([], limit)
    found = run(manifest, model_seen)
    if csv_file:
        write_findings(found, csv_file)
    if html_file:
        from happysad.pages import write_audit_page

        write_audit_page(found, manifest, html_file)
    if as_json:
        for finding in found:
            click.echo(json.dumps(finding.to_dict()))
    else:
        _print_findings(found)
    over = crossed(found, limit)
    _say(*over)
    sys.exit(3 if over else 0)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise click.BadParameter(f"expected KIND:N with N of 1 or more, got {text!r}", param_hint="--fail-on")
    return int(text)


def _print_findings(found: list[Any]) -> None:
    """How many of each kind, and the worst of it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("kind", "findings", "worst", "what was seen"):
        table.add_column(name, justify="right" if name == "findings" else "left", overflow="fold")
    kinds: dict[str, list[Any]] = {}
    for finding in found:
        kinds.setdefault(finding.kind, []).append(finding)
    for kind, rows in kinds.items():
        table.add_row(kind, f"{len(rows):,}", Text(ascii(rows[0].path)[1:-1]), Text(rows[0].message))
    Console(width=None if sys.stdout.isatty() else 200).print(table if found else "nothing was found")


@command.command("show")
@click.argument("manifest", type=MANIFEST)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option("--html", "html_file", type=NEW_FILE, help="Also write a page with plots and pictures here.")
def show(manifest: Path, as_json: bool, html_file: Path | None) -> None:
    """Tell what is in MANIFEST: classes, splits, sources, sizes, light, faces.

    \b
    Example:
      happysad data show faces.csv --html faces.html
    """
    from happysad.examine import examine
    from happysad.manifest import read_manifest
    from happysad.show import summary

    frame = read_manifest(manifest)
    seen = examine(frame, manifest)
    numbers = summary(frame, seen)
    if html_file:
        from happysad.pages import write_show_page

        write_show_page(numbers, frame, seen, manifest, html_file)
    if as_json:
        click.echo(json.dumps(numbers))
    else:
        _print_summary(numbers)


def _print_summary(numbers: dict[str, Any]) -> None:
    for name in ("rows", "unreadable", "without_face", "several_faces", "grey", "subjects"):
        click.echo(f"{name.replace('_', ' '):>16}  {numbers[name]:,}")
    for heading in ("labels", "sources"):
        for name, row in numbers[heading].items():
            counts = ", ".join(f"{other} {n:,}" for other, n in row.items())
            click.echo(f"{heading.removesuffix('s'):>16}  {ascii(name)[1:-1]}: {counts}")
    for name, row in numbers["measures"].items():
        click.echo(f"{name.replace('_', ' '):>16}  " + ", ".join(f"{word} {value:g}" for word, value in row.items()))
    _say(*(f"note: {warning}" for warning in numbers["warnings"]))


@command.command("review")
@click.argument("manifest", type=MANIFEST)
@click.option("--name", help="Who decides; your user name if not said.")
@click.option("--kind", "kinds", multiple=True, help="Only findings of this kind; may be given several times.")
@click.option("--port", default=0, show_default=True, help="0 takes a free one.")
@click.option("--model-seen/--model-unseen", default=None, help="Whether the bundled model was trained on these photos.")
def review(manifest: Path, name: str | None, kinds: tuple[str, ...], port: int, model_seen: bool | None) -> None:
    """Go through what the audit found in MANIFEST, on a local web page, by keyboard.

    Each decision is noted at once in MANIFEST.review.sqlite. Several people can do this on one file, each with a --name.

    \b
    Example:
      happysad data review faces.csv --kind label_error
    """
    import getpass

    from happysad.audit import KINDS
    from happysad.audit import audit as run
    from happysad.manifest import BOX, read_manifest
    from happysad.review import suspects_of
    from happysad.reviewpage import HOST, serve

    if wrong := [kind for kind in kinds if kind not in KINDS]:
        raise click.BadParameter(f"there is no kind {wrong[0]}; the kinds are {', '.join(KINDS)}", param_hint="--kind")
    frame = read_manifest(manifest)
    suspects = suspects_of(frame, run(manifest, model_seen), kinds)
    found = frame[frame["x0"].notna()]
    boxes = dict(zip(found["path"], found[list(BOX)].itertuples(index=False, name=None), strict=True))
    with serve(suspects, boxes, manifest, name or getpass.getuser(), port) as server:
        _say(
            f"{len(suspects):,} photos to decide about: open http://{HOST}:{server.server_port}/ and press Ctrl-C here when done"
        )
        server.serve_forever()


@command.command("apply")
@click.argument("manifest", type=MANIFEST)
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The corrected manifest.")
@click.option("--without", "kinds", multiple=True, metavar="KIND", help="Also leave out rows with a finding of this kind.")
@click.option("--model-seen/--model-unseen", default=None, help="Whether the bundled model was trained on these photos.")
def apply(manifest: Path, output: Path, kinds: tuple[str, ...], model_seen: bool | None) -> None:
    """Write MANIFEST with the decisions of its reviewers, and say what changed. MANIFEST itself stays as it is.

    \b
    Example:
      happysad data apply faces.csv -o clean.csv
      happysad data apply faces.csv -o clean.csv --without no_face --without not_a_photo
    """
    from happysad.audit import audit as run
    from happysad.audit import crossed
    from happysad.manifest import moved, read_manifest, write_manifest
    from happysad.review import Review, agreement, applied, without

    crossed([], dict.fromkeys(kinds, 1))
    if output.resolve() == manifest.resolve():
        raise click.BadParameter("the corrected manifest needs a name of its own", param_hint="--output")
    frame = read_manifest(manifest)
    choices = Review(manifest).choices()
    if not choices and not kinds:
        raise click.ClickException(f"nobody has decided anything about {manifest}; start with: happysad data review {manifest}")
    clean, notes = applied(frame, choices)
    if kinds:
        clean, more = without(clean, run(manifest, model_seen), kinds)
        notes += more
    write_manifest(moved(clean, manifest.parent, output.parent), output)
    _say(*notes, *(f"{a} and {b} agree with kappa {k:.2f} on {n:,} photos" for a, b, n, k in agreement(choices)))
    _say(f"{output}: {len(clean):,} of {len(frame):,} rows")
