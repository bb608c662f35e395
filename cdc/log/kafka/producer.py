"""A transactional producer: one transaction after the other, one step after the other, each by its deadline.

After any failure it is done with: whether a transaction whose commit got lost is in the log, the log itself says, once
the next producer of the same id has begun (which ends or undoes what this one left behind).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from cdc.errors import LogError
from cdc.log.kafka.failure import RETRIED, Code, Lost, refused
from cdc.log.kafka.link import TRANSACTION, Link, Node, Partition, Passing, persist

TRANSACTION_SECONDS: Final = 15 * 60
"""After so long Kafka aborts a transaction: the most that brokers allow, unless they are told otherwise. Before that a
successor does."""

_ZSTD: Final = 4
_NO_BOUND: Final = (1 << 31) - 1
_COORDINATOR: Final = frozenset({Code.NO_COORDINATOR, Code.NOT_COORDINATOR})
_ALL: Final = -1

Payload = Sequence[tuple[bytes | None, bytes | None]]
"""Keys and values."""


class Producer:
    """seconds: how long one step may take, with all its attempts."""

    def __init__(self, link: Link, transactional_id: str, seconds: float) -> None:
        self._link = link
        self._id = transactional_id
        self._seconds = seconds
        self._producer = (-1, -1)
        self._sequences: dict[Partition, int] = {}
        self._touched: set[Partition] = set()
        self.in_transaction = False

    async def begin(self) -> None:
        """Become the only producer of this id; what an earlier one had not committed is undone. Raises LogError."""
        request = InitProducerIdRequest(self._id, TRANSACTION_SECONDS * 1000)

        async def attempt() -> None:
            answer = await self._coordinate(request)
            self._check(answer.error_code)
            self._producer = (answer.producer_id, answer.producer_epoch)

        await persist(attempt, self._seconds)

    async def join(self, partitions: set[Partition]) -> None:
        """Make these part of the transaction, which begins with the first ones. Raises LogError."""
        if not (new := partitions - self._touched):
            return
        topics: dict[str, list[int]] = {}
        for topic, partition in sorted(new):
            topics.setdefault(topic, []).append(partition)
        request = AddPartitionsToTxnRequest(self._id, *self._producer, list(topics.items()))

        async def attempt() -> None:
            answer = await self._coordinate(request)
            codes = {code: (topic, number) for topic, errors in answer.errors for number, code in errors}
            codes.pop(Code.NOT_ATTEMPTED, None)  # since there is another error
            for code, partition in codes.items():
                if code == Code.UNKNOWN_TOPIC:
                    self._link.forget_leader(*partition)
                    await self._link.leader(*partition)  # raises where it is really gone
                if code == Code.TOPIC_DENIED:
                    raise refused(f"topic {partition[0]}", code)
                self._check(code)

        self.in_transaction = True
        await persist(attempt, self._seconds)
        self._touched |= new

    async def produce(self, payloads: Mapping[Partition, Payload]) -> dict[Partition, tuple[int, int]]:
        """Append to partitions that joined. Returns for each the Kafka offset of its first record, and how many bytes
        the broker got. Raises TooLarge, LogError."""
        ts_ms = int(time.time() * 1000)  # by which Kafka's retention goes
        batches = {
            partition: self._batch(partition, payload, ts_ms) for partition, payload in payloads.items()
        }
        waiting = dict(batches)
        found: dict[Partition, tuple[int, int]] = {}

        async def attempt() -> None:
            by_leader: dict[Node, list[Partition]] = {}
            for partition in waiting:
                by_leader.setdefault(await self._link.leader(*partition), []).append(partition)
            sent = [self._send(node, partitions, batches) for node, partitions in by_leader.items()]
            passing: LogError | None = None
            for answer in [await sent[0]] if len(sent) == 1 else await asyncio.gather(*sent):
                for partition, code, offset in answer:
                    if code == Code.NONE:
                        found[partition] = (offset, len(batches[partition]))
                        del waiting[partition]
                    elif code in RETRIED:
                        self._link.forget_leader(*partition)
                        passing = Passing(f"topic {partition[0]}", code)
                    elif code in (Code.TOO_LARGE, Code.LIST_TOO_LARGE):
                        raise TooLarge(partition[0], len(batches[partition]))
                    else:
                        raise refused(f"topic {partition[0]}", code)
            if passing is not None:
                raise passing

        await persist(attempt, self._seconds)
        for partition, payload in payloads.items():
            self._sequences[partition] = (self._sequences.get(partition, 0) + len(payload)) & 0x7FFFFFFF
        return found

    def _batch(self, partition: Partition, payload: Payload, ts_ms: int) -> bytes:
        producer, epoch = self._producer
        sequence = self._sequences.get(partition, 0)
        builder = DefaultRecordBatchBuilder(2, _ZSTD, 1, producer, epoch, sequence, _NO_BOUND)
        append = builder.append
        for place, (key, value) in enumerate(payload):
            append(place, ts_ms, key, value, [])
        return bytes(builder.build())

    async def _send(
        self, node: Node, partitions: Sequence[Partition], batches: Mapping[Partition, bytes]
    ) -> list[tuple[Partition, int, int]]:
        topics: dict[str, list[tuple[int, bytes]]] = {}
        for partition in partitions:
            topics.setdefault(partition[0], []).append((partition[1], batches[partition]))
        request = ProduceRequest(self._id, _ALL, int(self._seconds * 1000), list(topics.items()))
        try:
            answer = await self._link.call(node, request, "produce")
        except Lost:
            for partition in partitions:
                self._link.forget_leader(*partition)
            raise
        return [((topic, part[0]), part[1], part[2]) for topic, parts in answer.topics for part in parts]

    async def commit(self) -> None:
        """Make the transaction's records durable and visible, all at once. Raises LogError, and then nobody knows."""
        await self._end(commit=True, seconds=self._seconds)

    async def abort(self, seconds: float) -> None:
        """Undo the transaction. Raises LogError."""
        await self._end(commit=False, seconds=seconds)

    async def _end(self, *, commit: bool, seconds: float) -> None:
        self.in_transaction = False
        self._touched.clear()
        request = EndTxnRequest(self._id, *self._producer, commit)

        async def attempt() -> None:
            self._check((await self._coordinate(request)).error_code)

        await persist(attempt, seconds)

    async def _coordinate(self, request: Any) -> Any:
        try:
            return await self._link.call(
                await self._link.coordinator(self._id, TRANSACTION), request, "produce"
            )
        except Lost:
            self._link.forget_coordinator(self._id, TRANSACTION)
            raise

    def _check(self, code: int) -> None:
        if code in _COORDINATOR:
            self._link.forget_coordinator(self._id, TRANSACTION)
        if code in RETRIED:
            raise Passing(f"transactional id {self._id}", code)
        if code:
            raise refused(f"transactional id {self._id}", code)


class TooLarge(LogError):
    """A record is larger than Kafka takes."""

    def __init__(self, topic: str, size: int) -> None:
        super().__init__(f"Kafka: topic {topic} does not take a record batch of {size} bytes")
        self.topic = topic
        self.size = size
