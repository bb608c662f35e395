"""A first configuration, and what of a connection string goes into it."""

from __future__ import annotations

import pytest

from cdc.config_parse import can_be_named, parse, type_of
from cdc.errors import ConfigError
from cdc.outline import Entry, Masked, Outline, mask, project_name, render


@pytest.mark.parametrize(
    ("kind", "conn", "shown", "variables"),
    [
        ("postgres", "postgresql://localhost/app", "postgresql://localhost/app", {}),
        ("postgres", "postgresql://u@h/a?x=$y", "postgresql://u@h/a?x=$$y", {}),
        ("postgres", "postgresql://u:pw@h:5/a", "postgresql://u:${PGPASSWORD}@h:5/a", {"PGPASSWORD": "pw"}),
        ("postgres", "postgresql://u:${MINE}@h/a", "postgresql://u:${MINE}@h/a", {}),
        ("postgres", "postgresql://u:a@b@h/a", "postgresql://u:${PGPASSWORD}@h/a", {"PGPASSWORD": "a@b"}),
        (
            "postgres",
            "postgresql://u@h/a?sslpassword=pw&sslmode=require",
            "postgresql://u@h/a?sslpassword=${LIVETAIL_SSLPASSWORD}&sslmode=require",
            {"LIVETAIL_SSLPASSWORD": "pw"},
        ),
        (
            "postgres",
            r"host=h password='it\'s' dbname=a",
            "host=h password='${PGPASSWORD}' dbname=a",
            {"PGPASSWORD": "it's"},
        ),
        (
            "mongo",
            "mongodb://u:pw@one,two/a?replicaSet=rs0&tlsCertificateKeyFilePassword=x",
            "mongodb://u:${MONGOPASSWORD}@one,two/a?replicaSet=rs0"
            "&tlsCertificateKeyFilePassword=${LIVETAIL_TLSCERTIFICATEKEYFILEPASSWORD}",
            {"MONGOPASSWORD": "pw", "LIVETAIL_TLSCERTIFICATEKEYFILEPASSWORD": "x"},
        ),
        ("mysql", "mysql://u:pw@h/a", "mysql://u:${MYSQL_PASSWORD}@h/a", {"MYSQL_PASSWORD": "pw"}),
    ],
)
def test_secrets_become_variables(kind: str, conn: str, shown: str, variables: dict[str, str]) -> None:
    assert mask(conn, kind) == Masked(shown, variables)


@pytest.mark.parametrize("conn", ["mysql://u:p/w@h/a", "mysql://u:p?w@h/a"])
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(conn: str) -> None:
    with pytest.raises(ConfigError, match="percent-encoded") as refused:
        mask(conn, "mysql")
    assert "p/w" not in str(refused.value)


NAMES = ["todos", "other.things", "two words ", "yes", "12", "é", "$x", "-"]


@pytest.mark.parametrize("kind", ["mongo", "postgres", "mysql"])
def test_what_is_written_is_read_as_meant(kind: str) -> None:
    conn = {"mongo": "mongodb://u:p@h/a", "postgres": "host=h password=p", "mysql": "mysql://u:p@h/a"}[kind]
    masked = mask(conn, kind)
    entries = [
        Entry(name, live=number % 2 == 0, needs=("SELECT: a: b",)) for number, name in enumerate(NAMES)
    ]
    entries.insert(1, Entry("logs", live=False, problems=("primary key: has none", "ALTER TABLE logs …;")))
    text = render(Outline("my-app", kind, "somewhere", masked, entries))
    config = parse(text, masked.variables)
    [(alias, database)] = config.databases.items()
    assert (config.id, database.type) == ("my-app", kind)
    assert list(database.collections) == NAMES
    assert config.realtime_collections(alias) == tuple(NAMES[::2])
    assert "        #   primary key: has none\n        #   ALTER TABLE logs …;\n" in text


def test_nothing_that_can_be_live_is_a_configuration_too() -> None:
    for entries in ([], [Entry("logs", live=False, problems=("has no key",))]):
        text = render(Outline("a", "mysql", "x", mask("mysql://u@h/a", "mysql"), entries))
        assert not parse(text, {}).databases["sql-mysql"].collections


def test_names() -> None:
    assert [project_name(name) for name in ("app", "my app!", "", "__")] == ["app", "my-app", "app", "app"]
    able = [name for name in ("a", "a.b", "a.b.c", "a.", "default", "<<", "a: b", "") if can_be_named(name)]
    assert able == ["a", "a.b"]
    types = [
        type_of(conn)
        for conn in ("postgres://x", "MARIADB://x", "mongodb+srv://x", "host=x", "oracle://x", "x")
    ]
    assert types == ["postgres", "mysql", "mongo", "postgres", None, None]
