"""What the broadcaster tells Prometheus. Labels are bounded: never an id, a token or a where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """All `broadcaster_*` metrics, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ready = Gauge("broadcaster_ready", "1 where /readyz says so", registry=registry)
        self.connections = Gauge("broadcaster_connections", "Open streams", registry=registry)
        self.subscriptions = Gauge(
            "broadcaster_subscriptions",
            "Active subscriptions, by whether the index finds them",
            ["indexed"],
            registry=registry,
        )
        self.live_queries = Gauge(
            "broadcaster_live_queries", "Distinct live queries with a subscriber", registry=registry
        )
        self.events = Counter("broadcaster_events", "Change events read from the log", registry=registry)
        self.candidates = Counter(
            "broadcaster_candidates", "Live queries asked about an event", registry=registry
        )
        self.match_seconds = Histogram(
            "broadcaster_match_seconds",
            "Time to decode, match and queue one chunk of the log",
            buckets=(0.0001, 0.0002, *_FAST),
            registry=registry,
        )
        self._frames = _Frames()
        registry.register(self._frames)
        self.delivery_seconds = Histogram(
            "broadcaster_delivery_seconds",
            "Database commit to socket, one observation a transaction",
            buckets=_FAST,
            registry=registry,
        )
        self.outbox_bytes = Gauge(
            "broadcaster_outbox_bytes", "Bytes waiting for slow readers, all connections", registry=registry
        )
        self.evictions = Counter(
            "broadcaster_evictions", "Connections closed by the server", ["reason"], registry=registry
        )
        self.deferred = Counter(
            "broadcaster_deferred",
            "Transactions, by live query, that waited for a reader that was behind",
            registry=registry,
        )
        self.resumes = Counter(
            "broadcaster_resumes", "Subscriptions that came with a cursor", ["outcome"], registry=registry
        )
        self.resets = Counter(
            "broadcaster_resets", "Live subscriptions that started over", ["reason"], registry=registry
        )
        self.refills = Counter(
            "broadcaster_refills",
            "Subscribers whose window or aggregate was read again, since too little was known",
            registry=registry,
        )
        self.snapshot_seconds = Histogram(
            "broadcaster_snapshot_seconds",
            "Snapshot read and join with the stream",
            buckets=_FAST,
            registry=registry,
        )
        self.snapshots_shared = Counter(
            "broadcaster_snapshots_shared",
            "Initial results that were taken from the snapshot of an equal live query",
            registry=registry,
        )
        self.rejections = Counter(
            "broadcaster_rejections", "Requests and subscriptions refused", ["code"], registry=registry
        )

    def dispatched(self, candidates: int, events: int, seconds: float) -> None:
        """One chunk of the log was dispatched."""
        self.candidates.inc(candidates)
        self.events.inc(events)
        self.match_seconds.observe(seconds)

    def frames(self, frames: Sequence[tuple[bytes, bytes]], connections: int = 1) -> None:
        """These events were queued for so many connections."""
        counts = self._frames.counts
        for event, _ in frames:
            counts[event] = counts.get(event, 0) + connections


class _Frames(Collector):
    """Plain numbers, read when scraped: a locked counter costs more than a frame."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("broadcaster_frames", "Events sent", labels=["event"])
        for event, count in sorted(self.counts.items()):
            family.add_metric([event.decode()], count)
        yield family
