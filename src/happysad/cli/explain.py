"""``happysad explain``: where in a face did the model look?"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("photo", metavar="PHOTO")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The picture to write.")
@click.option("--cropped", is_flag=True, help="The photo is a face crop, as in FER2013: search no face.")
@click.option(
    "--occlusion/--no-occlusion", default=True, show_default=True, help="Also cover parts, and see what changes; slower."
)
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A model.onnx, not the bundled one.")
def command(photo: str, out: Path, cropped: bool, occlusion: bool, model: Path | None) -> None:
    """Draw which parts of a face speak for happy and for sad.

    The largest face of the PHOTO is taken; - reads the photo from standard input.

    \b
    Example:
      happysad explain photo.jpg -o where.png
    """
    from happysad.errors import DataError
    from happysad.explain import explain, sheet
    from happysad.predict import Predictor

    picture = sheet(explain(photo, Predictor(model), cropped=cropped, occlude=occlusion))
    try:
        picture.save(out)
    except (OSError, ValueError) as error:
        raise DataError(f"{out} cannot be written ({error}); name a .png file in a folder that exists") from error
    click.echo(f"wrote {out}", err=True)
