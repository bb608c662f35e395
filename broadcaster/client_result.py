"""A live query's result as the Python client keeps it, and what each frame changes in it. (pure)"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broadcaster.client_frames import Diff, Frame, Initial, Ready, Reset, Row, RowChange


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to the result.

    type: `initial` (once, also for an empty result), `insert`, `update`, `delete`, or `reset`: the server could not
        tell what was missed; the difference between the old result and the new one follows as changes. With
        `skip_initial` there is none, and changes may have been missed.
    find: the row's primary key; empty for `initial` and `reset`. doc: the row as it is now, None where there is none.
    docs: the whole result after the transaction, the same list for all its changes; in order, where the live query has
        one.
    """

    type: str
    find: Row
    doc: Row | None
    docs: list[Row]


class Rows:
    """Rows by primary key. Until `ready` or a change names the key's fields, a row is its own key."""

    def __init__(self, docs: Iterable[Row] = (), fields: tuple[str, ...] | None = None) -> None:
        self._fields = fields
        self._rows = {self._key(doc): doc for doc in docs}

    @property
    def docs(self) -> list[Row]:
        """All rows, in the live query's order, or else in that in which they came."""
        return list(self._rows.values())

    def learn(self, fields: tuple[str, ...]) -> None:
        """These fields are the key."""
        if self._fields is None:
            self._fields = fields
            self._rows = {self._key(doc): doc for doc in self._rows.values()}

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Make the changes of one frame."""
        if changes:
            self.learn(tuple(changes[0].find))
        if any(change.old_index is not None or change.new_index is not None for change in changes):
            self._move(changes)
            return
        for change in changes:
            if change.doc is None:
                self._rows.pop(self._key(change.find), None)
            else:
                self._rows[self._key(change.find)] = change.doc

    def _move(self, changes: Sequence[RowChange]) -> None:
        rows = list(self._rows.items())
        for change in changes:
            if change.old_index is not None:
                del rows[change.old_index]
            if change.new_index is not None and change.doc is not None:
                rows.insert(change.new_index, (self._key(change.find), change.doc))
        self._rows = dict(rows)

    def replace(self, docs: Iterable[Row]) -> list[RowChange]:
        """Hold these rows instead; returns the difference, deletes first."""
        old, new = self._rows, Rows(docs, self._fields)._rows
        self._rows = new
        changes = [RowChange("delete", self._find(doc), None) for key, doc in old.items() if key not in new]
        for key, doc in new.items():
            if key not in old:
                changes.append(RowChange("insert", self._find(doc), doc))
            elif doc != old[key]:
                changes.append(RowChange("update", self._find(doc), doc))
        return changes

    def _find(self, doc: Row) -> Row:
        return doc if self._fields is None else {name: doc.get(name) for name in self._fields}

    def _key(self, doc: Row) -> str:
        return json.dumps(self._find(doc), sort_keys=True, default=str)


class Result:
    """Follows the frames of one live query."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._is_ready = False
        self._reset = False
        self._initial: list[Row] | None = None

    @property
    def docs(self) -> list[Row]:
        """The current result."""
        return self._rows.docs

    def take(self, frame: Frame) -> list[Change]:
        """What the frame changes; the frames as `client_frames.Inbox` releases them."""
        match frame:
            case Reset():
                self._reset = True
            case Initial():
                self._initial = frame.docs
            case Ready(resumed=False):
                if frame.key is not None:
                    self._rows.learn(frame.key)
                return self._loaded()
            case Diff():
                self._rows.apply(frame.changes)
                return self._reported(frame.changes)
        return []

    def _loaded(self) -> list[Change]:
        initial, is_first, reset = self._initial, not self._is_ready, self._reset
        self._is_ready, self._reset, self._initial = True, False, None
        difference = self._rows.replace(initial or [])
        docs = self.docs
        if is_first:
            return [] if initial is None else [Change("initial", {}, None, docs)]
        if not reset:
            return []
        head = Change("reset", {}, None, docs)
        return [head, *([] if initial is None else self._reported(difference))]

    def _reported(self, changes: list[RowChange]) -> list[Change]:
        docs = self.docs
        return [Change(change.type, change.find, change.doc, docs) for change in changes]
