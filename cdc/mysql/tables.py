"""The tables of a binlog as it announces them: which are followed, and how their rows are read. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cdc.errors import ProtocolError
from cdc.mysql.rows import FollowedTable
from cdc.mysql.statement import Statements, TableName
from cdc.mysql.table import Hint
from cdc.mysql.writer import NULL, EventWriter, Origin
from cdc.transaction import Collection, Transaction

_ID_SIZE: Final = 6
_SCHEMA_AT: Final = 8  # behind the table id and flags
_KEPT: Final = 10_000  # tables remembered, followed or not


class NeedCatalog(Exception):
    """DDL went by, and now comes a table: `learn` what the catalog says, then go on."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What the binlog does not say of the tables.

    hints: of each followed table, by column. cascades: of each table whose foreign keys cascade to collections,
    directly or over other tables, those collections; None on a server that logs what they do.
    """

    hints: Mapping[TableName, Mapping[str, Hint]]
    cascades: Mapping[TableName, frozenset[str]] | None


class Tables:
    """collections: those wanted, by (schema, table); transaction: where their events go.

    current: those announced, by table id. stale: the catalog may say something else now.
    """

    def __init__(
        self,
        origin: Origin,
        collections: Mapping[TableName, str],
        catalog: Catalog,
        transaction: Transaction,
        *,
        mariadb: bool,
    ) -> None:
        self._mariadb = mariadb
        self._wanted = collections
        self._writers = {
            collection: EventWriter(origin, transaction, name, Collection(collection))
            for name, collection in collections.items()
        }
        self._transaction = transaction
        self._announced: dict[bytes, FollowedTable | None] = {}  # by table map, without its table id
        self.current: dict[bytes, FollowedTable | None] = {}
        self.learn(catalog)

    def learn(self, catalog: Catalog) -> None:
        """What the catalog says now."""
        self._catalog = catalog
        self.stale = False
        cascades = catalog.cascades or {}
        own = {name: frozenset([collection]) for name, collection in self._wanted.items()}
        self._watched = {
            name: own.get(name, frozenset()) | cascades.get(name, frozenset()) for name in {**own, **cascades}
        }
        self.statements = Statements(self._watched, self._wanted, cascades=catalog.cascades is not None)
        self._announced.clear()

    def forget(self) -> None:
        """Table ids begin anew."""
        self.current.clear()

    def touched(self) -> list[str]:
        """The collections of which the open transaction has events."""
        number = self._transaction.number
        return sorted(name for name, each in self._writers.items() if each.collection.number == number)

    def all(self) -> list[str]:
        """All collections."""
        return sorted(self._writers)

    def announce(self, data: bytes, at: int, end: int) -> frozenset[str]:
        """Take in a table map; the collections that changes of this table change. Raises NeedCatalog."""
        if self.stale:
            raise NeedCatalog
        described = data[at + _ID_SIZE : end]
        try:
            table = self._announced[described]
        except KeyError:
            if len(self._announced) >= _KEPT:
                self._announced.clear()
            table = self._announced[described] = self._known(data, at, end)
        if len(self.current) >= _KEPT:
            self.current.clear()
        self.current[data[at : at + _ID_SIZE]] = table
        return frozenset() if table is None else table.changes

    def of(self, data: bytes, at: int) -> FollowedTable | None:
        """The table of a rows event; None if it is not followed."""
        try:
            return self.current[data[at : at + _ID_SIZE]]
        except KeyError:
            raise ProtocolError("rows of a table that was not announced") from None

    def truncate(self, collection: str, place: int) -> None:
        """It is empty now; place: of the statement in the file."""
        self._writers[collection].write("t", NULL, NULL, NULL, None, place, 0)

    def _known(self, data: bytes, at: int, end: int) -> FollowedTable | None:
        name = _name(data, at, end)
        changes = self._watched.get(name)
        if changes is None:
            return None
        return FollowedTable(
            name,
            data[at:end],
            writer=self._writers[self._wanted[name]] if name in self._wanted else None,
            mariadb=self._mariadb,
            hints=self._catalog.hints.get(name, {}),
            cascades=(self._catalog.cascades or {}).get(name, frozenset()),
        )


def _name(data: bytes, at: int, end: int) -> TableName:
    """(schema, table) of a table map: each with its size before and a zero byte behind."""
    try:
        schema = at + _SCHEMA_AT + 1
        table = schema + data[schema - 1] + 2
        if table + data[table - 1] >= end:
            raise IndexError("cut short")
        return data[schema : table - 2].decode(), data[table : table + data[table - 1]].decode()
    except (IndexError, UnicodeDecodeError) as error:
        raise ProtocolError(f"binlog event table_map, {end - at} bytes: {error}") from error
