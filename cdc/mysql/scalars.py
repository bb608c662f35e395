"""Single values as the binlog has them, to JSON. (pure)

JSON is wire text (see `cdc.wire_text`). What cannot be a value raises ValueError, LookupError, or zlib.error.
"""

from __future__ import annotations

import zlib
from binascii import b2a_base64
from ipaddress import IPv6Address
from math import isfinite
from struct import Struct
from typing import Final
from uuid import UUID

import msgspec

from cdc.wire_text import Marked, json, string

BOOLEANS: Final = {0: "false", 1: "true"}

_FLOAT: Final = Struct("<f")
_LEAST_NORMAL: Final = 2.0**-126
_SRID_SIZE: Final = 4
_MAPPED: Final = bytes(10) + b"\xff\xff"


def float32(value: float) -> str:
    """A FLOAT, as the double that it is exactly."""
    if not isfinite(value):
        raise ValueError("a FLOAT that is not finite")
    # Any decimal of six digits survives in a normal FLOAT, so nothing shorter is lost when they are not needed.
    packed = _FLOAT.pack(value)
    for digits in range(6 if abs(value) >= _LEAST_NORMAL else 1, 9):
        text = f"{value:.{digits}g}"
        shorter = float(text)
        if _FLOAT.pack(shorter) == packed:
            return repr(shorter)
    return repr(float(f"{value:.9g}"))


def float64(value: float) -> str:
    """A DOUBLE."""
    if not isfinite(value):
        raise ValueError("a DOUBLE that is not finite")
    return repr(value)


def integer(value: int) -> str:
    """A BIGINT: a number, or a marked string where JavaScript's numbers are not exact."""
    return str(value) if -(2**53) < value < 2**53 else Marked(f'"{value}"')


def base64(data: bytes) -> str:
    return f'"{b2a_base64(data, newline=False).decode()}"'


def uuid(data: bytes) -> str:
    """MariaDB's UUID: 16 bytes, those at the end left out if zero."""
    return f'"{UUID(bytes=data.ljust(16, bytes(1)))}"'


def inet4(data: bytes) -> str:
    """MariaDB's INET4: four bytes, those at the end left out if zero."""
    return f'"{".".join(map(str, data.ljust(4, bytes(1))))}"'


def inet6(data: bytes) -> str:
    """MariaDB's INET6: 16 bytes, those at the end left out if zero; the server prints what contains an IPv4 address
    with it."""
    data = data.ljust(16, bytes(1))
    if len(data) > 16:
        raise ValueError(f"an INET6 of {len(data)} bytes")
    if data[:12] == _MAPPED:
        return f'"::ffff:{inet4(data[12:])[1:]}'
    if data[:12] == bytes(12) and data[12:14] != bytes(2):
        return f'"::{inet4(data[12:])[1:]}'
    return f'"{IPv6Address(data)}"'


def vector(data: bytes) -> str:
    """A VECTOR: four bytes for each element."""
    if len(data) % _FLOAT.size:
        raise ValueError(f"a VECTOR of {len(data)} bytes")
    return f"[{','.join(float32(value) for (value,) in _FLOAT.iter_unpack(data))}]"


def geometry(data: bytes) -> str:
    """A geometry: its reference system, then WKB."""
    if len(data) < _SRID_SIZE:
        raise ValueError(f"a geometry of {len(data)} bytes")
    srid = int.from_bytes(data[:_SRID_SIZE], "little")
    return f'{{"srid":{srid},"wkb":{base64(data[_SRID_SIZE:])}}}'


def document(text: str) -> str:
    """A document that is kept as text: compact. What is none, or what no JSON reader takes (1e999), is a marked string,
    so that one such row does not stop every reader."""
    data = text.encode("latin-1")
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Marked(string(text))
    return json(msgspec.json.format(data, indent=-1).decode("latin-1"))


def decompress(data: bytes) -> bytes:
    """A value of a COMPRESSED column (MariaDB's sql/field.cc, compress_zlib): a byte that says how, the size, zlib."""
    if not data:
        return data
    how = data[0]
    if not how:
        return data[1:]
    if how & 0xF0 != 0x80:
        raise ValueError(f"a column compressed by method {how >> 4}")
    head = 1 + (how & 7)
    size = int.from_bytes(data[1:head])
    bare = how & 8
    inflater = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
    text = inflater.decompress(data[head:], size + 1)
    if len(text) != size:
        raise ValueError(f"a compressed column of {size} bytes that has other {len(text)}")
    return text


def repaired(text: str) -> str:
    """Wire text with U+FFFD where its bytes are not UTF-8."""
    data = text.encode("latin-1")
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode().decode("latin-1")
    return text
