"""The command line: ``happysad COMMAND``. Each command parses, calls one function of the library, and prints."""

from __future__ import annotations

from typing import ClassVar

import click

from happysad import __version__
from happysad.errors import HappysadError


class _LazyCommands(click.Group):
    """Commands by name, each imported when it is asked for, so that ``happysad --help`` stays quick."""

    COMMANDS: ClassVar = {
        "predict": "happysad.cli.predict",
        "doctor": "happysad.cli.doctor",
        "demo": "happysad.cli.demo",
        "data": "happysad.cli.data",
        "evaluate": "happysad.cli.evaluate",
        "explain": "happysad.cli.explain",
    }

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        import importlib

        if name not in self.COMMANDS:
            return None
        command: click.Command = importlib.import_module(self.COMMANDS[name]).command
        return command

    def invoke(self, context: click.Context) -> object:
        """Run the command; what the user can mend becomes one sentence on stderr and exit status 1, and Ctrl-C becomes 130."""
        try:
            return super().invoke(context)
        except HappysadError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            context.exit(130)


@click.group(cls=_LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """How happy or sad does a face look? Graded, calibrated, and honest about what it does not know.

    \b
    Example:
      happysad predict photo.jpg
    """
