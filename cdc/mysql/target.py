"""What one MySQL or MariaDB of the configuration asks for. (pure)"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cdc.config import Config
from cdc.errors import ConfigError

Name: TypeAlias = tuple[str, str]
"""(database, table)"""

SSL_MODES: Final = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
_OPTIONS: Final = ("ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket")
_EXAMPLE: Final = "mysql://user:password@host:3306/database"
_PORT: Final = 3306


@dataclass(frozen=True, slots=True)
class Tls:
    """mode: one of SSL_MODES, as MySQL's own clients mean them; ca, cert, key: files in PEM, or None."""

    mode: str = "preferred"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One database: where it is and who we are there; `socket`: the path of a Unix socket instead of host and port;
    `database`: the one of collections that name none, "" if the connection string has none either; `tables` maps
    (database, table) to the collection's name."""

    project: str
    alias: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    socket: str | None
    tls: Tls
    tables: Mapping[Name, str]

    @classmethod
    def of(cls, config: Config, alias: str) -> Target:
        """The target that the configuration describes under this alias. Raises ConfigError, which shows nothing of the
        connection string but the names of its options."""
        where = f"modules.crud.{alias}"
        url, port = _split(config.databases[alias].conn.reveal(), where)
        if not url.username:
            raise ConfigError(f"{where}.conn: names no user; write {_EXAMPLE}")
        options = _options(url.query, where)
        database = unquote(url.path.lstrip("/"))
        tables: dict[Name, str] = {}
        for collection in config.realtime_collections(alias):
            name = _table_name(collection, database, where)
            same = tables.setdefault(name, collection)
            if same != collection:
                raise ConfigError(f"{where}.collections: {same} and {collection} are the same table")
        return cls(
            project=config.id,
            alias=alias,
            host=url.hostname or "localhost",
            port=port or _PORT,
            user=unquote(url.username),
            password=unquote(url.password or ""),
            database=database,
            socket=options.get("socket"),
            tls=_tls(options, where),
            tables=tables,
        )

    @property
    def where(self) -> str:
        """Where it leads, without any secret: `MySQL at db.example:3306/app as user app`."""
        place = self.socket or f"{self.host}:{self.port}"
        database = f"/{self.database}" if self.database else ""
        return f"MySQL at {place}{database} as user {self.user}"


def identifier(*parts: str) -> str:
    """Quoted for SQL, joined by dots."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def literal(text: str) -> str:
    """Quoted for SQL, for `sql_mode` that has no NO_BACKSLASH_ESCAPES."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _split(conn: str, where: str) -> tuple[SplitResult, int | None]:
    try:
        url = urlsplit(conn)
        port = url.port
    except ValueError:
        raise ConfigError(f"{where}.conn: is not a connection string; write {_EXAMPLE}") from None
    if url.scheme not in ("mysql", "mariadb") or url.fragment or "/" in url.path.lstrip("/"):
        raise ConfigError(f"{where}.conn: is not a connection string of MySQL; write {_EXAMPLE}")
    return url, port


def _options(query: str, where: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            near = difflib.get_close_matches(name.lower().replace("_", "-"), _OPTIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_OPTIONS)}"
            raise ConfigError(f"{where}.conn: unknown option {name}; {hint}")
        if not value:
            raise ConfigError(f"{where}.conn: the option {name} has no value")
        options[name] = value
    return options


def _tls(options: Mapping[str, str], where: str) -> Tls:
    ca, cert, key = (options.get(name) for name in ("ssl-ca", "ssl-cert", "ssl-key"))
    implied = "verify_ca" if ca else "required" if cert or key else "preferred"
    mode = options.get("ssl-mode", implied).lower()
    if mode not in SSL_MODES:
        raise ConfigError(f"{where}.conn: ssl-mode must be one of {', '.join(SSL_MODES)}")
    if mode in ("disabled", "preferred") and implied != "preferred":
        raise ConfigError(f"{where}.conn: with ssl-mode={mode} no ssl-ca, ssl-cert or ssl-key has an effect")
    if key and not cert:
        raise ConfigError(f"{where}.conn: ssl-key without ssl-cert")
    return Tls(mode, ca, cert, key)


def _table_name(collection: str, database: str, where: str) -> Name:
    schema, dot, name = collection.partition(".")
    if dot:
        return schema, name
    if not database:
        raise ConfigError(
            f"{where}.collections.{collection}: in which database? Write it as database.{collection}, or name the "
            f"database in `conn`: {_EXAMPLE}"
        )
    return database, collection
