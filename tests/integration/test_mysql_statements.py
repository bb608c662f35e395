"""What statements do to the stream, on real servers: DDL, statement format, foreign keys, savepoints, compression."""

from __future__ import annotations

import pytest

from integration.conformance import doc, settled, started
from integration.mysql_driver import MysqlDriver
from servers.mysql import MysqlDatabase
from support.tail import Event, new_tail

ROW = "INSERT INTO items VALUES (1, 'a', 0)"


@pytest.fixture
def driver(each_mysql_db: MysqlDatabase) -> MysqlDriver:
    return MysqlDriver(each_mysql_db)


@pytest.fixture
def mysql(mysql_db: MysqlDatabase) -> MysqlDriver:
    return MysqlDriver(mysql_db)


@pytest.fixture
def mariadb(mariadb_db: MysqlDatabase) -> MysqlDriver:
    return MysqlDriver(mariadb_db)


async def told(driver: MysqlDriver, *statements: str) -> tuple[list[Event], list[tuple[str, str]]]:
    """What the stream says of these statements: events, and (collection, reason) of resets."""
    tail = new_tail()
    async with tail.running(driver.source):
        await started(driver, tail)
        await driver.run(*statements)
        events = await settled(driver, tail)
    return events, [(reset.collection, reset.reason) for reset in tail.resets]


async def test_columns_change_between_rows(driver: MysqlDriver) -> None:
    events, resets = await told(
        driver,
        ROW,
        "ALTER TABLE items ADD COLUMN extra INT DEFAULT 7 FIRST",
        "INSERT INTO items VALUES (8, 2, 'b', 0)",
        "ALTER TABLE items RENAME COLUMN name TO title",
        "UPDATE items SET title = 'c' WHERE id = 2",
        "ALTER TABLE items DROP COLUMN n",
        "DELETE FROM items WHERE id = 2",
    )
    assert [event.change for event in events] == [
        ("c", None, doc(1)),
        ("c", None, {"extra": 8, "id": 2, "name": "b", "n": 0}),
        ("u", {"extra": 8, "id": 2, "title": "b", "n": 0}, {"extra": 8, "id": 2, "title": "c", "n": 0}),
        ("d", {"extra": 8, "id": 2, "title": "c"}, None),
    ]
    assert resets == [("items", "columns_changed")] * 3


async def test_a_table_swapped_in_by_an_online_schema_change(driver: MysqlDriver) -> None:
    events, resets = await told(
        driver,
        ROW,
        "CREATE TABLE _items_gho (id INT PRIMARY KEY, name VARCHAR(300), n INT, m INT DEFAULT 5)",
        "INSERT INTO _items_gho (id, name, n) SELECT * FROM items",
        "RENAME /* gh-ost */ TABLE items TO _items_del, _items_gho TO items",
        "UPDATE items SET n = 1",
        "INSERT INTO _items_del VALUES (2, 'b', 0)",
        "DROP TABLE _items_del",
    )
    assert [event.change for event in events] == [
        ("c", None, doc(1)),
        ("u", {**doc(1), "m": 5}, {**doc(1, n=1), "m": 5}),
    ]
    assert resets == [("items", "table_recreated")]


async def test_a_table_dropped_and_made_again(driver: MysqlDriver) -> None:
    events, resets = await told(
        driver,
        ROW,
        "DROP TABLE items",
        "CREATE TABLE items (PRIMARY KEY (id)) SELECT 2 AS id, 3 AS n",
        "INSERT INTO items VALUES (3, 4)",
    )
    assert [event.after for event in events] == [doc(1), {"id": 2, "n": 3}, {"id": 3, "n": 4}]
    assert resets == [("items", "table_dropped"), ("items", "table_recreated")]


async def test_a_table_made_unless_it_is_there(driver: MysqlDriver) -> None:
    events, resets = await told(
        driver,
        ROW,
        "CREATE TABLE IF NOT EXISTS items (id INT PRIMARY KEY)",
        "UPDATE items SET n = 1",
        "DROP TABLE items",
        "CREATE TABLE IF NOT EXISTS items (PRIMARY KEY (id)) SELECT 2 AS id, 3 AS n",
        "INSERT INTO items VALUES (3, 4)",
    )
    assert [event.after for event in events] == [doc(1), doc(1, n=1), {"id": 2, "n": 3}, {"id": 3, "n": 4}]
    assert resets == [("items", "table_dropped")]


