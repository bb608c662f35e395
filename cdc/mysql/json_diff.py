"""Partial updates of JSON columns (binlog_row_value_options=PARTIAL_JSON). (pure)

Format: mysql-server's sql-common/json_diff.h: one diff after another, each an operation, a path, and but for removals a
value in binary JSON. What is not in that format, or does not fit the document, raises ValueError or LookupError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import msgspec

from cdc.mysql.documents import text_of
from cdc.wire_text import string, wire_text

_REPLACE: Final = 0
_INSERT: Final = 1
_REMOVE: Final = 2
_LEG: Final = re.compile(r'\.(?P<name>[^."\[\]]+)|\.(?P<quoted>"(?:[^"\\]|\\.)*")|\[(?P<index>[0-9]+)\]')

_Leg: TypeAlias = str | int


class _Diff(NamedTuple):
    """path: names, in wire text, and indexes; value: None for a removal."""

    operation: int
    path: list[_Leg]
    value: str | None


def apply(document: str, diffs: bytes) -> str:
    """The document after the diffs, compact as it was before; both wire text."""
    for operation, path, value in _parse(diffs):
        document = _changed(document, path, operation, value)
    return document


def _changed(document: str, path: list[_Leg], operation: int, value: str | None) -> str:
    if not path:
        if operation != _REPLACE or value is None:
            raise ValueError("a JSON diff that inserts or removes a whole document")
        return value
    leg, *rest = path
    if isinstance(leg, str):
        return _changed_object(document, leg, rest, operation, value)
    return _changed_array(document, leg, rest, operation, value)


def _changed_object(document: str, name: str, rest: list[_Leg], operation: int, value: str | None) -> str:
    raw = msgspec.json.decode(document.encode("latin-1"), type=dict[str, msgspec.Raw])
    members = {wire_text(key): str(member, "latin-1") for key, member in raw.items()}
    if rest or operation == _REPLACE:
        members[name] = _changed(members[name], rest, operation, value)
    elif value is None:
        del members[name]
    elif name in members:
        raise ValueError(f"a JSON diff inserts the member {name!r}, which is there")
    else:
        members[name] = value
        # As the server keeps them: shorter names first, then by bytes.
        members = dict(sorted(members.items(), key=lambda member: (len(member[0]), member[0])))
    return f"{{{','.join(f'{string(key)}:{member}' for key, member in members.items())}}}"


def _changed_array(document: str, index: int, rest: list[_Leg], operation: int, value: str | None) -> str:
    raw = msgspec.json.decode(document.encode("latin-1"), type=list[msgspec.Raw])
    items = [str(item, "latin-1") for item in raw]
    if rest or operation == _REPLACE:
        items[index] = _changed(items[index], rest, operation, value)
    elif value is None:
        del items[index]
    else:
        items.insert(index, value)  # beyond the end: at the end, as the server does
    return f"[{','.join(items)}]"


def _parse(data: bytes) -> Iterator[_Diff]:
    at = 0
    while at < len(data):
        operation = data[at]
        if operation not in (_REPLACE, _INSERT, _REMOVE):
            raise ValueError(f"a JSON diff of unknown operation {operation}")
        path, at = _counted(data, at + 1)
        if operation == _REMOVE:
            yield _Diff(operation, _legs(path), None)
        else:
            value, at = _counted(data, at)
            yield _Diff(operation, _legs(path), text_of(value))


def _legs(path: bytes) -> list[_Leg]:
    text = path.decode()
    legs: list[_Leg] = []
    at = 1
    while at < len(text):
        leg = _LEG.match(text, at)
        if leg is None:
            break
        if leg["index"] is not None:
            legs.append(int(leg["index"]))
        else:
            quoted = leg["quoted"]
            legs.append(wire_text(leg["name"] if quoted is None else msgspec.json.decode(quoted, type=str)))
        at = leg.end()
    if not text.startswith("$") or at != len(text):
        raise ValueError(f"a JSON diff's path cannot be read: {text[:80]!r}")
    return legs


def _counted(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes behind their length (a length-encoded integer), and where they end."""
    size = data[at]
    at += 1
    if size > 250:
        width = {252: 2, 253: 3, 254: 8}[size]
        size = int.from_bytes(data[at : at + width], "little")
        at += width
    if at + size > len(data):
        raise ValueError(f"{size} bytes at {at} of {len(data)} in a JSON diff")
    return data[at : at + size], at + size
