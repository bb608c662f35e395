"""The client against a scripted server: what it sends, when it reconnects, what it tells its user."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from broadcaster.client import Change, Client, ClientError, LiveQuery
from broadcaster.client_frames import Diff, Failure, Initial, Ready, Reset
from broadcaster.sse import chunked, frame


def initial(*ids: int, query: str = "q1") -> bytes:
    docs = [{"id": number} for number in ids]
    return frame(b"initial", json.dumps({"id": query, "docs": docs}).encode())


def ready(cursor: bytes, query: str = "q1", **more: Any) -> bytes:
    return frame(b"ready", json.dumps({"id": query, **more}).encode(), cursor)


def insert(number: int, cursor: bytes | None, query: str = "q1") -> bytes:
    change = {"type": "insert", "find": {"id": number}, "doc": {"id": number}}
    data = {"id": query, "time": 1, "tx": str(number), "changes": [change]}
    return frame(b"diff", json.dumps(data).encode(), cursor)


def error(code: str, *, retryable: bool, query: str | None = "q1") -> bytes:
    data = {"code": code, "message": "why", "retryable": retryable} | ({} if query is None else {"id": query})
    return frame(b"error", json.dumps(data).encode())


@dataclass
class Answer:
    """To one request. parts: bytes of the stream; then it ends, is aborted, or stays open (`end` None)."""

    parts: tuple[bytes, ...] = ()
    end: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream"


class Script:
    """Answers one request after the other; keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.stop = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0)
        response = web.StreamResponse(
            status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers}
        )
        await response.prepare(request)
        for part in answer.parts:
            await response.write(part)
        if answer.end == "abort":
            assert request.transport is not None
            request.transport.write(chunked(b"event: dif"))
            request.transport.abort()
        elif answer.end is None:
            await self.stop.wait()
        return response


@asynccontextmanager
async def serving(script: Script, **options: Any) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_post("/v1/api/p/realtime", script.answer)
    server = TestServer(app)
    await server.start_server()
    try:
        async with Client("p", str(server.make_url("/")), max_delay=0.01, **options) as client:
            yield client
    finally:
        script.stop.set()
        await server.close()


async def test_asks_for_what_it_wants() -> None:
    script = Script(Answer((initial(), ready(b"c1"))))
    async with serving(script, token="secret") as client:
        await anext(client.live_query("db", "todos", {"done": False}, skip_initial=True))
    assert script.requests == [
        {
            "subscriptions": [
                {
                    "id": "q1",
                    "db": "db",
                    "col": "todos",
                    "where": {"done": False},
                    "options": {"skipInitial": True},
                }
            ]
        }
    ]
    assert script.headers[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_resumes_from_the_last_cursor_and_sees_nothing_unfinished(end: str) -> None:
    script = Script(
        Answer((initial(1), ready(b"c1"), insert(2, b"c2"), insert(3, None)), end),
        Answer((insert(3, b"c3"), ready(b"c4", resumed=True))),
    )
    async with serving(script) as client, client.stream([LiveQuery("q1", "db", "t")]) as stream:
        frames = [await anext(stream) for _ in range(5)]
        assert stream.cursor == "c4"
        assert stream.connections == 2
    assert [type(frame) for frame in frames] == [Initial, Ready, Diff, Diff, Ready]
    assert [frame.tx for frame in frames if isinstance(frame, Diff)] == ["2", "3"]
    assert [request.get("cursor") for request in script.requests] == [None, "c2"]


async def test_starts_over_when_there_was_no_cursor_yet() -> None:
    script = Script(Answer((initial(1),), "close"), Answer((initial(1), ready(b"c1"))))
    async with serving(script) as client:
        subscription = client.live_query("db", "t")
        assert (await anext(subscription)).docs == [{"id": 1}]
    assert "cursor" not in script.requests[1]


async def test_resumes_where_another_stream_ended() -> None:
    script = Script(Answer((ready(b"c9", resumed=True),)))
    async with serving(script) as client, client.stream([LiveQuery("q1", "db", "t")], cursor="c8") as stream:
        assert await anext(stream) == Ready("q1", resumed=True)
    assert script.requests[0]["cursor"] == "c8"


async def test_a_closed_stream_hands_out_what_has_come_and_knows_where_it_stands() -> None:
    script = Script(Answer((initial(1), ready(b"c1"), insert(2, None, "q2") + insert(2, b"c2"))))
    async with serving(script) as client, client.stream([LiveQuery("q1", "db", "t")]) as stream:
        cursors = []
        async for _ in stream:
            cursors.append(stream.cursor)
            if len(cursors) == 3:
                stream.close()
    assert cursors == [None, "c1", "c1", "c2"]


async def test_reconnect_on_demand() -> None:
    script = Script(Answer((initial(1), ready(b"c1"))), Answer((ready(b"c2", resumed=True),)))
    async with serving(script) as client, client.stream([LiveQuery("q1", "db", "t")]) as stream:
        assert isinstance(await anext(stream), Initial)
        waiting = asyncio.ensure_future(anext(stream))
        assert await waiting == Ready("q1")
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        stream.reconnect()
        assert await waiting == Ready("q1", resumed=True)


async def test_a_stream_that_makes_no_sense_is_another_lost_connection() -> None:
    script = Script(Answer((frame(b"diff", b"[]", b"c1"),)), Answer((initial(), ready(b"c2"))))
    async with serving(script) as client:
        assert (await anext(client.live_query("db", "t"))).type == "initial"
    assert "cursor" not in script.requests[1]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again(status: int) -> None:
    script = Script(
        Answer(status=status, end="close", headers={"Retry-After": "0"}), Answer((initial(), ready(b"c1")))
    )
    async with serving(script) as client:
        assert (await anext(client.live_query("db", "t"))).type == "initial"


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b'{"error":{"code":"bad_where","message":"no","path":"$.where"}}', "bad_where", "no ($.where)"),
        (b"<html>not here</html>", "http_400", "<html>not here</html>"),
        (b'{"error":"nope"}', "http_400", '{"error":"nope"}'),
    ],
)
async def test_a_refusal_ends_it(body: bytes, code: str, text: str) -> None:
    script = Script(Answer((body,), "close", 400, content_type="application/json"))
    async with serving(script) as client:
        subscription = client.live_query("db", "t")
        with pytest.raises(ClientError) as raised:
            await anext(subscription)
        assert raised.value.code == code
        assert str(raised.value) == f"{code}: {text}"
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)


