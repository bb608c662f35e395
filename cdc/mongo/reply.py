"""The server's replies about a cursor, cut where their documents begin. (pure)

pymongo would make a dict of every document; the stream wants their JSON, and takes that from the bytes.
https://www.mongodb.com/docs/manual/reference/command/getMore/
"""

from __future__ import annotations

from struct import Struct
from typing import Final, TypeAlias

from cdc import kernel
from cdc.errors import ProtocolError
from cdc.mongo.convert import MALFORMED, utf8

Fields: TypeAlias = dict[str, tuple[str, int]]
"""A document's fields: name -> (BSON type, where the value begins)."""

DOCUMENT: Final = "\x03"
STRING: Final = "\x02"
INT32: Final = "\x10"
INT64: Final = "\x12"
_ARRAY: Final = "\x04"
_BINARY: Final = "\x05"
_END: Final = "\0"
_SIZES: Final = {
    "\x01": 8, "\x06": 0, "\x07": 12, "\x08": 1, "\x09": 8, "\x0a": 0, "\x10": 4, "\x11": 8, INT64: 8, "\x13": 16,
    "\x7f": 0, "\xff": 0,
}  # fmt: skip
_COUNTED: Final = {
    STRING: 4,
    DOCUMENT: 0,
    _ARRAY: 0,
    _BINARY: 5,
    "\x0d": 4,
    "\x0e": 4,
}  # bytes that the count leaves out
_compiled: Final = kernel.load("reply")
_uint32: Final = Struct("<I").unpack_from
_int64: Final = Struct("<q").unpack_from


class Reply:
    """One batch of a change stream: the message, and in it

    cursor: 0 if the stream has ended; token: everything up to there was sent; events: where each begins.
    """

    __slots__ = ("_text", "cursor", "events", "raw", "token")

    def __init__(self, raw: bytes, cursor: int, token: str, events: list[int]) -> None:
        self.raw = raw
        self.cursor = cursor
        self.token = token
        self.events = events
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The message as wire text (see `cdc.mongo.convert`), made where it is wanted."""
        if self._text is None:
            self._text = self.raw.decode("latin-1")
        return self._text


def fields(raw: bytes, text: str, at: int) -> Fields:
    """The fields of the document that begins at `at`. Raises `MALFORMED`, also for a type that no reply has."""
    return fields_until(raw, text, at + 4, at + _uint32(raw, at)[0] - 1)


def fields_until(raw: bytes, text: str, at: int, end: int) -> Fields:
    """Those fields of the document with its last byte at `end` that begin at `at` or behind it. Raises as `fields`."""
    found: Fields = {}
    while at < end:
        kind = text[at]
        stop = text.index(_END, at + 1)
        found[text[at + 1 : stop]] = kind, stop + 1
        size = _SIZES.get(kind)
        at = stop + 1 + (_uint32(raw, stop + 1)[0] + _COUNTED[kind] if size is None else size)
    if at != end or text[end] != _END:
        raise ValueError(f"a document that should end at byte {end} does not")
    return found


def place(found: Fields, name: str, kind: str) -> int:
    """Where the value of this field begins. Raises `MALFORMED` if it is not there or of another type."""
    actual, at = found[name]
    if actual != kind:
        raise ValueError(f"{name} is of BSON type {ord(actual)}")
    return at


def string(raw: bytes, text: str, at: int) -> str:
    """The string that begins at `at`, as wire text."""
    return text[at + 4 : at + 3 + _uint32(raw, at)[0]]


def token_at(raw: bytes, text: str, at: int) -> str:
    """The text of the resume token that begins at `at`: its `_data`; behind a dot its `_typeBits`, in hex, where it has
    any (they tell which type a number in the `_id` has; without them the server does not find the event of a large one
    again). Raises `MALFORMED`."""
    found = fields(raw, text, at)
    data = string(raw, text, place(found, "_data", STRING))
    if "_typeBits" not in found:
        return data
    at = place(found, "_typeBits", _BINARY)
    bits = raw[at + 5 : at + 5 + _uint32(raw, at)[0]]
    return f"{data}.{bits.hex()}" if bits else data


def collection_of(namespace: str) -> str:
    """The collection of a namespace, BSON as wire text. Raises `cdc.mongo.convert.MALFORMED`."""
    raw = namespace.encode("latin-1")
    return utf8(string(raw, namespace, place(fields(raw, namespace, 0), "coll", STRING))).decode()


def session_of(lsid: bytes) -> bytes:
    """The session's id in an `lsid`, BSON, as it stands in `Key`. Raises `cdc.mongo.convert.MALFORMED`."""
    return session_at(lsid, lsid.decode("latin-1"), 0)


def session_at(raw: bytes, text: str, at: int) -> bytes:
    """The same of the `lsid` that begins at `at`."""
    begin = fields(raw, text, at)["id"][1]
    return raw[begin + 5 : begin + 21]  # a binary of 16 bytes


def read_reply(raw: bytes) -> Reply:
    """Cut the reply to an aggregate or a getMore, by the kernel if that can. Raises ProtocolError for one that is not
    of a change stream."""
    found = None if _compiled is None else _compiled.read_reply(raw)
    return general_reply(raw) if found is None else Reply(raw, *found)


def general_reply(raw: bytes) -> Reply:
    """The same without the kernel."""
    text = raw.decode("latin-1")
    try:
        cursor = fields(raw, text, place(fields(raw, text, 0), "cursor", DOCUMENT))
        batch = "nextBatch" if "nextBatch" in cursor else "firstBatch"
        token = token_at(raw, text, place(cursor, "postBatchResumeToken", DOCUMENT))
        number = _int64(raw, place(cursor, "id", INT64))[0]
        return Reply(raw, number, token, _events(raw, text, place(cursor, batch, _ARRAY)))
    except MALFORMED as error:
        raise ProtocolError(f"the server's reply is not that of a change stream: {error!r}") from error


def _events(raw: bytes, text: str, at: int) -> list[int]:
    end = at + _uint32(raw, at)[0] - 1
    at += 4
    places: list[int] = []
    while at < end:
        if text[at] != DOCUMENT:
            raise ValueError(f"an event is of BSON type {raw[at]}")
        at = text.index(_END, at + 1) + 1
        places.append(at)
        at += _uint32(raw, at)[0]
    if at != end:
        raise ValueError(f"a batch that should end at byte {end} does not")
    return places
