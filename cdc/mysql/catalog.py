"""Tables as the server's catalog has them now. Shared with the snapshot reader. Everything here blocks, and raises
pymysql.MySQLError."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pymysql.constants import ER

from cdc.mysql.connect import Connection, code_of
from cdc.mysql.table import Column, Hint, Table
from cdc.mysql.target import Name, identifier

_COLUMNS: Final = """
SELECT table_name, column_name, data_type, column_type, character_set_name
  FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
_KEY: Final = """
SELECT table_name, column_name FROM information_schema.statistics
 WHERE table_schema = %s AND table_name = %s AND index_name = 'PRIMARY' ORDER BY seq_in_index
"""
_OF_TYPE: Final[Mapping[str, Hint]] = {"uuid": "uuid", "inet4": "inet4", "inet6": "inet6", "vector": "vector"}
_OLD_TIME: Final = re.compile(r"(?:datetime|timestamp|time)\(([1-6])\) /\* mariadb-5\.3 \*/")
_DIGITS: Final[Mapping[str, Hint]] = {
    "1": "digits1", "2": "digits2", "3": "digits3", "4": "digits4", "5": "digits5", "6": "digits6",
}  # fmt: skip

# As SHOW CREATE TABLE prints them: MariaDB's catalog hides both from whoever may only SELECT.
_QUOTED: Final = r"`(?:[^`]|``)+`"
_JSON_COLUMN: Final = re.compile(rf"^  ({_QUOTED}) longtext .*CHECK \(json_valid\(\1\)\),?$", re.MULTILINE)
# (MariaDB 10.11.18 forgets to double a ` in a constraint's name.)
_FOREIGN_KEY: Final = re.compile(
    rf"^  CONSTRAINT `.*?` FOREIGN KEY \(.*?\) REFERENCES (?:({_QUOTED})\.)?({_QUOTED}) \(.*?\)(.*)$",
    re.MULTILINE,
)
_CASCADING: Final = re.compile(r" ON (?:DELETE|UPDATE) (?:CASCADE|SET NULL|SET DEFAULT)\b")


def load_table(connection: Connection, schema: str, name: str) -> Table | None:
    """The table of this name, or None if there is none now that our user may read."""
    columns = [row for table, *row in _rows(connection, _COLUMNS, schema, name) if table == name]
    if not columns:
        return None
    key = tuple(row[1] for row in _rows(connection, _KEY, schema, name) if row[0] == name)
    documents: frozenset[str] = frozenset()
    if _is_mariadb(connection) and any(kind == "longtext" for _, kind, *_ in columns):
        documents = _json_columns(create_statement(connection, (schema, name)) or "")
    return Table(schema, name, tuple(_column(documents, *column) for column in columns), key)


def cascades(connection: Connection, tables: Mapping[Name, str]) -> dict[Name, frozenset[str]]:
    """By table, the collections of `tables` whose rows the server may change on its own, without logging that, when
    rows of that table are deleted or updated: by foreign keys, over any number of steps. Tables that our user may not
    look at end a chain; `unseen_parents` names them. Empty where the server logs such changes.
    """
    if logs_cascades(connection):
        return {}
    parents, _ = _parents(connection, tables)
    found: dict[Name, set[str]] = {}
    for child, collection in tables.items():
        seen: set[Name] = set()
        waiting = [*parents.get(child, ())]
        while waiting:
            parent = waiting.pop()
            if parent not in seen:
                seen.add(parent)
                found.setdefault(parent, set()).add(collection)
                waiting += parents.get(parent, ())
    return {parent: frozenset(collections) for parent, collections in found.items()}


def unseen_parents(connection: Connection, tables: Iterable[Name]) -> frozenset[Name]:
    """Tables from which changes cascade to `tables`, that our user may not look at: what cascades to them is unknown.
    Empty where the server logs such changes."""
    return frozenset() if logs_cascades(connection) else _parents(connection, tables)[1]


def logs_cascades(connection: Connection) -> bool:
    """Whether rows that foreign keys change are in the binlog: MySQL does so since it checks the keys itself (9.6),
    unless told to leave that to InnoDB."""
    rows = _rows(connection, "SHOW VARIABLES LIKE 'innodb_native_foreign_keys'")
    return bool(rows) and rows[0][1] == "OFF"


def create_statement(connection: Connection, name: Name) -> str | None:
    """What SHOW CREATE TABLE says; None if there is no such table or our user may not look."""
    try:
        rows = _rows(connection, f"SHOW CREATE TABLE {identifier(*name)}")
    except Exception as error:
        if code_of(error) in (
            ER.NO_SUCH_TABLE,
            ER.TABLEACCESS_DENIED_ERROR,
            ER.BAD_DB_ERROR,
            ER.DBACCESS_DENIED_ERROR,
        ):
            return None
        raise
    return str(rows[0][1])


def _parents(
    connection: Connection, tables: Iterable[Name]
) -> tuple[dict[Name, frozenset[Name]], frozenset[Name]]:
    """Of these tables and of all from which changes cascade to them: the parents from which changes cascade directly.
    And those that cannot be looked at."""
    parents: dict[Name, frozenset[Name]] = {}
    unseen: set[Name] = set()
    wanted = frozenset(tables)
    waiting = [*wanted]
    while waiting:
        name = waiting.pop()
        if name in parents or name in unseen:
            continue
        statement = create_statement(connection, name)
        if statement is None:
            unseen.add(name)
            continue
        parents[name] = _cascading_parents(statement, name[0])
        waiting += parents[name]
    return parents, frozenset(unseen - wanted)


def _cascading_parents(statement: str, schema: str) -> frozenset[Name]:
    return frozenset(
        (_unquoted(other) if other else schema, _unquoted(parent))
        for other, parent, rules in _FOREIGN_KEY.findall(statement)
        if _CASCADING.search(rules)
    )


def _json_columns(statement: str) -> frozenset[str]:
    return frozenset(_unquoted(name) for name in _JSON_COLUMN.findall(statement))


def _column(
    documents: frozenset[str], name: str, data_type: str, column_type: str, charset: str | None
) -> Column:
    data_type = data_type.lower()
    hint = _OF_TYPE.get(data_type)
    if column_type == "tinyint(1)":
        hint = "boolean"
    elif data_type == "longtext" and name in documents:
        hint = "json"
    elif old := _OLD_TIME.match(column_type):
        hint = _DIGITS[old[1]]
    return Column(name, data_type, column_type, charset, hint)


def _unquoted(quoted: str) -> str:
    return quoted[1:-1].replace("``", "`")


def _is_mariadb(connection: Connection) -> bool:
    return "MariaDB" in _rows(connection, "SELECT VERSION()")[0][0]


def _rows(connection: Connection, statement: str, *values: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return [tuple(map(_text, row)) for row in cursor.fetchall()]


def _text(value: Any) -> Any:
    """The snapshot's connections give bytes."""
    return value.decode() if isinstance(value, bytes) else value
