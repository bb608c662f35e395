"""One interned live query: which changes touch its result, and the frame that says so. (pure)

Equal queries are one query: it is evaluated once and encoded once for all its subscribers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from broadcaster.aggregate import Shares
from broadcaster.change import Change, Delta, Part
from broadcaster.errors import RequestError
from broadcaster.evaluate import Predicate
from broadcaster.index_terms import branches
from broadcaster.order import Order
from broadcaster.outcome import Outcome, steps_suffix_of, suffix_of
from broadcaster.predicate import Node, fields
from broadcaster.totals import Totals, difference
from broadcaster.view import Projection, View
from broadcaster.window import Step

if TYPE_CHECKING:
    from broadcaster.overlay import Overlay
    from broadcaster.subscription import Subscription

Fate: TypeAlias = tuple[tuple[Delta, ...], bool, bool, bool, "View | None", bool]
"""Of a live query in one transaction: its deltas; truncated, uncertain, overflow; how it shows keys; whether it is
replayable."""


class LiveQuery:
    """A query with its compiled predicate, and who subscribed to it.

    overlay: what the stream tells while a snapshot of it is read, None while none is. totals: of an aggregate, None
    until it was read. is_replayable: whether the log alone tells what a client missed. It tells neither what stood
    beyond the end of a window, nor what a client was shown of an aggregate; of these `newest` is the last transaction
    that touched it (id, time).
    """

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
        "is_replayable",
        "key",
        "max_groups",
        "newest",
        "node",
        "order",
        "overlay",
        "projection",
        "shares",
        "subscriptions",
        "test",
        "totals",
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
        shares: Shares | None = None,
        max_groups: int = 0,
    ) -> None:
        """key: the canonical form, rules included; limit: bytes of changes that one frame may hold; projection: what
        of the rows is shown, None for all; order: None where rows come in no order; shares: of an aggregate, None where
        rows are shown; max_groups: how many rows it may have."""
        self.key = key
        self.database = database
        self.collection = collection
        self.node = node
        self.test = test
        self.projection = projection
        self.order = order
        self.shares = shares
        self.max_groups = max_groups
        self.totals: Totals | None = None
        self.overlay: Overlay | None = None
        self.newest = "", 0
        self.is_replayable = order is None and shares is None
        self.branches = branches(node)
        self.subscriptions: set[Subscription] = set()
        self._limit = limit
        self.clear()

    @property
    def is_indexed(self) -> bool:
        """Whether it is asked only about changes that may touch it."""
        return self.branches is not None

    @property
    def columns(self) -> frozenset[str] | None:
        """The top-level fields beside the primary key that a read must bring; None for all."""
        if self.shares is None:
            return None
        aggregated = {path.partition(".")[0] for path in self.shares.aggregation.paths}
        return fields(self.node) | aggregated

    @property
    def is_filled(self) -> bool:
        """Whether an aggregate is known as it is where the feed stands."""
        return self.totals is not None and not self.totals.is_short

    @property
    def told(self) -> Mapping[bytes, bytes]:
        """What subscribers to an aggregate were told of it: find → doc."""
        return {} if self.totals is None else self.totals.told

    @property
    def docs(self) -> list[bytes] | None:
        """The rows of an aggregate; None where it is not known."""
        return list(self.told.values()) if self.is_filled else None

    @property
    def group_by(self) -> Sequence[str]:
        """The fields that an aggregate's rows are known by."""
        return () if self.shares is None else self.shares.aggregation.group_by

    def new_totals(self) -> Totals:
        """Those of an aggregate without rows."""
        assert self.shares is not None
        return Totals(self.shares, self.max_groups)

    def fill(self, totals: Totals) -> None:
        """Know an aggregate, all of whose rows are counted in these totals. Raises RequestError `too_many_groups`."""
        totals.settle()
        self.check_groups(totals)
        self.totals = totals

    def check_groups(self, totals: Totals) -> None:
        """Raises RequestError `too_many_groups`."""
        if totals.is_large:
            raise RequestError("too_many_groups", f"the result has more than {self.max_groups} (groups)")

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
            return is_in and self._add(b"insert", change)
        if op not in ("u", "d"):
            return False
        if change.before is None:
            self._uncertain = True
            return self._add(b"insert" if is_in else b"delete", change)
        if test(change.before_row):
            if is_in and change.before == change.after:
                return False
            return self._add(b"update" if is_in else b"delete", change)
        return is_in and self._add(b"insert", change)

    def _shown(self, key: bytes, doc: bytes) -> bytes:
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
        if self._shown(change.key, change.before) != self._shown(change.key, change.after):
            return False
        order = self.order
        return order is None or (
            order.rank(change.key, change.before_row, change.types)
            == order.rank(change.key, change.after_row, change.types)
        )

    def _add(self, kind: bytes, change: Change) -> bool:
        """Keep what a change does to the result; False if that is nothing after all."""
        key, doc, rank = change.key, None if kind == b"delete" else change.after, b""
        if self.shares is not None:
            if kind != b"insert" and change.before is not None:
                rank = self.shares.of(change.before_row, change.types)
            if doc is not None:
                doc = self.shares.of(change.after_row, change.types)
            if doc == rank:
                return False
        elif kind == b"update" and self._shows_alike(change):
            return False
        elif doc is not None:
            doc = self._shown(key, doc)
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
        return True

    def finish(self, part: Part, outcomes: dict[Fate, Outcome]) -> Outcome:
        """The transaction has ended: what it did here; the next one starts clean. outcomes: those of this transaction
        so far, which live queries of the same fate share."""
        deltas = tuple(self._deltas or ())
        projection = self.projection
        view = None if projection is None or not projection.view.hidden else projection.view
        fate = deltas, self._truncated, self._uncertain, self._overflow, view, self.is_replayable
        outcome = outcomes.get(fate)
        if outcome is None:
            suffix = b""
            if self.is_replayable:
                suffix = suffix_of(part.tx, part.time, deltas if view is None else self._masked(deltas))
            outcome = outcomes[fate] = Outcome(
                deltas, suffix, part.tx, part.time, self._truncated, self._uncertain, self._overflow
            )
        self.clear()
        return outcome

    def fold(self, outcome: Outcome) -> Outcome | None:
        """What a transaction is to those who have the result: of an aggregate what it changes in its rows. None where
        that is nothing, or where nobody has it. Call once for each, in order."""
        if self.is_replayable:
            return outcome
        self.newest = outcome.tx, outcome.time
        if self.shares is None:
            return outcome
        if self.totals is None or self.totals.is_short:
            return None
        if outcome.reset_reason is not None:
            self.totals = None
            return outcome
        tx, time = outcome.tx, outcome.time
        if outcome.truncated:
            self.totals = self.new_totals()
            self.totals.settle()
        deltas = self.totals.apply((before, after or b"") for _, _, after, before in outcome.deltas)
        totals = self.totals
        if totals.is_large or totals.is_wrong or (totals.is_short and outcome.truncated):
            self.totals = None
            return Outcome((), b"", tx, time, uncertain=not totals.is_large, is_large=totals.is_large)
        if self.totals.is_short:
            return Outcome((), b"", tx, time, is_short=True)
        if outcome.truncated:
            deltas = difference({}, self.totals.told)
        elif not deltas:
            return None
        return Outcome(deltas, suffix_of(tx, time, deltas), tx, time, outcome.truncated)

    def deltas_suffix(self, deltas: Sequence[Delta], tx: str, time: int) -> bytes:
        """A frame's data from `"time"` on, where a result without order changes so."""
        hides = self.projection is not None and self.projection.view.hidden
        return suffix_of(tx, time, self._masked(deltas) if hides else deltas)

    def difference_suffix(self, before: Mapping[bytes, bytes]) -> bytes | None:
        """A frame's data from `"time"` on, where an aggregate's rows were these (find → doc) before; None where they
        still are. Under the name of the newest transaction."""
        deltas = difference(before, self.told)
        return suffix_of(*self.newest, deltas) if deltas else None

    def steps_suffix(self, steps: Sequence[Step]) -> bytes:
        """A frame's data from `"time"` on, where a result that has an order changes so. Under the name of the newest
        transaction."""
        mask = None if self.projection is None else self.projection.key
        finds = [step.key if mask is None else mask(step.key) for step in steps]
        return steps_suffix_of(*self.newest, zip(steps, finds, strict=True))

    def _masked(self, deltas: Sequence[Delta]) -> list[Delta]:
        assert self.projection is not None
        return [(kind, self.projection.key(key), doc, rank) for kind, key, doc, rank in deltas]
