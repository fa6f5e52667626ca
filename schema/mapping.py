"""How a tenant's own files look: declared once in its order, so that nothing about them is guessed."""

from typing import Literal

from pydantic import BaseModel


class Reading(BaseModel, extra="forbid", frozen=True):
    """How the bytes of a delivered text file become rows of text."""

    encoding: Literal["utf-8", "windows-1252", "iso-8859-1"] = "utf-8"
    delimiter: Literal["", ",", ";", "\t"] = ""
    """Empty: the one that the header holds most of."""
    header_line: int = 1
    """The line, from 1, that names the columns; what stands above it is not read."""
