"""`livetail init` on real databases: what it writes is a configuration, and holds no secret."""

from __future__ import annotations

from pathlib import Path

import pymongo
from click.testing import CliRunner, Result

from broadcaster.cli import main
from cdc.config_parse import load
from servers.mongo import MongoDatabase
from servers.mysql import MysqlDatabase
from servers.postgres import Database


def run(*arguments: str | Path, code: int = 0, **environ: str) -> Result:
    result = CliRunner().invoke(main, ["init", *map(str, arguments)], env=environ)
    assert result.exit_code == code, result.output
    return result


def test_postgres(postgres_db: Database, tmp_path: Path) -> None:
    role = f"reader_{postgres_db.name}"
    postgres_db.execute(
        "CREATE TABLE todos (id int PRIMARY KEY, title text); CREATE TABLE logs (line text);"
        'CREATE TABLE "odd name" (id int PRIMARY KEY); CREATE TABLE "default" (id int PRIMARY KEY);'
        "CREATE SCHEMA other; CREATE TABLE other.things (id int PRIMARY KEY);"
        f"CREATE ROLE {role} LOGIN PASSWORD 's3cret/pass' REPLICATION;"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public, other TO {role}; GRANT USAGE ON SCHEMA other TO {role}"
    )
    place = postgres_db.url.partition("://")[2].rpartition("@")[2]
    url, file = f"postgresql://{role}:s3cret%2Fpass@{place}", tmp_path / "app.yaml"
    try:
        result = run(url, "--live", "todos", "--live", "other.things", "-o", file)
        text = file.read_text()
        assert "s3cret" not in text + result.output
        assert f"{role}:${{PGPASSWORD}}@" in text
        config = load(file, {"PGPASSWORD": "s3cret%2Fpass"})
        assert config.databases["sql-postgres"].conn.reveal() == url
        assert config.realtime_collections("sql-postgres") == ("other.things", "todos")
        assert set(config.databases["sql-postgres"].collections) == {"todos", "other.things", "odd name"}
        assert "# logs:  # cannot be live:\n        #   primary key: has none;" in text
        assert "5 collections, 3 can be live, 2 are." in result.output
        assert "logs cannot be: primary key: has none" in result.output
        need = "needs replica identity: "
        assert f"todos {need}" in result.output
        assert "ALTER TABLE" in next(line for line in text.splitlines() if need in line)
        assert "In the environment there must be: PGPASSWORD" in result.output

        assert "is there already" in run(url, "-o", file, code=2).output
        assert "did you mean todos?" in run(url, "--live", "todo", code=2).output
        again = run(url.replace("s3cret%2Fpass", "${PW}"), "--id", "my-app", PW="s3cret%2Fpass")
        assert "${PW}" in again.stdout
        assert "id: my-app " in again.stdout
        wrong = run(url.replace("s3cret", "guess"), code=1)
        assert "guess" not in wrong.output
    finally:
        postgres_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_mysql_and_mariadb(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    each_mysql_db.execute(
        "CREATE TABLE todos (id int PRIMARY KEY, title text)",
        "CREATE TABLE logs (line text)",
        "CREATE TABLE `with.dot` (id int PRIMARY KEY)",
    )
    file, password = tmp_path / "app.yaml", each_mysql_db.server.password
    result = run(each_mysql_db.url, "--live", "todos", "-o", file)
    assert password not in file.read_text() + result.output
    config = load(file, {"MYSQL_PASSWORD": password})
    assert config.id == each_mysql_db.name
    assert set(config.databases["sql-mysql"].collections) == {"todos"}
    assert config.realtime_collections("sql-mysql") == ("todos",)
    assert "3 collections, 1 can be live, 1 are." in result.output
    assert "its name cannot stand in a configuration" in result.output
    everywhere = each_mysql_db.url.removesuffix(each_mysql_db.name)
    assert f"{each_mysql_db.name}.todos:" in run(everywhere).stdout


def test_mongo(mongo_db: MongoDatabase, tmp_path: Path) -> None:
    with pymongo.MongoClient(mongo_db.url) as client:
        client[mongo_db.name].create_collection("todos")
        client[mongo_db.name].create_collection("shown", viewOn="todos", pipeline=[])
    file = tmp_path / "app.yaml"
    result = run(mongo_db.url, "-o", file)
    config = load(file, {})
    assert config.databases["mongo"].conn.reveal() == mongo_db.url
    assert set(config.databases["mongo"].collections) == {"todos"}
    assert config.realtime_collections("mongo") == ()
    assert "shown cannot be: is a view" in result.output


def test_what_is_no_database() -> None:
    assert "must be given as postgresql://" in run("oracle://x", code=2).output
    refused = run("postgresql://u:p/w@localhost/x", code=2).output
    assert "must be percent-encoded" in refused
    assert "p/w" not in refused
    assert "NO_SUCH is not set" in run("postgresql://u:${NO_SUCH}@localhost/x", code=2).output
