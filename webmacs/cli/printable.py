"""What others have said, as a terminal or a script may be given it."""

from __future__ import annotations

from typing import Final

SHORT_ID: Final = 8
"""So many letters of an id are shown where a name is not known."""


def printable(text: str) -> str:
    """The text without what a terminal could take for an order, or a script for a separator."""
    return "".join(character if character.isprintable() else " " for character in text)
