"""``happysad evaluate``: how good is a model on labelled faces, and for whom?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="[RUN|MODEL.ONNX] FACES.CSV", type=click.Path(path_type=Path))
@click.option(
    "--split", type=click.Choice(["all", "train", "valid", "test"]), help="Which rows.  [default: test, or all if there are none]"
)
@click.option(
    "--by", "by", multiple=True, metavar="ATTRIBUTE", help="Compare subgroups by this column; may be given several times."
)
@click.option("--out", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write metrics.json and the rest here.")
@click.option("--html", is_flag=True, help="Also write report.html, a model card and a data sheet into the folder of --out.")
@click.option(
    "--pictures/--no-pictures", default=True, show_default=True, help="Whether the files show and name the worst faces."
)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON on standard output, instead of a summary.")
@click.option("--stress", is_flag=True, help="Also measure under blur, noise, darkness, turned and covered faces and so on.")
@click.option("--fail-on", "limits", multiple=True, metavar="gap:MEASURE>NUMBER", help="Exit with 3 if a gap is surely larger.")
@click.option("--seed", default=0, show_default=True, help="Of all random draws.")
def command(
    files: tuple[Path, ...],
    split: str | None,
    by: tuple[str, ...],
    folder: Path | None,
    html: bool,
    pictures: bool,
    as_json: bool,
    stress: bool,
    limits: tuple[str, ...],
    seed: int,
) -> None:
    """Measure a model on labelled faces: figures with intervals, beside people, by subgroup.

    FACES.CSV is a manifest, as "happysad data import" makes it. Without a run or a model the bundled model is measured.
    The exit status is 0, 1 (something that was asked for could not be done), 2 (usage) or 3 (a limit of --fail-on was crossed).

    \b
    Example:
      happysad evaluate faces.csv --split test --by gender --out report --html
    """
    from happysad.evaluate import evaluate_file
    from happysad.fairness import crossed, parse_limit

    model, manifest = _model_and_manifest(files)
    if html and folder is None:
        raise click.UsageError("--html needs a folder to write into: add --out DIR")
    wanted = [_usage(parse_limit, limit) for limit in limits]
    if wanted and not by:
        raise click.UsageError("--fail-on compares subgroups: add --by ATTRIBUTE")
    done = evaluate_file(manifest, model, split=split, by=by, damaged=stress, seed=seed)
    for sentence in done.asked_in_vain:
        click.echo(sentence, err=True)
    if folder is not None:
        from happysad.report import write_report

        for path in write_report(done, folder, html=html, pictures=pictures):
            click.echo(f"wrote {path}", err=True)
    _show(done.report, as_json)
    over = (
        [sentence for limit in wanted for sentence in crossed(done.report["fairness"], *limit)] if done.report["fairness"] else []
    )
    for sentence in over:
        click.echo(sentence, err=True)
    sys.exit(3 if over else 1 if done.asked_in_vain else 0)


def _model_and_manifest(files: tuple[Path, ...]) -> tuple[Path | None, Path]:
    if len(files) > 2:
        raise click.UsageError(f"expected [RUN|MODEL.ONNX] FACES.CSV, got {len(files)} files")
    for file in files:
        if not file.exists():
            raise click.UsageError(f"there is no such file or folder: {file}")
    return (files[0], files[1]) if len(files) == 2 else (None, files[0])


def _usage(parse: Any, text: str) -> Any:
    """What ``parse`` makes of the text; its complaint is one about usage."""
    from happysad.errors import DataError

    try:
        return parse(text)
    except DataError as error:
        raise click.UsageError(str(error)) from error


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report, allow_nan=False))
        return
    from happysad.report.words import summary

    for line in summary(report):
        click.echo(line)
