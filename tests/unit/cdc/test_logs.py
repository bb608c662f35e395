"""Which log a command uses: embedded, or on Kafka with `--prod` or PROD=true and only then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from broadcaster.cli import main
from cdc.config_parse import parse
from cdc.errors import ConfigError
from cdc.log.embedded import EmbeddedLog
from cdc.log.kafka.log import KafkaLog
from cdc.logs import Logs

CRUD = """
  crud:
    db: {type: postgres, conn: "host=localhost dbname=app", collections: {todos: {isRealtimeEnabled: true}}}
"""
WITHOUT = "id: p\nmodules:" + CRUD
WITH = "id: p\nmodules:\n  realtime: {kafka: 127.0.0.1:1}" + CRUD

_EMBEDDED = """
import asyncio, sys
from pathlib import Path
import broadcaster.serve, cdc.serve
from cdc.config_parse import load
from cdc.logs import Logs

async def use():
    log = Logs(load(Path(sys.argv[1]), {}), Path(sys.argv[2]))("db")
    await (await log.writer()).close()
    await log.close()

asyncio.run(use())
print([name for name in sys.modules if "kafka" in name and not name.startswith("cdc.kafka_parse")])
"""


async def test_each_log_once_and_closed_in_the_end(tmp_path: Path) -> None:
    logs = Logs(parse(WITHOUT, {}), tmp_path)
    log = logs("db")
    assert isinstance(log, EmbeddedLog)
    assert logs("db") is log
    writer = await log.writer()

    async def work() -> None:
        raise RuntimeError("done")

    with pytest.raises(RuntimeError, match="done"):
        await logs.around(work())
    await writer.close()  # it is
    assert isinstance(Logs(parse(WITH, {}), None)("db"), KafkaLog)


def test_kafka_must_be_configured_to_be_used() -> None:
    with pytest.raises(ConfigError, match=r"modules\.realtime\.kafka is missing"):
        Logs(parse(WITHOUT, {}), None)


def test_without_prod_nothing_of_kafka_is_so_much_as_loaded(tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(WITH)
    command = [sys.executable, "-c", _EMBEDDED, file, tmp_path / "logs"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == "[]\n"


@pytest.mark.parametrize("command", [["cdc"], ["broadcaster"], ["events", "db", "todos"]])
@pytest.mark.parametrize("environment", [False, True])
def test_prod(tmp_path: Path, command: list[str], environment: bool) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(WITHOUT)
    given = [*command, "-c", str(file)]
    if not environment:
        given.append("--prod")
    env = {"PROD": "true"} if environment else {}
    result = CliRunner().invoke(main, given, env=env)
    assert result.exit_code == 2
    assert "modules.realtime.kafka is missing" in result.output
    file.write_text(WITH)
    result = CliRunner().invoke(main, [*given, "--log-dir", str(tmp_path)], env=env)
    assert result.exit_code == 2
    assert "--log-dir is where the embedded log is" in result.output
