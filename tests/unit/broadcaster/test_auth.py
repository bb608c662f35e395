"""Tokens over real sockets: what is accepted, what is refused, when it ends."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import yaml
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from prometheus_client import CollectorRegistry

from broadcaster import auth
from broadcaster.access import Access
from broadcaster.app import App
from broadcaster.checks import Checks
from broadcaster.client import Client
from broadcaster.identity import Identity
from broadcaster.metrics import Metrics
from cdc.config_parse import parse
from cdc.errors import ConfigError
from support.hub_world import World

SECRET = "0123456789abcdef0123456789abcdef"
BASE = "/v1/api/todo-app/realtime"
ORIGIN = "https://app.example.com"
OWNER = {"rule": "match", "eval": "==", "type": "string", "f1": "args.auth.sub", "f2": "args.doc.owner"}
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "PS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(private: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def token(key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **claims: Any) -> str:
    given = {"sub": "u1", "exp": time.time() + 60} | claims
    payload = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(payload, key, algorithm, headers)


class Site:
    def __init__(self, url: str, session: aiohttp.ClientSession, world: World) -> None:
        self.url = url
        self.session = session
        self.world = world

    def get(self, *, params: Mapping[str, str] | None = None, **headers: str) -> Any:
        return self.session.get(
            f"{self.url}{BASE}/pg/todos",
            params=params,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    async def status(self, *, params: Mapping[str, str] | None = None, **headers: str) -> tuple[int, str]:
        """(status, error code or "")."""
        async with self.get(params=params, **headers) as response:
            if response.status == 200:
                return 200, ""
            return response.status, (await response.json())["error"]["code"]

    async def with_token(self, text: str) -> tuple[int, str]:
        return await self.status(Authorization=f"Bearer {text}")


@asynccontextmanager
async def site(read: Any = None, **top: Any) -> AsyncIterator[Site]:
    given = {
        "id": "todo-app",
        "modules": {
            "realtime": {"cors": {"origins": [ORIGIN]}, "heartbeat": "200ms", "recheck": "200ms"},
            "crud": {
                "pg": {
                    "conn": "postgresql://u@h/d",
                    "collections": {
                        "todos": {
                            "isRealtimeEnabled": True,
                            "rules": {"read": read or {"rule": "authenticated"}},
                        }
                    },
                }
            },
        },
        **(top or {"secret": SECRET}),
    }
    async with World() as world:
        registry = CollectorRegistry()
        app = App(
            parse(json.dumps(given), {}), world.hub, Metrics(registry), registry, lambda: {"ready": True}
        )
        runner = app.runner(app.web_app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                yield Site(f"http://127.0.0.1:{runner.addresses[0][1]}", session, world)
        finally:
            await runner.cleanup()


async def events(response: aiohttp.ClientResponse) -> list[tuple[str, Any]]:
    """All (event, data) until the server closes the stream."""
    found = []
    async with asyncio.timeout(5):
        kind = ""
        async for raw in response.content:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                found.append((kind, json.loads(value)))
    return found


async def test_tokens_with_a_secret() -> None:
    async with site() as here:
        assert await here.with_token(token()) == (200, "")
        assert await here.status() == (401, "unauthenticated")
        assert await here.with_token(token(exp=time.time() - 1)) == (401, "token_expired")
        assert await here.with_token(token(nbf=time.time() + 60)) == (401, "unauthenticated")
        other = "x" * 32
        forged = token().rpartition(".")[0] + ".AAAA"
        none = jwt.encode({"sub": "u1", "exp": time.time() + 60}, None, "none")
        bad = [
            token(other),
            token(exp=None),
            token(SECRET * 2, algorithm="HS512"),
            forged,
            none,
            "a.b.c",
            "é",
            "x" * 20_000,
        ]
        for text in bad:
            assert await here.with_token(text) in ((401, "unauthenticated"), (400, "bad_request")), text[:40]
        for header in ("Bearer", "Bearer ", "Basic dTpw", token()):
            assert await here.status(Authorization=header) == (401, "unauthenticated"), header


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_public_keys(algorithm: str) -> None:
    key = PRIVATE[algorithm]
    async with site(auth={"algorithm": algorithm, "publicKey": pem(key)}) as here:
        assert await here.with_token(token(key, algorithm)) == (200, "")
        for other, theirs in PRIVATE.items():
            if other != algorithm:
                assert await here.with_token(token(theirs, other)) == (401, "unauthenticated")
        assert await here.with_token(_signed_with(pem(key))) == (401, "unauthenticated")


async def test_a_key_that_is_none_is_told_at_the_start() -> None:
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = PRIVATE["RS256"].private_bytes(serialization.Encoding.PEM, *form).decode()
    for algorithm, key in (("RS256", private), ("RS256", pem(PRIVATE["ES256"])), ("ES256", "nonsense")):
        with pytest.raises(ConfigError) as told:
            async with site(auth={"algorithm": algorithm, "publicKey": key}):
                pass
        assert "auth.publicKey" in str(told.value)
        assert "MII" not in str(told.value)


def _signed_with(public: str) -> str:
    """The classic: HS256 with the public key as the secret."""
    import base64
    import hashlib
    import hmac

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    text = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"sub": "u1", "exp": time.time() + 60})
    signature = hmac.new(public.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def test_issuer_audience_and_leeway() -> None:
    async with site(secret=SECRET, auth={"issuer": "me", "audience": "app", "leeway": "30s"}) as here:
        good = {"iss": "me", "aud": ["app", "other"]}
        assert await here.with_token(token(**good)) == (200, "")
        assert await here.with_token(token(**good, exp=time.time() - 5)) == (200, "")
        for claims in ({"iss": "me"}, {"aud": "app"}, good | {"iss": "you"}, good | {"aud": "x"}):
            assert await here.with_token(token(**claims)) == (401, "unauthenticated")


async def test_keys_at_a_url_rotate() -> None:
    served: dict[str, Any] = {"keys": [], "asked": 0}

    async def keys(request: web.Request) -> web.StreamResponse:
        served["asked"] += 1
        if served["keys"] is None:
            return web.Response(status=500)
        response = web.StreamResponse()
        await response.prepare(request)
        for part in json.dumps({"keys": served["keys"]}).partition("kty"):
            await response.write(part.encode())
            await asyncio.sleep(0.02)
        return response

    def public(name: str, algorithm: str = "RS256") -> dict[str, Any]:
        made = jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE[algorithm].public_key(), as_dict=True)
        return made | {"kid": name, "use": "sig", "alg": "RS256"}

    def private(name: str) -> dict[str, Any]:
        return jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE["RS256"], as_dict=True) | {"kid": name}

    app = web.Application()
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with site(auth={"jwks": f"http://127.0.0.1:{runner.addresses[0][1]}/keys"}) as here:
            first = token(PRIVATE["RS256"], "RS256", {"kid": "a"})
            second = token(PRIVATE["PS256"], "RS256", {"kid": "b"})
            served["keys"] = None
            assert await here.with_token(first) == (503, "keys_unavailable")
            for nonsense in ([public("a") | {"kid": ["a"]}], [private("a")], [public("a") | {"use": "enc"}]):
                served["keys"] = nonsense
                await asyncio.sleep(1.1)  # it does not ask at once again
                assert await here.with_token(first) == (503, "keys_unavailable")
            served["keys"] = [public("a")]
            await asyncio.sleep(1.1)
            assert await here.with_token(first) == (200, "")
            assert served["asked"] == 5
            assert await here.with_token(second) == (401, "unauthenticated")
            served["keys"] = None
            for _ in range(20):
                assert await here.with_token(first) == (200, "")
                assert await here.with_token(token(PRIVATE["PS256"], "RS256", {"kid": "z"})) == (
                    401,
                    "unauthenticated",
                )
            assert served["asked"] <= 6
    finally:
        await runner.cleanup()


async def test_known_keys_do_not_wait_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(auth, "_REFETCH_SECONDS", 0.0)
    monkeypatch.setattr(auth, "_FETCH_SECONDS", 60.0)
    made = jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE["RS256"].public_key(), as_dict=True)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def keys(_: web.Request) -> web.Response:
        if asked.is_set():
            await answer.wait()
        asked.set()
        return web.json_response({"keys": [made | {"kid": "a"}]})

    app = web.Application()
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with (
            site(auth={"jwks": f"http://127.0.0.1:{runner.addresses[0][1]}/keys"}) as here,
            asyncio.timeout(20),
        ):
            for _ in range(3):
                text = token(PRIVATE["RS256"], "RS256", {"kid": "a"})
                assert await here.with_token(text) == (200, "")
    finally:
        answer.set()
        await runner.cleanup()


async def test_a_connection_ends_with_its_token() -> None:
    async with site() as here:
        async with here.get(Authorization=f"Bearer {token(exp=time.time() + 1.5)}") as response:
            got = await events(response)
        assert got[0][0] == "initial"
        assert (got[-1][0], got[-1][1]["code"]) == ("error", "token_expired")


async def test_the_python_client_renews_its_token() -> None:
    given = []

    async def fresh() -> str:
        given.append(token(exp=time.time() + 1.5))
        return given[-1]

    async with site() as here, Client("todo-app", here.url, token=fresh, max_delay=0.05) as client:
        query = client.live_query("pg", "todos")
        async with asyncio.timeout(20):
            assert (await anext(query)).type == "initial"
            waiting = asyncio.ensure_future(anext(query))
            while len(given) < 3:
                await asyncio.sleep(0.05)
            await here.world.commit(("c", None, {"id": 1}))
            assert (await waiting).doc == {"id": 1}
        query.unsubscribe()


async def test_tickets_are_good_once() -> None:
    async with site() as here:
        url = f"{here.url}{BASE}/ticket"
        async with here.session.post(url) as response:
            assert response.status == 401
        async with here.session.post(url, headers={"Authorization": f"Bearer {token()}"}) as response:
            body = await response.json()
            assert (response.headers["Cache-Control"], body["expiresIn"]) == ("no-store", 30)
        assert await here.status(params={"ticket": body["ticket"]}) == (200, "")
        for ticket in (body["ticket"], "", "guess"):
            assert await here.status(params={"ticket": ticket}) == (401, "unauthenticated")


async def test_one_client_does_not_take_the_room_of_others_tickets() -> None:
    async with site() as here:
        url = f"{here.url}{BASE}/ticket"
        mine, theirs = ({"Authorization": f"Bearer {token(sub=name)}"} for name in ("u1", "u2"))
        taken = []
        for headers in (*[mine] * 101, theirs):
            async with here.session.post(url, headers=headers) as response:
                ticket = (await response.json())["ticket"]
            taken.append(await here.status(params={"ticket": ticket}))
        assert taken == [(200, "")] * 100 + [(503, "overloaded"), (200, "")]


async def test_a_token_in_the_url_only_where_that_is_allowed() -> None:
    async with site() as here:
        assert await here.status(params={"token": token()}) == (401, "unauthenticated")
    async with site(secret=SECRET, auth={"allowQueryToken": True}) as here:
        assert await here.status(params={"token": token()}) == (200, "")


async def test_cookies_are_taken_from_pages_of_ours_only() -> None:
    async with site(secret=SECRET, auth={"cookie": "session"}) as here:
        cookie = f"session={token()}"
        own = here.url.replace("http", "https", 1)
        for headers in ({}, {"Origin": ORIGIN}, {"Origin": own}, {"Sec_Fetch_Site": "same-origin"}):
            assert await here.status(Cookie=cookie, **headers) == (200, ""), headers
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec_Fetch_Site": "cross-site"},
        ):
            assert await here.status(Cookie=cookie, **headers) == (403, "access_denied"), headers
        async with here.get(Cookie=cookie, Origin=ORIGIN) as response:
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert await here.status(Cookie="session=nonsense") == (401, "unauthenticated")
    async with site() as here:
        assert await here.status(Cookie=f"session={token()}") == (401, "unauthenticated")


async def test_nobody_sees_what_is_not_theirs() -> None:
    """Two owners on equal queries, a row that changes hands, a delete, and a cursor that is passed on."""
    async with site(OWNER) as here:
        await here.world.commit(("c", None, {"id": 1, "owner": "u1"}), ("c", None, {"id": 2, "owner": "u2"}))
        mine, theirs = token(exp=time.time() + 2), token(sub="u2", exp=time.time() + 2)
        async with (
            here.get(Authorization=f"Bearer {mine}") as first,
            here.get(Authorization=f"Bearer {theirs}") as second,
        ):
            await asyncio.sleep(0.3)
            one, two = {"id": 1, "owner": "u1"}, {"id": 1, "owner": "u2"}
            await here.world.commit(("u", one, two))
            await here.world.commit(("d", two, None))
            seen, other = await events(first), await events(second)
        initial = [data["docs"] for kind, data in seen if kind == "initial"]
        assert initial == [[one]]
        changes = [data["changes"] for kind, data in seen if kind == "diff"]
        assert changes == [[{"type": "delete", "find": {"id": 1}}]]
        assert [data["docs"] for kind, data in other if kind == "initial"] == [[{"id": 2, "owner": "u2"}]]
        assert [data["changes"][0]["type"] for kind, data in other if kind == "diff"] == ["insert", "delete"]


async def test_hidden_fields_are_shown_to_nobody_who_may_not_see_them() -> None:
    """Equal queries of two clients, of whom one may see the salary."""
    admin = {"rule": "match", "eval": "!=", "type": "string", "f1": "args.auth.role", "f2": "admin"}
    rule = {"rule": "remove", "fields": ["salary"], "clause": admin}
    async with site(rule) as here:
        rich, poor = {"id": 1, "salary": 90, "n": 1}, {"id": 1, "salary": 10, "n": 1}
        await here.world.commit(("c", None, rich))
        clerk, boss = token(role="clerk", exp=time.time() + 2), token(role="admin", exp=time.time() + 2)
        async with (
            here.get(Authorization=f"Bearer {clerk}") as first,
            here.get(Authorization=f"Bearer {boss}") as second,
        ):
            await asyncio.sleep(0.3)
            await here.world.commit(("u", rich, poor))
            await here.world.commit(("u", poor, poor | {"n": 2}))
            seen, all_of_it = await events(first), await events(second)
        assert "salary" not in json.dumps(seen)
        assert [data["docs"] for kind, data in seen if kind == "initial"] == [[{"id": 1, "n": 1}]]
        assert [data["changes"][0]["doc"] for kind, data in seen if kind == "diff"] == [{"id": 1, "n": 2}]
        assert [data["changes"][0]["doc"] for kind, data in all_of_it if kind == "diff"] == [
            poor,
            poor | {"n": 2},
        ]
        for where in ('{"salary":{"$gt":50}}', '{"$or":[{"n":1},{"salary.x":1}]}'):
            assert await here.status(params={"where": where}, Authorization=f"Bearer {clerk}") in (
                (403, "access_denied"),
                (401, "token_expired"),
            )
        fresh = token(role="clerk")
        asked = {"where": '{"$not":{"salary":{"$gt":50}}}'}
        assert await here.status(params=asked, Authorization=f"Bearer {fresh}") == (403, "access_denied")
        for sort in ("salary", "n,-salary.x"):
            asked = {"sort": sort, "limit": "5"}
            assert await here.status(params=asked, Authorization=f"Bearer {fresh}") == (403, "access_denied")


async def test_nobody_sorts_by_what_is_forced() -> None:
    rule = {"rule": "force", "field": "rating", "value": "hidden"}
    async with site(rule) as here:
        given = {"Authorization": f"Bearer {token()}"}
        assert await here.status(params={"sort": "rating.x"}, **given) == (403, "access_denied")
        assert await here.status(params={"sort": "n"}, **given) == (200, "")


async def test_a_rule_that_asks_the_database_is_asked_again() -> None:
    rule = {"rule": "query", "db": "pg", "col": "todos", "find": {"member": "args.auth.sub"}}
    async with site(rule) as here:
        assert await here.with_token(token()) == (403, "access_denied")
        await here.world.commit(("c", None, {"id": 1, "member": "u1"}))
        assert await here.with_token(token(sub="u2")) == (403, "access_denied")
        async with here.get(Authorization=f"Bearer {token()}") as response:
            assert response.status == 200
            await asyncio.sleep(0.4)
            await here.world.commit(("d", {"id": 1, "member": "u1"}, None))
            got = await events(response)
        assert (got[-1][0], got[-1][1]["code"]) == ("error", "access_denied")


async def test_a_webhook_decides() -> None:
    asked: list[Any] = []

    async def hook(request: web.Request) -> web.Response:
        asked.append(await request.json())
        status = {"u1": 204, "u2": 403, "u3": 302, "u4": 502}[asked[-1]["auth"]["sub"]]
        return web.Response(status=status, headers={"Location": "/yes"})

    async def yes(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    app.router.add_get("/yes", yes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        async with site({"rule": "webhook", "url": url}) as here:
            assert await here.with_token(token()) == (200, "")
            assert await here.with_token(token(sub="u2")) == (403, "access_denied")
            assert await here.with_token(token(sub="u3")) == (403, "access_denied")
            assert await here.with_token(token(sub="u4")) == (503, "rules_unavailable")
            assert await here.status() == (401, "unauthenticated")
            assert {key: asked[0][key] for key in ("project", "db", "col", "op", "find")} == {
                "project": "todo-app",
                "db": "pg",
                "col": "todos",
                "op": "read",
                "find": {},
            }
            async with here.get(Authorization=f"Bearer {token()}") as response:
                await runner.cleanup()
                assert await here.with_token(token()) == (503, "rules_unavailable")
                assert (await events(response))[-1][1]["code"] == "rules_unavailable"
    finally:
        await runner.cleanup()


async def test_what_is_hidden_stays_so_while_nobody_can_say_otherwise() -> None:
    """A `remove` whose clause asks a service that is down, or speaks of a condition that the client left out."""
    down = {"rule": "webhook", "url": "http://127.0.0.1:9/"}
    asked = {"rule": "query", "db": "pg", "col": "todos", "find": {"team": "args.find.team"}}
    for clause in (down, asked):
        async with site({"rule": "remove", "fields": ["salary"], "clause": clause}) as here:
            await here.world.commit(("c", None, {"id": 1, "salary": 90}))
            bearer = f"Bearer {token(exp=time.time() + 1.5)}"
            async with here.get(Authorization=bearer) as response:
                got = await events(response)
            assert [data["docs"] for kind, data in got if kind == "initial"] == [[{"id": 1}]]
            where = '{"salary":{"$gt":50}}'
            assert await here.status(params={"where": where}, Authorization=f"Bearer {token()}") == (
                403,
                "access_denied",
            )


async def test_an_element_by_number_leads_to_nothing_hidden() -> None:
    rule = {"rule": "remove", "fields": ["cards.number"]}
    async with site(rule) as here:
        for path in ("cards.0.number", "cards.0", "cards", "cards.0.0.number", "cards.number.0"):
            asked = {"where": json.dumps({path: {"$gt": "4"}})}
            assert await here.status(params=asked, Authorization=f"Bearer {token()}") == (
                403,
                "access_denied",
            ), path


async def test_a_claim_that_is_null_finds_nobody() -> None:
    """Else a row of the other collection without the field would let everybody in who has no name."""
    rule = {"rule": "query", "db": "pg", "col": "todos", "find": {"member": "args.auth.userId"}}
    async with site(rule) as here:
        await here.world.commit(("c", None, {"id": 1, "note": "no member"}))
        bearer = jwt.encode({"userId": None, "exp": time.time() + 60}, SECRET, "HS256")
        assert await here.with_token(bearer) == (403, "access_denied")


async def test_rules_that_cannot_be_asked_again_end_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = {"rule": "query", "db": "pg", "col": "todos", "find": {"member": "args.auth.sub"}}
    async with site(rule) as here:
        await here.world.commit(("c", None, {"id": 1, "member": "u1"}))
        async with here.get(Authorization=f"Bearer {token()}") as response:
            assert response.status == 200

            async def broken(*_: object) -> bool:
                raise KeyError("a fault of ours")

            monkeypatch.setattr(Checks, "answers", broken)
            assert (await events(response))[-1][1]["code"] == "internal"


async def test_strangers_are_refused_before_their_conditions_are_read() -> None:
    async with site(OWNER) as here:
        asked = {"where": '{"$nonsense":1}'}
        assert await here.status(params=asked) == (401, "unauthenticated")
        assert await here.status(params=asked, Authorization=f"Bearer {token()}") == (400, "unknown_operator")


async def test_a_client_that_goes_while_it_is_judged_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identify, grant = Access.identify, Access.grant
    requests: list[web.Request] = []

    async def identified(access: Access, request: web.Request) -> Identity | None:
        requests.append(request)
        return await identify(access, request)

    async def granted(access: Access, *given: Any) -> Any:
        found = await grant(access, *given)
        assert requests[-1].transport is not None
        requests[-1].transport.close()
        return found

    monkeypatch.setattr(Access, "identify", identified)
    monkeypatch.setattr(Access, "grant", granted)
    async with site() as here:
        with pytest.raises(aiohttp.ClientError):
            await here.with_token(token())
        monkeypatch.undo()
        assert await here.with_token(token()) == (200, "")
    assert not [record for record in caplog.records if record.exc_info]


async def test_the_rules_of_the_documentation() -> None:
    """Its example; and the `query` of its table, which lets nobody ask for another team than theirs."""
    page = (Path(__file__).parents[3] / "broadcaster" / "docs" / "rules.md").read_text(encoding="utf-8")
    block = page.partition("```yaml rules")[2].partition("```")[0]
    async with site(yaml.safe_load(block)["rules"]["read"]) as here:
        rows = [{"id": 1, "owner": "u1"}, {"id": 2, "owner": "u2"}]
        await here.world.commit(*[("c", None, row) for row in rows])
        for claims, seen in (({}, rows[:1]), ({"role": "admin"}, rows), ({"sub": "u3"}, [])):
            bearer = f"Bearer {token(exp=time.time() + 1.2, **claims)}"
            async with here.get(Authorization=bearer) as response:
                got = await events(response)
            assert [data["docs"] for kind, data in got if kind == "initial"] == [seen]
    example = re.search(r"`(\{rule: query.*?\}\})`", page)
    assert example is not None
    rule = yaml.safe_load(example[1]) | {"db": "pg", "col": "todos"}
    async with site(rule) as here:
        await here.world.commit(("c", None, {"id": 1, "user": "u1", "team": "a"}))
        for where, status in (
            ({"team": "a"}, 200),
            ({"team": "b"}, 403),
            ({}, 403),
            ({"team": None}, 403),
            ({"$or": [{"team": "a"}, {"team": "b"}]}, 403),
            ({"team": {"$in": ["a", "b"]}}, 403),
            ({"team": "a", "$or": [{"team": "b"}, {"id": 1}]}, 200),
        ):
            asked = {"where": json.dumps(where)}
            assert (await here.status(params=asked, Authorization=f"Bearer {token()}"))[0] == status, where


async def test_claims_beyond_all_numbers() -> None:
    async with site() as here:
        for exp in (10**400, float("inf"), float("nan")):
            assert await here.with_token(token(exp=exp)) == (401, "unauthenticated")


async def test_a_cursor_grants_nothing() -> None:
    async with site(OWNER) as here:
        await here.world.commit(("c", None, {"id": 1, "owner": "u1"}))
        async with here.get(Authorization=f"Bearer {token()}") as response:
            cursor = ""
            async for raw in response.content:
                if raw.startswith(b"id: "):
                    cursor = raw.decode()[4:].strip()
                    break
        await here.world.commit(("u", {"id": 1, "owner": "u1"}, {"id": 1, "owner": "u1", "x": 1}))
        stranger = token(sub="u3", exp=time.time() + 1.5)
        async with here.get(Authorization=f"Bearer {stranger}", Last_Event_ID=cursor) as response:
            got = await events(response)
        assert [kind for kind, _ in got if kind != "progress"] == ["reset", "initial", "ready", "error"]
        assert [data["docs"] for kind, data in got if kind == "initial"] == [[]]


async def test_nobody_aggregates_what_is_hidden_or_forced() -> None:
    hidden = {"rule": "remove", "fields": ["salary", "home.street"]}
    forced = {"rule": "force", "field": "rating", "value": "none"}
    async with site({"rule": "and", "clauses": [hidden, forced]}) as here:
        bearer = f"Bearer {token()}"
        for function in ("count", "sum", "avg", "min", "max"):
            for path in ("salary", "salary.x", "home", "home.street", "home.0.street", "rating"):
                asked = {"aggregate": json.dumps({"x": {function: path}})}
                assert await here.status(params=asked, Authorization=bearer) == (403, "access_denied"), path
        for path in ("salary", "home", "rating"):
            asked = {"aggregate": '{"n":{"count":true}}', "groupBy": path}
            assert await here.status(params=asked, Authorization=bearer) == (403, "access_denied"), path
        asked = {"aggregate": '{"n":{"count":true}}', "groupBy": "home.town"}
        assert await here.status(params=asked, Authorization=bearer) == (200, "")


async def test_rows_of_others_do_not_count() -> None:
    async with site(OWNER) as here:
        await here.world.commit(("c", None, {"id": 1, "owner": "u1"}), ("c", None, {"id": 2, "owner": "u2"}))
        asked = {"params": {"aggregate": '{"n":{"count":true},"last":{"max":"id"}}'}}
        mine, theirs = token(exp=time.time() + 2), token(sub="u2", exp=time.time() + 2)
        async with (
            here.get(**asked, Authorization=f"Bearer {mine}") as first,
            here.get(**asked, Authorization=f"Bearer {theirs}") as second,
        ):
            await asyncio.sleep(0.3)
            await here.world.commit(
                ("u", {"id": 1, "owner": "u1"}, {"id": 1, "owner": "u2"}),
                ("c", None, {"id": 3, "owner": "u2"}),
            )
            seen, other = await events(first), await events(second)
        assert [data["docs"] for kind, data in seen if kind == "initial"] == [[{"n": 1, "last": 1}]]
        assert [data["docs"] for kind, data in other if kind == "initial"] == [[{"n": 1, "last": 2}]]
        assert [data["changes"][0]["doc"] for kind, data in seen if kind == "diff"] == [
            {"n": 0, "last": None}
        ]
        assert [data["changes"][0]["doc"] for kind, data in other if kind == "diff"] == [{"n": 3, "last": 3}]
