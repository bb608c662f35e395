"""Binlog events but rows and table maps: bytes to frozen dataclasses. (pure)

Formats: https://dev.mysql.com/doc/dev/mysql-server/latest/ (mysql::binlog::event) and, for what only MariaDB has,
https://mariadb.com/kb/en/replication-protocol/. Every function takes an event's body, `data[at:end]`, without header
and checksum, and raises ProtocolError for one that is cut short or makes no sense.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from struct import Struct
from struct import error as struct_error
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

from cdc.errors import ProtocolError

HEADER: Final = Struct("<IBIIIH")
"""(Unix s, type, server id, size with header and checksum, end of it in the file modulo 2**32 or 0, flags)"""
HEADER_SIZE: Final = HEADER.size
CHECKSUM_SIZE: Final = 4
ARTIFICIAL: Final = 0x20  # flag: made for us, not in the file
IGNORABLE: Final = 0x80  # flag: whoever does not know the type may skip it

QUERY: Final = 2
STOP: Final = 3
ROTATE: Final = 4
FORMAT_DESCRIPTION: Final = 15
XID: Final = 16
EXECUTE_LOAD_QUERY: Final = 18
TABLE_MAP: Final = 19
WRITE_ROWS_V1: Final = 23
UPDATE_ROWS_V1: Final = 24
DELETE_ROWS_V1: Final = 25
INCIDENT: Final = 26
HEARTBEAT: Final = 27
WRITE_ROWS: Final = 30
UPDATE_ROWS: Final = 31
DELETE_ROWS: Final = 32
GTID: Final = 33
ANONYMOUS_GTID: Final = 34
XA_PREPARE: Final = 38
PARTIAL_UPDATE_ROWS: Final = 39
TRANSACTION_PAYLOAD: Final = 40
HEARTBEAT_V2: Final = 41
TAGGED_GTID: Final = 42
MARIADB_GTID: Final = 162
QUERY_COMPRESSED: Final = 165
WRITE_ROWS_COMPRESSED_V1: Final = 166
UPDATE_ROWS_COMPRESSED_V1: Final = 167
DELETE_ROWS_COMPRESSED_V1: Final = 168
WRITE_ROWS_COMPRESSED: Final = 169
UPDATE_ROWS_COMPRESSED: Final = 170
DELETE_ROWS_COMPRESSED: Final = 171

ROWS: Final = frozenset(
    {
        *range(WRITE_ROWS_V1, DELETE_ROWS_V1 + 1),
        *range(WRITE_ROWS, DELETE_ROWS + 1),
        PARTIAL_UPDATE_ROWS,
        *range(WRITE_ROWS_COMPRESSED_V1, DELETE_ROWS_COMPRESSED + 1),
    }
)

MEANINGLESS: Final = frozenset(
    {
        5,  # INTVAR, RAND, USER_VAR, BEGIN_LOAD_QUERY, APPEND_BLOCK, DELETE_FILE: of statements, which come after them
        13,
        14,
        17,
        9,
        11,
        28,  # IGNORABLE, ROWS_QUERY, ANNOTATE_ROWS: comments
        29,
        160,
        35,  # PREVIOUS_GTIDS, GTID_LIST, BINLOG_CHECKPOINT, START_ENCRYPTION: for the server itself
        163,
        161,
        164,
        36,  # TRANSACTION_CONTEXT, VIEW_CHANGE: of group replication
        37,
        HEARTBEAT_V2,  # sent only to those that ask for it
    }
)
"""Types of events that say nothing of any row."""


def told(kind: int) -> str:
    """Why an event of this type stops the tailer."""
    if kind == INCIDENT:
        return "the server says that its binlog lacks changes (an incident, see its error log)"
    return f"an event of type {kind}, which is not known"


_STANDALONE: Final = 1
_HAS_GROUP: Final = 2
_PREPARED: Final = 64
_HAS_XID: Final = 64 | 128
NOT_PLAIN: Final = _STANDALONE | _PREPARED | _HAS_XID
"""Flags of a MariaDB GTID_EVENT that begins anything but a plain transaction."""

_LONGEST_STATEMENT: Final = 1 << 30  # max_allowed_packet's limit

_ROTATE: Final = Struct("<Q")
_FORMAT: Final = Struct("<H50sIB")
_QUERY: Final = Struct("<IIBHH")
_query_sizes: Final = Struct("<8xBxxH").unpack_from
_GTID: Final = Struct("<B16sqBqqQ")
_MARIADB_GTID: Final = Struct("<QIB")
_XA_PREPARE: Final = Struct("<BiII")
_MARIADB_XID: Final = Struct("<iBB")
_LOAD: Final = 13  # bytes between the post-header of a query and its status variables
COMMIT_TIME_BITS: Final = (1 << 55) - 1

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rotate:
    """What follows is in this file, from this offset on."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class FormatDescription:
    """The beginning of a file. checksums: its events end in a CRC-32."""

    server: str
    checksums: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A statement. thread: the connection's id; schema: its default database; both as the server had them."""

    thread: int
    schema: str
    statement: bytes


