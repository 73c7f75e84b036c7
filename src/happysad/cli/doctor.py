"""``happysad doctor``: is this installation in order?"""

from __future__ import annotations

import json
import sys
from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(as_json: bool) -> None:
    """Check this installation: versions, models, a self-test, optional parts.

    The exit status is 1 if something is broken; a missing optional part is not.

    \b
    Example:
      happysad doctor
    """
    from happysad.doctor import examine

    state = examine()
    click.echo(json.dumps(state) if as_json else "\n".join(_lines(state)))
    sys.exit(0 if state["ok"] else 1)


def _lines(state: dict[str, Any]) -> list[str]:
    versions = [f"{name} {version or 'MISSING'}" for name, version in state["versions"].items()]
    checks = [f"  {'ok    ' if check['ok'] else 'BROKEN'}  {check['name']}: {check['found']}" for check in state["checks"]]
    extras = [
        f"  there    {extra['name']}" if extra["ok"] else f"  missing  {extra['name']}: {extra['install']}"
        for extra in state["extras"]
    ]
    verdict = "All is well." if state["ok"] else "Something is broken: see above."
    return [", ".join(versions), "", "Checks", *checks, "", "Optional parts", *extras, "", verdict]
