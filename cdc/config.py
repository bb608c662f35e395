"""The configuration as frozen dataclasses; `cdc.config_parse` makes them of the file. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdc.config_reader import Secret
from cdc.rule import Rule


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound that a client can meet; sizes in bytes.

    initial_rows, initial_bytes: of one initial result; hold_bytes: changes kept while one snapshot is read or sent;
    replay_bytes: log read to resume one connection; frame_bytes: of one `initial` frame; transaction_bytes: changes
    of one transaction to one live query in one frame; unsent_bytes: waiting for one slow reader; groups: rows of one
    aggregate; subscriptions_per_token: of all connections of one token; waiting_snapshots: initial results of one
    database that wait to be read, beyond which new clients are refused.
    """

    connections: int = 10_000
    subscriptions_per_connection: int = 100
    subscriptions_per_token: int = 1_000
    request_bytes: int = 1 << 20
    unsent_bytes: int = 1 << 20
    initial_rows: int = 10_000
    initial_bytes: int = 64 << 20
    frame_bytes: int = 64 << 10
    transaction_bytes: int = 1 << 20
    hold_bytes: int = 16 << 20
    replay_bytes: int = 64 << 20
    where_depth: int = 8
    where_conditions: int = 100
    in_items: int = 1_000
    pattern_characters: int = 1_000
    groups: int = 1_000
    waiting_snapshots: int = 1_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the embedded log keeps events: `age` in seconds and `size` in bytes, whichever is reached first."""

    age: float = 86_400.0
    size: int = 1 << 30


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Where Kafka is, for production, and how to talk to it.

    security_protocol, sasl_mechanism: in Kafka's words; the files are in PEM. replication: of new topics, None: 3, or
    as many as there are brokers; message_bytes: how large an event may be in new topics; timeout: of one append;
    takeover: how long a tailer may be silent until a standby takes over; both in seconds.
    """

    brokers: tuple[str, ...]
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: Secret | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    replication: int | None = None
    message_bytes: int = 10 << 20
    timeout: float = 30.0
    takeover: float = 6.0


@dataclass(frozen=True, slots=True)
class Realtime:
    """`modules.realtime`: `ready_lag`, `heartbeat` and `recheck` (of rules that ask others) in seconds; console: who
    may use it where it is not for everybody, None for nobody."""

    enabled: bool = True
    kafka: KafkaConfig | None = None
    retention: Retention = Retention()
    cors_origins: tuple[str, ...] = ()
    ready_lag: float = 30.0
    heartbeat: float = 15.0
    recheck: float = 60.0
    console: Rule | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Auth:
    """How tokens are checked. Of `key` (a secret, or a public key in PEM) and `jwks` (a URL) there is one.

    algorithm: the only one that is accepted, by its name in RFC 7518 and RFC 8037; issuer, audience: what `iss` and
    `aud` must be, None for anything; leeway: of clocks, in seconds; cookie: the name of the one that may carry the
    token; query_token: whether a URL may, too.
    """

    algorithm: str
    key: Secret | None = None
    jwks: str | None = None
    issuer: str | None = None
    audience: str | None = None
    leeway: float = 0.0
    cookie: str | None = None
    query_token: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection; `read` is the rule of who may read which of its rows. partitions, compact: of its Kafka topic;
    is_snapshotted: the log begins with all of its rows."""

    name: str
    is_realtime: bool = False
    read: Rule | None = None
    partitions: int = 1
    compact: bool = False
    is_snapshotted: bool = False


@dataclass(frozen=True, slots=True)
class Database:
    """One database; `default_read` is the rule of collections that have none of their own. begins_anew: where its log
    was lost, the event log begins anew by itself."""

    alias: str
    type: str
    conn: Secret
    is_primary: bool = False
    manage: bool = True
    slot: str | None = None
    publication: str | None = None
    collections: Mapping[str, Collection] = field(default_factory=dict)
    default_read: Rule | None = None
    begins_anew: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """One project. ignored: the paths of keys that belong to other modules and are not acted on."""

    id: str
    auth: Auth | None = None
    realtime: Realtime = Realtime()
    databases: Mapping[str, Database] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    def realtime_collections(self, alias: str) -> tuple[str, ...]:
        """The names of this database's live collections."""
        database = self.databases.get(alias)
        if database is None or not self.realtime.enabled:
            return ()
        return tuple(name for name, collection in database.collections.items() if collection.is_realtime)
