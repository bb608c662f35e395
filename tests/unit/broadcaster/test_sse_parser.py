"""The examples of the WHATWG section "Server-sent events", and what its grammar allows beyond them."""

import pytest

from broadcaster.sse import frame, retry
from broadcaster.sse_parser import Event, SseParser, StreamError


def parse(*parts: bytes) -> list[Event]:
    parser = SseParser()
    return [event for part in parts for event in parser.feed(part)]


def test_the_standards_examples() -> None:
    assert parse(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event("message", "YHOO\n+2\n10")]
    parser = SseParser()
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert parser.feed(stream) == [
        Event("message", "first event", "1"),
        Event("message", "second event", ""),
        Event("message", " third event"),
    ]
    assert parser.last_event_id == ""
    assert parse(b"data\n\ndata\ndata\n\ndata:") == [Event("message", ""), Event("message", "\n")]
    assert parse(b"data:test\n\ndata: test\n\n") == [Event("message", "test")] * 2


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_any_line_end_and_any_cut(end: bytes) -> None:
    lines = [
        b"\xef\xbb\xbfevent: add",
        b": a comment",
        b"data: \xc3\xa9\xf0\x9f\x98\x80",
        b"data:",
        b"id: 7",
        b"",
    ]
    stream = end.join([*lines, b"data: x", b"", b""])
    expected = [Event("add", "é😀\n", "7"), Event("message", "x")]
    assert parse(stream) == expected
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    for cut in range(len(stream)):
        assert parse(stream[:cut], b"", stream[cut:]) == expected


def test_what_is_ignored() -> None:
    parser = SseParser()
    assert parser.feed(b"event: lonely\nid: 5\n\n") == []
    assert parser.last_event_id == "5"
    assert parser.feed(b"id: a\0b\nretry: 1x\nretry: -1\nretry:\nnonsense: 1\nDATA: 2\ndata: d\n\n") == [
        Event("message", "d")
    ]
    assert (parser.last_event_id, parser.retry_ms) == ("5", None)
    parser.feed(b"id: 6\ndata: cut off by the end of the stream\n")
    assert parser.last_event_id == "5"


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert parse(b"data: a\xffb\n\n") == [Event("message", "a\N{REPLACEMENT CHARACTER}b")]


def test_an_event_is_bounded_but_not_a_stream() -> None:
    parser = SseParser(max_event_bytes=32)
    for _ in range(100):
        parser.feed(b": heartbeat\ndata: 12345\n\n")
    for _ in range(100):
        parser.feed(b": heartbeat\n")
    parser.feed(b"data: 12345\ndata: 12345\n")
    with pytest.raises(StreamError, match="more than 32 bytes"):
        parser.feed(b"data: 12345\n")
    with pytest.raises(StreamError):
        SseParser(max_event_bytes=32).feed(b"x" * 33)


def test_reads_what_the_server_writes() -> None:
    parser = SseParser()
    written = retry(2371) + frame(b"initial", b'{"id":"q1"}') + frame(b"ready", b"{}", b"eyJ.1")
    assert parser.feed(written) == [Event("initial", '{"id":"q1"}'), Event("ready", "{}", "eyJ.1")]
    assert (parser.retry_ms, parser.last_event_id) == (2371, "eyJ.1")
