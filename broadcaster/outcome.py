"""What one transaction does to a live query's result, and the frame that says so. (pure)"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from broadcaster.change import Delta
from broadcaster.window import Step

_PREFIXES: Final = {kind: b'{"type":"%b","find":' % kind for kind in (b"insert", b"update", b"delete")}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one transaction did to a live query's result.

    deltas: in the transaction's order; after the last truncate, where there was one.
    suffix: the frame's data from `"time"` on, shared by all subscribers; what stands before it is the id. Empty where
        the live query has an order or is an aggregate, before it was folded (`LiveQuery.fold`).
    tx, time: the transaction's id, and when it was committed, in Unix ms.
    truncated: the collection was emptied first.
    uncertain: a row's old image was missing, so `deltas` say what each key is now, but not what it was.
    overflow: the changes are more than a frame may hold; `deltas` are not all.
    is_short: too little is known of what is shown, which must be read again; lost: why it is worth nothing.
    """

    deltas: Sequence[Delta]
    suffix: bytes
    tx: str
    time: int
    truncated: bool = False
    uncertain: bool = False
    overflow: bool = False
    is_short: bool = False
    lost: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is told by its suffix."""
        return not (self.truncated or self.is_short or self.reset_reason)

    @property
    def reset_reason(self) -> str | None:
        """Why a subscriber cannot be served by a diff; None if it can."""
        if self.overflow:
            return "transaction_too_large"
        if self.uncertain:
            return "before_image_missing"
        return self.lost


def suffix_of(tx: str, time: int, deltas: Sequence[Delta]) -> bytes:
    """A frame's data from `"time"` on, where a result without order changes so."""
    changes = b",".join([_encode(kind, key, doc) for kind, key, doc, _ in deltas])
    return b'"time":%d,"tx":"%b","changes":[%b]}' % (time, tx.encode(), changes)


def steps_suffix_of(tx: str, time: int, steps: Iterable[tuple[Step, bytes]]) -> bytes:
    """As `suffix_of`, where one that has an order does; steps: each with the key that clients see."""
    changes = b",".join([_encode_step(step, find) for step, find in steps])
    return b'"time":%d,"tx":"%b","changes":[%b]}' % (time, tx.encode(), changes)


def _encode(kind: bytes, key: bytes, doc: bytes | None) -> bytes:
    if doc is None:
        return b"%b%b}" % (_PREFIXES[kind], key)
    return b'%b%b,"doc":%b}' % (_PREFIXES[kind], key, doc)


def _encode_step(step: Step, find: bytes) -> bytes:
    old = b"" if step.old_index is None else b',"oldIndex":%d' % step.old_index
    new = b"" if step.new_index is None else b',"newIndex":%d' % step.new_index
    doc = b"" if step.doc is None else b',"doc":' + step.doc
    return b"%b%b%b%b%b}" % (_PREFIXES[step.type], find, old, new, doc)
