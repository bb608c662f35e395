"""Holds what one subscription gets to what it must get. (pure)

A follower knows at which places in the history its client may stand, and every frame must lead from one of them to the
next: so every state is one that the database had, and every change comes once. For a client that coalesces a frame may
lead over several transactions; those before it may have been left out only where they come to nothing.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from history import Bounds, Expected, Moment, Moves, View, listed
from tables import Key, Row

from broadcaster.client_frames import Diff, Failure, Frame, Initial, Progress, Ready, Reset
from broadcaster.client_stream import LiveQuery

LAST_FRAMES = 12


class BrokenPromiseError(AssertionError):
    """A client was told something wrong; the text is the story."""


class Follower:
    """Holds the frames of one subscription, over all its connections, to the view of its query.

    allowed: the reasons for which it may start over in this world; resets: those of the resets that it saw. coalesces:
    its stream does; merged: frames that told of several transactions.
    """

    def __init__(
        self, name: str, query: LiveQuery, view: View, allowed: frozenset[str], *, coalesces: bool = False
    ) -> None:
        self.name = name
        self.query = query
        self.view = view
        self.rows: dict[Key, Any] = {}
        self.frames_seen = 0
        self.merged = 0
        self.resets: list[str] = []
        self._table = view.table
        self._allowed = allowed
        self._coalesces = coalesces
        self._pending: list[tuple[Frame, Moment]] = []
        self._last: list[str] = []
        self._places: list[int] = []
        self._initial: Initial | None = None
        self._was_reset = False
        self._knows_rows = False

    def observe(self, frame: Frame, moment: Moment) -> None:
        """Record a frame, to be judged when the history is known."""
        self._pending.append((frame, moment))

    def check(self, bounds: Bounds) -> None:
        """Judge all recorded frames."""
        pending, self._pending = self._pending, []
        for frame, moment in pending:
            self.frames_seen += 1
            self._last = [*self._last[1 - LAST_FRAMES :], _told(frame)]
            self._judge(frame, *bounds.of(moment))

    def behind(self) -> str | None:
        """What is still to come; None if nothing is."""
        end = len(self.view.effects)
        if not self._places:
            return "no result yet"
        if any(self._missed(place, end) is None for place in self._places):
            return None
        return f"waiting for {self._tell(self.view.next_relevant(self._places[-1]))}"

    def compare(self, database: dict[Key, Any]) -> None:
        """Hold the client's map to the database's own answer, key → version."""
        if self._knows_rows and self.rows != database:
            self._violated(
                "the client's map is not the database's answer",
                f"only the client has {_only(self.rows, database)}\n"
                f"only the database has {_only(database, self.rows)}",
            )
        if self.view.result != database:
            raise AssertionError(f"the oracle itself is wrong about {self.query}")

    def _judge(self, frame: Frame, floor: int, ceiling: int) -> None:
        match frame:
            case Reset():
                self._was_reset = True
                self.resets.append(frame.reason)
                if frame.reason not in self._allowed:
                    self._violated(f"a reset for no reason: {frame.reason}")
            case Initial():
                self._initial = frame
            case Ready(resumed=True):
                if not self._places or self._was_reset:
                    self._violated("resumed, though there was nothing to resume")
            case Ready():
                self._fresh(frame, floor, ceiling)
            case Diff():
                self._diff(frame)
            case Failure(retryable=False):
                self._violated("the live query failed")
            case Failure() | Progress():
                pass

    def _fresh(self, ready: Ready, floor: int, ceiling: int) -> None:
        if self._places and not self._was_reset:
            self._violated("`ready` twice, without a reset")
        earliest = min(self._places, default=0)
        initial, self._initial, self._was_reset = self._initial, None, False
        if self.resets[-1:] == ["truncated"]:
            # It may come from the stream, which knows what is left, rather than from a read.
            floor = earliest
        if initial is None:
            if not self.query.skip_initial:
                self._violated("`ready` without a result")
            self.rows, self._knows_rows = {}, False
            # Nothing was read, so the stream may begin with what had been acknowledged a moment before.
            self._places = list(range(earliest, ceiling + 1))
            return
        rows: dict[Key, Any] = {}
        for doc in initial.docs:
            key, image = self._image(doc)
            if key in rows:
                self._violated(f"the initial result has {key} twice")
            rows[key] = image
        if ready.count != len(rows):
            self._violated(f"`ready` counts {ready.count} rows, the result has {len(rows)}")
        self.rows, self._knows_rows = rows, True
        places = self.view.places_of(rows)
        floor = max(floor, earliest)
        self._places = [place for place in places if floor <= place <= ceiling]
        if not places:
            self._violated(
                f"an initial result that the database never had: {rows}\nat the end it had {self.view.state}"
            )
        if not self._places:
            self._violated(f"an initial result of the wrong time: of {places}, not of {floor}…{ceiling}")

    def _image(self, doc: Row) -> tuple[Key, Any]:
        """Of a row its key and what names its image."""
        self._check_doc(doc)
        return self._table.find(doc), doc["version"]

    def _diff(self, diff: Diff) -> None:
        index = self._next(diff)
        expected = self.view.effects[index]
        got = [self._got(change.type, change.find, change.doc) for change in diff.changes]
        if self._coalesces and (diff.transactions > 1 or got != expected):
            expected = [
                Expected(
                    "delete" if version is None else "update" if was_there else "insert", key, version or 0
                )
                for key, (was_there, version) in self._moves(diff, index).items()
            ]
            got.sort(key=str)
            expected.sort(key=str)
        if got != expected:
            self._violated(
                f"{self._tell(index)} came with other changes",
                f"expected {listed(expected)}\ngot      {listed(got)}",
            )
        self._places = [index + 1]
        for change in got:
            if change.type == "delete":
                self.rows.pop(change.key, None)
            else:
                self.rows[change.key] = change.version

    def _next(self, diff: Diff) -> int:
        """Where the diff's transaction is in the history, if it may come now: those before it that it does not merge
        may have been left out only where the rows may have been read again, or where they come to nothing."""
        if not self._places or self._was_reset:
            self._violated("a diff before the result")
        index = self._index_of(diff.tx)
        if all(place > index for place in self._places):
            self._violated(f"{self._tell(index)} came again, or came late")
        if diff.transactions > 1:
            self.merged += 1
        if diff.transactions > 1 and not self._coalesces:
            self._violated(f"{self._tell(index)} came with others, though the stream does not coalesce")
        if self.view.may_be_read_again:
            return index
        if self.view.next_relevant(index) != index:
            self._violated(f"{self._tell(index)} came, though it does nothing here")
        first = self._first(diff, index)
        missed = [self._missed(place, first) for place in self._places]
        if None not in missed:
            self._violated(
                f"{self._tell(index)} came, but first there should have been {self._tell(missed[0] or 0)}"
            )
        return index

    def _first(self, diff: Diff, index: int) -> int:
        """The first of the transactions that the diff merges; index: the last."""
        first = self.view.first_of(index, diff.transactions)
        if first is None:
            self._violated(f"{self._tell(index)} came as one of {diff.transactions}, which are not so many")
        return first

    def _missed(self, place: int, end: int) -> int | None:
        """The first transaction that one who stands at a place had to be told of before that at `end`; None if there is
        none."""
        first = self.view.next_relevant(place)
        if place <= end and (first >= end or (self._coalesces and self.view.net(place, end) == {})):
            return None
        return first

    def _moves(self, diff: Diff, index: int) -> Moves:
        """What the transactions that the diff merges come to."""
        moves = self.view.net(self._first(diff, index), index + 1)
        if moves is None:
            self._violated(f"{self._tell(index)} came together with what was before a TRUNCATE")
        return moves

    def _check_told(self, index: int, diff: Diff, keys: list[Key]) -> None:
        """On a stream that coalesces the keys of a diff's changes must be those that its transactions change, each
        once. (Elsewhere there is more than one way to lead to what is shown.)"""
        if not self._coalesces or self.view.may_be_read_again:
            return
        expected = self._moves(diff, index)
        if len(keys) != len(expected) or set(keys) != set(expected):
            self._violated(f"{self._tell(index)} told of {keys}", f"expected {list(expected)}")

    def _index_of(self, tx: str) -> int:
        place = self.view.history.place.get(tx)
        if place is None:
            self._violated(f"a diff of transaction {tx}, which never committed")
        return place

    def _got(self, kind: str, find: Row, doc: Row | None) -> Expected:
        if set(find) != set(self._table.key):
            self._violated(f"`find` is not the primary key: {find}")
        key = self._table.find(find)
        if doc is None:
            return Expected(kind, key, 0)
        if self._table.find(doc) != key:
            self._violated(f"`find` {find} is not the key of {doc}")
        self._check_doc(doc)
        return Expected(kind, key, doc["version"])

    def _check_doc(self, doc: Row) -> None:
        image = self.view.docs.get((self._table.find(doc), doc["version"]))
        if image is None:
            self._violated(f"a row that never matched: {doc}")
        elif image != doc:
            differ = {
                name: (image.get(name), doc.get(name))
                for name in {*image, *doc}
                if image.get(name) != doc.get(name)
            }
            self._violated(f"a row that the database never had: (expected, got) {differ}")

    def _tell(self, index: int) -> str:
        if index >= len(self.view.effects):
            return "nothing"
        tx = self.view.history.transactions[index].tx
        return f"transaction {tx} (no. {index}: {listed(self.view.effects[index])})"

    def _violated(self, what: str, more: str = "") -> NoReturn:
        query = self.query
        how = " (skipInitial)" * query.skip_initial + " (coalesce)" * self._coalesces
        raise BrokenPromiseError(
            f"{self.name}: {what}\n{more}\n"
            f"live query {query.id} on {query.collection} where {json.dumps(query.where)}"
            f"{how} sort {query.sort} limit {query.limit} "
            f"aggregate {query.aggregate} by {query.group_by}\n"
            f"its last frames:\n  " + "\n  ".join(self._last)
        )


def _only(one: dict[Key, Any], other: dict[Key, Any]) -> dict[Key, Any]:
    return {key: version for key, version in one.items() if other.get(key) != version}


def _told(frame: Frame) -> str:
    """A frame in a line."""
    match frame:
        case Diff():
            changes = [
                f"{change.type} {change.find}"
                + ("" if change.doc is None else f" v{change.doc.get('version')}")
                for change in frame.changes
            ]
            several = f" and {frame.transactions - 1} before" if frame.transactions > 1 else ""
            return f"diff of {frame.tx}{several}: {', '.join(changes)}"
        case Initial():
            return f"initial: {len(frame.docs)} rows, versions {[doc.get('version') for doc in frame.docs]}"
    return str(frame)
