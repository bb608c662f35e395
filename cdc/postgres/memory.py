"""What a position remembers of each collection: a change of its columns shows also after a restart. (pure)

In `Position.state`: {"relations": {collection: {"shape": `shape_of` its columns, "key": [column, …]}}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from cdc.errors import SetupError
from cdc.postgres.messages import Relation


def shape_of(columns: Iterable[tuple[str, int, int]]) -> str:
    """A short stable hash of a table's published columns: (name, type's OID, typmod) in table order."""
    return blake2b(msgspec.json.encode(list(columns)), digest_size=8).hexdigest()


class Memory:
    """state: as of the last commit, never changed in place; what is learnt in a transaction joins it at the commit."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = state
        self._relations: dict[str, Any] = dict(state.get("relations", {}))
        self._changed = False

    def shape(self, collection: str) -> str | None:
        """The shape last seen; None if none was."""
        known = self._relations.get(collection)
        return None if known is None else str(known["shape"])

    def choose_key(self, relation: Relation, key: tuple[str, ...], collection: str) -> tuple[str, ...]:
        """The key to use: the catalog's, or where that is ahead of the stream the last one known. Raises SetupError if
        neither is among the relation's columns."""
        names = {column.name for column in relation.columns}
        for candidate in (key, self._key(collection)):
            if candidate and names.issuperset(candidate):
                return candidate
        table = f"{relation.schema}.{relation.table}"
        if not key:
            raise SetupError(
                f"table {table} has no primary key, by which its rows could be told apart; "
                f"add one: ALTER TABLE {table} ADD PRIMARY KEY (…)"
            )
        raise SetupError(
            f"table {table} publishes {', '.join(sorted(names)) or 'no columns'}, without its primary key "
            f"({', '.join(key)}); publish all of its columns: drop the column list of the publication"
        )

    def learn(self, collection: str, shape: str, key: tuple[str, ...]) -> str:
        """Remember this, and say what it means for what was known: "columns_changed", "key_changed" or nothing."""
        known = self._relations.get(collection)
        learnt = {"shape": shape, "key": list(key)}
        if known == learnt:
            return ""
        self._relations[collection] = learnt
        self._changed = True
        if known is None:
            return ""
        return "columns_changed" if known["shape"] != shape else "key_changed"

    def commit(self) -> Mapping[str, Any]:
        """The state with all that was learnt."""
        if self._changed:
            self.state = {**self.state, "relations": dict(self._relations)}
            self._changed = False
        return self.state

    def _key(self, collection: str) -> tuple[str, ...]:
        known = self._relations.get(collection)
        return () if known is None else tuple(known["key"])
