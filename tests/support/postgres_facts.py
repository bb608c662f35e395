"""A Postgres that lacks nothing, as the tailer's set-up sees it."""

from __future__ import annotations

from cdc.postgres.facts import Server

SERVER = Server(
    version=180004,
    wal_level="logical",
    sender_timeout=60,
    free_slots=1,
    free_senders=1,
    max_slots=10,
    max_senders=10,
    database="d",
    role="u",
    may_replicate=True,
    may_create=True,
    standby=False,
    insert_lsn=1000,
)
