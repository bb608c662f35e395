"""What a live aggregate asks for, and what each row counts for in it. (pure)

A row's *share* is bytes: its group, and what it has in every field that is aggregated. Two rows with the same share
count for the same, so that an update which leaves the share as it was changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from broadcaster.kinds import HAS_NAN, READERS, SAFE_INTEGER
from broadcaster.order import kind_at, placed, value_at
from broadcaster.sums import DECIMAL, FLOAT, NAN, WHOLE, decimal_json


class Function(StrEnum):
    """What is made of a field's values; null and missing ones are left out."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One field of a result's rows. path: the dotted path that is aggregated; None: `count` counts rows."""

    name: str
    function: Function
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A result of one row for each group that has rows; of exactly one where there are no groups.

    group_by: dotted paths; rows whose values there are the same in JSON are one group, null and missing being the same,
    numbers by their value.
    """

    aggregates: tuple[Aggregate, ...]
    group_by: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that it looks at, once each."""
        measured = [one.path for one in self.aggregates if one.path is not None]
        return tuple(dict.fromkeys([*self.group_by, *measured]))

    def text(self) -> str:
        """A text that two aggregations share only if they ask for the same."""
        return json.dumps([[[one.name, one.function, one.path] for one in self.aggregates], self.group_by])


class Value(NamedTuple):
    """What a row has in a field, where that is not null.

    number: as in `broadcaster.sums`, empty where it is none or is not asked for; rank: its place among all values, and
    json: the value itself; both empty where they are not asked for.
    """

    number: str
    rank: bytes
    json: bytes


class Share(NamedTuple):
    """What a row counts for. group: the group's fields as a JSON document; values: of every path that is measured, in
    order, None for null."""

    group: bytes
    values: list[Value | None]


_read: Final = msgspec.msgpack.Decoder(Share).decode
_write: Final = msgspec.msgpack.Encoder().encode
_LETTERS: Final[Mapping[type, str]] = {int: WHOLE, float: FLOAT, Decimal: FLOAT}
_LETTERS_OF_KINDS: Final[Mapping[str, str]] = {"int64": WHOLE, "float": FLOAT, "decimal": DECIMAL}
SUMMED: Final = frozenset({Function.SUM, Function.AVG})
"""What needs a field's sum."""
_RANKED: Final = frozenset({Function.MIN, Function.MAX})


class Shares:
    """An aggregation, compiled. measured: the paths of a share's values, each with what is asked of it."""

    __slots__ = ("_groups", "_measures", "aggregation", "measured")

    def __init__(self, aggregation: Aggregation) -> None:
        self.aggregation = aggregation
        functions: dict[str, set[Function]] = {}
        for one in aggregation.aggregates:
            if one.path is not None:
                functions.setdefault(one.path, set()).add(one.function)
        self.measured: Mapping[str, Collection[Function]] = functions
        self._groups = [(path, encoded(path)) for path in aggregation.group_by]
        self._measures = [
            (path, not SUMMED.isdisjoint(asked), not _RANKED.isdisjoint(asked))
            for path, asked in functions.items()
        ]

    def of(self, row: Mapping[str, Any], types: Mapping[str, str] | None) -> bytes:
        """A row's share. row, types: as the evaluator's."""
        group = [
            b"%b:%b" % (name, _plain(value_at(row, path), kind_at(path, types)))
            for path, name in self._groups
        ]
        values = [self._value(row, types, *measure) for measure in self._measures]
        return _write(Share(b"{%b}" % b",".join(group), values))

    def _value(
        self, row: Mapping[str, Any], types: Mapping[str, str] | None, path: str, summed: bool, ranked: bool
    ) -> Value | None:
        value = value_at(row, path)
        if value is None:
            return None
        kind = kind_at(path, types)
        return Value(
            _number(value, kind) if summed else "",
            placed(value, kind) if ranked else b"",
            encoded(value) if ranked else b"",
        )

    def read(self, share: bytes) -> Share:
        """A share of this aggregation's."""
        return _read(share)


def _number(value: Any, kind: str | None) -> str:
    """The number that a row's value is, empty for all else. A fraction is its shortest digits, as in comparisons. A
    plain number is the same whether or not its field has a kind, which is that of the change's other image perhaps."""
    if kind is None or kind in _LETTERS_OF_KINDS:
        letter = _LETTERS.get(value.__class__)
        if letter is not None:
            return f"{letter}{value}"
    if kind is None:
        return ""
    if value == NAN and kind in HAS_NAN:
        return NAN
    letter = _LETTERS_OF_KINDS.get(kind)
    number = None if letter is None else READERS[kind].value(value)
    return "" if number is None else f"{letter}{number}"


def _plain(value: Any, kind: str | None) -> bytes:
    """A value as JSON, so that equal numbers are the same."""
    if kind == "decimal":
        number = READERS[kind].value(value)
        if number is not None:
            return decimal_json(number)
    elif value.__class__ is float and value.is_integer() and abs(value) <= SAFE_INTEGER:
        return b"%d" % int(value)
    return encoded(value)


def encoded(value: Any) -> bytes:
    """A value of a row as JSON; the members of a document are sorted."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except UnicodeEncodeError:  # half surrogates, which the database lets through
        return json.dumps(value, default=str, sort_keys=True).encode()
