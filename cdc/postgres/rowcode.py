"""Generates, per relation, the code that reads row messages straight into finished events. (pure)

The generated functions do what every table sees all day: inserts, updates with the whole old row and the same key,
deletes with the whole old row. Anything else, malformed messages included, they leave untouched and return False;
then `pgoutput.decode` and `KnownRelation.changes` do it, or refuse it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from cdc.postgres.pgoutput import FRAME_HEAD
from cdc.postgres.values import RowShape
from cdc.wire_text import indent, literal

if TYPE_CHECKING:
    from cdc.postgres.relation import KnownRelation
    from cdc.transaction import Transaction

RowFunction: TypeAlias = Callable[[bytes | memoryview, str], bool]
"""(XLogData frame, the same as wire text) -> whether the event was added to the transaction."""

_ROW: Final = FRAME_HEAD + 5  # behind the message's type and the relation's id
_HEAD: Final = 5  # bytes before a value: its kind and size
_BLOCK: Final = 4  # columns


class RowFunctions(NamedTuple):
    insert: RowFunction
    update: RowFunction
    delete: RowFunction


def generate(relation: KnownRelation, transaction: Transaction) -> RowFunctions:
    """The three functions, bound to the transaction's state."""
    shape = relation.shape
    namespace: dict[str, Any] = {
        **shape.namespace(),
        "shape_types": shape.types,
        "frame": Struct(">BQ").unpack_from,
        "head": Struct(">BI").unpack_from,
        "relation": relation,
        "collection": relation.collection,
        "name": relation.collection.name,
        "transaction": transaction,
    }
    null = literal("null")
    unknown_old = _unknown_old(shape) if relation.partitioned else []
    lines = [
        "def insert(data, message):",
        *_START,
        *_row(shape, "N", "new", final=True),
        *_finish(shape, "c", null, shape.doc("new"), "new"),
        "def update(data, message):",
        *_START,
        *_row(shape, "O", "old", final=False, keep=True),
        *unknown_old,
        *_row(shape, "N", "new", final=True, compare=True),
        *_finish(shape, "u", shape.doc("old"), shape.doc("new"), "new"),
        "def delete(data, message):",
        *_START,
        *_row(shape, "O", "old", final=True),
        *unknown_old,
        *_finish(shape, "d", shape.doc("old"), null, "old"),
    ]
    exec("\n".join(lines), namespace)
    return RowFunctions(namespace["insert"], namespace["update"], namespace["delete"])


_START: Final = indent(
    1,
    [
        "kind, lsn = frame(data)",
        "if kind != 119:",
        "    return False",
        "marked = 0",
        f"at = {_ROW}",
        f"limit = len(message) - {_HEAD}",
    ],
)


def _row(
    shape: RowShape, letter: str, prefix: str, *, final: bool, keep: bool = False, compare: bool = False
) -> list[str]:
    """Statements that read one row at `at`, column i as JSON into the local `prefix`i.

    final: nothing follows this row. keep: leave what `compare` needs. compare: the old row was read, with `keep`.
    An update seldom changes more than a column or two, so the new row is compared block by block first.
    """
    count = len(shape.names)
    start = literal(letter + count.to_bytes(2).decode("latin-1"))
    lines = [f'if message[at:at + 3] != "{start}":', "    return False", "at += 3"]
    for first in range(0, count, _BLOCK):
        block = range(first, min(first + _BLOCK, count))
        reading = [
            line
            for i in block
            # Where fewer than five bytes may follow a NULL, its kind is looked at alone.
            for line in _column(shape, i, prefix, final and count - i < _HEAD, keep=keep, compare=compare)
        ]
        if keep:
            lines += ["start = at", *reading, f"block{first} = message[start:at]"]
        elif compare:
            same = [f"new{i} = old{i}" for i in block]
            lines += [
                f"if message.startswith(block{first}, at):",
                f"    at += len(block{first})",
                *indent(1, same),
            ]
            lines += ["else:", *indent(1, reading)]
        else:
            lines += reading
    if final:
        lines += ["if at != len(message):", "    return False"]
    return indent(1, lines)


def _column(shape: RowShape, i: int, prefix: str, near_end: bool, *, keep: bool, compare: bool) -> list[str]:
    """Statements that read column i at `at`."""
    lines = [
        "kind, size = head(data, at)" + (" if at <= limit else (data[at], 0)" if near_end else ""),
        "if kind == 116:",
        f"    at += {_HEAD}",
        "    text = message[at:at + size]",
        "    at += size",
        *indent(1, _value(shape, i, prefix, keep=keep, compare=compare)),
    ]
    if i not in shape.key:
        lines += ["elif kind == 110:", "    at += 1", f'    {prefix}{i} = "null"']
        if keep and _is_dear(shape, i):
            lines.append(f"    text{i} = None")
    if compare:
        lines += [
            f'elif kind == 117 and old{i} != "null":',  # an unchanged out-of-line value, known from the old row
            "    at += 1",
            f"    new{i} = old{i}",
        ]
    return [*lines, "else:", "    return False"]


def _value(shape: RowShape, i: int, prefix: str, *, keep: bool, compare: bool) -> list[str]:
    """Statements that make JSON of `text`. Keys are compared as text: one that changed is not for this code."""
    if compare and i in shape.key:
        return [f"if text != text{i}:", "    return False", f"new{i} = old{i}"]
    conversion = shape.conversion(i, f"{prefix}{i}")
    if compare and _is_dear(shape, i):
        return [f"if text == text{i}:", f"    new{i} = old{i}", "else:", *indent(1, conversion)]
    if keep and (i in shape.key or _is_dear(shape, i)):
        return [f"text{i} = text", *conversion]
    return conversion


def _is_dear(shape: RowShape, i: int) -> bool:
    """Whether converting costs more than comparing."""
    json, guard = shape.encoders[i].inline
    return bool(guard) or not json


def _unknown_old(shape: RowShape) -> list[str]:
    """Leave alone an old row with nothing but a key: it may come from a partition without FULL identity."""
    others = [f'old{i} == "null"' for i in range(len(shape.names)) if i not in shape.key]
    return indent(1, [f"if {' and '.join(others)}:", "    return False"]) if others else []


def _finish(shape: RowShape, op: str, before: str, after: str, prefix: str) -> list[str]:
    """Statements that make the event and add it to the transaction."""
    tail = f"relation.tail_{op}"
    if any(encoder.varying for encoder in shape.encoders):
        tail += f' if not marked else relation.tail("{op}", shape_types[marked])'
    event = (
        literal('{"before":') + before + literal(',"after":') + after + "{relation.source}{lsn}{tail}{total}"
        + literal(',"data_collection_order":') + "{order}" + literal("}}")
    )  # fmt: skip
    return indent(
        1,
        [
            "if relation.part != transaction.part:",
            "    relation.enter(transaction)",
            "total = transaction.total + 1",
            "order = collection.order + 1",
            f"tail = {tail}",
            f'event = f"{event}"',
            "if not event.isascii():",
            "    check_utf8(event)",
            'event = event.encode("latin-1")',
            f'key = f"{shape.key_doc(prefix)}"',
            "records = transaction.records",
            "transaction.total = total",
            "transaction.size += len(event)",
            "collection.order = order",
            "collection.newest = len(records)",
            'records.append((name, key.encode("latin-1"), event))',
            "return True",
        ],
    )
