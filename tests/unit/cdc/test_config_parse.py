from __future__ import annotations

import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cdc.config import Auth, Collection, KafkaConfig, Limits, Realtime, Retention
from cdc.config_parse import KEYS, camel, load, parse
from cdc.config_reader import Secret
from cdc.errors import ConfigError
from cdc.rule import Allow, Deny

PASSWORD = "hunter2"
CONN = f"postgresql://app:{PASSWORD}@localhost:5432/app"


def document(**changes):
    """A configuration with one database `sql-postgres` and one live collection; `changes` to its top."""
    return {
        "id": "todo-app",
        "modules": {
            "crud": {
                "sql-postgres": {
                    "conn": CONN,
                    "collections": {
                        "todos": {"isRealtimeEnabled": True, "rules": {"read": {"rule": "allow"}}}
                    },
                }
            }
        },
    } | changes


def with_realtime(**realtime):
    given = document()
    given["modules"]["realtime"] = realtime
    return given


def with_database(alias="sql-postgres", **database):
    given = document()
    given["modules"]["crud"] = {alias: {"conn": CONN} | database}
    return given


def with_collection(**collection):
    return with_database(collections={"todos": collection})


def read(given, **environ):
    return parse(
        given if isinstance(given, str) else yaml.safe_dump(given, sort_keys=False), environ, "f.yaml"
    )


def refusal(given, **environ):
    """The message without `f.yaml:line: `."""
    with pytest.raises(ConfigError) as caught:
        read(given, **environ)
    message = str(caught.value)
    assert "\n" not in message
    assert PASSWORD not in message
    place, _, rest = message.partition(": ")
    assert place.startswith("f.yaml")
    return rest


def test_the_least():
    config = read(document())
    assert (config.id, config.auth, config.realtime, config.ignored) == ("todo-app", None, Realtime(), ())
    database = config.databases["sql-postgres"]
    assert database.alias == "sql-postgres"
    assert database.type == "postgres"
    assert database.conn == Secret(CONN)
    assert (database.is_primary, database.manage, database.slot, database.publication) == (
        False,
        True,
        None,
        None,
    )
    assert database.collections == {"todos": Collection("todos", True, Allow(), 1)}
    assert database.default_read is None
    assert config.realtime_collections("sql-postgres") == ("todos",)
    assert config.realtime_collections("other") == ()


def test_every_key():
    config = read(
        """
        id: shop_1
        secret: ${JWT}
        auth: {algorithm: HS384, issuer: me, audience: you, leeway: 5s, cookie: session, allowQueryToken: true}
        modules:
          realtime:
            enabled: true
            kafka:
              brokers: [kafka-1, "kafka-2:9093"]
              securityProtocol: SASL_SSL
              saslMechanism: SCRAM-SHA-512
              username: app
              password: ${KAFKA}
              caFile: ca.pem
              certFile: me.pem
              keyFile: me.key
              replication: 2
              messageBytes: 20MiB
              timeout: 5s
              takeover: 10s
            retention: {age: 2h, size: 64MiB}
            cors: {origins: ["https://app.example.com", "*"]}
            readyLag: 5s
            heartbeat: 500ms
            limits: {connections: 7, unsentBytes: 2MiB, whereDepth: 3}
          crud:
            main:
              type: postgres
              conn: ${DB}
              isPrimary: true
              manage: false
              slot: my_slot
              publication: my_publication
              onPositionLost: resnapshot
              collections:
                public.todos: {isRealtimeEnabled: true, partitions: 4, compact: true, snapshot: initial}
                hidden: {isRealtimeEnabled: false, rules: {read: {rule: deny}}}
                unsaid: {}
                default: {rules: {read: {rule: allow}}}
            sql-mysql: {conn: "mysql://localhost/x", collections: {todos: {}}}
            mongo: {conn: "mongodb+srv://localhost/x"}
        """,
        JWT="key",
        KAFKA="word",
        DB="host=localhost dbname=app",
    )
    assert config.auth == Auth(
        "HS384",
        Secret("key"),
        issuer="me",
        audience="you",
        leeway=5.0,
        cookie="session",
        query_token=True,
    )
    assert config.realtime == Realtime(
        enabled=True,
        kafka=KafkaConfig(
            ("kafka-1:9092", "kafka-2:9093"),
            "SASL_SSL",
            "SCRAM-SHA-512",
            "app",
            Secret("word"),
            "ca.pem",
            "me.pem",
            "me.key",
            replication=2,
            message_bytes=20 << 20,
            timeout=5.0,
            takeover=10.0,
        ),
        retention=Retention(7200.0, 64 << 20),
        cors_origins=("https://app.example.com", "*"),
        ready_lag=5.0,
        heartbeat=0.5,
        limits=Limits(connections=7, unsent_bytes=2 << 20, where_depth=3),
    )
    database = config.databases["main"]
    assert (database.type, database.conn) == ("postgres", Secret("host=localhost dbname=app"))
    assert (database.is_primary, database.manage) == (True, False)
    assert (database.slot, database.publication) == ("my_slot", "my_publication")
    assert list(database.collections) == ["public.todos", "hidden", "unsaid"]
    assert database.collections["public.todos"].partitions == 4
    assert (database.begins_anew, database.collections["public.todos"].is_snapshotted) == (True, True)
    assert database.collections["hidden"].read == Deny()
    assert database.default_read == Allow()
    assert config.realtime_collections("main") == ("public.todos",)
    assert {alias: database.type for alias, database in config.databases.items()} == {
        "main": "postgres",
        "sql-mysql": "mysql",
        "mongo": "mongo",
    }