async def test_what_is_no_event_stream_ends_it() -> None:
    script = Script(Answer((b"hello",), "close", content_type="text/html"))
    async with serving(script) as client:
        with pytest.raises(ClientError, match="http_200: hello"):
            await anext(client.live_query("db", "t"))


async def test_one_failed_query_leaves_the_others() -> None:
    script = Script(
        Answer(
            (error("result_too_large", retryable=False), initial(query="q2"), ready(b"c1", "q2")), "close"
        ),
        Answer((ready(b"c2", "q2", resumed=True), error("result_too_large", retryable=False, query="q2"))),
    )
    queries = [LiveQuery("q1", "db", "t"), LiveQuery("q2", "db", "t")]
    async with serving(script) as client, client.stream(queries) as stream:
        frames = [frame async for frame in stream]
    assert [type(frame) for frame in frames] == [Failure, Initial, Ready, Ready, Failure]
    assert [[one["id"] for one in request["subscriptions"]] for request in script.requests] == [
        ["q1", "q2"],
        ["q2"],
    ]


async def test_a_failed_live_query_raises_and_a_failing_stream_too() -> None:
    for query in ("q1", None):
        script = Script(
            Answer((error("not_ready", retryable=True), error("gone", retryable=False, query=query)))
        )
        async with serving(script) as client:
            with pytest.raises(ClientError, match="gone: why"):
                await anext(client.live_query("db", "t"))


async def test_changes_and_docs() -> None:
    script = Script(Answer((initial(1), ready(b"c1"), insert(2, b"c2"))))
    async with serving(script) as client:
        subscription = client.live_query("db", "t")
        assert [await anext(subscription) for _ in range(2)] == [
            Change("initial", {}, None, [{"id": 1}]),
            Change("insert", {"id": 2}, {"id": 2}, [{"id": 1}, {"id": 2}]),
        ]
        assert subscription.docs == [{"id": 1}, {"id": 2}]
        subscription.unsubscribe()
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)


async def test_callbacks() -> None:
    script = Script(
        Answer((initial(1, 2), ready(b"c1"), insert(3, b"c2")), "close"),
        Answer(
            (
                frame(b"reset", b'{"id":"q1","reason":"epoch_changed"}'),
                initial(1, 4),
                ready(b"c3"),
                error("gone", retryable=False),
            )
        ),
    )
    calls: list[Any] = []
    ended = asyncio.Event()

    def on_error(problem: ClientError) -> None:
        calls.append(problem.code)
        ended.set()

    async with serving(script) as client:
        subscription = client.live_query("db", "t").subscribe(
            lambda docs, kind, find, doc: calls.append((len(docs), kind, find, doc)), on_error
        )
        await ended.wait()
        await subscription.aclose()
    assert calls == [
        (2, "initial", {}, None),
        (3, "insert", {"id": 3}, {"id": 3}),
        (2, "reset", {}, None),
        (2, "delete", {"id": 2}, None),
        (2, "delete", {"id": 3}, None),
        (2, "insert", {"id": 4}, {"id": 4}),
        "gone",
    ]


async def test_unsubscribe_stops_the_callbacks() -> None:
    script = Script(Answer((initial(1), ready(b"c1"))))
    called = asyncio.Event()
    async with serving(script) as client:
        subscription = client.live_query("db", "t").subscribe(lambda *_: called.set())
        await called.wait()
        await subscription.aclose()
        assert subscription.docs == [{"id": 1}]


async def test_closing_the_client_ends_its_streams() -> None:
    script = Script(Answer((initial(1), ready(b"c1"))))
    async with serving(script) as client:
        subscription = client.live_query("db", "t")
        await anext(subscription)
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_the_delay_grows_from_what_the_server_asks_for() -> None:
    client = Client("p", "http://localhost", max_delay=30)
    assert all(0 <= client._delay(0, None, 0) <= 1 for _ in range(100))
    assert all(0 <= client._delay(0, 4_000, 0) <= 4 for _ in range(100))
    assert max(client._delay(2, 2_000, 0) for _ in range(200)) > 4
    assert all(client._delay(10_000, None, 0) <= 30 for _ in range(100))
    assert all(2 <= client._delay(0, None, 2) <= 3 for _ in range(100))


async def test_a_reset_is_seen_with_its_reason_on_a_stream() -> None:
    script = Script(
        Answer((frame(b"reset", b'{"id":"q1","reason":"truncated"}'), initial(), ready(b"c1", count=0)))
    )
    async with serving(script) as client, client.stream([LiveQuery("q1", "db", "t")]) as stream:
        frames = [await anext(stream) for _ in range(3)]
    assert frames == [Reset("q1", "truncated"), Initial("q1", []), Ready("q1", 0)]
