"""Connections to Postgres, with the session settings under which its text output means what `values` says, whatever
the role's or the database's own settings are."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import conninfo

from cdc.errors import ConfigError, SourceUnavailable

SESSION: Final = {
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
    "row_security": "off",  # a policy would hide rows of a read that the stream has: rather an error
    "idle_session_timeout": "0",
}
CONNECT_TIMEOUT: Final = 10
KEEPALIVE: Final = {"keepalives": 1, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}


def parse(conn: str) -> dict[str, Any]:
    """The parameters of a URL or libpq string. Raises ConfigError, which shows nothing of the string."""
    try:
        return dict(conninfo.conninfo_to_dict(conn))
    except psycopg.Error:
        raise ConfigError(
            "`conn` is not a Postgres connection string; write postgresql://user:password@host:5432/database"
        ) from None


def describe(conn: str) -> str:
    """Where `conn` leads, without any secret: `Postgres at db.example:5432/app as user app`."""
    given = parse(conn)
    host = given.get("host") or given.get("hostaddr") or "localhost"
    where = f"{host}:{given.get('port') or 5432}/{given.get('dbname') or given.get('user') or ''}"
    return f"Postgres at {where} as user {given.get('user') or '(default)'}"


async def connect(conn: str, *, replication: bool = False, **settings: str) -> psycopg.AsyncConnection[Any]:
    """An autocommit connection; `settings` are further server settings of the session.

    Raises SourceUnavailable with the server's or the network's reason.
    """
    given = parse(conn)
    options = " ".join(f"-c {name}={value}" for name, value in {**SESSION, **settings}.items())
    parameters = {
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "livetail",
        **KEEPALIVE,
        **given,
        "client_encoding": "UTF8",
        "options": f"{given.get('options') or ''} {options}".strip(),
    }
    if replication:
        parameters["replication"] = "database"
    try:
        return await psycopg.AsyncConnection.connect(autocommit=True, **parameters)
    except psycopg.Error as error:
        raise unavailable(conn, error) from error


def unavailable(conn: str, error: psycopg.Error) -> SourceUnavailable:
    """`error` as what the operator reads: where, and the server's words on one line."""
    return SourceUnavailable(f"{describe(conn)}: {reason(error)}")


def reason(error: psycopg.Error) -> str:
    """The server's primary message if it sent one, else libpq's, on one line."""
    text = error.diag.message_primary or str(error)
    return " ".join(text.split()) or type(error).__name__