def test_nothing_is_live_where_realtime_is_off():
    assert read(with_realtime(enabled=False)).realtime_collections("sql-postgres") == ()


def test_what_belongs_to_other_modules_is_named_and_not_acted_on():
    given = with_collection(rules={"create": {"rule": "x"}, "delete": None, "read": {"rule": "deny"}})
    given["modules"] |= {"auth": {"any": ["thing"]}, "faas": None, "fileStore": "x"}
    assert read(given).ignored == (
        "modules.auth",
        "modules.faas",
        "modules.fileStore",
        "modules.crud.sql-postgres.collections.todos.rules.create",
        "modules.crud.sql-postgres.collections.todos.rules.delete",
    )


# -- whatever is missing or unknown --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"modules": {"crud": {}}}, "the file: `id` is missing: the project's name, as it stands in the API's paths"),
        ({"id": "x"}, "the file: `modules.crud` is missing: the databases, by alias"),
        ({"id": "x", "modules": {"realtime": {}}}, "the file: `modules.crud` is missing: the databases, by alias"),
        ({"id": "x", "modules": None}, "modules: must be a mapping of keys, not nothing"),
        ({"id": "x", "modules": {"crud": []}}, "modules.crud: must be a mapping of keys, not a list"),
        (document(id="a b"), "id: must be letters, digits, `-` and `_`, 63 at the most"),
        (document(id="../x"), "id: must be letters, digits, `-` and `_`, 63 at the most"),
        (document(id="x" * 64), "id: must be letters, digits, `-` and `_`, 63 at the most"),
        (document(secret=[PASSWORD]), "secret: must be a value, not a list"),
        (document(scret=PASSWORD), "scret: unknown key; did you mean `secret`?"),
        (with_realtime(kafca="x"), "modules.realtime.kafca: unknown key; did you mean `kafka`?"),
        (
            with_realtime(limits={"conections": 1}),
            "modules.realtime.limits.conections: unknown key; did you mean `connections`?",
        ),
        (
            with_realtime(limits={"unsent_bytes": 1}),
            "modules.realtime.limits.unsent_bytes: unknown key; did you mean `unsentBytes`?",
        ),
        (
            with_database(isprimary=True),
            "modules.crud.sql-postgres.isprimary: unknown key; did you mean `isPrimary`?",
        ),
        (
            with_collection(isRealtimeEnabld=True),
            "modules.crud.sql-postgres.collections.todos.isRealtimeEnabld: unknown key; "
            "did you mean `isRealtimeEnabled`?",
        ),
        (
            with_collection(rules={"raed": {}}),
            "modules.crud.sql-postgres.collections.todos.rules.raed: unknown key; did you mean `read`?",
        ),
        (
            {"id": "x", "modules": {"crud": {"db": {"type": "postgres"}}}},
            "modules.crud.db: `conn` is missing: the connection string, such as "
            "postgresql://user@localhost:5432/app",
        ),
        (
            with_database("my db"),
            "modules.crud.my db: an alias must be letters, digits, `-` and `_`, 63 at the most",
        ),
        (with_database("a.b"), "modules.crud.a.b: an alias must be letters, digits, `-` and `_`, 63 at the most"),
    ],
)  # fmt: skip
def test_refused(given, message):
    assert refusal(given) == message