async def test_a_database_dropped_and_made_again(driver: MysqlDriver) -> None:
    name = driver.database.name
    events, resets = await told(
        driver,
        f"DROP DATABASE {name}",
        f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
        f"USE {name}",
        "CREATE TABLE items (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE others (id INT PRIMARY KEY, name VARCHAR(10), n INT)",
        "INSERT INTO items VALUES (3, 4)",
    )
    assert [event.after for event in events] == [{"id": 3, "n": 4}]
    assert resets == [
        ("items", "database_dropped"),
        ("others", "database_dropped"),
        ("items", "table_recreated"),
        ("others", "table_recreated"),
    ]


async def test_what_leaves_rows_alone_resets_nothing(driver: MysqlDriver) -> None:
    other = f"{driver.database.name}_x"
    _, resets = await told(
        driver,
        "ANALYZE TABLE items",
        "CREATE INDEX items_n ON items (n)",
        "CREATE TRIGGER items_t BEFORE INSERT ON items FOR EACH ROW SET NEW.n = 1",
        "CREATE VIEW items_v AS SELECT * FROM items",
        "DROP VIEW items_v",
        "CREATE TABLE items_2 LIKE items",
        "ALTER TABLE elsewhere ADD COLUMN items INT",
        "DROP TABLE items_2",
        f"CREATE DATABASE {other}",
        f"CREATE TABLE {other}.items (id INT)",
        f"DROP DATABASE {other}",
        "CREATE TEMPORARY TABLE items (id INT)",
        "DROP TEMPORARY TABLE items",
    )
    assert [reset for reset in resets if reset != ("items", "columns_changed")] == []


async def test_truncate_in_every_spelling(driver: MysqlDriver) -> None:
    name = driver.database.name
    events, resets = await told(
        driver,
        "TRUNCATE items",
        "truncate table `items`",
        f"TRUNCATE TABLE {name}.items",
        f"TRUNCATE /* all */ TABLE `{name}` . `items`",
    )
    assert [(event.op, event.key) for event in events] == [("t", None)] * 4
    assert resets == []


async def test_statement_format_resets_everything(driver: MysqlDriver) -> None:
    events, resets = await told(driver, "SET SESSION binlog_format = STATEMENT", ROW)
    assert events == []
    assert resets == [("items", "statement_logged"), ("others", "statement_logged")]


async def test_a_minimal_row_image_is_a_reset_never_a_partial_row(driver: MysqlDriver) -> None:
    events, resets = await told(
        driver, ROW, "SET SESSION binlog_row_image = MINIMAL", "UPDATE items SET n = 5", "DELETE FROM items"
    )
    assert [event.op for event in events] == ["c"]
    assert resets == [("items", "row_image_incomplete")] * 2


CASCADES = (
    "CREATE TABLE roots (id INT PRIMARY KEY)",
    "CREATE TABLE middles (id INT PRIMARY KEY, root INT, FOREIGN KEY (root) REFERENCES roots (id) ON DELETE CASCADE)",
    "DROP TABLE items",
    "CREATE TABLE items (id INT PRIMARY KEY, middle INT, FOREIGN KEY (middle) REFERENCES middles (id)"
    " ON DELETE CASCADE)",
    "INSERT INTO roots VALUES (1)",
    "INSERT INTO middles VALUES (2, 1)",
    "INSERT INTO items VALUES (3, 2)",
)


async def test_cascades_are_told_or_are_resets(driver: MysqlDriver) -> None:
    await driver.run(*CASCADES)
    events, resets = await told(driver, "INSERT INTO roots VALUES (2)", "DELETE FROM roots WHERE id = 1")
    if driver.database.flavor == "mysql":
        assert [event.change for event in events] == [("d", {"id": 3, "middle": 2}, None)]
        assert resets == []
    else:
        assert events == []
        assert resets == [("items", "foreign_key_cascade")]


