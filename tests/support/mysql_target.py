"""A `cdc.mysql` target for a test's database."""

from __future__ import annotations

from cdc.config_parse import parse
from cdc.mysql.target import Target


def target_of(url: str, *collections: str) -> Target:
    """As a configuration with this `conn` describes it."""
    lines = "".join(f"\n        {name}: {{isRealtimeEnabled: true}}" for name in collections)
    text = f"""
id: todo-app
modules:
  crud:
    sql-mysql:
      conn: {url}
      collections: {"" if lines else "{}"}{lines}
"""
    return Target.of(parse(text, {}), "sql-mysql")