def test_every_mapping_knows_its_keys():
    """An unknown key is refused wherever a key may stand."""
    for where in [*KEYS, "modules.realtime.limits"]:
        path = [
            {"<alias>": "sql-postgres", "<name>": "todos"}.get(part, part)
            for part in where.split(".")
            if part
        ]
        given = document()
        node = given
        for part in path:
            node = node.setdefault(part, {})
        node["zzz"] = 1
        assert refusal(given).startswith(f"{'.'.join([*path, 'zzz'])}: unknown key; known here: ")


def test_lines_count_from_one():
    with pytest.raises(ConfigError, match=r"^f\.yaml:4: modules\.realtime\.heartbeat: must be a duration"):
        read("id: x\nmodules:\n  realtime:\n    heartbeat: 15\n  crud: {}\n")


def test_a_key_that_stands_twice():
    assert refusal("id: a\nmodules: {crud: {}}\nid: b\n") == "id: the key stands here twice"


# -- realtime --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("realtime", "path"),
    [
        ({"enabled": "yes please"}, "enabled"),
        ({"retention": {"age": "1 year"}}, "retention.age"),
        ({"retention": {"size": "1GB"}}, "retention.size"),
        ({"retention": "1h"}, "retention"),
        ({"readyLag": 30}, "readyLag"),
        ({"heartbeat": "0s"}, "heartbeat"),
        ({"limits": {"connections": 0}}, "limits.connections"),
        ({"limits": {"requestBytes": "1MB"}}, "limits.requestBytes"),
        ({"cors": {"origins": "https://a.example"}}, "cors.origins"),
        ({"cors": {"origins": ["https://a.example/"]}}, "cors.origins[0]"),
        ({"cors": {"origins": ["*", "a.example"]}}, "cors.origins[1]"),
        ({"cors": {"origins": ["http://["]}}, "cors.origins[0]"),
        ({"cors": {"origins": [f"https://app:{PASSWORD}@a.example"]}}, "cors.origins[0]"),
        ({"cors": {"origins": ["https://A.example"]}}, "cors.origins[0]"),
        ({"kafka": []}, "kafka"),
        ({"kafka": {}}, "kafka"),
        ({"kafka": {"sasl_password": PASSWORD}}, "kafka.sasl_password"),
        ({"kafka": {"brokers": "a", "username": "app"}}, "kafka"),
        ({"kafka": {"brokers": "a", "password": PASSWORD}}, "kafka"),
        ({"kafka": {"brokers": "a", "securityProtocol": "SASL_SSL"}}, "kafka"),
        ({"kafka": {"brokers": "a", "securityProtocol": "TLS"}}, "kafka.securityProtocol"),
        ({"kafka": {"brokers": "a", "securityProtocol": "PLAINTEXT", "caFile": "ca.pem"}}, "kafka"),
        ({"kafka": {"brokers": "a", "certFile": "me.pem"}}, "kafka"),
        ({"kafka": {"brokers": "a", "saslMechanism": "PLAIN"}}, "kafka.saslMechanism"),
        (
            {"kafka": {"brokers": "a", "username": "app", "password": PASSWORD, "saslMechanism": "GSSAPI"}},
            "kafka.saslMechanism",
        ),
        ({"kafka": {"brokers": "a", "replication": 0}}, "kafka.replication"),
        ({"kafka": None}, "kafka"),
        ({"kafka": "host:port"}, "kafka"),
        ({"kafka": "host:0"}, "kafka"),
        ({"kafka": "host:65536"}, "kafka"),
        ({"kafka": ":9092"}, "kafka"),
        ({"kafka": "a:1,b:2"}, "kafka"),
        ({"kafka": f"app:{PASSWORD}@host:9092"}, "kafka"),
        ({"kafka": f"SASL_SSL://{PASSWORD}@host:9092"}, "kafka"),
        ({"kafka": ["a", "b c"]}, "kafka[1]"),
        ({"kafka": {"brokers": ["a", {}]}}, "kafka.brokers[1]"),
        ({"kafka": {"brokers": "a", "sasl": {"password": PASSWORD}}}, "kafka.sasl"),
    ],
)
def test_realtime_refused(realtime, path):
    assert refusal(with_realtime(**realtime)).startswith(f"modules.realtime.{path}: ")


