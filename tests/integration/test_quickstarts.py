"""The pages of the databases, followed word by word: from a server as it is out of the box to a first live query that
tells of a change, as a user that was granted what stands there and nothing else."""

from __future__ import annotations

import configparser
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from pymongo import MongoClient

from broadcaster.demo.mysql import EmbeddedMysql
from broadcaster.demo.mysql_installs import Flavor
from broadcaster.demo.postgres import EmbeddedPostgres
from servers.mongo import Mongod
from servers.mysql import MysqlServers
from support.documentation import ROOT, Block, blocks, one, statements, with_curl
from support.node import with_node
from support.terminals import PATIENCE_S, Terminals

pytestmark = with_curl
MONGOSH = ROOT / "tests" / "support" / "mongosh.mjs"


class Server(Protocol):
    """A database server as a page takes it for granted."""

    @property
    def address(self) -> Mapping[str, str]:
        """The address that the page has, and the one that it has here."""

    def meant(self, words: Sequence[str]) -> bool:
        """Whether what has these words in its info string is for this server."""

    def run(self, block: Block) -> None:
        """What the block says is done by an administrator."""


class Postgres:
    def __init__(self, server: EmbeddedPostgres) -> None:
        self.address = {"localhost:5432": f"127.0.0.1:{server.port}"}
        self._server = server
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE app")

    def meant(self, words: Sequence[str]) -> bool:
        return "18" not in words or self._server.major >= 18

    def run(self, block: Block) -> None:
        url = self._server.url_for("app") if "app" in block.info.split() else self._server.url
        with psycopg.connect(url, autocommit=True) as admin:
            for statement in statements(block.text):
                admin.execute(statement.encode())
        if "wal_level" in block.text:
            self._server.stop()
            self._server.start()


class Mysql:
    def __init__(self, server: EmbeddedMysql) -> None:
        self.address = {"localhost:3306": f"127.0.0.1:{server.port}"}
        self._server = server

    def meant(self, words: Sequence[str]) -> bool:
        return "mysql" not in words or self._server.installation.flavor == "mysql"

    def run(self, block: Block) -> None:
        with self._server.connect() as admin, admin.cursor() as cursor:
            for statement in statements(block.text):
                cursor.execute(statement)


class Mongo:
    ROOT = "root", "root-secret"

    def __init__(self, server: Mongod) -> None:
        self.address = {"localhost:27017": server.address}
        user, password = self.ROOT
        with server.admin() as admin:  # allowed from this machine while there is no user
            admin.admin.command("createUser", user, pwd=password, roles=["root"])
        self._url = f"mongodb://{user}:{password}@{server.address}/?directConnection=true"

    def meant(self, words: Sequence[str]) -> bool:
        return True

    def run(self, block: Block) -> None:
        said = subprocess.run(
            ["node", MONGOSH],
            input=block.text,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        with MongoClient(self._url) as admin:
            for database, command in json.loads(said.stdout):
                admin[database].command(command)


def follow(page: str, server: Server, folder: Path) -> None:
    """Do what the page says, from its first line to its last; in the end the check must pass again."""
    with ExitStack() as stack:
        terminals = Terminals(folder, server.address, stack)
        said, stream, arrived = "", None, 0
        for block in blocks(Path(page)):
            words = block.info.split()
            if not server.meant(words):
                continue
            match words:
                case ["sql", "admin", *_] | ["js", "mongosh"]:
                    server.run(block)
                    if stream is not None:
                        stream.until("event: diff")
                        assert '"type":"delete"' in stream.until("data: ")
                        stream, arrived = None, arrived + 1
                case ["yaml", name]:
                    terminals.write(name, block.text)
                case ["sh", "run"]:
                    said = terminals.run(block.text)
                case ["text", "output", *_]:
                    assert set(terminals.here(block.text).splitlines()) <= set(said.splitlines()), said
                case ["sh", "dev"]:
                    terminals.serve(block.text).until("Ready")
                case ["sh", "stream"]:
                    stream = terminals.go_on(block.text)
                    stream.until("event: ready")
                case ["ini", "my.cnf"]:
                    pass  # the server was started with it
                case _:
                    raise AssertionError(f"{block}: nobody knows how to try ```{block.info}")
        assert arrived == 1
        terminals.run("livetail check -c todo-app.yaml")


@pytest.mark.parametrize("major", [15, 18])
def test_postgres(throwaway_postgres: Callable[..., EmbeddedPostgres], major: int, tmp_path: Path) -> None:
    server = throwaway_postgres(major, wal_level="replica")
    del server.settings["wal_level"]  # from here on what ALTER SYSTEM says counts
    follow("cdc/docs/postgres.md", Postgres(server), tmp_path)


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
def test_mysql(mysql_servers: MysqlServers, flavor: Flavor, tmp_path: Path) -> None:
    with mysql_servers.temporary(flavor, out_of_the_box(flavor)) as server:
        follow("cdc/docs/mysql.md", Mysql(server), tmp_path)


def out_of_the_box(flavor: Flavor) -> dict[str, str]:
    """MySQL's own defaults in the place of the tests'; MariaDB's, and what the page adds to them."""
    if flavor == "mysql":
        return {
            "binlog_row_metadata": "MINIMAL",
            "gtid_mode": "OFF",
            "enforce_gtid_consistency": "OFF",
        }
    told = configparser.ConfigParser()
    told.read_string(one("cdc/docs/mysql.md", "ini my.cnf").text)
    return {"binlog_format": "MIXED", "binlog_row_metadata": "NO_LOG", **told["mysqld"]}


@pytest.fixture
def guarded_mongo(throwaway_mongo: Callable[..., Mongod], tmp_path_factory: pytest.TempPathFactory) -> Mongod:
    """A replica set of one that asks everybody who they are."""
    key = tmp_path_factory.mktemp("mongo") / "key"
    key.write_text("c2V0b2ZvbmU=")
    key.chmod(0o600)
    return throwaway_mongo("rs0", "--auth", "--keyFile", str(key))


@with_node
def test_mongodb(guarded_mongo: Mongod, tmp_path: Path) -> None:
    follow("cdc/docs/mongodb.md", Mongo(guarded_mongo), tmp_path)
