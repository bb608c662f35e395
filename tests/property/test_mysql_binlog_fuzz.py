"""Whatever bytes come, decoders give an event or a ProtocolError."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import ProtocolError
from cdc.mysql import binlog
from cdc.mysql.packets import Packets, ServerError
from cdc.mysql.payload import unpack

DECODERS: dict[str, Callable[[bytes], Any]] = {
    "rotate": lambda data: binlog.decode_rotate(data, 0, len(data)),
    "format": lambda data: binlog.decode_format_description(data, 0, len(data)),
    "query": lambda data: binlog.decode_query(data, 0, len(data)),
    "compressed": lambda data: binlog.decode_compressed_query(data, 0, len(data)),
    "load": lambda data: binlog.decode_load_query(data, 0, len(data)),
    "gtid": lambda data: binlog.decode_gtid(data, 0, len(data), False),
    "tagged": lambda data: binlog.decode_tagged_gtid(data, 0, len(data)),
    "mariadb": lambda data: binlog.decode_mariadb_gtid(data, 0, len(data), 1),
    "xa": lambda data: binlog.decode_xa_prepare(data, 0, len(data)),
    "payload": lambda data: list(unpack(data, 0, len(data))),
}


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.binary(max_size=120))
def test_garbage(name: str, data: bytes) -> None:
    with suppress(ProtocolError):
        DECODERS[name](data)


WHOLE = {
    "rotate": "740100000000000062696e2e303030303031",
    "query": "0700000000000000090000020000000000" + "61707000" + "424547494e",
    "gtid": "019866a30de83a11f1a89202fc000000010200000000000000"
    "020100000000000000020000000000000083a87bd10a6106e650620100",
    "tagged": "0276000000026102cc8d021aa1037422c503a102490204f1030000000204040"
    + "60c6d795f74616708080a0c0c7f10e27bd10a6106",
    "mariadb": "0500000000000000000000008d01000000010078",
    "xa": "0001000000010000000000000078",
}


@pytest.mark.parametrize("name", WHOLE)
def test_cut_short_at_every_byte(name: str) -> None:
    data = bytes.fromhex(WHOLE[name])
    DECODERS[name](data)
    for end in range(len(data)):
        with suppress(ProtocolError):
            DECODERS[name](data[:end])


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_packets_of_garbage(chunks: list[bytes], size: int) -> None:
    whole = b"".join(len(chunk).to_bytes(3, "little") + b"\0" + chunk for chunk in chunks)
    packets, found = Packets(), []
    try:
        for at in range(0, len(whole), size):
            packets.add(whole[at : at + size])
            while (span := packets.take()) is not None:
                data, begin, end = span
                found.append(data[begin:end])
    except (ProtocolError, ServerError):
        pass
    good = []
    for chunk in chunks:
        if not chunk or chunk[0] != 0:
            break
        good.append(chunk[1:])
    assert found == good
