"""What the open transaction did so far to live queries' results, kept once for all that it did the same to. (pure)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from broadcaster.change import Delta, Part
from broadcaster.outcome import Outcome, suffix_of
from broadcaster.view import Projection, View


@dataclass(frozen=True, slots=True, eq=False)
class Manner:
    """How live queries are told of a transaction; those with the same one may share what they are told.

    limit: bytes of changes that one frame may hold; mask: hides fields of keys, None where all are shown;
    is_replayable: see `LiveQuery`; is_plain: whether rows are told as the database has them, in no order.
    """

    limit: int
    mask: Projection | None
    is_replayable: bool
    is_plain: bool


class Fate:
    """The deltas so far, as a chain whose beginning is shared by all that went the same way until then.

    is_uncertain: a row's old image was missing; is_truncated: the collection was emptied first; is_overflow: there is
    more than a frame may hold, and the deltas are forgotten.
    """

    __slots__ = (
        "_delta",
        "_outcome",
        "_previous",
        "_size",
        "is_overflow",
        "is_plain",
        "is_truncated",
        "is_uncertain",
        "manner",
    )

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.is_plain = manner.is_plain
        self.is_truncated = self.is_uncertain = self.is_overflow = False
        self._previous: Fate | None = None
        self._delta: Delta | None = None
        self._size = 0
        self._outcome: Outcome | None = None

    def then(self, delta: Delta, *, is_uncertain: bool = False) -> Fate:
        """After one more delta; is_uncertain: the row's old image is missing."""
        _, key, doc, _ = delta
        after = Fate(self.manner)
        after._size = self._size + len(key) + (0 if doc is None else len(doc))
        after.is_truncated = self.is_truncated
        after.is_uncertain = self.is_uncertain or is_uncertain
        if after._size > self.manner.limit:
            after.is_overflow = True
        else:
            after._previous, after._delta = self, delta
        return after

    def emptied(self) -> Fate:
        """After the collection was emptied: what was before is worth nothing."""
        after = Fate(self.manner)
        after.is_truncated = True
        return after

    def outcome(self, part: Part) -> Outcome:
        """What the transaction did, once it is complete; made once."""
        if self._outcome is None:
            deltas, mask = self._deltas(), self.manner.mask
            suffix = b""
            if self.manner.is_replayable:
                suffix = suffix_of(part.tx, part.time, deltas if mask is None else masked(deltas, mask))
            self._outcome = Outcome(
                deltas, suffix, part.tx, part.time, self.is_truncated, self.is_uncertain, self.is_overflow
            )
        return self._outcome

    def _deltas(self) -> tuple[Delta, ...]:
        deltas = []
        at: Fate | None = self
        while at is not None:
            if at._delta is not None:
                deltas.append(at._delta)
            at = at._previous
        return tuple(reversed(deltas))


def masked(deltas: Iterable[Delta], mask: Projection) -> list[Delta]:
    """With keys as clients see them."""
    return [(kind, mask.key(key), doc, rank) for kind, key, doc, rank in deltas]


@lru_cache(maxsize=512)
def beginning(limit: int, hidden: tuple[str, ...], *, is_replayable: bool, is_plain: bool) -> Fate:
    """Nothing was done yet; the same object for all of a manner, as far as it matters. hidden: as in a view."""
    mask = Projection(View(hidden=hidden)) if hidden else None
    return Fate(Manner(limit, mask, is_replayable, is_plain))
