"""The tailer's HTTP for snapshots: begin one, and see how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

from cdc.config import Config
from cdc.errors import SourceUnavailable
from cdc.snapshot.permit import Permit
from cdc.snapshot.progress import Reading
from cdc.snapshot.snapshots import Snapshots

PATH: Final = "/v1/snapshot/{db}/{collection}"


def snapshot_routes(config: Config, snapshots: Mapping[str, Snapshots]) -> list[web.RouteDef]:
    """`POST` begins a snapshot of the collection, or begins it anew; `GET` tells of it. Both answer
    {"rows", "done"}, or {"error"} with 401, 404 or, where another tailer streams the database or none does, 503."""
    permit = Permit(config)

    async def answer(request: web.Request) -> web.Response:
        if (why := permit.refusal(request)) is not None:
            return _refused(401, why)
        alias, collection = request.match_info["db"], request.match_info["collection"]
        found = snapshots.get(alias)
        if found is None or collection not in config.realtime_collections(alias):
            return _refused(404, f"no live collection `{alias} {collection}` of which there are snapshots")
        try:
            if request.method == hdrs.METH_POST:
                return _told(found.begin(collection), 202)
            reading = found.reading(collection)
        except SourceUnavailable as error:
            return _refused(503, str(error))
        return _refused(404, "no snapshot was asked for") if reading is None else _told(reading, 200)

    return [web.post(PATH, answer), web.get(PATH, answer, allow_head=False)]


def _told(reading: Reading, status: int) -> web.Response:
    return web.json_response({"rows": reading.rows, "done": reading.done}, status=status)


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
