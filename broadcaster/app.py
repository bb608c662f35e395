"""The broadcaster's HTTP side: the SSE streams, health, metrics."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from broadcaster import request as requests
from broadcaster.access import Access
from broadcaster.admission import Admission
from broadcaster.assets import add_assets
from broadcaster.errors import RequestError
from broadcaster.hub import Hub
from broadcaster.identity import Identity
from broadcaster.metrics import Metrics
from broadcaster.openapi import openapi
from broadcaster.predicate import Node
from broadcaster.siblings import Siblings
from broadcaster.sse import Cursor, parse_cursor
from broadcaster.streams import Streams
from broadcaster.tickets import TICKET_SECONDS
from broadcaster.view import View
from broadcaster.worker import Worker
from cdc.config import Config

log = logging.getLogger(__name__)

_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(
    lambda record: (
        not (
            record.exc_info and isinstance(record.exc_info[1], (HttpProcessingError, web.RequestPayloadError))
        )
    )
)

_MAX_LINE_BYTES = 64 * 1024
_RETRY_AFTER_SECONDS = "2"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class App:
    """The routes. `readiness` gives the report of /readyz, whose key `ready` decides the status; worker:
    which one this is, of several. `siblings`: the others, None where there is one process alone."""

    def __init__(
        self,
        config: Config,
        hub: Hub,
        metrics: Metrics,
        registry: CollectorRegistry,
        readiness: Callable[[], Mapping[str, Any]],
        worker: Worker | None = None,
    ) -> None:
        self._config = config
        self._hub = hub
        self._metrics = metrics
        self._registry = registry
        self._readiness = readiness
        self._limits = config.realtime.limits
        self._admission = Admission(self._limits)
        self.access = Access(config, hub.feeds, hub.found, worker)
        self._streams = Streams(hub, self.access, metrics, config.realtime)
        self._closing = False
        self.siblings = None if worker is None else Siblings(worker, self._exposition, readiness)

    def web_app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._middleware], client_max_size=self._limits.request_bytes)
        stream = "/v1/api/{project}/realtime"
        app.router.add_get(stream + "/{database}/{collection}", self._get_one, allow_head=False)
        app.router.add_get(stream, self._get_many, allow_head=False)
        app.router.add_post(stream, self._post_many)
        app.router.add_post(stream + "/ticket", self._post_ticket)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/v1/openapi.json", self._openapi)
        add_assets(app, {f"/{name}": name for name in ("livetail.js", "livetail.d.ts")}, everywhere=True)
        app.on_shutdown.append(self._shutdown)
        app.on_cleanup.append(lambda _: self.access.close())
        return app

    def runner(self, app: web.Application) -> web.AppRunner:
        """The application's runner, with the limits that aiohttp itself enforces. What is no HTTP is refused, and not
        worth a traceback that shows what was sent."""
        return web.AppRunner(
            app,
            access_log=None,
            logger=_http_log,
            handler_cancellation=True,
            shutdown_timeout=2,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
        )

    # -- streams ----------------------------------------------------------------------------------------------

    async def _get_one(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        wanted = requests.single(info["database"], info["collection"], request.query)
        coalesce = requests.coalesces(request.query)
        return await self._stream(request, [wanted], request.query.get("cursor"), coalesce)

    async def _get_many(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("subscriptions")
        if text is None:
            raise RequestError("bad_request", "is missing: a JSON list of subscriptions", "$.subscriptions")
        wanted, cursor, coalesce = requests.many(text, "$.subscriptions")
        coalesce = coalesce or requests.coalesces(request.query)
        return await self._stream(request, wanted, request.query.get("cursor", cursor), coalesce)

    async def _post_many(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.RequestPayloadError:
            raise RequestError("bad_request", "the body is not in its Content-Encoding") from None
        return await self._stream(request, *requests.many(body))

    async def _post_ticket(self, request: web.Request) -> web.Response:
        """For an EventSource, which can send no header."""
        ticket = self.access.ticket(await self.access.identify(request))
        return web.json_response(
            {"ticket": ticket, "expiresIn": TICKET_SECONDS}, headers={"Cache-Control": "no-store"}
        )

    async def _stream(
        self,
        request: web.Request,
        wanted: list[requests.Wanted],
        cursor_given: str | None,
        coalesce: bool,
    ) -> web.StreamResponse:
        limits = self._limits
        if self._closing:
            raise RequestError("shutting_down", "the server is about to stop; reconnect")
        self._admission.check()
        if request.match_info["project"] != self._config.id:
            raise RequestError("unknown_project", f"no project {request.match_info['project']!r} here")
        if len(wanted) > limits.subscriptions_per_connection:
            raise RequestError(
                "too_many_subscriptions",
                f"at most {limits.subscriptions_per_connection} on one stream (subscriptionsPerConnection)",
            )
        identity = await self.access.identify(request)
        with self._admission.admitted(None if identity is None else identity.claims, len(wanted)) as admitted:
            granted = [await self._grant(one, identity) for one in wanted]
            text = request.headers.get("Last-Event-ID") or cursor_given
            if not text:
                self._hub.check_room({one.database for one in wanted})
            return await self._streams.open(
                request,
                list(zip(wanted, granted, strict=True)),
                (parse_cursor(text) or Cursor()) if text else None,
                identity,
                admitted,
                coalesce=coalesce,
                headers=self._cors(request),
            )

    async def _grant(self, one: requests.Wanted, identity: Identity | None) -> tuple[Node, View]:
        """As `Access.grant`. Of several live queries, the error's path tells which one is refused."""
        try:
            return await self.access.grant(one, identity)
        except RequestError as error:
            if error.path is None and one.path != "$":
                error.path = one.path
            raise

    async def _shutdown(self, _: web.Application) -> None:
        self._closing = True
        await self._streams.close()

    # -- the rest ---------------------------------------------------------------------------------------------

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        report = self._readiness() if self.siblings is None else await self.siblings.readiness()
        return web.json_response(report, status=200 if report["ready"] else 503)

    async def _get_metrics(self, _: web.Request) -> web.Response:
        body = self._exposition() if self.siblings is None else await self.siblings.metrics()
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    def _exposition(self) -> bytes:
        """The metrics of this process, as text."""
        connections = self._streams.connections
        self._metrics.ready.set(self._readiness()["ready"])
        self._metrics.outbox_bytes.set(sum(connection.outbox.unsent for connection in connections))
        subscriptions = [s for connection in connections for s in connection.subscriptions.values()]
        indexed = sum(subscription.live_query.is_indexed for subscription in subscriptions)
        self._metrics.subscriptions.labels("true").set(indexed)
        self._metrics.subscriptions.labels("false").set(len(subscriptions) - indexed)
        return generate_latest(self._registry)

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(openapi(self._config.id))

    def _cors(self, request: web.Request) -> dict[str, str]:
        origin = request.headers.get(hdrs.ORIGIN)
        allowed = self._config.realtime.cors_origins
        if origin is None or not ("*" in allowed or origin in allowed):
            return {}
        headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if origin in allowed and self.access.takes_cookies:
            headers["Access-Control-Allow-Credentials"] = "true"
        return headers

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """CORS, and every refusal as JSON."""
        if request.method == hdrs.METH_OPTIONS and hdrs.ORIGIN in request.headers:
            return web.Response(
                status=204,
                headers=self._cors(request)
                | {
                    "Access-Control-Allow-Methods": "GET, POST",
                    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
                    "Access-Control-Max-Age": "600",
                },
            )
        try:
            response = await handler(request)
        except RequestError as error:
            return self._refusal(request, error)
        except web.HTTPRequestEntityTooLarge:
            return self._refusal(
                request,
                RequestError(
                    "request_too_large", f"at most {self._limits.request_bytes} bytes (requestBytes)"
                ),
            )
        except web.HTTPException as error:
            body = {"error": {"code": "bad_request", "message": f"{error.reason}: {request.path}"}}
            return web.json_response(body, status=error.status, headers=self._cors(request))
        if not response.prepared:
            response.headers.update(self._cors(request))
        return response

    def _refusal(self, request: web.Request, error: RequestError) -> web.Response:
        self._metrics.rejections.labels(error.code).inc()
        headers = self._cors(request)
        if error.retryable:
            headers["Retry-After"] = _RETRY_AFTER_SECONDS
        body = msgspec.json.encode({"error": error.body()})
        return web.Response(body=body, status=error.status, headers=headers, content_type="application/json")