def test_each_limit_by_its_name_in_the_file():
    for limit in dataclasses.fields(Limits):
        text = "3KiB" if limit.name.endswith("_bytes") else "3"
        limits = read(with_realtime(limits={camel(limit.name): text})).realtime.limits
        wanted = 3 << 10 if limit.name.endswith("_bytes") else 3
        assert limits == dataclasses.replace(Limits(), **{limit.name: wanted})


def test_origins():
    origins = ["http://localhost:8080", "https://[::1]:1", "https://a.b-c.example", "*"]
    assert read(with_realtime(cors={"origins": origins})).realtime.cors_origins == tuple(origins)
    assert read(with_realtime(cors={})).realtime.cors_origins == ()


@pytest.mark.parametrize(
    ("kafka", "brokers"),
    [
        ("localhost", ("localhost:9092",)),
        ("kafka.example:19092", ("kafka.example:19092",)),
        ("[::1]", ("[::1]:9092",)),
        (["a", "b:1"], ("a:9092", "b:1")),
        ({"brokers": "a"}, ("a:9092",)),
        ({"brokers": ["a", "b:1"]}, ("a:9092", "b:1")),
    ],
)
def test_kafka(kafka, brokers):
    assert read(with_realtime(kafka=kafka)).realtime.kafka == KafkaConfig(brokers)


@pytest.mark.parametrize(
    ("options", "protocol", "mechanism"),
    [
        ({}, "PLAINTEXT", None),
        ({"caFile": "ca.pem"}, "SSL", None),
        ({"username": "app", "password": PASSWORD}, "SASL_SSL", "PLAIN"),
        ({"username": "app", "password": PASSWORD, "caFile": "ca.pem"}, "SASL_SSL", "PLAIN"),
    ],
)
def test_what_kafka_is_spoken_to_with_unless_it_is_said(options, protocol, mechanism):
    kafka = read(with_realtime(kafka={"brokers": "a", **options})).realtime.kafka
    assert (kafka.security_protocol, kafka.sasl_mechanism) == (protocol, mechanism)


# -- databases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "database", "kind"),
    [
        ("mongo", {"conn": "x"}, "mongo"),
        ("sql-postgres", {"conn": "host=localhost dbname=app"}, "postgres"),
        ("sql-mysql", {"conn": "x"}, "mysql"),
        ("main", {"conn": "postgres://h/d"}, "postgres"),
        ("main", {"conn": "postgresql://h/d"}, "postgres"),
        ("main", {"conn": "mongodb://h/d"}, "mongo"),
        ("main", {"conn": "mongodb+srv://h/d"}, "mongo"),
        ("main", {"conn": "mysql://h/d"}, "mysql"),
        ("main", {"conn": "mariadb://h/d"}, "mysql"),
        ("main", {"conn": "host=localhost", "type": "postgres"}, "postgres"),
        ("sql-postgres", {"conn": "postgres://h/d", "type": "postgres"}, "postgres"),
    ],
)
def test_type(alias, database, kind):
    assert read(with_database(alias, **database)).databases[alias].type == kind


