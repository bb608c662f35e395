"""One interned live query: which changes touch its result, and the frame that says so. (pure)

Equal queries are one query: it is evaluated once and encoded once for all its subscribers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from broadcaster.change import Change, Delta, Part
from broadcaster.evaluate import Predicate
from broadcaster.index_terms import branches
from broadcaster.order import Order
from broadcaster.predicate import Node
from broadcaster.view import Projection, View
from broadcaster.window import Step

if TYPE_CHECKING:
    from broadcaster.subscription import Subscription

_PREFIXES = {kind: b'{"type":"%b","find":' % kind for kind in (b"insert", b"update", b"delete")}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one transaction did to a live query's result.

    deltas: in the transaction's order; after the last truncate, where there was one.
    suffix: the frame's data from `"time"` on, shared by all subscribers; what stands before it is the id. Empty in a
        live query that has an order: each subscriber is shown something else of it.
    tx, time: the transaction's id, and when it was committed, in Unix ms.
    truncated: the collection was emptied first.
    uncertain: a row's old image was missing, so `deltas` say what each key is now, but not what it was.
    overflow: the changes are more than a frame may hold; `deltas` are not all.
    """

    deltas: Sequence[Delta]
    suffix: bytes
    tx: str
    time: int
    truncated: bool = False
    uncertain: bool = False
    overflow: bool = False

    @property
    def reset_reason(self) -> str | None:
        """Why a subscriber cannot be served by a diff; None if it can."""
        if self.overflow:
            return "transaction_too_large"
        if self.uncertain:
            return "before_image_missing"
        return None


Fate: TypeAlias = tuple[tuple[Delta, ...], bool, bool, bool, "View | None", bool]
"""Of a live query in one transaction: its deltas; truncated, uncertain, overflow; how it shows keys; whether it has an
order."""


