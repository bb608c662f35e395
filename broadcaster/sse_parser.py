"""Server-Sent Events as a client reads them, incrementally. (pure)

WHATWG HTML, "Server-sent events", sections "Parsing an event stream" and "Interpreting an event stream".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cdc.errors import LivetailError

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
_MAX_EVENT_BYTES: Final = 64 * 1024 * 1024


class StreamError(LivetailError):
    """The server's event stream cannot be understood."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. name: `message` where the stream names none; id: None where this event itself has no (valid) id."""

    name: str
    data: str
    id: str | None = None


class SseParser:
    """Feed it bytes as they come; an event that the end of the stream cuts off is never seen.

    last_event_id: the last one set, whether or not its event had data; retry_ms: the server's latest wish, or None.
    """

    def __init__(self, max_event_bytes: int = _MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._max = max_event_bytes
        self._line: list[bytes] = []
        self._size = 0
        self._at_start = True
        self._skip_lf = False
        self._name = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. Raises StreamError beyond `max_event_bytes` for one event."""
        events: list[Event] = []
        start = 0
        if self._skip_lf and data:
            self._skip_lf = False
            start = int(data.startswith(b"\n"))
        for match in _LINE_END.finditer(data, start):
            event = self._end_line(data[start : match.start()])
            start = match.end()
            self._skip_lf = match.group() == b"\r" and start == len(data)
            if event is not None:
                events.append(event)
        if start < len(data):
            self._grow(data[start:])
        return events

    def _grow(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max:
            raise StreamError(f"an event of the server's stream has more than {self._max} bytes")
        self._line.append(part)

    def _end_line(self, rest: bytes) -> Event | None:
        self._grow(rest)
        raw = b"".join(self._line)
        self._line.clear()
        line = raw.decode("utf-8", "replace")
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        self._field(name, value.removeprefix(" "))
        if name != "data":
            self._size -= len(raw)
        return None

    def _field(self, name: str, value: str) -> None:
        """A comment is a field without a name."""
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> Event | None:
        name, data, event_id = self._name or "message", self._data, self._id
        self._name, self._data, self._id, self._size = "", [], None, 0
        if event_id is not None:
            self.last_event_id = event_id
        return Event(name, "\n".join(data), event_id) if data else None
