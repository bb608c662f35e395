"""The HTTP side over real sockets, on a memory log and a reader that answers from a table."""

import asyncio
import json
from urllib.parse import quote

import aiohttp
import pytest

from support.serving import BASE, frames, serving


async def test_a_stream_from_the_first_byte():
    async with serving() as server, aiohttp.ClientSession() as session:
        await server.world.commit(("c", None, {"id": 1, "done": False}))
        where = quote('{"done":false}')
        async with session.get(f"{server.url}{BASE}/pg/todos?where={where}") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert response.headers["Cache-Control"] == "private, no-cache, no-store, no-transform"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert (await response.content.readline()).startswith(b"retry: ")
            got = await frames(response, 2)
            assert [event for event, _, _ in got] == ["initial", "ready"]
            await server.world.commit(("d", {"id": 1, "done": False}, None))
            ((event, data, cursor),) = await frames(response, 1)
            assert (event, data["changes"]) == ("diff", [{"type": "delete", "find": {"id": 1}}])
        for where_to in ({"headers": {"Last-Event-ID": got[1][2]}}, {"params": {"cursor": got[1][2]}}):
            url = f"{server.url}{BASE}/pg/todos"
            where_to.setdefault("params", {})["where"] = '{"done":false}'
            async with session.get(url, **where_to) as response:
                assert [event for event, _, _ in await frames(response, 2)] == ["diff", "ready"]
        assert cursor is not None


async def test_heartbeats_carry_the_cursor():
    async with serving() as server, aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}{BASE}/pg/todos") as response:
            got = await frames(response, 4)
            assert [event for event, _, _ in got] == ["initial", "ready", "progress", "progress"]
            assert got[2][1] == {}
            assert got[2][2] == got[1][2]


async def test_many_on_one_stream():
    async with serving() as server, aiohttp.ClientSession() as session:
        await server.world.commit(("c", None, {"id": 1, "done": False}))
        subscriptions = [
            {"id": "all", "db": "pg", "col": "todos"},
            {"id": "open", "db": "pg", "col": "todos", "where": {"done": False}},
        ]
        async with session.post(f"{server.url}{BASE}", json={"subscriptions": subscriptions}) as response:
            got = await frames(response, 4)
            assert sorted((e, d["id"]) for e, d, _ in got) == [
                ("initial", "all"),
                ("initial", "open"),
                ("ready", "all"),
                ("ready", "open"),
            ]
            await server.world.commit(("u", {"id": 1, "done": False}, {"id": 1, "done": True}))
            first, second = await frames(response, 2)
            assert {first[1]["id"], second[1]["id"]} == {"all", "open"}
            assert first[2] is None  # the cursor comes with the transaction's last frame
            assert second[2] is not None
        text = json.dumps(subscriptions[:1])
        async with session.get(f"{server.url}{BASE}", params={"subscriptions": text}) as response:
            assert len(await frames(response, 2)) == 2


@pytest.mark.parametrize(
    ("path", "status", "code", "where"),
    [
        ("/v1/api/other/realtime/pg/todos", 404, "unknown_project", None),
        (f"{BASE}/mongo/todos", 404, "unknown_database", "$.db"),
        (f"{BASE}/pg/nothing", 404, "unknown_collection", "$.col"),
        (f"{BASE}/pg/plain", 400, "not_realtime", "$.col"),
        (f"{BASE}/pg/secrets", 403, "access_denied", None),
        (f"{BASE}/pg/silent", 403, "access_denied", None),
        (f"{BASE}/pg/todos?where=" + quote("{"), 400, "bad_request", "$.where"),
        (f"{BASE}/pg/todos?where=" + quote("[1]"), 400, "bad_where", "$.where"),
        (f"{BASE}/pg/todos?where=" + quote('{"$or":[{"a":{"$x":1}}]}'), 400, "unknown_operator", "$.where.$or[0].a.$x"),
        (f"{BASE}/pg/todos?where=" + quote('{"a":{"$gt":null}}'), 400, "bad_operand", "$.where.a.$gt"),
        (f"{BASE}/pg/todos?limit=ten", 400, "bad_limit", "$.limit"),
        (f"{BASE}/pg/todos?limit=10001", 400, "bad_limit", "$.limit"),
        (f"{BASE}/pg/todos?sort=-", 400, "bad_sort", "$.sort[0]"),
        (BASE, 400, "bad_request", "$.subscriptions"),
        ("/nowhere", 404, "bad_request", None),
    ],
)  # fmt: skip
async def test_refusals_are_json_and_say_where(path, status, code, where):
    async with (
        serving() as server,
        aiohttp.ClientSession() as session,
        session.get(server.url + path) as response,
    ):
        assert response.status == status
        error = (await response.json())["error"]
        assert (error["code"], error.get("path")) == (code, where)
        assert error["message"]


