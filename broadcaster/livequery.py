"""One interned live query: which changes touch its result, and the frame that says so. (pure)

Equal queries are one query: it is evaluated once and encoded once for all its subscribers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from broadcaster.aggregate import Shares
from broadcaster.change import DELETE, INSERT, UPDATE, Change, Delta
from broadcaster.errors import RequestError
from broadcaster.evaluate import Predicate
from broadcaster.fate import Fate, beginning, masked
from broadcaster.index import AFTER, BEFORE, MAYBE_AFTER, MAYBE_BEFORE
from broadcaster.index_terms import branches
from broadcaster.order import Order
from broadcaster.outcome import Outcome, steps_suffix_of, suffix_of
from broadcaster.predicate import Node, fields
from broadcaster.totals import Totals, difference
from broadcaster.view import Projection
from broadcaster.window import Head, Ranked, Step, Window, steps_between

if TYPE_CHECKING:
    from broadcaster.audience import Audience, Key
    from broadcaster.overlay import Overlay
    from broadcaster.subscription import Subscription

Told: TypeAlias = "Mapping[bytes, Ranked] | Mapping[bytes, bytes]"
"""What is shown of a window, by key, or of an aggregate, find → doc."""


class LiveQuery:
    """A query with its compiled predicate, and who subscribed to it.

    overlay: what the stream tells while a snapshot of it is read, None while none is. is_replayable: whether the log
    alone tells what a client missed. It tells neither what stood beyond the end of a window (of a query that has an
    order), nor what a client was shown of an aggregate. Of these window or totals is what is shown, None until it was
    read; key_fields what its rows are known by; newest the last transaction that touched it (id, time). subscriptions:
    those that are told each by itself; audiences: of the others. beginning: its fate in a transaction that did nothing
    to it yet.
    """

    __slots__ = (
        "audiences",
        "beginning",
        "branches",
        "collection",
        "database",
        "is_replayable",
        "key",
        "key_fields",
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
        "window",
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
        self.window: Window | None = None
        self.overlay: Overlay | None = None
        self.newest = "", 0
        self.key_fields: Sequence[str] = () if shares is None else shares.aggregation.group_by
        self.is_replayable = order is None and shares is None
        self.branches = branches(node)
        self.subscriptions: set[Subscription] = set()
        self.audiences: dict[Key, Audience] = {}
        self.beginning: Fate = beginning(
            limit,
            () if projection is None else projection.view.hidden,
            is_replayable=self.is_replayable,
            is_plain=projection is None and self.is_replayable,
        )

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are to it."""
        together = sum(audience.subscribers(self) for audience in self.audiences.values())
        return len(self.subscriptions) + together

    @property
    def is_shared(self) -> bool:
        """Whether several subscribe to it."""
        return len(self.subscriptions) > 1 or bool(self.audiences)

    def disperse(self) -> None:
        """Have all subscriptions told each by itself."""
        for audience in list(self.audiences.values()):
            audience.disperse()

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
        """Whether what is shown of a window or an aggregate is known as it is where the feed stands."""
        shown = self.window or self.totals
        return shown is not None and not shown.is_short

    @property
    def told(self) -> Told:
        """What subscribers to a window or an aggregate were told of it."""
        if self.window is not None:
            return self.window.shown
        return {} if self.totals is None else self.totals.told

    @property
    def docs(self) -> list[bytes] | None:
        """The rows of a window or an aggregate, in order; None where they are not known."""
        if not self.is_filled:
            return None
        if self.window is not None:
            return self.window.docs
        return list(self.totals.told.values()) if self.totals is not None else None

    def new_totals(self) -> Totals:
        """Those of an aggregate without rows."""
        assert self.shares is not None
        return Totals(self.shares, self.max_groups)

    def fill(self, totals: Totals) -> None:
        """Know an aggregate, all of whose rows are counted in these totals. Raises RequestError `too_many_groups`."""
        totals.settle()
        self.check_groups(totals)
        self.totals = totals

    def show(self, window: Window, head: Head, key: Sequence[str]) -> None:
        """Know a window: these are the first rows; key: the fields that they are known by."""
        window.refill(head)
        self.window = window
        self.key_fields = key

    def forget(self) -> None:
        """What is known of a window or an aggregate is worth nothing."""
        self.window = self.totals = None

    def check_groups(self, totals: Totals) -> None:
        """Raises RequestError `too_many_groups`."""
        if totals.is_large:
            raise RequestError("too_many_groups", f"the result has more than {self.max_groups} (groups)")

    def judge(self, change: Change, verdict: int) -> bytes:
        """Ask the predicate about what the index left open: how the change of a row of this query's collection changes
        the result, as a delta's type; empty if the row was not in it and is not. verdict: see `Index.touched_by`."""
        test = self.test.for_types(change.types)
        is_in = verdict & AFTER or (verdict & MAYBE_AFTER and test(change.after_row))
        was_in = verdict & BEFORE or (verdict & MAYBE_BEFORE and test(change.before_row))
        if is_in:
            return UPDATE if was_in else INSERT
        return DELETE if was_in else b""

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

    def delta(self, kind: bytes, change: Change) -> Delta | None:
        """What such a change is to the result; None if it is nothing after all."""
        key, doc, rank = change.key, None if kind == DELETE else change.after, b""
        if self.shares is not None:
            if kind != INSERT and change.before is not None:
                rank = self.shares.of(change.before_row, change.types)
            if doc is not None:
                doc = self.shares.of(change.after_row, change.types)
            return None if doc == rank else (kind, key, doc, rank)
        if kind == UPDATE and self._shows_alike(change):
            return None
        if doc is not None:
            doc = self._shown(key, doc)
            if self.order is not None:
                rank = self.order.rank(key, change.after_row, change.types)
        return kind, key, doc, rank

    def fold(self, outcome: Outcome) -> Outcome | None:
        """What a transaction is to those who have the result: of a window or an aggregate what it changes in what is
        shown. None where that is nothing, or where nobody has it. Call once for each, in order."""
        if self.is_replayable:
            return outcome
        self.newest = outcome.tx, outcome.time
        if not self.is_filled:
            return None
        if self.window is not None:
            return self._slide(self.window, outcome)
        assert self.totals is not None
        return self._recount(self.totals, outcome)

    def _slide(self, window: Window, outcome: Outcome) -> Outcome | None:
        tx, time = outcome.tx, outcome.time
        if outcome.overflow:  # what is missed can be read again
            window.lose()
        elif outcome.uncertain:
            self.forget()
            return outcome
        steps = []
        if outcome.truncated and not outcome.overflow:
            window.clear()
            window.refill(Head({}).overlaid(outcome.deltas))
        else:
            steps = window.apply(outcome.deltas)
        if window.is_too_large:
            self.forget()
            return Outcome((), b"", tx, time, lost="window_too_large")
        if window.is_short:
            return Outcome((), b"", tx, time, is_short=True)
        if not steps and not outcome.truncated:
            return None
        return Outcome((), self._steps_suffix(tx, time, steps), tx, time, outcome.truncated)

    def _recount(self, totals: Totals, outcome: Outcome) -> Outcome | None:
        if outcome.reset_reason is not None:
            self.forget()
            return outcome
        tx, time = outcome.tx, outcome.time
        if outcome.truncated:
            self.totals = totals = self.new_totals()
            totals.settle()
        deltas = totals.apply((before, after or b"") for _, _, after, before in outcome.deltas)
        if totals.is_large or totals.is_wrong or (totals.is_short and outcome.truncated):
            self.forget()
            reason = "too_many_groups" if totals.is_large else "before_image_missing"
            return Outcome((), b"", tx, time, lost=reason)
        if totals.is_short:
            return Outcome((), b"", tx, time, is_short=True)
        if not deltas and not outcome.truncated:
            return None
        return Outcome(deltas, suffix_of(tx, time, deltas), tx, time, outcome.truncated)

    def deltas_suffix(self, deltas: Sequence[Delta], tx: str, time: int) -> bytes:
        """A frame's data from `"time"` on, where a result without order changes so."""
        mask = self.projection
        return suffix_of(tx, time, deltas if mask is None else masked(deltas, mask))

    def difference_suffix(self, before: Told, tx: str, time: int) -> bytes | None:
        """A frame's data from `"time"` on, where a window or an aggregate was told so before; None where it is so
        still."""
        if self.window is not None:
            steps = steps_between(cast("Mapping[bytes, Ranked]", before), self.window.shown)
            return self._steps_suffix(tx, time, steps) if steps else None
        deltas = difference(cast("Mapping[bytes, bytes]", before), cast("Mapping[bytes, bytes]", self.told))
        return suffix_of(tx, time, deltas) if deltas else None

    def _steps_suffix(self, tx: str, time: int, steps: Sequence[Step]) -> bytes:
        mask = None if self.projection is None else self.projection.key
        finds = [step.key if mask is None else mask(step.key) for step in steps]
        return steps_suffix_of(tx, time, zip(steps, finds, strict=True))
