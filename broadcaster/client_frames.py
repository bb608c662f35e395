"""A stream's frames as the Python client sees them, whole or not at all. (pure)

A disconnect may cut a transaction or an initial result in two, and what the cursor resumes is the state before it. So
nothing is released before the frame that carries the cursor, and an initial result not before its `ready`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from broadcaster.evaluate import decode_row
from broadcaster.sse_parser import Event, StreamError

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Initial:
    """A live query's whole result, all its `initial` events in one."""

    id: str
    docs: list[Row]


@dataclass(frozen=True, slots=True)
class Ready:
    """The result stands. resumed: all changes since the cursor were sent, there is no `Initial`; count: rows of the
    initial result, None where none was sent; key: the names of the primary key's fields, if the server told them."""

    id: str
    count: int | None = None
    resumed: bool = False
    key: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RowChange:
    """type: `insert`, `update` or `delete`; find: the primary key; doc: the row, None for a delete. old_index,
    new_index: of a live query with `sort` or `limit`, where the row is taken out of the result, and put in."""

    type: str
    find: Row
    doc: Row | None
    old_index: int | None = None
    new_index: int | None = None


@dataclass(frozen=True, slots=True)
class Diff:
    """What one transaction did to one live query. time: of the commit, Unix ms; tx: the database's id of it.

    transactions: on a stream that coalesces, how many are merged here, of which this is the last.
    """

    id: str
    time: int
    tx: str
    changes: list[RowChange]
    transactions: int = 1


@dataclass(frozen=True, slots=True)
class Reset:
    """What was known of this live query is worth nothing; a whole result follows (none with `skip_initial`)."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The server cannot serve this live query (id None: the stream), for now if `retryable`, else for good."""

    id: str | None
    code: str
    message: str
    retryable: bool
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The stream lives, and everything up to its cursor was sent."""


Frame: TypeAlias = Initial | Ready | Diff | Reset | Failure | Progress


_NULL: Final = msgspec.Raw(b"null")


class _Initial(msgspec.Struct):
    id: str
    docs: list[msgspec.Raw]


class _Ready(msgspec.Struct):
    id: str
    count: int | None = None
    resumed: bool = False
    key: tuple[str, ...] | None = None


class _Change(msgspec.Struct, rename="camel"):
    type: str
    find: msgspec.Raw
    doc: msgspec.Raw = _NULL  # msgspec has no union of Raw and None
    old_index: int | None = None
    new_index: int | None = None


class _Diff(msgspec.Struct):
    id: str
    time: int
    tx: str
    changes: list[_Change]
    transactions: int = 1


class _Reset(msgspec.Struct):
    id: str
    reason: str


class _Error(msgspec.Struct):
    code: str
    message: str
    id: str | None = None
    retryable: bool = False
    path: str | None = None


_TYPES: Final[dict[str, type[_Initial | _Ready | _Diff | _Reset | _Error]]] = {
    "initial": _Initial,
    "ready": _Ready,
    "diff": _Diff,
    "reset": _Reset,
    "error": _Error,
}


def parse_frame(event: Event) -> Frame | None:
    """The frame that an event carries; None for an event of a later protocol. Raises StreamError."""
    if event.name == "progress":
        return Progress()
    kind = _TYPES.get(event.name)
    if kind is None:
        return None
    try:
        data = msgspec.json.decode(event.data.encode(), type=kind)
    except msgspec.MsgspecError as error:
        raise StreamError(
            f"the server's `{event.name}` event is not as the protocol has it: {error}"
        ) from error
    match data:
        case _Initial():
            return Initial(data.id, [_row(doc) for doc in data.docs])
        case _Ready():
            return Ready(data.id, data.count, data.resumed, data.key)
        case _Diff():
            changes = [_change(change) for change in data.changes]
            return Diff(data.id, data.time, data.tx, changes, data.transactions)
        case _Reset():
            return Reset(data.id, data.reason)
        case _Error():
            return Failure(data.id, data.code, data.message, data.retryable, data.path)


def _row(raw: msgspec.Raw) -> Row:
    return decode_row(bytes(raw))


def _change(change: _Change) -> RowChange:
    doc = None if bytes(change.doc) == b"null" else _row(change.doc)
    return RowChange(change.type, _row(change.find), doc, change.old_index, change.new_index)


@dataclass(slots=True)
class _Loading:
    """A result that is on its way."""

    reset: Reset | None = None
    docs: list[Row] = field(default_factory=list)
    has_initial: bool = False


class Inbox:
    """Takes the frames of one stream, across reconnects, and releases them when they are whole.

    cursor: where to resume: the state after everything released so far.
    """

    def __init__(self, cursor: str | None = None) -> None:
        self.cursor = cursor
        self._loading: dict[str, _Loading] = {}
        self._group: list[Frame] = []

    def take(self, frame: Frame, cursor: str | None) -> list[Frame]:
        """What this frame, which carried `cursor` or none, makes complete."""
        match frame:
            case Failure():
                return [frame]
            case Progress() if cursor is None:
                return [frame]
            case Reset():
                self._loading[frame.id] = _Loading(reset=frame)
            case Initial():
                loading = self._loading.setdefault(frame.id, _Loading())
                loading.docs += frame.docs
                loading.has_initial = True
            case Ready():
                self._group += self._loaded(frame)
            case Diff() | Progress():
                self._group.append(frame)
        if cursor is None:
            return []
        self.cursor = cursor
        group, self._group = self._group, []
        return group

    def _loaded(self, ready: Ready) -> list[Frame]:
        loading = self._loading.pop(ready.id, None)
        frames: list[Frame] = []
        if loading is not None and loading.reset is not None:
            frames.append(loading.reset)
        if loading is not None and loading.has_initial:
            frames.append(Initial(ready.id, loading.docs))
        return [*frames, ready]

    def drop(self) -> None:
        """The connection is lost: forget what it left unfinished, which the next one repeats."""
        self._loading.clear()
        self._group.clear()