@pytest.mark.parametrize(
    ("alias", "database", "message"),
    [
        (
            "main",
            {"conn": f"host=localhost password={PASSWORD}"},
            "conn: cannot tell which database this is: add `type: postgres` (or mongo, mysql)",
        ),
        (
            "main",
            {"conn": f"redis://:{PASSWORD}@localhost"},
            "conn: cannot tell which database this is: add `type: postgres` (or mongo, mysql)",
        ),
        (
            "mongo",
            {},
            "conn: the alias mongo says MongoDB; the scheme postgresql:// of `conn` says Postgres: "
            "they contradict",
        ),
        (
            "main",
            {"type": "mysql"},
            "conn: `type` says MySQL; the scheme postgresql:// of `conn` says Postgres: they contradict",
        ),
        (
            "sql-mysql",
            {"type": "postgres", "conn": "x"},
            "conn: `type` says Postgres; the alias sql-mysql says MySQL: they contradict",
        ),
        (
            "main",
            {"type": "postgre"},
            "type: must be one of mongo, postgres, mysql, not 'postgre'; did you mean `postgres`?",
        ),
        ("main", {"conn": ""}, "conn: must not be empty"),
        ("main", {"conn": None}, "conn: must be a value, not nothing"),
        ("main", {"conn": {"password": PASSWORD}}, "conn: must be a value, not a mapping"),
        ("main", {"slot": "My-Slot"}, "slot: must be lower-case letters, digits and `_`, 63 at the most"),
        ("main", {"publication": "x" * 64}, "publication: must be lower-case letters, digits and `_`, 63 at the most"),
        ("main", {"manage": "no"}, "manage: must be true or false, not 'no'"),
        ("main", {"collections": ["todos"]}, "collections: must be a mapping of keys, not a list"),
    ],
)  # fmt: skip
def test_database_refused(alias, database, message):
    assert refusal(with_database(alias, **database)) == f"modules.crud.{alias}.{message}"


@pytest.mark.parametrize(
    "conn",
    [
        f"postgresql://app:x@{PASSWORD}@localhost/app",
        f"postgresql://app:x/{PASSWORD}@localhost/app",
        f"postgresql://app:x?@{PASSWORD}@localhost/app",
        f"postgresql://app/{PASSWORD}@localhost",
        f"mongodb://app:x@{PASSWORD}@localhost/app",
    ],
)
def test_a_password_that_would_be_taken_for_a_host(conn):
    """Else its rest would stand in the driver's `could not translate host name`."""
    assert refusal(with_database("main", conn=conn)).endswith(
        "conn: in a user name, password or database name write @ as %40, / as %2F"
    )
    with pytest.raises(ConfigError) as caught:
        read(with_database("main", conn="${URL}"), URL=conn)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "conn",
    [
        "postgresql://app:p%40%2F@h1:1,h2:2/app?options=a@b",
        "postgresql://localhost/app?user=a@b",
        "postgresql://localhost?user=a@b",
        "postgresql:///app",
        "postgresql://app:a:b?c#d@localhost",
        "host=localhost password=a@b/c@d user=e",
    ],
)
def test_a_conn_that_is_fine(conn):
    assert read(with_database(conn=conn)).databases["sql-postgres"].conn == Secret(conn)


def test_one_primary():
    given = document()
    given["modules"]["crud"] = {name: {"conn": CONN, "isPrimary": True} for name in ("a", "b")}
    assert refusal(given) == "modules.crud: only one database can be primary, not a and b"


# -- collections and rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.b.c", ".a", "a.", "."])
def test_collection_names(name):
    assert refusal(with_database(collections={name: {}})).endswith(
        "a collection is `name`, or `schema.name`, on MySQL `database.name`"
    )


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_mysql_and_mariadb_are_one_type(scheme):
    given = with_database(
        "sql-mysql", conn=f"{scheme}://app@db/app", collections={"app.todos": {"isRealtimeEnabled": True}}
    )
    config = read(given)
    assert config.databases["sql-mysql"].type == "mysql"
    assert config.realtime_collections("sql-mysql") == ("app.todos",)


