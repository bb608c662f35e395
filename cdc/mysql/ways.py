"""What the kernel can do with a column's bytes by itself. (pure)"""

from __future__ import annotations

from enum import IntEnum, auto


class Way(IntEnum):
    """How the kernel makes JSON of a value. `Reading.detail` is for DECIMAL precision << 8 | scale, for times the bytes
    of the fraction, for BYTES the size that it has with the zeros at its end, for integers 1 if they are unsigned."""

    CALL = auto()
    """Not at all: it calls the code that stands in the `Reading`."""
    INTEGER = auto()
    BIGINT = auto()
    YEAR = auto()
    BOOLEAN = auto()
    """0 and 1, and other numbers."""
    FLAG = auto()
    """0 and 1."""
    FLOAT = auto()
    DOUBLE = auto()
    DECIMAL = auto()
    DATE = auto()
    DATETIME = auto()
    TIMESTAMP = auto()
    TIME = auto()
    LABEL = auto()
    """A number that stands for a text."""
    TEXT = auto()
    """UTF-8."""
    ASCII = auto()
    """Of a character set that has ASCII in it: what is more than that it does not do."""
    BYTES = auto()
    """What lacks zeros at its end it does not do."""
    JSON = auto()
    """MySQL's binary JSON."""
    DOCUMENT = auto()
    """JSON that is kept as text, in UTF-8: what is unusual it does not do."""
