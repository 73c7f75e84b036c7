"""``happysad demo``: one portrait, offline."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("happysad-demo.jpg"),
    show_default=True,
    help="The picture to write.",
)
def command(output: Path) -> None:
    """Show what happysad sees in a portrait, without network or photos of your own.

    The portrait of Grace Hopper comes with matplotlib's sample data.

    \b
    Example:
      happysad demo -o grace.jpg
    """
    from happysad import demo

    prediction = demo.annotated_portrait(output)
    for face in prediction.faces:
        doubt = "" if face.certain else f" Not sure: {face.reason}."
        click.echo(f"The face looks {face.grade} (mood {face.mood:+.2f} from -1 to +1).{doubt}")
    click.echo(f"The annotated picture is in {output}")
