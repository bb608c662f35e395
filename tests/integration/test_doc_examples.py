"""The documentation's calls, clients and statements, run as they stand against a database that is served live."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers.postgres import Database
from support.documentation import PAGES, ROOT, Block, blocks, statements, with_curl
from support.live import PATIENCE_S, served
from support.node import run_node, with_node

ROW = {"id": 1, "title": "Water the plants", "done": False, "owner": "ann", "priority": 3}
# What the examples take for granted.
AROUND_NODE = """
const show = docs => { if (docs.length) { console.log(JSON.stringify(docs)); process.exit(0); } };
const alert = message => { console.log(message); process.exit(1); };
const supabase = {auth: {getSession: async () => ({data: {session: {access_token: "a.b.c"}}})}};
"""


def of(info: str) -> pytest.MarkDecorator:
    """A test of all blocks with this info string."""
    found = [block for page in PAGES for block in blocks(page) if block.info == info]
    assert found, info
    return pytest.mark.parametrize("block", found, ids=str)


@pytest.fixture
async def url(postgres_db: Database, tmp_path: Path) -> AsyncIterator[str]:
    """Of a server with the documentation's `todos`, and the row in it."""
    postgres_db.execute(
        "CREATE TABLE todos (id bigint PRIMARY KEY, title text, done boolean, owner text, priority int)"
    )
    postgres_db.execute("INSERT INTO todos VALUES (%s, %s, %s, %s, %s)", *ROW.values())
    async with served("sql-postgres", postgres_db.url, tmp_path, "todos") as url:
        yield url


@with_curl
@of("sh curl")
async def test_curl(block: Block, url: str) -> None:
    """All live queries that are asked for get ready, with the row."""
    wanted = max(1, block.text.count('"id":'))
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", "exec " + block.text.strip().replace("http://localhost:4122", url)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while said.count(b"event: ready") < wanted and (line := await process.stdout.readline()):
                said += line
    finally:
        process.kill()
        await process.communicate()
    assert said.count(b"event: ready") == wanted, said
    initial = [
        json.loads(line) for line in re.findall(rb'^data: (\{"id":"\w+","docs".*)$', said, re.MULTILINE)
    ]
    assert [each["docs"] for each in initial] == [[ROW]] * wanted


@with_node
@of("js node")
async def test_livetail_js(block: Block, url: str, tmp_path: Path) -> None:
    """It shows the row."""
    module = (ROOT / "broadcaster" / "static" / "livetail.js").as_uri()
    text = block.text.replace("http://localhost:4122/livetail.js", module).replace(
        "http://localhost:4122", url
    )
    program = tmp_path / "example.mjs"
    program.write_text(AROUND_NODE + text)
    async with asyncio.timeout(PATIENCE_S):
        assert json.loads(await run_node(program)) == [ROW]


@of("python client")
async def test_python(block: Block, url: str) -> None:
    """It prints the row."""
    printed: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    names: dict[str, Any] = {"print": lambda *what: printed.put_nowait(what)}
    text = block.text.replace("http://localhost:4122", url)
    exec(f"async def example():\n{textwrap.indent(text, '    ')}", names)
    running = asyncio.create_task(names["example"]())
    try:
        async with asyncio.timeout(PATIENCE_S):
            kind, *_, count = await printed.get()
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert (kind, count) == ("initial", 1)


@of("sql postgres")
def test_statements(block: Block, postgres_db: Database) -> None:
    """They hold, one by one, where there is a table `todos`; what they make is taken back."""
    with psycopg.connect(postgres_db.url) as admin:
        admin.execute("CREATE TABLE todos (id bigint PRIMARY KEY, title text)")
        for statement in statements(block.text):
            admin.execute(statement.encode())
        admin.rollback()
