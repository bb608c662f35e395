"""Reads events in one go, by code that is generated per shape of event: most of what there is where applications write.
(pure)"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import TYPE_CHECKING, Final

from cdc import kernel
from cdc.event import Record
from cdc.mongo.convert import MALFORMED, uint32, utf8
from cdc.mongo.eventcode import ERRORS, EventFunction, Found, Numbers, generate
from cdc.mongo.reply import Reply, session_of
from cdc.mongo.run import EventReader, Key, Newest, Run

if TYPE_CHECKING:
    from cdc.mongo.open_transaction import OpenTransaction

_KEPT: Final = 8  # of a collection
_COLLECTIONS: Final = 1_000
_UNKNOWN_PER_SHAPE: Final = 256  # events of other shapes before one more is generated: that costs 2 ms
_MOST_PATIENCE: Final = 1 << 13  # where nothing new is learned
# the collection's UUID in a token, behind the cluster time and, in a transaction, the event's number, which is of any
# size; only how fast we are depends on it
_TOKEN: Final = 24
_UUID_MARK: Final = "5A1004"
_UUID_BEGIN: Final = _TOKEN + 18
_UUID_SIZE: Final = 52
_NUMBER: Final = "\x12txnNumber\0"
_LSID: Final = "\x03lsid\0"
_LSID_AT: Final = len(_NUMBER) + 8 + len(_LSID)
_NUMBERS_END: Final = 2  # bytes behind an event's numbers, beside what tells its kinds
_int64: Final = Struct("<q").unpack_from
_LAST: Final = ',"last":true'


def event_reader(collections: Iterable[str], source: str) -> EventReader:
    """The kernel's, or the one in Python, for these collections. source: as in `Assembler`."""
    compiled = kernel.load("changes")
    return (
        SingleReader(collections, source) if compiled is None else compiled.EventReader(collections, source)
    )


class SingleReader:
    """Reads events of these collections, whose shapes it comes to know. source: as in `Assembler`."""

    def __init__(self, collections: Iterable[str], source: str) -> None:
        self._collections = frozenset(collections)
        self._source = source
        self._known: dict[str, list[EventFunction]] = {}
        self._patience = self._unknown = _UNKNOWN_PER_SHAPE

    def read(
        self, reply: Reply, first: int, end: int, budget: int, now_ms: int, transaction: OpenTransaction
    ) -> Run | None:
        """See `EventReader`. Usual are events of known shapes."""
        raw, text, places = reply.raw, reply.text, reply.events
        head = head_of(raw, text, places[first])
        skip = len(head)
        reading = _begin(head, transaction)
        if reading is None:
            return None
        for at in places[first:end]:
            if (not text.startswith(head, at + 4)) if head else text.startswith(_NUMBER, at + 4):
                break
            functions = self._known.get(_collection(text, at, skip))
            found = functions and _first(functions, raw, text, at, skip, now_ms, reading.numbers)
            if not found:
                self._learn(raw, text, at, skip)
                break
            if not reading.take(found) or reading.size >= budget:
                break
        return reading.run()

    def _learn(self, raw: bytes, text: str, at: int, skip: int) -> None:
        """From an event that was left to the general way, which says what is wrong with it if anything is."""
        self._unknown += 1
        if self._unknown <= self._patience:
            return
        self._unknown = 0
        self._patience = min(2 * self._patience, _MOST_PATIENCE)
        function = generate(raw, text, at, self._collections, self._source)
        if function is None:
            return
        if len(self._known) >= _COLLECTIONS:
            self._known.clear()
        functions = self._known.setdefault(_collection(text, at, skip), [])
        if not any(
            function.__code__ == known.__code__ for known in functions
        ):  # its values were unusual, not its shape
            functions.insert(0, function)
            del functions[_KEPT:]
            self._patience = _UNKNOWN_PER_SHAPE


class _Reading:
    """A run in the making: of single events if `session` is None. order: of the transaction, None if any will do."""

    __slots__ = ("_last", "_newest", "_number", "_order", "_records", "_session", "_taken", "numbers", "size")

    def __init__(
        self, numbers: Numbers, size: int, session: bytes | None, number: int, order: int | None
    ) -> None:
        """size: bytes of what is open of the transaction."""
        self.numbers = numbers
        self.size = self._taken = size
        self._session = session
        self._number = number
        self._order = order
        self._records: list[Record] = []
        self._newest: dict[str, tuple[int, str]] = {}
        self._last = "", 0, 0

    def take(self, found: Found) -> bool:
        """The next event; False: it is of another transaction."""
        token, order, ts_ms, record, kinds = found
        if self._session is not None:
            if self._order is not None and order != self._order:
                return False
            self._order = order
            name, numbers = record[0], self.numbers
            numbers.total += 1
            numbers.orders[name] = numbers.orders.get(name, 0) + 1
            self._newest[name] = len(self._records), kinds
        self._records.append(record)
        self.size += len(record[2] or b"")
        self._last = token, order, ts_ms
        return True

    def run(self) -> Run | None:
        """What was taken; None if that is nothing."""
        if not self._records:
            return None
        token, order, ts_ms = self._last
        key = None if self._session is None else Key(order, self._session, self._number)
        newest = {
            name: Newest(self.numbers.orders[name], at, len(utf8(kinds)) + _NUMBERS_END)
            for name, (at, kinds) in self._newest.items()
        }
        return Run(self._records, self.size - self._taken, token, order, ts_ms, key, newest)


def _begin(head: str, transaction: OpenTransaction) -> _Reading | None:
    """What follows is of the transaction of which this head tells, which may be the open one. None: it is malformed."""
    if not head:
        return _Reading(Numbers(1, {}, _LAST), 0, None, 0, None)
    raw = head.encode("latin-1")
    try:
        number, session = _int64(raw, len(_NUMBER))[0], session_of(raw[_LSID_AT:])
    except MALFORMED:
        return None
    key = transaction.key
    if key is None or (session, number) != (key.session, key.number):
        return _Reading(Numbers(1, {}), 0, session, number, None)
    numbers = Numbers(transaction.total + 1, transaction.orders())
    return _Reading(numbers, transaction.size, session, number, key.order)


def head_of(raw: bytes, text: str, at: int) -> str:
    """Of the event that begins at `at`, the fields that tell its transaction; empty if it has none there."""
    begin, lsid = at + 4, at + 4 + _LSID_AT
    if not text.startswith(_NUMBER, begin) or not text.startswith(_LSID, lsid - len(_LSID)):
        return ""
    return text[begin : lsid + uint32(raw, lsid)[0]] if len(raw) >= lsid + 4 else ""


def _collection(text: str, at: int, skip: int) -> str:
    """What tells the collection of an event in its token, which stands so many bytes later than in a single one."""
    at += skip
    begin = text.find(_UUID_MARK, at + _TOKEN, at + _TOKEN + _UUID_SIZE) if skip else at + _UUID_BEGIN
    return text[begin : begin + _UUID_SIZE]


def _first(
    functions: list[EventFunction], raw: bytes, text: str, at: int, skip: int, now_ms: int, numbers: Numbers
) -> Found | None:
    """What the first of these makes of it that can."""
    for i, function in enumerate(functions):
        try:
            found = function(raw, text, at, skip, now_ms, numbers)
        except ERRORS:
            continue  # the message ends before an event of this shape would, to begin with
        if found is not None:
            if i:
                functions.insert(0, functions.pop(i))
            return found
    return None