async def test_a_refused_subscription_among_many_names_its_place():
    subscriptions = [
        {"id": "a", "db": "pg", "col": "todos"},
        {"id": "b", "db": "pg", "col": "todos", "where": 3},
    ]
    async with serving() as server, aiohttp.ClientSession() as session:
        async with session.post(f"{server.url}{BASE}", json={"subscriptions": subscriptions}) as response:
            assert (await response.json())["error"]["path"] == "$.subscriptions[1].where"


async def test_too_much_is_refused():
    async with serving() as server, aiohttp.ClientSession() as session:
        async with session.post(f"{server.url}{BASE}", data=b" " * 3_000) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == "request_too_large"
        subscriptions = [{"id": str(i), "db": "pg", "col": "todos"} for i in range(4)]
        async with session.post(f"{server.url}{BASE}", json={"subscriptions": subscriptions}) as response:
            assert response.status == 429
            assert (await response.json())["error"]["code"] == "too_many_subscriptions"
        streams = [await session.get(f"{server.url}{BASE}/pg/todos") for _ in range(4)]
        async with session.get(f"{server.url}{BASE}/pg/todos") as response:
            assert response.status == 429
            assert response.headers["Retry-After"]
            assert (await response.json())["error"]["code"] == "too_many_connections"
        for stream in streams:
            stream.close()
        async with asyncio.timeout(5):
            while server.registry.get_sample_value("broadcaster_connections") != 0:
                await asyncio.sleep(0.005)


async def test_a_slow_reader_is_evicted_and_delays_nobody():
    async with serving() as server, aiohttp.ClientSession() as session:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        writer.write(f"GET {BASE}/pg/todos HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with session.get(f"{server.url}{BASE}/pg/todos", read_bufsize=1 << 26) as response:
            await frames(response, 2)
            async with asyncio.timeout(5):
                while server.registry.get_sample_value("broadcaster_connections") != 2:
                    await asyncio.sleep(0.005)
            text = "x" * 100_000
            evicted = "broadcaster_evictions_total", {"reason": "slow_reader"}
            number = 0
            async with asyncio.timeout(20):
                while server.registry.get_sample_value(*evicted) is None:
                    number += 1
                    await server.world.commit(("c", None, {"id": number, "text": text}))
                    await frames(response, 1)
            async with asyncio.timeout(5):
                while server.registry.get_sample_value("broadcaster_connections") != 1:
                    await asyncio.sleep(0.005)
        writer.close()
        assert reader is not None


async def test_a_slow_reader_that_wants_it_gets_the_newest_state():
    """Its buffers are full, one row changes again and again; what it reads then are few frames."""
    async with serving() as server:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        writer.write(f"GET {BASE}/pg/todos?coalesce=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(5):
            await reader.readuntil(b"event: ready")
        await server.world.commit(("c", None, {"id": 1, "text": ""}))
        before = {"id": 1, "text": ""}
        number = 0
        async with asyncio.timeout(20):
            while (server.registry.get_sample_value("broadcaster_deferred_total") or 0) < 50:
                number += 1
                after = {"id": 1, "text": f"{number:05}" * 4_000}
                await server.world.commit(("u", before, after))
                before = after
                await asyncio.sleep(0)
        last = f"{number:05}" * 4_000
        seen = b""
        async with asyncio.timeout(20):
            while last.encode() not in seen:
                seen = seen[-200_000:] + await reader.read(1 << 16)
        assert b'"transactions":' in seen
        assert (
            server.registry.get_sample_value("broadcaster_evictions_total", {"reason": "slow_reader"}) is None
        )
        writer.close()
        await writer.wait_closed()


async def test_shutdown_ends_streams_properly():
    async with serving() as server, aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}{BASE}/pg/todos") as response:
            await frames(response, 2)
            await server.runner.cleanup()
            assert await response.content.read() == b""


async def test_http_1_0_is_not_chunked():
    async with serving() as server:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {BASE}/pg/todos HTTP/1.0\r\n\r\n".encode())
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"chunked" not in head
            assert (await reader.readline()).startswith(b"retry: ")
            assert await reader.readline() == b"\n"
            assert await reader.readline() == b"event: initial\n"
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"garbage\r\n\r\n",
        b"GET /?where=" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01" + b"\0" * 60,
    ],
)
async def test_what_is_no_http_is_refused_without_a_traceback(request_bytes, caplog):
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(request_bytes)
        async with asyncio.timeout(5):
            assert (await reader.readline()).split(maxsplit=1)[1] == b"400 Bad Request\r\n"
        writer.close()
    assert not caplog.records


