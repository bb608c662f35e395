"""What the tailer needs of a MySQL or MariaDB, judged from facts, each with the statement that mends it. (pure)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdc.mysql.facts import ALL, Facts, Server, TableFacts
from cdc.mysql.target import Target, identifier
from cdc.requirement import Requirement, need

OLDEST_MYSQL: Final = (8, 0, 1)  # the first with binlog_row_metadata
OLDEST_MARIADB: Final = (10, 6, 0)
_DAY_S: Final = 86_400


def requirements(target: Target, facts: Facts) -> list[Requirement]:
    """Without these there is no stream. In the order in which they have to be mended."""
    found = [*_server(target, facts.server)]
    for table in facts.tables:
        found += _table(facts.server, table)
    user = _account(facts.server.user)
    found += [
        Requirement(
            f"table {'.'.join(name)}: SELECT",
            False,
            "changes cascade from it by a foreign key, unlogged; which tables they cascade to it from cannot be seen",
            f"GRANT SELECT ON {identifier(*name)} TO {user};",
        )
        for name in sorted(facts.unseen)
    ]
    return found


def awaited(facts: Facts) -> list[Requirement]:
    """Tables that do not exist: told, and followed as soon as somebody makes them. The others need not wait."""
    return [
        requirement
        for table in facts.tables
        if table.kind is None and table.may_select
        for requirement in _table(facts.server, table)
    ]


def advice(facts: Facts) -> list[Requirement]:
    """What is well to know; each is met, since the stream runs without it."""
    return [*_advice(facts.server), *_cascades(facts)]


def _server(target: Target, server: Server) -> Iterator[Requirement]:
    version = ".".join(map(str, server.version))
    variables = server.variables
    if server.mariadb:
        title, oldest, least = "MariaDB", OLDEST_MARIADB, "10.6"
    else:
        title, oldest, least = "MySQL", OLDEST_MYSQL, "8.0"
    yield need(
        "version",
        server.version >= oldest,
        f"{title} {version}",
        f"{title} {version}; {least} or later is needed",
    )
    yield need(
        "binary log",
        variables.get("log_bin") == "ON",
        "is written",
        "is not written",
        "in my.cnf, section [mysqld]: log_bin = binlog and server_id = 1  -- then restart the server",
    )
    for name, wanted, why in (
        ("binlog_format", "ROW", "changes are logged as statements"),
        ("binlog_row_image", "FULL", "rows are logged in part"),
        ("binlog_row_metadata", "FULL", "columns are logged without their names"),
    ):
        value = variables.get(name, "unknown to this server")
        yield need(
            name,
            value == wanted,
            f"is {wanted}",
            f"is {value}: {why}",
            _set(server, name, wanted),
        )
    yield need(
        "server_id",
        variables.get("server_id") != "0",
        "is set",
        "is 0: the server refuses everybody who wants to read its binlog",
        _set(server, "server_id", "1"),
    )
    unlogged = server.replica or variables.get("read_only", "OFF") != "OFF"
    name = "log_slave_updates" if server.mariadb else "log_replica_updates"
    if unlogged and variables.get(name, variables.get("log_slave_updates")) == "OFF":
        yield Requirement(
            name,
            False,
            "is OFF on a replica: what it takes over from its primary is not in its binlog",
            f"in my.cnf, section [mysqld]: {name} = ON  -- then restart the server; or give the primary's address",
        )
    schemas = {schema for schema, _ in target.tables}
    dropped = sorted(schemas & server.ignored | (schemas - server.logged if server.logged else set()))
    if dropped:
        yield Requirement(
            "binlog filter",
            False,
            f"keeps the databases {', '.join(dropped)} out of the binlog",
            "remove binlog_do_db and binlog_ignore_db from my.cnf  -- then restart the server",
        )
    yield from _privileges(server)


def _privileges(server: Server) -> Iterator[Requirement]:
    user = _account(server.user)
    status = "BINLOG MONITOR" if server.mariadb else "REPLICATION CLIENT"
    for privilege in ("REPLICATION SLAVE", status):
        yield need(
            f"privilege {privilege}",
            bool(server.privileges & {privilege, ALL}),
            f"user {server.user} has it",
            f"user {server.user} does not have it",
            f"GRANT {privilege} ON *.* TO {user};",
        )


def _table(server: Server, table: TableFacts) -> Iterator[Requirement]:
    name, quoted = f"table {table.schema}.{table.name}", identifier(table.schema, table.name)
    user = _account(server.user)
    grant = f"GRANT SELECT ON {quoted} TO {user};"
    if table.kind is None:
        near = f"; did you mean {' or '.join(table.near)}?" if table.near else ""
        if table.may_select:
            yield Requirement(name, False, f"does not exist{near}")
        else:
            yield Requirement(
                name, False, f"does not exist, or user {server.user} may not see it{near}", grant
            )
        return
    if table.kind != "BASE TABLE":
        detail = f"is a {table.kind}; only plain tables can be live"
        if table.kind == "SYSTEM VERSIONED":
            detail = (
                "is system-versioned: its history is in the binlog as rows; only plain tables can be live"
            )
        yield Requirement(name, False, detail)
        return
    yield Requirement(name, True, "exists")
    yield need(
        f"{name}: engine",
        table.engine == "InnoDB",
        "is InnoDB",
        f"is {table.engine or 'none'}, which has no transactions",
        f"ALTER TABLE {quoted} ENGINE = InnoDB;",
    )
    yield need(
        f"{name}: primary key",
        table.has_key,
        "has one",
        "has none; rows cannot be told apart without it",
        f"ALTER TABLE {quoted} ADD PRIMARY KEY (…);  -- name the column or columns that identify a row",
    )
    yield need(
        f"{name}: SELECT",
        table.may_select,
        f"user {server.user} may read it",
        f"user {server.user} may not read it",
        grant,
    )


def _advice(server: Server) -> Iterator[Requirement]:
    variables = server.variables
    if not server.mariadb:
        on = variables.get("gtid_mode", "OFF").startswith("ON")
        yield Requirement(
            "gtid_mode",
            True,
            "is ON"
            if on
            else "is OFF; recommended is ON: without it nothing can be resumed after a failover to another server",
        )
    kept = int(variables.get("binlog_expire_logs_seconds", "0"))
    yield Requirement(
        "retention",
        True,
        "the binlog is kept until somebody purges it"
        if kept == 0
        else f"the binlog is kept for {kept} s"
        + (
            ""
            if kept >= _DAY_S
            else "; a tailer that stands still for longer loses its place, recommended is a day or more: "
            + _set(server, "binlog_expire_logs_seconds", str(_DAY_S))
        ),
    )
    if server.prepared:
        yield Requirement(
            "XA transactions",
            True,
            f"{server.prepared} are prepared and wait for their outcome; until then the tailer's place in the log "
            "stays before them: see XA RECOVER",
        )


def _cascades(facts: Facts) -> Iterator[Requirement]:
    for table in facts.tables:
        if table.cascades_from:
            parents = ", ".join(".".join(parent) for parent in table.cascades_from)
            yield Requirement(
                f"table {table.schema}.{table.name}: foreign keys",
                True,
                f"deletes and updates in {parents} cascade to it, which this server does not log: each of them makes "
                "its live queries start over",
            )


def _set(server: Server, name: str, value: str) -> str:
    written = value if value.isdigit() else f"'{value}'"
    if server.mariadb:
        return f"SET GLOBAL {name} = {written};  -- and in my.cnf, section [mysqld]: {name} = {value}"
    return f"SET PERSIST {name} = {written};"


def _account(user: str) -> str:
    """`app@%` as it stands in statements."""
    name, _, host = user.rpartition("@")
    return f"{identifier(name)}@{identifier(host)}"
