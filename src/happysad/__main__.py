"""``python -m happysad`` is ``happysad``."""

from happysad.cli import main

main(prog_name="happysad")