async def test_a_body_that_does_not_unpack_is_refused_without_a_traceback(caplog):
    async with serving() as server, aiohttp.ClientSession() as session:
        headers = {"Content-Encoding": "gzip"}
        async with session.post(f"{server.url}{BASE}", data=b"plain", headers=headers) as response:
            assert response.status == 400
            assert (await response.json())["error"]["code"] == "bad_request"
    assert not caplog.records


async def test_head_is_not_a_stream():
    async with serving() as server, aiohttp.ClientSession() as session:
        async with session.head(f"{server.url}{BASE}/pg/todos") as response:
            assert response.status == 405


async def test_cors():
    async with serving() as server, aiohttp.ClientSession() as session:
        url = f"{server.url}{BASE}/pg/todos"
        ours = {"Origin": "https://app.example.com"}
        async with session.options(url, headers=ours) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == ours["Origin"]
        async with session.get(url, headers=ours) as response:
            assert response.headers["Access-Control-Allow-Origin"] == ours["Origin"]
        async with session.get(url, headers={"Origin": "https://evil.example.com"}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
        async with session.get(f"{server.url}{BASE}/pg/secrets", headers=ours) as response:
            assert response.headers["Access-Control-Allow-Origin"] == ours["Origin"]


@pytest.mark.parametrize("ready", [True, False])
async def test_health(ready):
    async with serving(ready) as server, aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/healthz") as response:
            assert response.status == 200
        async with session.get(f"{server.url}/readyz") as response:
            assert response.status == (200 if ready else 503)
        async with session.get(f"{server.url}/metrics") as response:
            assert "broadcaster_connections 0.0" in await response.text()
        async with session.get(f"{server.url}/v1/openapi.json") as response:
            assert "/v1/api/todo-app/realtime" in (await response.json())["paths"]


async def test_new_clients_are_refused_while_many_wait_to_be_read_and_those_with_a_cursor_are_not():
    async with serving() as server, aiohttp.ClientSession() as session:
        url = server.url + BASE + "/pg/todos"
        await server.world.commit(("c", None, {"id": 1}))
        async with session.get(url) as response:
            cursor = (await frames(response, 2))[-1][2]
        go_on = asyncio.Event()
        server.world.reader.before_answer = go_on.wait
        joining = server.world.hub._joins["pg"]
        others = [server.world.connect(q={"id": {"$gt": number}}) for number in range(1005)]
        async with asyncio.timeout(5):
            while joining.waiting < 1000:
                await asyncio.sleep(0.001)
        async with session.get(url) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
            assert (await response.json())["error"]["code"] == "overloaded"
        async with session.get(url, headers={"Last-Event-ID": cursor}) as response:
            assert (await frames(response, 1))[0][1]["resumed"]
        go_on.set()
        for client in others:
            client.close()
