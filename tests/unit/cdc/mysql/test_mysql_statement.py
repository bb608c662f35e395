from __future__ import annotations

import pytest

from cdc.mysql.binlog import Query, Xid
from cdc.mysql.statement import Control, Statements, control, xid_of

ITEMS, OTHERS, ODD = ("app", "items"), ("app", "others"), ("app", "tâche`x")
OWN = {ITEMS: "items", OTHERS: "others", ODD: "odd"}
ALL = {"items", "others", "odd"}


def statements(*, cascades: bool = False) -> Statements:
    tables = {name: frozenset([collection]) for name, collection in OWN.items()}
    if cascades:
        tables["app", "roots"] = frozenset(["items"])
    return Statements(tables, OWN, cascades=cascades)


def touched(text: str | bytes, schema: str = "app", *, cascades: bool = False) -> dict[str, str]:
    query = Query(1, schema, text if isinstance(text, bytes) else text.encode())
    effect = statements(cascades=cascades).effect(query)
    if effect.truncated is not None:
        return {effect.truncated: "t"}
    return {reset.collection: reset.reason for reset in effect.resets}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ALTER TABLE items ADD x INT", "columns_changed"),
        ("alter table `items` drop x", "columns_changed"),
        ('ALTER TABLE "items" DROP x', "columns_changed"),
        ("ALTER TABLE app.items DROP x", "columns_changed"),
        ("ALTER TABLE `app` . `items` DROP x", "columns_changed"),
        ("ALTER TABLE app./* x */items DROP x", "columns_changed"),
        ("/* hi */ ALTER /*!50000 ONLINE */ TABLE Items DROP x", "columns_changed"),
        ("# hi\nALTER TABLE items DROP x", "columns_changed"),
        ("SET STATEMENT max_statement_time=0 FOR ALTER TABLE items DROP x", "columns_changed"),
        ("ALTER TABLE x COMMENT '/*', RENAME TO items", "columns_changed"),
        ("DROP TABLE IF EXISTS x,items", "table_dropped"),
        ("DROP INDEX `PRIMARY` ON items", "table_dropped"),
        ("CREATE TABLE items (id INT)", "table_recreated"),
        ("CREATE OR REPLACE TABLE `items` SELECT 1", "table_recreated"),
        ("RENAME TABLE items TO items_old, items_new TO items", "table_recreated"),
        ("TRUNCATE TABLE items", "t"),
        ("TRUNCATE app.items", "t"),
        ("TRUNCATE`items`;", "t"),
        ("TRUNCATE TABLE items WAIT 5", "t"),
        ("TRUNCATE TABLE .items", "truncated"),
        ("ALTER TABLE .items ADD x INT", "columns_changed"),
        ("RENAME TABLE .x TO .items", "table_recreated"),
    ],
)
def test_what_touches_one_table(text: str, reason: str) -> None:
    assert touched(text) == {"items": reason}


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE items_2 ADD x INT",
        "ALTER TABLE other.items ADD x INT",
        "CREATE TABLE x LIKE items",
        "CREATE TABLE x SELECT * FROM items",
        "CREATE INDEX i ON items (x)",
        "CREATE DEFINER=`root`@`%` TRIGGER t BEFORE INSERT ON items FOR EACH ROW SET @a = 1",
        "CREATE OR REPLACE VIEW v AS SELECT * FROM items",
        "DROP VIEW v",
        "CREATE TEMPORARY TABLE items (id INT)",
        "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `items`",
        "GRANT SELECT ON items TO u",
        "ANALYZE TABLE items",
        "OPTIMIZE TABLE items",
        "CREATE DATABASE app",
        "ALTER DATABASE app CHARACTER SET utf8mb4",
        "DROP DATABASE apps",
        "TRUNCATE TABLE x",
        "FLUSH TABLES",
        "",
    ],
)
def test_what_touches_none(text: str) -> None:
    assert touched(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE IF NOT EXISTS app.items(id INT)",
        "create table /*!32312 if not exists */ .items (id INT)",
        "CREATE TABLE IF NOT EXISTS items (id INT REFERENCES others (id))",
    ],
)
def test_a_table_that_may_be_there_already_is_looked_at(text: str) -> None:
    for cascades in (False, True):
        effect = statements(cascades=cascades).effect(Query(1, "app", text.encode()))
        assert (effect.resets, effect.relearn) == ((), True)


def test_another_default_schema() -> None:
    assert touched("ALTER TABLE items DROP x", "elsewhere") == {}
    assert touched("ALTER TABLE app.items DROP x", "elsewhere") == {"items": "columns_changed"}


@pytest.mark.parametrize(
    "text", ["INSERT INTO x VALUES (1)", "CALL p()", "LOAD DATA INFILE 'x' INTO TABLE y"]
)
def test_dml_touches_all(text: str) -> None:
    assert touched(text) == dict.fromkeys(ALL, "statement_logged")


def test_a_dropped_database() -> None:
    assert touched("DROP DATABASE `app`", "") == dict.fromkeys(ALL, "database_dropped")


def test_names_that_are_not_ascii() -> None:
    assert touched("ALTER TABLE `tâche``x` DROP y") == {"odd": "columns_changed"}
    assert touched("ALTER TABLE `tâche``x` DROP y".encode("latin-1")) == {"odd": "columns_changed"}
    assert touched("ALTER TABLE tache DROP y") == {}


def test_parents_whose_changes_cascade() -> None:
    assert touched("RENAME TABLE roots TO r", cascades=True) == {"items": "table_recreated"}
    assert touched("ALTER TABLE x DROP FOREIGN KEY f", cascades=True) == dict.fromkeys(ALL, "columns_changed")
    assert touched("ALTER TABLE x DROP FOREIGN KEY f") == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"BEGIN", Control.BEGIN),
        (b"COMMIT", Control.COMMIT),
        (b"ROLLBACK", Control.ROLLBACK),
        (b"ROLLBACK TO `a`", Control.ROLLBACK_TO),
        (b"SAVEPOINT `a`", Control.NOTHING),
        (b"XA START X'78',X'',1", Control.XA_START),
        (b"XA END X'78',X'',1", Control.NOTHING),
        (b"XA COMMIT X'78',X'',1", Control.XA_COMMIT),
        (b"XA ROLLBACK X'78',X'',1", Control.XA_ROLLBACK),
        (b"DROP TABLE x", None),
        (b"", None),
    ],
)
def test_control(text: bytes, expected: Control | None) -> None:
    assert control(text) is expected


def test_names_of_xa_transactions() -> None:
    assert xid_of(b"XA COMMIT X'7879',X'7a',-1") == Xid(-1, b"xy", b"z")
    assert xid_of(b"XA COMMIT 'x'") is None
    assert xid_of(b"XA COMMIT X'7',X'',1") is None
