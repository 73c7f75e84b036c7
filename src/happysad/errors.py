"""Everything that can go wrong in a way the user can mend; each message is a sentence or two and says what to do."""

from __future__ import annotations


class HappysadError(Exception):
    """Base of all errors that happysad raises on purpose."""


class ImageError(HappysadError):
    """A photo cannot be read."""


class ModelError(HappysadError):
    """A model file cannot be used."""


class MissingExtraError(HappysadError, ImportError):
    """A part that is not in the base install is needed; the message names the command that brings it."""

    def __init__(self, part: str, why: str, command: str) -> None:
        super().__init__(f"{part} is not installed, and it is needed {why}; install it with: {command}")


class DataError(HappysadError):
    """A data set cannot be read, written, or used in the way that was asked."""
