"""A window shows the first rows of the result after every transaction, whatever happens, and its steps lead there."""

from __future__ import annotations

from bisect import bisect_right

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.change import Delta
from broadcaster.window import Head, Step, Window, margin

KEYS = st.integers(0, 60)
CHANGES = st.lists(
    st.tuples(KEYS, st.one_of(st.none(), st.tuples(st.integers(0, 30), st.integers(0, 3)))), max_size=12
)


class Table:
    """The rows that match: key → (rank, doc)."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[bytes, bytes]] = {}

    def change(self, changes) -> list[Delta]:
        deltas = []
        for number, new in changes:
            key = b"k%02d" % number
            before = self.rows.pop(key, None)
            if new is None:
                if before is not None:
                    deltas.append((b"delete", key, None, b""))
                continue
            rank, doc = b"%02d" % new[0] + key, b"doc %d" % new[1]
            self.rows[key] = rank, doc
            deltas.append((b"update" if before else b"insert", key, doc, rank))
        return deltas

    def first(self, limit: int | None) -> list[tuple[bytes, bytes]]:
        ordered = sorted((rank, key, doc) for key, (rank, doc) in self.rows.items())
        return [(key, doc) for _, key, doc in ordered[:limit]]

    def head(self, limit: int | None) -> Head:
        ordered = sorted((rank, key) for key, (rank, _) in self.rows.items())
        wanted = len(ordered) if limit is None else limit + margin(limit)
        kept = ordered[:wanted]
        bound = kept[-1][0] if len(ordered) > wanted else None
        return Head({key: self.rows[key] for _, key in kept}, bound)


def follow(shown: list[tuple[bytes, bytes]], steps: list[Step], limit: int | None) -> None:
    """What a client does."""
    for step in steps:
        if step.old_index is not None:
            key, _ = shown.pop(step.old_index)
            assert key == step.key
        assert step.key not in [key for key, _ in shown]
        if step.new_index is not None:
            assert step.doc is not None
            shown.insert(step.new_index, (step.key, step.doc))
        assert limit is None or len(shown) <= limit
        assert {b"insert": (False, True), b"update": (True, True), b"delete": (True, False)}[step.type] == (
            step.old_index is not None,
            step.new_index is not None,
        )


@settings(max_examples=120)
@given(
    limit=st.one_of(st.none(), st.integers(1, 12)),
    start=CHANGES,
    transactions=st.lists(st.tuples(CHANGES, CHANGES), max_size=25),
)
def test_a_window_is_the_head_of_the_result_after_every_transaction(limit, start, transactions):
    table = Table()
    table.change([(number, (number % 20, 0)) for number in range(50)] if len(start) % 2 else [])
    table.change(start)
    window = Window(limit, 10_000, 1 << 20)
    shown: list[tuple[bytes, bytes]] = []
    follow(shown, window.refill(table.head(limit)), limit)
    for changes, meanwhile in transactions:
        before = list(shown)
        follow(shown, window.apply(table.change(changes)), limit)
        if window.is_short:
            assert shown == before
            assert window.apply(table.change(meanwhile)) == []
            head = table.head(limit)
            later = head.overlaid(table.change(meanwhile))
            if later.bound is not None and len(later.rows) < limit:
                later = table.head(limit)
            follow(shown, window.refill(later), limit)
            assert not window.is_short
        assert shown == table.first(limit)
        assert window.docs == [doc for _, doc in shown]


@settings(max_examples=80)
@given(limit=st.integers(1, 12), start=CHANGES, first=CHANGES, second=CHANGES)
def test_a_head_with_changes_laid_over_it_is_the_head_of_what_they_give(limit, start, first, second):
    table = Table()
    table.change([(number, (number % 20, 0)) for number in range(40)])
    table.change(start)
    head = table.head(limit)
    # The last change of each key is enough.
    last = {delta[1]: delta for delta in [*table.change(first), *table.change(second)]}
    later = head.overlaid(last.values())
    ordered = sorted(rank for rank, _ in table.rows.values())
    known = len(ordered) if later.bound is None else bisect_right(ordered, later.bound)
    assert sorted(rank for rank, _ in later.rows.values()) == ordered[:known]
    assert all(table.rows[key] == row for key, row in later.rows.items())
    assert Head({}).overlaid([], cleared=True) == head.overlaid([], cleared=True)
