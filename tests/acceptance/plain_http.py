"""A stream as curl would show it: no client library, no reconnects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Shown:
    """One event."""

    name: str
    data: dict[str, Any]
    id: str | None


class PlainStream:
    """Reads events on demand; keeps them all."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.events: list[Shown] = []
        self._response = response
        self._text = b""

    async def until(self, enough: Callable[[], object]) -> None:
        """Read until that is so; fails with what was read when it takes too long or the stream ends."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not enough():
                    data = await self._response.content.readany()
                    assert data, f"the stream ended after {self.events}"
                    self.take(data)
        except TimeoutError:
            raise AssertionError(f"nothing more came after {self.events}") from None

    def take(self, data: bytes) -> None:
        """Add bytes of the stream."""
        *events, self._text = (self._text + data).split(b"\n\n")
        for event in events:
            fields = dict(line.split(": ", 1) for line in event.decode().split("\n"))
            if "data" in fields:
                self.events.append(Shown(fields["event"], json.loads(fields["data"]), fields.get("id")))

    def named(self, name: str) -> list[Shown]:
        return [event for event in self.events if event.name == name]

    @property
    def names(self) -> list[str]:
        """Of all events but heartbeats."""
        return [event.name for event in self.events if event.name != "progress"]

    @property
    def transactions(self) -> list[str]:
        """Of the diffs, in order."""
        return [event.data["tx"] for event in self.named("diff")]

    @property
    def cursor(self) -> str:
        """What a browser would send as Last-Event-ID."""
        return next(event.id for event in reversed(self.events) if event.id is not None)

    def rows(self, rows: dict[str, Any] | None = None, query: str = "q1", key: str = "id") -> dict[str, Any]:
        """The map that applying the frames of one live query gives, over an earlier one; strict about what each type
        of change says of the map. key: the primary key's field."""
        rows = dict(rows or {})
        for event in self.events:
            if event.data.get("id") != query:
                continue
            if event.name == "reset":
                rows = {}
            for doc in event.data.get("docs", ()):
                assert str(doc[key]) not in rows
                rows[str(doc[key])] = doc
            for change in event.data.get("changes", ()):
                name = str(change["find"][key])
                assert (name in rows) == (change["type"] != "insert"), f"{change} on {rows}"
                if change["type"] == "delete":
                    del rows[name]
                else:
                    assert rows.get(name) != change["doc"], f"{name} came again: {change}"
                    rows[name] = change["doc"]
        return rows


@asynccontextmanager
async def get(
    url: str,
    where: dict[str, Any] | None = None,
    cursor: str | None = None,
    collection: str = "sql-postgres/todos",
) -> AsyncIterator[PlainStream]:
    """One live query, as an EventSource asks for it. collection: with the database's alias."""
    headers = {} if cursor is None else {"Last-Event-ID": cursor}
    params = {} if where is None else {"where": json.dumps(where)}
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{url}/v1/api/todo-app/realtime/{collection}",
            params=params,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as response,
    ):
        assert response.status == 200, await response.text()
        yield PlainStream(response)


@asynccontextmanager
async def post(
    url: str, wheres: dict[str, dict[str, Any]], cursor: str | None = None
) -> AsyncIterator[PlainStream]:
    """Several live queries on `todos`, by id."""
    body: dict[str, Any] = {
        "subscriptions": [
            {"id": name, "db": "sql-postgres", "col": "todos", "where": where}
            for name, where in wheres.items()
        ]
    }
    if cursor is not None:
        body["cursor"] = cursor
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{url}/v1/api/todo-app/realtime", json=body, timeout=aiohttp.ClientTimeout(total=None)
        ) as response,
    ):
        assert response.status == 200, await response.text()
        yield PlainStream(response)
