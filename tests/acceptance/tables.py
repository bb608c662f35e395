"""The oracle's tables: their columns, the values that go into them, and what the test itself adds. (pure)

Every row image carries a `version`, unique in the whole database, given by a trigger. Another trigger copies every
change to `audit`, which is not published: what Postgres itself says that a transaction did.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]

KINDS: Final = {"price": "decimal", "at": "timestamptz"}
"""The columns whose kind JSON cannot tell, apart from keys."""

_COMMON: Final = """
    n int, s text, price numeric, flag bool, at timestamptz, j jsonb, body text, version bigint NOT NULL"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the workload. key: its primary-key columns; types: column → kind, as the events would have it."""

    name: str
    key: tuple[str, ...]
    columns: str
    suffix: str = ""
    more: str = ""
    types: tuple[tuple[str, str], ...] = tuple(KINDS.items())

    def find(self, row: Row) -> tuple[Any, ...]:
        """A row's primary key."""
        return tuple(row[column] for column in self.key)

    def ddl(self) -> str:
        """The table with its triggers."""
        key = ", ".join(self.key)
        return (
            f"CREATE TABLE {self.name} ({self.columns},{_COMMON}, PRIMARY KEY ({key})) {self.suffix};\n"
            f"{self.more}\n"
            f"CREATE TRIGGER version BEFORE INSERT OR UPDATE ON {self.name}"
            f" FOR EACH ROW EXECUTE FUNCTION new_version();\n"
            f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {self.name}"
            f" FOR EACH ROW EXECUTE FUNCTION audit_row('{self.name}');\n"
            f"CREATE TRIGGER audit_truncate AFTER TRUNCATE ON {self.name}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION audit_row('{self.name}');\n"
        )


TABLES: Final = (
    Table("items", ("id",), "id int"),
    Table("words", ("word",), "word text"),
    Table("notes", ("id",), "id uuid", types=(*KINDS.items(), ("id", "uuid"))),
    Table(
        "accounts",
        ("region", "no"),
        "no bigint, region text",
        types=(*KINDS.items(), ("no", "int64")),
    ),
    Table(
        "parts",
        ("bucket", "id"),
        "bucket int, id int",
        "PARTITION BY LIST (bucket)",
        "CREATE TABLE parts_0 PARTITION OF parts FOR VALUES IN (0);"
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);"
        "CREATE TABLE parts_rest PARTITION OF parts DEFAULT;",
    ),
)
BY_NAME: Final = {table.name: table for table in TABLES}

SCHEMA: Final = (
    """
CREATE SEQUENCE versions;
CREATE TABLE audit (
    seq bigserial PRIMARY KEY, tx text NOT NULL, name text NOT NULL, op text NOT NULL, old jsonb, new jsonb);
CREATE FUNCTION new_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := nextval('versions');
    RETURN NEW;
END $$;
CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (tx, name, op, old, new) VALUES (
        pg_current_xact_id()::text, TG_ARGV[0], TG_OP,
        CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END,
        CASE WHEN TG_OP IN ('INSERT', 'UPDATE') THEN to_jsonb(NEW) END);
    RETURN NULL;
END $$;
"""
    + "\n".join(table.ddl() for table in TABLES)
    + f"CREATE PUBLICATION oracle FOR TABLE {', '.join(table.name for table in TABLES)};"
)


def decode_image(text: str) -> Row:
    """A row as `to_jsonb` shows it (session time zone UTC), in the events' own form."""
    row: Row = json.loads(text, parse_float=Decimal)
    if abs(row.get("no", 0)) >= 2**53:
        row["no"] = str(row["no"])
    if row["price"] is not None:
        row["price"] = str(row["price"])
    if row["at"] is not None:
        row["at"] = row["at"].replace("+00:00", "Z")
    row["j"] = _floats(row["j"])
    return row


def _floats(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _floats(item) for key, item in value.items()}
    return [_floats(item) for item in value] if isinstance(value, list) else value
