"""What a statement in the binlog means for the tables that are followed. (pure)

Rows come as row events; statements are there for transactions' control and for DDL, and for DML where a session asked
for `binlog_format=STATEMENT`. Nothing is parsed that need not be: where it is not certain that a statement leaves a
collection alone, the collection is reset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from cdc.event import Reset
from cdc.mysql.binlog import Query, Xid

TableName: TypeAlias = tuple[str, str]
"""(schema, table)"""

_PLAIN_COMMENT: Final = re.compile(r"/\*(?!M?!).*?(?:\*/|\Z)|(?:--(?=\s|\Z)|#)[^\n]*", re.DOTALL)
_COMMENT_MARK: Final = re.compile(r"/\*M?![0-9]*|\*/")
_SET_STATEMENT: Final = re.compile(r"\s*SET\s+STATEMENT\b.*?\bFOR\b", re.DOTALL | re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z_]+")
_XA: Final = re.compile(rb"X'([0-9a-fA-F]*)',X'([0-9a-fA-F]*)',(-?[0-9]+)")
_QUOTED: Final = r'(?:`((?:[^`]|``)+)`|"((?:[^"]|"")+)"|([\w$]+))'
_TRUNCATE: Final = re.compile(
    rf"\s*TRUNCATE\s*(?:\bTABLE\b)?\s*(?:{_QUOTED}\s*\.\s*)?{_QUOTED}\s*(?:\b(?:WAIT\s+\d+|NOWAIT)\s*)?;?\s*",
    re.IGNORECASE,
)
_CREATE_TABLE: Final = re.compile(
    rf"\s*CREATE\s+(?:OR\s+REPLACE\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?+(?:{_QUOTED}\s*\.\s*)?{_QUOTED}(?=[\s(])",
    re.IGNORECASE,
)
_CREATE_IF_NOT_EXISTS: Final = re.compile(r"\s*CREATE\s+TABLE\s+IF\s+NOT\s+EXISTS\b", re.IGNORECASE)
_BEFORE_NAMES: Final = frozenset({"table", "tables", "exists", "to", "like", "with", "on", "rename", "as"})
"""MariaDB takes `.items` for a table of the default database: then one of these looks like its database's name."""
_FOREIGN_KEY: Final = re.compile(r"\b(?:FOREIGN|CONSTRAINT|REFERENCES)\b", re.IGNORECASE)

