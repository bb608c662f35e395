"""Puts events together again that the server split, since they were larger than a message may be. (pure)

Each fragment has some of the event's fields, a token of its own, and which of how many it is. The token of the last
resumes behind the event.
https://www.mongodb.com/docs/manual/reference/operator/aggregation/changeStreamSplitLargeEvent/
"""

from __future__ import annotations

from itertools import pairwise
from struct import Struct
from typing import Final

from cdc.errors import ProtocolError
from cdc.mongo.reply import DOCUMENT, INT32, fields, place

_int32: Final = Struct("<i").unpack_from
_uint32: Final = Struct("<I").unpack_from


class Fragments:
    """The fragments so far of the event at hand. The server splits what it could build: twice 16 MiB and a little."""

    def __init__(self) -> None:
        self._elements: list[bytes] = []
        self._count = self._of = 0

    @property
    def pending(self) -> bool:
        """Whether more of them must follow."""
        return self._count > 0

    def add(self, raw: bytes, text: str, at: int) -> bytes | None:
        """Take the fragment that begins at `at`; once it is the last, return the whole event, BSON.

        Raises ProtocolError for one out of turn, `cdc.mongo.convert.MALFORMED`.
        """
        found = fields(raw, text, at)
        told = fields(raw, text, place(found, "splitEvent", DOCUMENT))
        number, of = (_int32(raw, place(told, name, INT32))[0] for name in ("fragment", "of"))
        if number != self._count + 1 or (self._count and of != self._of) or number > of:
            raise ProtocolError(f"fragment {number} of {of} came behind fragment {self._count} of {self._of}")
        self._count, self._of = number, of
        begins = [value - len(name) - 2 for name, (_, value) in found.items()]
        begins.append(at + _uint32(raw, at)[0] - 1)
        for name, (begin, end) in zip(found, pairwise(begins), strict=True):
            if name == "_id":
                self._elements[:1] = [raw[begin:end]]
            elif name != "splitEvent":
                self._elements.append(raw[begin:end])
        if number < of:
            return None
        body = b"".join(self._elements)
        self._elements, self._count = [], 0
        return (len(body) + 5).to_bytes(4, "little") + body + b"\0"
