"""A Postgres as a source: connect, set up, resume at the slot, stream, and look after the database meanwhile."""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg

from cdc import VERSION
from cdc.errors import ConfigError, LivetailError, PositionLost, SetupError, SourceUnavailable
from cdc.event import Batch, Position
from cdc.metrics import DatabaseMetrics
from cdc.postgres import catalog, setup, slot
from cdc.postgres.assemble import Assembler, NeedRelation, RelationInfo
from cdc.postgres.connect import connect, describe, reason, unavailable
from cdc.postgres.facts import Connection
from cdc.postgres.requirements import Facts, slot_requirement
from cdc.postgres.stream import Learner, PostgresStream, now_ms
from cdc.postgres.target import Target, identifier, literal
from cdc.postgres.watch import Watch

WATCH_S: Final = 10.0
SENDER_PATIENCE_S: Final = 10.0
"""After so long a silence of ours the server gives up our connection, and with it the slot, which a standby waits for;
sooner where `wal_sender_timeout` says so."""

_UNDEFINED_OBJECT: Final = "42704"


class PostgresSource:
    """A `cdc.tailer.Source`. `watch_every`: seconds between two looks at the tables, the publication and the slot."""

    def __init__(self, target: Target, metrics: DatabaseMetrics, *, watch_every: float = WATCH_S) -> None:
        """Raises ConfigError if the connection string is none."""
        self._target = target
        self._metrics = metrics
        self._watch_every = watch_every
        try:
            self._where = describe(target.conn)
        except ConfigError as error:
            raise ConfigError(f"modules.crud.{target.alias}: {error}") from None
        self._started_at = 0
        self._undecodable_at: int | None = None

    async def open(self, after: Position | None) -> Following:
        """See `cdc.tailer.Source`."""
        session = await setup.open_session(self._target)
        try:
            return await self._follow(session, after)
        except psycopg.Error as error:
            await session.close()
            raise self._explain(reason(error), error.sqlstate) from error
        except BaseException:
            await session.close()
            raise

    async def reset(self) -> None:
        """See `cdc.tailer.Source`."""
        if not self._target.manage:
            raise SetupError(
                f"{self._target.alias}: the replication slot must be dropped by hand (`manage: false`):\n"
                f"      SELECT pg_drop_replication_slot({literal(self._target.slot)});"
            )
        session = await setup.open_session(self._target)
        try:
            await slot.drop(session, self._target)
        except psycopg.Error as error:
            raise unavailable(self._target.conn, error) from error
        finally:
            await session.close()

    async def _follow(self, session: Connection, after: Position | None) -> Following:
        outcome = await setup.mend(session, self._target)
        self._require(outcome, after)
        patience_ms = 1000 * min(outcome.facts.server.sender_timeout or SENDER_PATIENCE_S, SENDER_PATIENCE_S)
        replication = await connect(
            self._target.conn,
            replication=True,
            statement_timeout="0",
            wal_sender_timeout=f"{patience_ms:.0f}",
        )
        try:
            stream = await self._start(session, replication, outcome.facts, after)
        except BaseException:
            await replication.close()
            raise
        watch = Watch(self._target, session, stream, self._metrics, outcome.facts.tables)
        joined = outcome.joined if after is not None else frozenset()
        return Following(stream, asyncio.create_task(watch.run(self._watch_every, joined)), session)

    def _require(self, outcome: setup.Outcome, after: Position | None) -> None:
        """Raise SetupError for all that is left to an operator; a slot that a position depends on is another matter.

        A table that is not there does not keep the others from being followed: the watch tells of it and waits for it.
        """
        left = list(outcome.unmet)
        missing = {
            f"table {table.schema}.{table.name}" for table in outcome.facts.tables if table.relid is None
        }
        if len(missing) < len(outcome.facts.tables) and all(each.name in missing for each in left):
            left = []
        slot_needed = slot_requirement(self._target, outcome.facts)
        in_doubt = after is None or (outcome.facts.slot is not None and outcome.facts.slot.invalid is None)
        if in_doubt and not slot_needed.ok and not slot_needed.automatic:
            left.append(slot_needed)
        if left:
            raise setup.unmet(self._target, left)

    async def _start(
        self, session: Connection, replication: Connection, facts: Facts, after: Position | None
    ) -> PostgresStream:
        """Find or make the slot and put the replication connection into streaming."""
        target, server = self._target, facts.server
        identity = await (await replication.execute("IDENTIFY_SYSTEM")).fetchone()
        assert identity is not None
        epoch = str(identity[0])
        start = slot.start_at(target, server, epoch, facts.slot, after)
        if start is None:
            start = await slot.create(replication, session, target, facts.slot)
        self._started_at = start
        position = after or Position(epoch, start)
        assembler = Assembler(
            project=target.project,
            alias=target.alias,
            database=server.database,
            position=position,
            version=VERSION,
            collections=target.tables,
            now_ms=now_ms,
        )
        await replication.execute(_start_command(target, start))
        return PostgresStream(
            replication,
            assembler,
            self._learner(session),
            self._explain,
            position,
            begin=after is None,
            server_timeout=server.sender_timeout,
        )

    def _learner(self, session: Connection) -> Learner:
        async def learn(need: NeedRelation) -> RelationInfo:
            collection = self._target.tables.get((need.schema, need.table))
            if collection is None:
                return RelationInfo(None)
            try:
                table = await catalog.table_by_id(session, need.relid, self._target.publication)
                types = await catalog.types_of(session, need.type_oids)
            except psycopg.Error as error:
                raise unavailable(self._target.conn, error) from error
            if table is None:  # dropped since
                return RelationInfo(collection, types=types)
            return RelationInfo(collection, table.key, table.partitioned, types)

        return learn

    def _explain(self, message: str, sqlstate: str | None) -> LivetailError:
        """The server's error while streaming as what the pipeline acts on."""
        if sqlstate != _UNDEFINED_OBJECT:
            return SourceUnavailable(f"{self._where}: {message}")
        if self._undecodable_at == self._started_at:
            return PositionLost(
                f"{self._target.alias} ({self._where}): {message}. Changes that were made while the publication was "
                "missing cannot be decoded; to begin anew, start the tailer once with --reset-position"
            )
        self._undecodable_at = self._started_at
        return SourceUnavailable(f"{self._where}: {message}")


class Following:
    """The `cdc.tailer.Stream` of a Postgres: the replication stream, the watch beside it and the watch's session."""

    def __init__(self, stream: PostgresStream, watch: asyncio.Task[None], session: Connection) -> None:
        self._stream = stream
        self._watch = watch
        self._session = session
        self.confirm = stream.confirm

    async def take(self) -> Batch:
        """See `cdc.tailer.Stream`."""
        return await self._stream.take()

    async def close(self) -> None:
        """See `cdc.tailer.Stream`."""
        self._watch.cancel()
        await self._stream.close()
        await asyncio.wait([self._watch], timeout=1)
        await self._session.close()


def _start_command(target: Target, start: int) -> bytes:
    """START_REPLICATION with the options that every supported version has. A transaction then comes when it is
    committed, whole: the server spills what it must."""
    options = f"proto_version '1', publication_names {literal(identifier(target.publication))}"
    return f"START_REPLICATION SLOT {identifier(target.slot)} LOGICAL {slot.lsn(start)} ({options})".encode()