def test_default_only_holds_rules():
    given = with_database(collections={"default": {"isRealtimeEnabled": True}})
    assert "`default` holds the rules of the others" in refusal(given)


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        ({"isRealtimeEnabled": 1}, "isRealtimeEnabled: must be true or false, not '1'"),
        ({"isRealtimeEnabled": CONN}, "isRealtimeEnabled: must be true or false, not this"),
        ({"partitions": 0}, "partitions: must be a whole number, 1 or more, not '0'"),
        ({"rules": None}, "rules: must be a mapping of keys, not nothing"),
        ({"rules": {"read": "allow"}}, "rules.read: must be a mapping of keys, not a value"),
        (
            {"rules": {"read": {}}},
            "rules.read: `rule` is missing, as in {rule: allow}, {rule: deny} or {rule: authenticated}",
        ),
        (
            {"rules": {"read": {"rule": "alow"}}},
            "rules.read.rule: must be one of allow, deny, authenticated, match, and, or, remove, force, query, "
            "webhook, not 'alow'; did you mean `allow`?",
        ),
        (
            {"rules": {"read": {"rule": "allow", "eval": "=="}}},
            "rules.read.eval: unknown key; known here: rule",
        ),
    ],
)
def test_collection_refused(collection, message):
    path = "modules.crud.sql-postgres.collections.todos"
    assert refusal(with_collection(**collection)) == f"{path}.{message}"


# -- secrets ---------------------------------------------------------------------------------------------------


def test_no_secret_in_any_repr():
    given = with_realtime(kafka={"brokers": "a", "username": "app", "password": PASSWORD}) | {
        "secret": PASSWORD
    }
    config = read(given)
    for text in (repr(config), str(config), repr(dataclasses.asdict(config))):
        assert PASSWORD not in text
    assert PASSWORD in config.databases["sql-postgres"].conn.reveal()


# -- the file ----------------------------------------------------------------------------------------------------


def test_load(tmp_path):
    file = tmp_path / "app.yaml"
    file.write_text(yaml.safe_dump(document(secret="${KEY}")), encoding="utf-8-sig")
    assert load(file, {"KEY": "k"}).auth == Auth("HS256", Secret("k"))
    with pytest.raises(ConfigError, match=rf"^{file}:\d+: secret: the environment variable KEY is not set$"):
        load(file, {})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read: No such file or directory"):
        load(tmp_path / "missing.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"id: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml: is not UTF-8: .* at byte 7"):
        load(file, {})


# -- whatever else -------------------------------------------------------------------------------------------------

_WORDS = sorted(
    {key for keys in KEYS.values() for key in keys} | {"rule", "limits", "default", "sql-postgres"}
)
_SCALARS = (
    st.sampled_from([None, True, 0, 1, -1, 1.5, "", "allow", "1h", "1MiB", "host:1", "*", "$", "${X}", CONN])
    | st.text(max_size=8)
    | st.integers()
    | st.floats()
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=12,
)


def _said(text):
    """All that a user may get to see of a configuration: its repr, or the error's message. A variable may stand where
    a name does, which is no secret then."""
    try:
        return repr(parse(text, {"X": "x"}, "f.yaml"))
    except ConfigError as error:
        message = str(error)
    assert message.startswith("f.yaml")
    assert "\n" not in message
    return message


@given(_TREES)
def test_any_tree_is_a_configuration_or_a_config_error(tree):
    assert PASSWORD not in _said(yaml.safe_dump(tree))


@given(st.data())
def test_a_configuration_with_any_subtree_replaced(data):
    given = with_realtime(
        kafka={"brokers": ["a"]}, retention={"age": "1h"}, cors={"origins": ["*"]}, limits={"connections": 1}
    )
    node = given
    while True:
        key = data.draw(st.sampled_from(sorted(node)))
        if not isinstance(node[key], dict) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(_TREES)
    assert PASSWORD not in _said(yaml.safe_dump(given))


@given(st.text(max_size=40), st.integers(0, 400))
def test_a_configuration_with_any_text_put_in(text, place):
    whole = yaml.safe_dump(document())
    _said(whole[:place] + text + whole[place:])


@pytest.mark.parametrize("key", ["slot", "publication"])
def test_what_only_postgres_has(key):
    text = f"id: x\nmodules: {{crud: {{mongo: {{conn: 'mongodb://h/d', {key}: a}}}}}}"
    with pytest.raises(ConfigError, match=f"{key}: MongoDB has no {key}"):
        parse(text, {})
