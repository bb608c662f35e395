"""How far each collection was read; part of a position's state. (pure)

In `Position.state`: {"snapshots": {collection: {"after": …, "rows": n, "done": bool}}}.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cdc.event import Position

_KEY: Final = "snapshots"


@dataclass(frozen=True, slots=True)
class Reading:
    """One collection's. after: the key to go on after, in the database's own words, of JSON's types (None: from the
    beginning); rows: so many went out."""

    after: Any = None
    rows: int = 0
    done: bool = False


class Progress:
    """All readings of one database, the one in turn first.

    live: the collections that are tailed; of others nothing is remembered, since what they missed is not known.
    initial: those that are read as soon as they are met.
    """

    def __init__(
        self, position: Position | None, live: Collection[str], initial: Collection[str] = ()
    ) -> None:
        self.readings = {name: each for name, each in readings_of(position).items() if name in live}
        for name in initial:
            self.readings.setdefault(name, Reading())
        self._merged: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None

    @property
    def current(self) -> str | None:
        """The collection in turn; None if all are done."""
        return next((name for name, reading in self.readings.items() if not reading.done), None)

    def begin(self, collection: str) -> None:
        """Read it from its first row on."""
        self._set(collection, Reading())

    def advance(self, collection: str, after: Any, rows: int, *, done: bool) -> None:
        """So many rows more have gone out, the last of what was read being `after`."""
        reading = self.readings[collection]
        self._set(collection, Reading(after, reading.rows + rows, done))

    def postpone(self, collection: str) -> None:
        """Let the others have their turn first."""
        self.readings[collection] = self.readings.pop(collection)

    def on(self, position: Position) -> Position:
        """The position, with this in its state."""
        if not self.readings:
            return position
        if self._merged is None or self._merged[0] is not position.state:
            readings = {
                name: {"after": reading.after, "rows": reading.rows, "done": reading.done}
                for name, reading in self.readings.items()
            }
            self._merged = position.state, {**position.state, _KEY: readings}
        return replace(position, state=self._merged[1])

    def _set(self, collection: str, reading: Reading) -> None:
        self.readings[collection] = reading
        self._merged = None


def readings_of(position: Position | None) -> dict[str, Reading]:
    """What a position says of each collection that was ever to be read."""
    known = {} if position is None else position.state.get(_KEY, {})
    return {name: Reading(**values) for name, values in known.items()}


def without(position: Position | None) -> Position | None:
    """The position as the source gave it."""
    if position is None or _KEY not in position.state:
        return position
    return replace(position, state={name: value for name, value in position.state.items() if name != _KEY})
