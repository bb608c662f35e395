"""The tailer's metrics (`cdc_*`). Labels are the alias, the collection, the op and fixed reasons: all bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cdc.event import Op, Record
from cdc.tally import tally

_OPS: Final = {0: "tombstone", **{ord(op): op.value for op in Op}}
_BATCH: Final = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000)
_APPEND: Final = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class Metrics:
    """All families, in the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        db = ("db",)

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(name, what, db, registry=registry)

        self.events = Counter(
            "cdc_events_total",
            "Change events appended to the log",
            ("db", "collection", "op"),
            registry=registry,
        )
        self.resets = Counter(
            "cdc_resets_total", "Collections begun anew", ("db", "collection"), registry=registry
        )
        self.retries = Counter(
            "cdc_retries_total", "Attempts after a failure", ("db", "reason"), registry=registry
        )
        self.lag = gauge("cdc_lag_seconds", "From the database's commit to the log, last batch")
        self.source_lag = gauge("cdc_source_lag_bytes", "What the database keeps in its log for us")
        self.position_time = gauge("cdc_position_timestamp_seconds", "Commit time of the log's position")
        self.connected = gauge("cdc_connected", "1 while the source streams")
        self.ready = gauge("cdc_ready", "1 while the source streams and keeps up, as /readyz has it")
        self.stopped = Gauge(
            "cdc_stopped",
            "1 once the source goes on only if an operator acts",
            ("db", "reason"),
            registry=registry,
        )
        self.batch_events = Histogram(
            "cdc_batch_events", "Events in one append", db, registry=registry, buckets=_BATCH
        )
        self.append_seconds = Histogram(
            "cdc_append_seconds", "Time of one append", db, registry=registry, buckets=_APPEND
        )

    def database(self, alias: str) -> DatabaseMetrics:
        """The metrics of one database."""
        return DatabaseMetrics(self, alias)


class DatabaseMetrics:
    """One database's children of the families, looked up once."""

    def __init__(self, metrics: Metrics, alias: str) -> None:
        self._alias = alias
        self._events = metrics.events
        self._resets = metrics.resets
        self._retries = metrics.retries
        self._stopped = metrics.stopped
        self._known: dict[tuple[str, int], Counter] = {}
        self.lag = metrics.lag.labels(alias)
        self.source_lag = metrics.source_lag.labels(alias)
        self.position_time = metrics.position_time.labels(alias)
        self.connected = metrics.connected.labels(alias)
        self.ready = metrics.ready.labels(alias)
        self.batch_events = metrics.batch_events.labels(alias)
        self.append_seconds = metrics.append_seconds.labels(alias)

    def appended(self, records: Sequence[Record]) -> None:
        """Count the records of a batch by collection and op."""
        if not records:
            return
        self.batch_events.observe(len(records))
        for kind, count in tally(records).items():
            child = self._known.get(kind)
            if child is None:
                collection, op = kind
                child = self._known[kind] = self._events.labels(self._alias, collection, _OPS[op])
            child.inc(count)

    def retried(self, reason: str) -> None:
        """Count a retry; `reason` is one of a fixed set."""
        self._retries.labels(self._alias, reason).inc()

    def stopped(self, reason: str) -> None:
        """It goes on only if an operator acts; `reason` is one of a fixed set."""
        self._stopped.labels(self._alias, reason).set(1)

    def reset(self, collection: str) -> None:
        """Count a collection that began anew."""
        self._resets.labels(self._alias, collection).inc()