_HARMLESS_OBJECTS: Final = frozenset(
    {"VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "USER", "ROLE", "SERVER", "SEQUENCE", "PACKAGE"}
    | {"TABLESPACE", "LOGFILE", "RESOURCE", "INSTANCE"}
)
_OBJECTS: Final = _HARMLESS_OBJECTS | {"TABLE", "TABLES", "DATABASE", "SCHEMA", "INDEX"}
_HARMLESS: Final = frozenset(
    {
        "GRANT",
        "REVOKE",
        "ANALYZE",
        "OPTIMIZE",
        "CHECK",
        "FLUSH",
        "SET",
        "INSTALL",
        "UNINSTALL",
        "KILL",
        "RESET",
    }
)
_REASONS: Final = {
    "ALTER": "columns_changed",
    "CREATE": "table_recreated",
    "DROP": "table_dropped",
    "RENAME": "table_recreated",
    "TRUNCATE": "truncated",
    "REPAIR": "table_recreated",
}


class Control(Enum):
    """What a statement does to its transaction."""

    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    ROLLBACK_TO = auto()
    XA_START = auto()
    XA_COMMIT = auto()
    XA_ROLLBACK = auto()
    NOTHING = auto()


def control(statement: bytes) -> Control | None:
    """None for a statement that is not about the transaction itself. The server writes them in one form."""
    words = statement[:40].upper().split(None, 2)
    first = words[0] if words else b""
    if len(words) == 1:
        return {b"BEGIN": Control.BEGIN, b"COMMIT": Control.COMMIT, b"ROLLBACK": Control.ROLLBACK}.get(first)
    if first == b"ROLLBACK" and words[1] == b"TO":
        return Control.ROLLBACK_TO
    if first in (b"SAVEPOINT", b"RELEASE"):
        return Control.NOTHING
    if first == b"XA":
        return {
            b"START": Control.XA_START,
            b"END": Control.NOTHING,
            b"COMMIT": Control.XA_COMMIT,
            b"ROLLBACK": Control.XA_ROLLBACK,
        }.get(words[1])
    return None


def xid_of(statement: bytes) -> Xid | None:
    """The transaction that an XA statement names; None if it cannot be told."""
    found = _XA.search(statement)
    if found is None or len(found[1]) % 2 or len(found[2]) % 2:
        return None
    return Xid(int(found[3]), bytes.fromhex(found[1].decode()), bytes.fromhex(found[2].decode()))


@dataclass(frozen=True, slots=True)
class Effect:
    """truncated: this collection is empty now; resets: these begin anew; relearn: the catalog may say something else
    of the tables now."""

    truncated: str | None = None
    resets: tuple[Reset, ...] = ()
    relearn: bool = False


NO_EFFECT: Final = Effect()


class Statements:
    """tables: the collections that a table's name stands for: its own, and those that its foreign keys cascade to
    where the server does not log that (`cascades`: whether this is such a server)."""

    def __init__(
        self, tables: Mapping[TableName, frozenset[str]], own: Mapping[TableName, str], *, cascades: bool
    ):
        self._tables = tables
        self._own = {(schema.lower(), table.lower()): name for (schema, table), name in own.items()}
        self._cascades = cascades
        self._all = frozenset(own.values())
        self._patterns = {name: _pattern(name) for pair in tables for name in pair}

    def effect(self, query: Query) -> Effect:
        """What a statement does that is no control."""
        try:
            text, garbled = query.statement.decode(), False
        except UnicodeDecodeError:
            text, garbled = query.statement.decode("latin-1"), True
        plain = _COMMENT_MARK.sub(" ", _PLAIN_COMMENT.sub(" ", text))
        plain = _SET_STATEMENT.sub("", plain, count=1)
        words = [found[0].upper() for found in _WORD.finditer(plain[:1_000])]
        verb = words[0] if words else ""
        if verb in _HARMLESS or not verb:
            return NO_EFFECT
        if verb not in _REASONS:
            return Effect(resets=_resets(self._all, "statement_logged"))
        kind = next((word for word in words[1:] if word in _OBJECTS), "TABLE")
        if verb != "TRUNCATE" and self._is_harmless(verb, kind, words):
            return NO_EFFECT
        if kind in ("DATABASE", "SCHEMA"):
            return self._dropped(text, garbled)
        if verb == "TRUNCATE" and (collection := self._truncated(plain, query.schema)) is not None:
            return Effect(truncated=collection)
        touched = self._touched(text, plain, query.schema, garbled)
        relearn = bool(touched) or self._cascades
        if _CREATE_IF_NOT_EXISTS.match(plain):
            # it was there, and is as it was; or it was not, and nobody has read it since it went, which was told
            return Effect(relearn=relearn)
        if self._cascades and _FOREIGN_KEY.search(text):
            touched = self._all
        return Effect(resets=_resets(touched, _REASONS[verb]), relearn=relearn)

    @staticmethod
    def _is_harmless(verb: str, kind: str, words: list[str]) -> bool:
        if kind in _HARMLESS_OBJECTS:
            return True
        if kind == "INDEX":
            return verb == "CREATE"
        if kind in ("DATABASE", "SCHEMA"):
            return verb != "DROP"
        return verb in ("CREATE", "DROP") and words[1:2] == ["TEMPORARY"]

    def _dropped(self, text: str, garbled: bool) -> Effect:
        touched = {
            collection
            for (schema, _), collections in self._tables.items()
            if self._is_named(schema, text, garbled)
            for collection in collections
        }
        return Effect(resets=_resets(touched, "database_dropped"), relearn=bool(touched))

    def _truncated(self, plain: str, default: str) -> str | None:
        found = _TRUNCATE.fullmatch(plain)
        if found is None:
            return None
        return self._own.get(_table_name(found, default))

    def _touched(self, text: str, plain: str, default: str, garbled: bool) -> frozenset[str]:
        """The collections whose tables are named. In the whole text or without its comments: either may hide a name,
        `db./**/table`, and `COMMENT '/*', RENAME TO table`."""
        found = _CREATE_TABLE.match(plain)
        created = None if found is None or garbled else _table_name(found, default)
        touched: set[str] = set()
        for (schema, table), collections in self._tables.items():
            if created is not None:
                named = created == (schema.lower(), table.lower())
            else:
                named = any(self._is_table(schema, table, each, default, garbled) for each in (text, plain))
            if named:
                touched |= collections
        return frozenset(touched)

    def _is_table(self, schema: str, table: str, text: str, default: str, garbled: bool) -> bool:
        if _may_be(table, text, garbled) or (
            _may_be(schema, text, garbled) and self._is_named(table, text, garbled)
        ):
            return True
        for found in self._patterns[table].finditer(text):
            named = _identifier(found.groups()).lower() or default.lower()
            if named == schema.lower() or (named in _BEFORE_NAMES and default.lower() == schema.lower()):
                return True
        return False

    def _is_named(self, name: str, text: str, garbled: bool) -> bool:
        return _may_be(name, text, garbled) or self._patterns[name].search(text) is not None


def _may_be(name: str, text: str, garbled: bool) -> bool:
    """A client's character set is not always UTF-8: then any name that is not plain ASCII may be meant."""
    return not name.isascii() and (garbled or not text.isascii())


def _pattern(name: str) -> re.Pattern[str]:
    """Where the name stands, with what qualifies it."""
    quoted = {name, name.replace("`", "``"), name.replace('"', '""')}
    choice = "|".join(re.escape(each) for each in sorted(quoted))
    return re.compile(rf"(?:{_QUOTED}\s*\.\s*)?[`\"]?(?<![\w$])(?:{choice})(?![\w$])", re.IGNORECASE)


def _table_name(found: re.Match[str], default: str) -> TableName:
    """Of a match with two identifiers, of which the first may be missing; in lower case."""
    schema, table = _identifier(found.groups()[:3]) or default, _identifier(found.groups()[3:])
    return schema.lower(), table.lower()


def _identifier(groups: tuple[str | None, ...]) -> str:
    backticked, quoted, bare = groups
    if backticked is not None:
        return backticked.replace("``", "`")
    return quoted.replace('""', '"') if quoted is not None else bare or ""


def _resets(collections: Iterable[str], reason: str) -> tuple[Reset, ...]:
    return tuple(Reset(collection, reason) for collection in sorted(collections))
