"""livetail.js against `livetail dev` on a real Postgres: by node's own test runner, and as two tabs of a browser."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import psycopg
import pytest
from aiohttp import web
from processes import Line, free_port

from broadcaster.dev import serve_dev
from cdc.config_parse import parse
from servers.postgres import Database, connect
from support.browser import PROGRAM, Browser, Page, open_browser
from support.node import run_node, with_node

SECRET = "a secret of more than thirty-two bytes"
PATIENCE_S = 60
TABLES = ("todos", "notes", "private", "nobodys")
TABLE = """CREATE TABLE {} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text, title text,
                            done bool NOT NULL DEFAULT false)"""
OWN = {"rule": "match", "eval": "==", "type": "string", "f1": "args.doc.owner", "f2": "args.auth.sub"}
in_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium")


def config_text(url: str) -> str:
    rules: dict[str, Any] = {name: {"rule": "allow"} for name in TABLES}
    rules |= {"private": OWN, "nobodys": {"rule": "deny"}}
    collections = {name: {"isRealtimeEnabled": True, "rules": {"read": rule}} for name, rule in rules.items()}
    crud = {"sql-postgres": {"conn": url, "collections": collections}}
    return json.dumps({"id": "todo-app", "secret": SECRET, "modules": {"crud": crud}})


@dataclass(frozen=True, slots=True)
class Control:
    """What tests in JavaScript may do to the world, by POST to `/control/…`."""

    database: psycopg.AsyncConnection[Any]
    line: Line

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/control/sql", self.sql)
        app.router.add_post("/control/cut", self.cut)
        app.router.add_post("/control/token", self.token)

    async def sql(self, request: web.Request) -> web.Response:
        await self.database.execute(await request.text())
        return web.Response(text="done")

    async def cut(self, _: web.Request) -> web.Response:
        self.line.cut()
        return web.Response(text="done")

    async def token(self, request: web.Request) -> web.Response:
        """Of these claims, for so many seconds."""
        wanted = await request.json()
        now = time.time()
        claims = {**wanted["claims"], "iat": int(now), "exp": int(now + wanted["seconds"])}
        return web.Response(text=jwt.encode(claims, SECRET))


@asynccontextmanager
async def serving(database: Database, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """The broadcaster's address over a line that can be cut, and its own."""
    port = free_port()
    line = Line("127.0.0.1", port)
    async with await connect(database.url) as connection, line.running():
        for table in TABLES:
            await connection.execute(TABLE.format(table))
        ready = asyncio.Event()
        task = asyncio.create_task(
            serve_dev(
                parse(config_text(database.url), {}),
                listen=("127.0.0.1", port),
                log_dir=folder,
                on_ready=ready.set,
                extend=Control(connection, line).add_to,
            )
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                await ready.wait()
            yield f"http://127.0.0.1:{line.port}", f"http://127.0.0.1:{port}"
        finally:
            task.cancel()
            await asyncio.wait([task])


@with_node
async def test_against_a_real_broadcaster(postgres_db: Database, tmp_path: Path) -> None:
    async with serving(postgres_db, tmp_path) as (url, control):
        await run_node("--test", "live.js", LIVETAIL_URL=url, LIVETAIL_CONTROL=control)


# -- tabs -----------------------------------------------------------------------------------------------------

FOLLOW = """(async () => {
  const {API} = await import("/livetail.js");
  window.api = new API("todo-app", undefined, {maxDelayMs: 100});
  if (%(token)s) api.setToken(%(token)s);
  window.follow = (name, query) => {
    const seen = window[name] = {types: [], ids: [], docs: [], errors: []};
    query.subscribe((docs, type, find) => {
      seen.docs = docs;
      seen.types.push(type);
      seen.ids.push(...find ? [find.id] : docs.map(doc => doc.id));
    }, error => seen.errors.push(error));
  };
  window.todos = api.DB("sql-postgres").liveQuery("todos");
  follow("all", todos);
})()"""


async def tab(browser: Browser, url: str, token: str | None = None) -> Page:
    """A page that follows all todos."""
    page = await browser.open(f"{url}/healthz")
    await page.until("document.body?.innerText.includes('ok')")
    await page.evaluate(FOLLOW % {"token": json.dumps(token)})
    await page.until("all.types.length")
    return page


async def streams(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        found = re.search(r"^broadcaster_connections (\S+)$", await response.text(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


@in_browser
async def test_tabs_share_one_stream_and_outlive_the_one_that_has_it(
    postgres_db: Database, tmp_path: Path
) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    async with serving(postgres_db, tmp_path) as (_, url), open_browser(profile) as browser:
        postgres_db.execute("INSERT INTO todos (owner, title) VALUES ('ann', 'one')")
        first = await tab(browser, url)
        second = await tab(browser, url)
        await first.until("api.state.role === 'leader' && api.state.name === 'live'")
        await second.until("api.state.role === 'follower' && api.state.name === 'live'")
        assert await streams(url) == 1

        await second.evaluate("follow('done', todos.where({done: true}))")
        await second.evaluate("follow('head', todos.sort('-title').limit(1))")
        await second.evaluate("follow('bad', todos.where({title: {$almost: 1}}))")
        await second.until("done.types.length && head.types.length && bad.errors.length")
        assert await second.evaluate("bad.errors[0].path") == "$.where.title.$almost"
        assert await streams(url) == 1
        postgres_db.execute("INSERT INTO todos (owner, title) VALUES ('ann', 'two')")
        postgres_db.execute("UPDATE todos SET done = true WHERE title = 'one'")
        for page in (first, second):
            await page.until("all.docs.length === 2 && all.docs.some(doc => doc.done)")
            assert await page.evaluate("all.types") == ["initial", "insert", "update"]
        await second.until("done.docs.length === 1 && head.docs[0].title === 'two'")

        stranger = await tab(browser, url, jwt.encode({"sub": "bob", "exp": time.time() + 600}, SECRET))
        assert await stranger.evaluate("api.state.role") == "leader"
        assert await streams(url) == 2
        await stranger.command("Page.close")

        await first.command("Page.close")
        await second.until("api.state.role === 'leader' && api.state.name === 'live'")
        postgres_db.execute("DELETE FROM todos WHERE title = 'one'")
        postgres_db.execute("INSERT INTO todos (owner, title) VALUES ('ann', 'zero')")
        await second.until("all.docs.length === 2 && done.docs.length === 0 && head.docs[0].title === 'zero'")
        assert await second.evaluate("all.types") == ["initial", "insert", "update", "delete", "insert"]
        assert await second.evaluate("done.types") == ["initial", "insert", "delete"]
        assert await streams(url) == 1


@in_browser
async def test_a_page_that_was_offline_goes_on(postgres_db: Database, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    async with serving(postgres_db, tmp_path) as (_, url), open_browser(profile) as browser:
        page = await tab(browser, url)
        await page.command("Network.enable")
        conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await page.command("Network.emulateNetworkConditions", offline=True, **conditions)
        await page.until("api.state.name === 'offline'")
        postgres_db.execute("INSERT INTO todos (owner, title) VALUES ('ann', 'meanwhile')")
        await page.command("Network.emulateNetworkConditions", offline=False, **conditions)
        await page.until("all.docs.length === 1")
        assert await page.evaluate("all.types") == ["initial", "insert"]


@in_browser
async def test_tabs_come_and_go_while_rows_come(postgres_db: Database, tmp_path: Path) -> None:
    enough = asyncio.Event()

    async def write() -> None:
        while not enough.is_set():
            await asyncio.to_thread(postgres_db.execute, "INSERT INTO todos (title) VALUES ('a'), ('b')")

    profile = tmp_path / "profile"
    profile.mkdir()
    async with serving(postgres_db, tmp_path) as (_, url), open_browser(profile) as browser:
        tabs = [await tab(browser, url) for _ in range(2)]
        writing = asyncio.create_task(write())
        try:
            for _ in range(3):
                tabs.append(await tab(browser, url))
                await tabs.pop(0).command("Page.close")  # the one that leads
                await tabs[0].until("api.state.role === 'leader'")
        finally:
            enough.set()
            await writing
        wanted = sorted(id_ for (id_,) in postgres_db.execute("SELECT id FROM todos"))
        for page in tabs:
            await page.until(f"all.docs.length === {len(wanted)}")
            assert sorted(await page.evaluate("all.ids")) == wanted  # each row once
        assert await streams(url) == 1


HASTE = """{
  const {setTimeout} = window;
  window.setTimeout = (run, ms) => setTimeout(run, [45_000, 5_000].includes(ms) ? 500 : ms);
}"""
"""A page does not wait as long for another tab that leads and says nothing."""


@in_browser
async def test_a_tab_that_hangs_leads_no_more(postgres_db: Database, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    async with serving(postgres_db, tmp_path) as (_, url), open_browser(profile) as browser:
        first = await tab(browser, url)
        second = await browser.open(f"{url}/healthz")
        await second.until("document.body?.innerText.includes('ok')")
        await second.evaluate(HASTE)
        await first.evaluate("setTimeout(() => { for (const end = Date.now() + 6000; Date.now() < end;); })")
        await second.evaluate(FOLLOW % {"token": "null"})
        await second.until("api.state.role === 'leader' && all.types.length")
        postgres_db.execute("INSERT INTO todos (owner, title) VALUES ('ann', 'one')")
        await second.until("all.docs.length === 1")
        await first.until("api.state.role === 'follower' && all.docs.length === 1")
        assert await first.evaluate("all.types") == ["initial", "insert"]


@in_browser
async def test_the_tab_with_a_good_token_leads(postgres_db: Database, tmp_path: Path) -> None:
    def token(seconds: float) -> str:
        return jwt.encode({"sub": "ann", "exp": time.time() + seconds}, SECRET)

    profile = tmp_path / "profile"
    profile.mkdir()
    async with serving(postgres_db, tmp_path) as (_, url), open_browser(profile) as browser:
        old = await browser.open(f"{url}/healthz")
        await old.until("document.body?.innerText.includes('ok')")
        await old.evaluate(FOLLOW % {"token": json.dumps(token(-60))})
        await old.until("all.errors.length")
        assert await old.evaluate("all.errors[0].code") == "token_expired"
        fresh = await tab(browser, url, token(600))
        assert await fresh.evaluate("api.state.role") == "leader"
        await old.until("all.types.length")
        assert await old.evaluate("api.state.role") == "follower"
        assert await streams(url) == 1
        old.complaints.clear()  # Chromium reports every refused request
