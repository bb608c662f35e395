"""Sets of global transaction ids, as MySQL and as MariaDB write them. (pure)

MySQL: `uuid:1-5:7`, with tags `uuid:1-5:tag:1-3`, several sources joined by commas. MariaDB: the last transaction of
each domain, `domain-server-number`, joined by commas.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TAG: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,31}")
_INTERVAL: Final = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_MARIADB: Final = re.compile(r"([0-9]+)-([0-9]+)-([0-9]+)")


class GtidSet:
    """MySQL's set of GTIDs. A source is `uuid` or `uuid:tag`; its numbers are kept as disjoint intervals that do not
    touch, in order."""

    __slots__ = ("_intervals",)

    def __init__(self) -> None:
        self._intervals: dict[str, list[tuple[int, int]]] = {}

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """Raises ValueError for what is no set of GTIDs."""
        gtids = cls()
        for part in "".join(text.split()).split(","):
            if part:
                gtids._parse_source(part)
        return gtids

    def add(self, gtid: str) -> None:
        """Add one GTID, `uuid:n` or `uuid:tag:n` (both in lower case). Raises ValueError for what is none."""
        source, number = _split(gtid)
        intervals = self._intervals.get(source)
        if intervals and intervals[-1][1] + 1 == number:  # the next transaction, nearly always
            intervals[-1] = (intervals[-1][0], number)
        else:
            self._add(source, number, number)

    def extend(self, source: str, first: int, last: int) -> None:
        """Add the GTIDs from f"{source}{first}" to f"{source}{last}"."""
        source = source[:-1]
        intervals = self._intervals.get(source)
        if intervals and intervals[-1][1] + 1 == first:
            intervals[-1] = (intervals[-1][0], last)
        else:
            self._add(source, first, last)

    def issubset(self, other: GtidSet) -> bool:
        """Whether the other set has all of this one."""
        return all(
            other._covers(source, first, last)
            for source, intervals in self._intervals.items()
            for first, last in intervals
        )

    def beginnings(self) -> GtidSet:
        """Of each source what stands before its first gap."""
        begun = GtidSet()
        begun._intervals = {source: intervals[:1] for source, intervals in self._intervals.items()}
        return begun

    def __contains__(self, gtid: str) -> bool:
        source, number = _split(gtid)
        return self._covers(source, number, number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and self._intervals == other._intervals

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        """As the server prints it, on one line."""
        sources: dict[str, list[str]] = {}
        for source in sorted(self._intervals):
            uuid, _, tag = source.partition(":")
            texts = sources.setdefault(uuid, [])
            if tag:
                texts.append(tag)
            texts += [f"{a}" if a == b else f"{a}-{b}" for a, b in self._intervals[source]]
        return ",".join(f"{uuid}:{':'.join(texts)}" for uuid, texts in sources.items())

    def __repr__(self) -> str:
        return f"GtidSet.parse({str(self)!r})"

    @property
    def tagged(self) -> bool:
        """Whether any source has a tag."""
        return any(":" in source for source in self._intervals)

    def _parse_source(self, part: str) -> None:
        uuid, *items = part.split(":")
        if not _UUID.fullmatch(uuid) or not items:
            raise ValueError(f"{part!r} is no set of GTIDs")
        source = uuid.lower()
        for item in items:
            if _TAG.fullmatch(item):
                source = f"{uuid}:{item}".lower()
                continue
            found = _INTERVAL.fullmatch(item)
            if found is None:
                raise ValueError(f"{item!r} in {part!r} is neither a tag nor an interval")
            first, last = int(found[1]), int(found[2] or found[1])
            if not 1 <= first <= last:
                raise ValueError(f"{item!r} in {part!r} is no interval")
            self._add(source, first, last)

    def _add(self, source: str, first: int, last: int) -> None:
        intervals = self._intervals.setdefault(source, [])
        begin = end = bisect_right(intervals, (first, last))
        while begin > 0 and intervals[begin - 1][1] + 1 >= first:
            begin -= 1
            first, last = min(first, intervals[begin][0]), max(last, intervals[begin][1])
        while end < len(intervals) and intervals[end][0] <= last + 1:
            last = max(last, intervals[end][1])
            end += 1
        intervals[begin:end] = [(first, last)]

    def _covers(self, source: str, first: int, last: int) -> bool:
        intervals = self._intervals.get(source, [])
        at = bisect_right(intervals, first, key=lambda interval: interval[0]) - 1
        return at >= 0 and last <= intervals[at][1]


class GtidPosition:
    """MariaDB's position: of each replication domain the last transaction, and with it all before."""

    __slots__ = ("_domains",)

    def __init__(self) -> None:
        self._domains: dict[int, tuple[int, int]] = {}

    @classmethod
    def parse(cls, text: str) -> GtidPosition:
        """Raises ValueError for what is no position."""
        position = cls()
        for part in "".join(text.split()).split(","):
            if part:
                position.add(part)
        return position

    def add(self, gtid: str) -> None:
        """This transaction, `domain-server-number`, is its domain's last now. Raises ValueError for what is none."""
        domain, server, number = _mariadb(gtid)
        self._domains[domain] = (server, number)

    def extend(self, source: str, first: int, last: int) -> None:
        """As `GtidSet.extend`."""
        self.add(f"{source}{last}")

    def __contains__(self, gtid: str) -> bool:
        domain, _, number = _mariadb(gtid)
        known = self._domains.get(domain)
        return known is not None and number <= known[1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidPosition) and self._domains == other._domains

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return ",".join(
            f"{domain}-{server}-{number}" for domain, (server, number) in sorted(self._domains.items())
        )

    def __repr__(self) -> str:
        return f"GtidPosition.parse({str(self)!r})"


def _split(gtid: str) -> tuple[str, int]:
    source, _, number = gtid.rpartition(":")
    if not source:
        raise ValueError(f"{gtid!r} is no GTID")
    return source, int(number)


def _mariadb(gtid: str) -> tuple[int, int, int]:
    found = _MARIADB.fullmatch(gtid)
    if found is None:
        raise ValueError(f"{gtid!r} is no GTID of MariaDB")
    return int(found[1]), int(found[2]), int(found[3])