async def test_cascades_that_come_about_while_tailing(driver: MysqlDriver) -> None:
    events, resets = await told(driver, *CASCADES, "DELETE FROM roots")
    if driver.database.flavor == "mysql":
        assert [event.op for event in events] == ["c", "d"]
    else:
        assert resets[-1] == ("items", "foreign_key_cascade")


async def test_savepoints(driver: MysqlDriver) -> None:
    events, resets = await told(
        driver,
        "BEGIN",
        ROW,
        "SAVEPOINT a",
        "INSERT INTO items VALUES (2, 'b', 0)",
        "ROLLBACK TO a",
        "INSERT INTO items VALUES (3, 'c', 0)",
        "COMMIT",
    )
    assert [event.key["id"] for event in events] == [1, 3]
    assert resets == []


async def test_tables_without_transactions_within_transactions(mariadb: MysqlDriver) -> None:
    """MySQL refuses this where it has GTIDs. The binlog may hold what is then taken back."""
    await mariadb.run("CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, n INT) ENGINE = MyISAM")
    events, resets = await told(
        mariadb,
        "BEGIN",
        "INSERT INTO items VALUES (4, 'd', 0)",
        "INSERT INTO log (n) VALUES (1)",
        "SAVEPOINT b",
        "INSERT INTO items VALUES (5, 'e', 0)",
        "INSERT INTO log (n) VALUES (1)",
        "ROLLBACK TO b",
        "COMMIT",
        "BEGIN",
        "INSERT INTO items VALUES (6, 'f', 0)",
        "INSERT INTO log (n) VALUES (1)",
        "ROLLBACK",
    )
    assert set(resets) <= {("items", "rows_unknown")}
    assert resets or [event.key["id"] for event in events] == [4]


async def test_compressed_transactions_of_mysql(mysql: MysqlDriver) -> None:
    events, _ = await told(
        mysql,
        "SET SESSION binlog_transaction_compression = ON",
        "BEGIN",
        *(f"INSERT INTO items VALUES ({i}, '{'x' * 150}', 0)" for i in range(20)),
        "COMMIT",
        "UPDATE items SET n = 1",
        "CREATE TABLE some SELECT * FROM items",
        "DELETE FROM items",
    )
    assert [event.op for event in events] == ["c"] * 20 + ["u"] * 20 + ["d"] * 20
    assert events[-1].transaction["last"] and events[-1].transaction["total_order"] == 20
    assert events[0].value["source"]["pos"] > events[0].value["source"]["row"]


async def test_compressed_rows_of_mariadb(mariadb: MysqlDriver) -> None:
    await mariadb.run("SET GLOBAL log_bin_compress = ON")
    try:
        events, resets = await told(
            mariadb,
            *(f"INSERT INTO items VALUES ({i}, '{'x' * 150}', 0)" for i in range(5)),
            "UPDATE items SET n = 1",
            "ALTER TABLE items ADD COLUMN m INT COMMENT '" + "x" * 400 + "'",
            "DELETE FROM items",
        )
    finally:
        await mariadb.run("SET GLOBAL log_bin_compress = OFF")
    assert [event.op for event in events] == ["c"] * 5 + ["u"] * 5 + ["d"] * 5
    assert resets == [("items", "columns_changed")]


async def test_tagged_gtids(mysql: MysqlDriver) -> None:
    tail = new_tail()
    for count in (2, 4):
        async with tail.running(mysql.source):
            await tail.until(lambda tail: len(tail.positions) > 0)
            await mysql.run("SET gtid_next = 'automatic:my_tag'", ROW)
            await mysql.run("SET gtid_next = 'automatic:other'", "DELETE FROM items")
            await tail.count(count)
    assert [event.transaction["id"].split(":")[1] for event in tail.events] == ["my_tag", "other"] * 2
    assert [event.op for event in tail.events] == ["c", "d"] * 2
    await tail.until(lambda tail: ":my_tag:" in tail.positions[-1].state["gtid"])


async def test_a_row_larger_than_a_packet(driver: MysqlDriver) -> None:
    await driver.run("ALTER TABLE items MODIFY name LONGTEXT")
    events, _ = await told(
        driver, f"INSERT INTO items VALUES (1, REPEAT('x', {20 << 20}), 0)", "DELETE FROM items"
    )
    assert [len((event.after or event.before)["name"]) for event in events] == [20 << 20] * 2
