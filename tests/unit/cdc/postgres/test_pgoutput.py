"""Every message whole, cut at every byte, with a byte too many; frames and the status update."""

from __future__ import annotations

import pytest

from cdc.errors import ProtocolError
from cdc.postgres.messages import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    RelationColumn,
    Truncate,
    TypeName,
    Update,
)
from cdc.postgres.pgoutput import KeepAlive, XLogData, decode, decode_frame, encode_status

MESSAGES: list[tuple[str, Message]] = [
    (
        "42 0000000001000028 0002aa1b33e4d5c0 00000303",
        Begin(0x1000028, 0x2AA1B33E4D5C0, 771),
    ),
    (
        "43 00 0000000001000028 0000000001000058 0002aa1b33e4d5c0",
        Commit(0, 0x1000028, 0x1000058, 0x2AA1B33E4D5C0),
    ),
    ("4f 0000000000000010 6e6f646500", Origin(16, "node")),
    (
        "52 00004001 7075626c696300 743100 66 0002 01 696400 00000017 ffffffff 00 c3a900 00000413 0000000e",
        Relation(
            16385,
            "public",
            "t1",
            "f",
            (RelationColumn(1, "id", 23, -1), RelationColumn(0, "é", 1043, 14)),
        ),
    ),
    ("52 00000a00 00 7400 6e 0000", Relation(2560, "pg_catalog", "t", "n", ())),
    ("59 00004010 7075626c696300 6d6f6f6400", TypeName(16400, "public", "mood")),
    ("49 00004001 4e 0003 74 00000002 3432 6e 74 00000000", Insert(16385, (b"42", None, b""))),
    ("55 00004001 4e 0002 74 00000001 31 75", Update(16385, None, False, (b"1", UNCHANGED))),
    (
        "55 00004001 4b 0002 74 00000001 30 6e 4e 0002 74 00000001 31 75",
        Update(16385, (b"0", None), True, (b"1", UNCHANGED)),
    ),
    ("55 00004001 4f 0001 6e 4e 0001 74 00000001 31", Update(16385, (None,), False, (b"1",))),
    ("44 00004001 4b 0001 74 00000001 31", Delete(16385, (b"1",), True)),
    ("44 00004001 4f 0001 74 00000001 31", Delete(16385, (b"1",), False)),
    ("54 00000002 03 00004001 00004002", Truncate(3, (16385, 16386))),
    ("4d 01 0000000000000020 7000 00000003 000102", LogicalMessage(True, 32, "p", b"\x00\x01\x02")),
]
WIRE = [bytes.fromhex(wire) for wire, _ in MESSAGES]


@pytest.mark.parametrize(("wire", "message"), MESSAGES)
def test_decodes(wire: str, message: Message) -> None:
    assert decode(bytes.fromhex(wire)) == message


@pytest.mark.parametrize("wire", WIRE, ids=lambda wire: chr(wire[0]))
def test_refuses_what_is_cut_at_any_byte(wire: bytes) -> None:
    for end in range(len(wire)):
        with pytest.raises(ProtocolError, match=r"pgoutput message '.?', byte \d+: "):
            decode(wire[:end])


@pytest.mark.parametrize("wire", WIRE, ids=lambda wire: chr(wire[0]))
def test_refuses_bytes_too_many(wire: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"byte {len(wire)}: 1 bytes too many"):
        decode(wire + b"\0")


@pytest.mark.parametrize("kind", "ScSEAbKPrpw")
def test_refuses_messages_that_were_not_asked_for(kind: str) -> None:
    with pytest.raises(ProtocolError, match="unknown type of message"):
        decode(kind.encode() + bytes(40))


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("49 00004001 4f 0000", "byte 6: new row expected, not 'O'"),
        ("55 00004001 58 0000", "byte 6: old or new row expected, not 'X'"),
        ("55 00004001 4f 0000 4f 0000", "byte 9: new row expected, not 'O'"),
        ("44 00004001 4e 0000", "byte 6: old row expected, not 'N'"),
        ("49 00004001 4e 0001 62 00000001 31", "byte 8: column value of unknown kind 'b'"),
        ("49 00004001 4e 0001 74 ffffffff 31", "byte 13: 4294967295 bytes expected, 1 left"),
        ("54 7fffffff 00", "byte 6: 2147483647 relations cannot fit"),
        ("59 00004010 ff00 6d00", "byte 5: a string that is not UTF-8"),
        ("59 00004010 6d", "byte 5: a string without its end"),
    ],
)
def test_says_what_is_wrong_where(wire: str, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        decode(bytes.fromhex(wire))


def test_frames() -> None:
    data = bytes.fromhex("77 0000000000000001 0000000000000002 fffffffffffffffd 4142")
    assert decode_frame(data) == XLogData(1, 2, -3, b"AB")
    alive = bytes.fromhex("6b 0000000000000005 0000000000000006 01")
    assert decode_frame(alive) == KeepAlive(5, 6, True)


@pytest.mark.parametrize("wire", ["", "72", "77 00", "6b 00", "6b 0000000000000005 0000000000000006 01 00"])
def test_refuses_other_frames(wire: str) -> None:
    with pytest.raises(ProtocolError):
        decode_frame(bytes.fromhex(wire))


def test_status_update() -> None:
    now_us = 946_684_800_000_000 + 7
    expected = "72 0000000000000003 0000000000000002 0000000000000001 0000000000000007 01"
    assert encode_status(3, 2, 1, now_us, reply=True) == bytes.fromhex(expected)
