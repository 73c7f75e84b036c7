"""Everything that can go wrong in a way the user can mend; each message is one sentence or two that say how."""

from __future__ import annotations


class HappysadError(Exception):
    """Base of all errors that happysad raises on purpose."""


class MissingExtraError(HappysadError, ImportError):
    """A part that is not in the base install is needed; the message names the command that brings it."""

    def __init__(self, part: str, why: str, command: str) -> None:
        super().__init__(f"{part} is not installed, and it is needed {why}; install it with: {command}")
