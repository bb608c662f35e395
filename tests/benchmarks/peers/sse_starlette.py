"""Server-Sent Events by Starlette on uvicorn: a queue and a streaming response for each listener. Run by uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

listeners: set[asyncio.Queue[bytes]] = set()
published = 0


async def listen(_: Request) -> Response:
    queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1000)

    async def frames() -> AsyncIterator[bytes]:
        listeners.add(queue)
        try:
            yield b"retry: 2000\n\n"
            while True:
                yield await queue.get()
        finally:
            listeners.discard(queue)

    return StreamingResponse(frames(), media_type="text/event-stream")


async def publish(request: Request) -> Response:
    global published
    published += 1
    frame = b"event: diff\nid: %d\ndata: %b\n\n" % (published, await request.body())
    for queue in listeners:
        queue.put_nowait(frame)
    return Response(status_code=204)


app = Starlette(routes=[Route("/listen", listen), Route("/publish", publish, methods=["POST"])])
