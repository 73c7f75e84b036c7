"""The command line: ``happysad COMMAND``. Each command parses, calls one function of the library, and prints."""

from __future__ import annotations

import click

from happysad import __version__


class _LazyCommands(click.Group):
    """Commands by name, each imported when it is asked for, so that ``happysad --help`` stays quick."""

    COMMANDS = {
        "predict": "happysad.cli.predict",
        "doctor": "happysad.cli.doctor",
        "demo": "happysad.cli.demo",
    }

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        import importlib

        if name not in self.COMMANDS:
            return None
        command: click.Command = importlib.import_module(self.COMMANDS[name]).command
        return command


@click.group(cls=_LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """How happy or sad does a face look? Graded, calibrated, and honest about what it does not know.

    \b
    Example:
      happysad predict photo.jpg
    """