class LiveQuery:
    """A query with its compiled predicate, and who subscribed to it."""

    __slots__ = (
        "_deltas",
        "_limit",
        "_overflow",
        "_size",
        "_truncated",
        "_uncertain",
        "branches",
        "collection",
        "database",
        "key",
        "node",
        "order",
        "projection",
        "subscriptions",
        "test",
    )

    def __init__(
        self,
        key: str,
        database: str,
        collection: str,
        node: Node,
        test: Predicate,
        limit: int,
        projection: Projection | None = None,
        order: Order | None = None,
    ) -> None:
        """key: the canonical form, rules included; limit: bytes of changes that one frame may hold; projection: what
        of the rows is shown, None for all; order: None where rows come in no order."""
        self.key = key
        self.database = database
        self.collection = collection
        self.node = node
        self.test = test
        self.projection = projection
        self.order = order
        self.branches = branches(node)
        self.subscriptions: set[Subscription] = set()
        self._limit = limit
        self.clear()

    @property
    def is_indexed(self) -> bool:
        """Whether it is asked only about changes that may touch it."""
        return self.branches is not None

    def clear(self) -> None:
        """Forget what the open transaction did so far."""
        self._deltas: list[Delta] | None = None
        self._size = 0
        self._truncated = self._uncertain = self._overflow = False

    def apply(self, change: Change) -> bool:
        """Judge both images of a change of this query's collection; True if the result may have changed."""
        op = change.op
        if op == "t":
            self.clear()
            self._truncated = True
            return True
        test = self.test.for_types(change.types)
        is_in = change.after is not None and test(change.after_row)
        if op == "c":
            if is_in:
                self._add(b"insert", change, change.after)
            return is_in
        if op not in ("u", "d"):
            return False
        if change.before is None:
            self._uncertain = True
            if is_in:
                self._add(b"insert", change, change.after)
            else:
                self._add(b"delete", change, None)
            return True
        if test(change.before_row):
            if not is_in:
                self._add(b"delete", change, None)
            elif change.before == change.after or self._shows_alike(change):
                return False
            else:
                self._add(b"update", change, change.after)
            return True
        if is_in:
            self._add(b"insert", change, change.after)
        return is_in

    def shown(self, key: bytes, doc: bytes) -> bytes:
        """The row as subscribers see it."""
        return doc if self.projection is None else self.projection.doc(key, doc)

    def shown_all(self, rows: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """The rows (key → doc) as subscribers see them."""
        if self.projection is None:
            return rows
        return {key: self.projection.doc(key, doc) for key, doc in rows.items()}

    def hides(self, field: str) -> bool:
        """Whether subscribers do not see this field."""
        return self.projection is not None and self.projection.view.hides(field)

    def _shows_alike(self, change: Change) -> bool:
        if self.projection is None:
            return False
        assert change.before is not None
        assert change.after is not None
        if self.shown(change.key, change.before) != self.shown(change.key, change.after):
            return False
        order = self.order
        return order is None or (
            order.rank(change.key, change.before_row, change.types)
            == order.rank(change.key, change.after_row, change.types)
        )

    def _add(self, kind: bytes, change: Change, doc: bytes | None) -> None:
        key, rank = change.key, b""
        if doc is not None:
            doc = self.shown(key, doc)
            if self.order is not None:
                rank = self.order.rank(key, change.after_row, change.types)
        self._size += len(key) + (0 if doc is None else len(doc))
        if self._size > self._limit:
            self._overflow = True
            self._deltas = None
        if not self._overflow:
            if self._deltas is None:
                self._deltas = []
            self._deltas.append((kind, key, doc, rank))

    def finish(self, part: Part, outcomes: dict[Fate, Outcome]) -> Outcome:
        """The transaction has ended: what it did here; the next one starts clean. outcomes: those of this transaction
        so far, which live queries of the same fate share."""
        deltas = tuple(self._deltas or ())
        projection = self.projection
        view = None if projection is None or not projection.view.hidden else projection.view
        fate = deltas, self._truncated, self._uncertain, self._overflow, view, self.order is not None
        outcome = outcomes.get(fate)
        if outcome is None:
            suffix = b"" if self.order is not None else self._suffix(part, deltas, view)
            outcome = outcomes[fate] = Outcome(
                deltas, suffix, part.tx, part.time, self._truncated, self._uncertain, self._overflow
            )
        self.clear()
        return outcome

    def _suffix(self, part: Part, deltas: Sequence[Delta], view: View | None) -> bytes:
        if view is not None:
            deltas = self._masked(deltas)
        changes = b",".join([_encode(kind, key, doc) for kind, key, doc, _ in deltas])
        return b'"time":%d,"tx":"%b","changes":[%b]}' % (part.time, part.tx.encode(), changes)

    def steps_suffix(self, steps: Sequence[Step], outcome: Outcome) -> bytes:
        """A frame's data from `"time"` on, where a result that has an order changes so. outcome: whose time and
        transaction the frame bears."""
        mask = None if self.projection is None else self.projection.key
        changes = b",".join(
            [_encode_step(step, step.key if mask is None else mask(step.key)) for step in steps]
        )
        return b'"time":%d,"tx":"%b","changes":[%b]}' % (outcome.time, outcome.tx.encode(), changes)

    def _masked(self, deltas: Sequence[Delta]) -> list[Delta]:
        assert self.projection is not None
        return [(kind, self.projection.key(key), doc, rank) for kind, key, doc, rank in deltas]


def _encode(kind: bytes, key: bytes, doc: bytes | None) -> bytes:
    if doc is None:
        return b"%b%b}" % (_PREFIXES[kind], key)
    return b'%b%b,"doc":%b}' % (_PREFIXES[kind], key, doc)


def _encode_step(step: Step, find: bytes) -> bytes:
    old = b"" if step.old_index is None else b',"oldIndex":%d' % step.old_index
    new = b"" if step.new_index is None else b',"newIndex":%d' % step.new_index
    doc = b"" if step.doc is None else b',"doc":' + step.doc
    return b"%b%b%b%b%b}" % (_PREFIXES[step.type], find, old, new, doc)
