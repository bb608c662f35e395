from __future__ import annotations

import pytest

from cdc.errors import ProtocolError
from cdc.mysql.packets import Packets, ServerError

LONGEST = 0xFFFFFF


def packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\0" + payload


def events(packets: Packets) -> list[bytes]:
    """All that are complete."""
    return [data[begin:end] for data, begin, end in iter(packets.take, None)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_come_whole_however_they_arrive(size: int) -> None:
    packets = Packets()
    wire = packet(b"\0one") + packet(b"\0") + packet(b"\0" + b"x" * 300)
    found = []
    for at in range(0, len(wire), size):
        packets.add(wire[at : at + size])
        found += events(packets)
    assert found == [b"one", b"", b"x" * 300]
    assert events(packets) == []


@pytest.mark.parametrize("size", [LONGEST - 1, LONGEST, LONGEST + 5])
def test_an_event_goes_on_in_the_next_packet(size: int) -> None:
    payload = b"\0" + b"x" * (size - 1)
    packets = Packets()
    packets.add(packet(payload[:LONGEST]))
    if size >= LONGEST:
        packets.add(packet(payload[LONGEST:]))
    packets.add(packet(b"\0next"))
    first, second = events(packets)
    assert (len(first), second) == (size - 1, b"next")


def test_what_the_server_says_instead_comes_after_what_it_said_before() -> None:
    packets = Packets()
    packets.add(packet(b"\0one") + packet(b"\xff\xd4\x04#HY000not here") + packet(b"\0two"))
    assert packets.take() is not None
    for _ in range(2):
        with pytest.raises(ServerError, match="not here") as refused:
            packets.take()
    assert refused.value.code == 1236


@pytest.mark.parametrize(
    ("payload", "error", "said"),
    [
        (b"\xfe\0\0\2\0", ServerError, "ended the stream"),
        (b"\x01what", ProtocolError, "type 0x01"),
        (b"", ProtocolError, "empty packet"),
        (b"\xff", ProtocolError, "type 0xff"),
    ],
)
def test_what_is_no_event(payload: bytes, error: type[Exception], said: str) -> None:
    packets = Packets()
    packets.add(packet(payload))
    with pytest.raises(error, match=said):
        packets.take()
