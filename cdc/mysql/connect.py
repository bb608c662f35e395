"""Connections to MySQL and MariaDB, and what their errors mean for the pipeline. Everything here blocks."""

from __future__ import annotations

import ssl
from typing import Any, Final, TypeAlias

import pymysql
from pymysql.constants import CR, ER

from cdc.errors import ConfigError, LivetailError, SetupError, SourceUnavailable
from cdc.mysql.target import Target, Tls, identifier

Connection: TypeAlias = "pymysql.Connection[Any]"  # generic in its stubs only

CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 60
SESSION: Final = (
    "SET SESSION time_zone = '+00:00', sql_mode = '', sql_quote_show_create = 1, "
    "sql_select_limit = DEFAULT, wait_timeout = 86400"
)
"""What makes texts mean what `values` says, whatever the server's defaults are."""

_ACCESS_DENIED: Final = (
    ER.DBACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
)
_SECURE_TRANSPORT_REQUIRED: Final = 3159
_NO_TLS_HERE: Final = CR.CR_SSL_CONNECTION_ERROR


def arguments(target: Target) -> dict[str, Any]:
    """What `pymysql.connect` is to be called with. Raises ConfigError for TLS files that cannot be used."""
    place: dict[str, Any] = (
        {"unix_socket": target.socket} if target.socket else {"host": target.host, "port": target.port}
    )
    return {
        **place,
        "user": target.user,
        "password": target.password.encode(),  # as text, it could be Latin-1 only
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "write_timeout": READ_TIMEOUT_S,
        "program_name": "livetail",
        "init_command": SESSION,
        **_tls(target, target.tls),
    }


def connect(target: Target, **overrides: Any) -> Connection:
    """An autocommit connection without a current database; `overrides` are further arguments of `pymysql.connect`.

    Blocks, for CONNECT_TIMEOUT_S at the most until the network answers. Raises ConfigError, SourceUnavailable,
    SetupError.
    """
    try:
        return pymysql.connect(**{**arguments(target), **overrides})
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        raise explain(target, error) from error


def explain(target: Target, error: BaseException) -> LivetailError:
    """The error of a connection or a statement as what the pipeline acts on; one of ours as it is."""
    if isinstance(error, LivetailError):
        return error
    where = f"{target.alias} ({target.where})"
    code = code_of(error)
    cause = getattr(error, "original_exception", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SourceUnavailable(
            f"{where}: the server's certificate is not accepted: {cause.verify_message}. "
            "With ssl-mode=verify_ca it must be signed by the authority in ssl-ca, with verify_identity it must also "
            "name this host"
        )
    if code == ER.ACCESS_DENIED_ERROR:
        return SourceUnavailable(f"{where}: {reason(error)}. Look at user and password in `conn`")
    if code in _ACCESS_DENIED:
        return SetupError(f"{where}: {reason(error)}. {_grants(target)}")
    if code == _SECURE_TRANSPORT_REQUIRED:
        return SourceUnavailable(f"{where}: {reason(error)} Add ssl-mode=required to `conn`")
    if code == _NO_TLS_HERE:
        return SourceUnavailable(
            f"{where}: the server offers no TLS, and ssl-mode={target.tls.mode} of `conn` demands it"
        )
    return SourceUnavailable(f"{where}: {reason(error)}")


def code_of(error: BaseException) -> int | None:
    """The server's or the driver's number, if it has one."""
    code = error.args[0] if isinstance(error, pymysql.MySQLError) and error.args else None
    return code if isinstance(code, int) else None


def reason(error: BaseException) -> str:
    """The server's or the network's words on one line."""
    text = str(error.args[1]) if code_of(error) is not None and len(error.args) > 1 else str(error)
    return " ".join(text.split()) or type(error).__name__


def _grants(target: Target) -> str:
    """What the tailer and the initial results need, all of it."""
    user = identifier(target.user)
    tables = "; ".join(f"GRANT SELECT ON {identifier(*name)} TO {user}" for name in target.tables)
    return f"They need: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}; {tables}"


def _tls(target: Target, tls: Tls) -> dict[str, Any]:
    if tls.mode == "disabled" or (tls.mode == "preferred" and target.socket):
        return {"ssl_disabled": True}
    if tls.mode == "preferred":
        return {}
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        # What servers make for themselves at their first start is not strictly a certificate of RFC 5280.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = tls.mode == "verify_identity"
        context.verify_mode = ssl.CERT_NONE if tls.mode == "required" else ssl.CERT_REQUIRED
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ValueError) as error:  # SSLError is one
        raise ConfigError(
            f"modules.crud.{target.alias}.conn: ssl-ca, ssl-cert and ssl-key must be files in PEM that can be read: "
            f"{error}"
        ) from error
    return {"ssl": context}