@dataclass(frozen=True, slots=True)
class Xid:
    """An XA transaction's name."""

    format: int
    global_id: bytes
    branch: bytes


class Begin(NamedTuple):
    """A transaction's first event. gtid: None where the server gives none; server: MariaDB's GTIDs need the header's
    server id, which is filled in; commit_ms: Unix time of the commit, None where only the header tells;
    standalone: it is one statement, without an end of its own (None: only what follows tells);
    prepares: its rows are an XA transaction's, which is prepared at its end."""

    gtid: str | None
    commit_ms: int | None = None
    standalone: bool | None = None
    prepares: bool = False


@dataclass(frozen=True, slots=True)
class XaPrepare:
    """The end of a transaction that is prepared, or with one_phase committed."""

    xid: Xid
    one_phase: bool


def _decoder(
    function: Callable[Concatenate[bytes, int, int, _P], _T],
) -> Callable[Concatenate[bytes, int, int, _P], _T]:
    """Whatever a malformed body makes it raise is a ProtocolError."""

    @wraps(function)
    def decode(data: bytes, at: int, end: int, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(data, at, end, *args, **kwargs)
        except (struct_error, IndexError, ValueError, zlib.error) as error:
            name = function.__name__.removeprefix("decode_")
            raise ProtocolError(f"binlog event {name}, {end - at} bytes: {error}") from error

    return decode


@_decoder
def decode_rotate(data: bytes, at: int, end: int) -> Rotate:
    """ROTATE_EVENT."""
    [offset] = _ROTATE.unpack(data[at : min(at + 8, end)])
    return Rotate(data[at + 8 : end].decode(), offset)


@_decoder
def decode_format_description(data: bytes, at: int, end: int) -> FormatDescription:
    """FORMAT_DESCRIPTION_EVENT, with its checksum: that is always there, whatever the byte before it says of others."""
    version, server, _, header = _FORMAT.unpack(data[at : min(at + _FORMAT.size, end)])
    if version != 4 or header != HEADER_SIZE:
        raise ValueError(
            f"version {version} with headers of {header} bytes; known are version 4 and {HEADER_SIZE}"
        )
    algorithm = data[_within(end - CHECKSUM_SIZE - 1, at + _FORMAT.size, end)]
    if algorithm > 1:
        raise ValueError(f"checksum algorithm {algorithm}; known are 0 (none) and 1 (CRC-32)")
    return FormatDescription(server.rstrip(b"\0").decode(), algorithm == 1)


@_decoder
def decode_query(data: bytes, at: int, end: int) -> Query:
    """QUERY_EVENT."""
    return _query(data, at, end, _QUERY.size)


@_decoder
def decode_load_query(data: bytes, at: int, end: int) -> Query:
    """EXECUTE_LOAD_QUERY_EVENT: LOAD DATA in statement format."""
    return _query(data, at, end, _QUERY.size + _LOAD)


@_decoder
def decode_compressed_query(data: bytes, at: int, end: int) -> Query:
    """MariaDB's QUERY_COMPRESSED_EVENT."""
    query = _query(data, at, end, _QUERY.size)
    return Query(query.thread, query.schema, inflate(query.statement, 0, len(query.statement)))


def is_begin(data: bytes, at: int, end: int) -> bool:
    """Whether this QUERY_EVENT says BEGIN as the server itself writes it: with small transactions a fifth of all events
    are this one."""
    if not data.endswith(b"\0BEGIN", at, end):
        return False
    schema_size, status_size = _query_sizes(data, at)
    return bool(at + _QUERY.size + status_size + schema_size + 6 == end)


def _query(data: bytes, at: int, end: int, head: int) -> Query:
    thread, _, schema_size, _, status_size = _QUERY.unpack(data[at : min(at + _QUERY.size, end)])
    schema = at + head + status_size
    statement = _within(schema + schema_size + 1, at, end + 1)
    return Query(thread, data[schema : statement - 1].decode(), data[statement:end])


def decode_gtid(data: bytes, at: int, end: int, anonymous: bool) -> Begin:
    """GTID_LOG_EVENT and ANONYMOUS_GTID_LOG_EVENT."""
    if end - at < _GTID.size:
        raise ProtocolError(f"binlog event gtid, {end - at} bytes: cut short")
    _, source, number, _, _, _, time = _GTID.unpack_from(data, at)
    gtid = None if anonymous else f"{uuid_text(source)}:{number}"
    return Begin(gtid, (time & COMMIT_TIME_BITS) // 1000)


@lru_cache(256)
def uuid_text(source: bytes) -> str:
    """A server's 16 bytes as it prints them."""
    return str(UUID(bytes=source))


@_decoder
def decode_tagged_gtid(data: bytes, at: int, end: int) -> Begin:
    """GTID_TAGGED_LOG_EVENT, in mysql::serialization: (field, value) pairs in ascending order."""
    reader = _Serialized(data, at, end)
    (
        reader.unsigned(),
        reader.unsigned(),
        reader.unsigned(),
    )  # version, size, last field that may not be skipped
    source, tag, number, commit_us = b"", "", 0, 0
    while reader.at < end:
        match reader.unsigned():
            case 0:
                reader.unsigned()  # flags
            case 1:
                source = bytes(reader.unsigned() for _ in range(16))
            case 2:
                number = reader.signed()
            case 3:
                tag = reader.text()
            case 4 | 5:
                reader.signed()  # last committed, sequence number
            case 6:
                commit_us = reader.unsigned()
            case _:
                break
    name = f"{UUID(bytes=source)}:{tag}" if tag else f"{UUID(bytes=source)}"
    return Begin(f"{name}:{number}", commit_us // 1000)


@_decoder
def decode_mariadb_gtid(data: bytes, at: int, end: int, server: int) -> Begin:
    """MariaDB's GTID_EVENT; server: its header's server id."""
    number, domain, flags = _MARIADB_GTID.unpack(data[at : min(at + _MARIADB_GTID.size, end)])
    if flags & _HAS_XID:
        # checked, since an event cut short here is as malformed as anywhere else
        xid = at + _MARIADB_GTID.size + (8 if flags & _HAS_GROUP else 0)
        _, global_size, branch_size = _MARIADB_XID.unpack(data[xid : min(xid + _MARIADB_XID.size, end)])
        _within(xid + _MARIADB_XID.size + global_size + branch_size, at, end + 1)
    return Begin(f"{domain}-{server}-{number}", None, bool(flags & _STANDALONE), bool(flags & _PREPARED))


@_decoder
def decode_xa_prepare(data: bytes, at: int, end: int) -> XaPrepare:
    """XA_PREPARE_LOG_EVENT."""
    one_phase, form, global_size, branch_size = _XA_PREPARE.unpack(data[at : min(at + _XA_PREPARE.size, end)])
    first = at + _XA_PREPARE.size
    second = first + global_size
    _within(second + branch_size, at, end + 1)
    return XaPrepare(Xid(form, data[first:second], data[second : second + branch_size]), bool(one_phase))


def inflate(data: bytes, at: int, end: int) -> bytes:
    """MariaDB's compressed text and rows: a byte with the size of the size, the size, zlib. Raises ValueError."""
    width = data[at] & 7
    if data[at] & 0x70 or not 1 <= width <= 4:
        raise ValueError(f"compression {data[at]:#04x} is not known")
    size = int.from_bytes(data[at + 1 : at + 1 + width], "big")
    inflater = zlib.decompressobj()
    text = inflater.decompress(data[at + 1 + width : end], min(size, _LONGEST_STATEMENT) + 1)
    if len(text) != size or not inflater.eof:
        raise ValueError(f"{len(text)} bytes came out where {size} were announced")
    return text


def packed_int(data: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer: (its value, where it ends). Raises IndexError or ValueError."""
    first = data[at]
    if first < 0xFB:
        return first, at + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if width is None:
        raise ValueError(f"{first:#04x} is no length")
    if at + 1 + width > len(data):
        raise IndexError("cut short inside a length")
    return int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width


def _within(place: int, low: int, end: int) -> int:
    """The place, if it is one of the event's."""
    if not low <= place < end:
        raise IndexError("cut short")
    return place


class _Serialized:
    """Reads integers whose first byte ends in as many ones as bytes follow, and text."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self.at = at
        self._end = end

    def unsigned(self) -> int:
        first = self._data[_within(self.at, 0, self._end)]
        more = (~first & -~first).bit_length() - 1 if first != 0xFF else 8
        begin, self.at = self.at, _within(self.at + more + 1, 0, self._end + 1)
        return int.from_bytes(self._data[begin : self.at], "little") >> (more + 1)

    def signed(self) -> int:
        value = self.unsigned()
        return -(value >> 1) - 1 if value & 1 else value >> 1

    def text(self) -> str:
        size = self.unsigned()
        begin = self.at
        self.at = _within(begin + size, 0, self._end + 1)
        return self._data[begin : self.at].decode()
