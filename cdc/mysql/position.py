"""Places in a binlog as integers that grow with it. (pure)"""

from __future__ import annotations

from typing import Final

from cdc.errors import ProtocolError

_OFFSET_BITS: Final = 40


def order_of(file: str, offset: int) -> int:
    """The place `offset` in the binlog file `bin.000012`: the file's number, then the offset. An offset may be beyond
    2**32 (a transaction is never split over files); it is below 2**40, and the number below 2**23.

    Raises ProtocolError for a name that has no number.
    """
    number = file.rpartition(".")[2]
    if not number.isascii() or not number.isdigit():
        raise ProtocolError(f"the binlog file {file!r} has no number in its name")
    return int(number) << _OFFSET_BITS | offset
