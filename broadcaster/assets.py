"""Files that the broadcaster serves to browsers, from `static/`."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from aiohttp import hdrs, web

_TYPES: Final = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".ts": "text/plain"}
_HEADERS: Final[dict[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
}


def add_assets(app: web.Application, names: Mapping[str, str], *, everywhere: bool = False) -> None:
    """Serve files at paths, {path: name}. A page may load nothing but such files, and talk to this server only.

    everywhere: pages of all origins may load them.
    """
    folder = files("broadcaster").joinpath("static")
    for path, name in names.items():
        app.router.add_get(path, _Asset(name, folder.joinpath(name).read_bytes(), everywhere).get)


class _Asset:
    """Browsers ask again each time, and are told when nothing has changed."""

    def __init__(self, name: str, body: bytes, everywhere: bool) -> None:
        suffix = name[name.rindex(".") :]
        self._body = body
        self._type = _TYPES[suffix]
        self._tag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
        self._headers = {**_HEADERS, hdrs.ETAG: self._tag}
        if everywhere:
            self._headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"

    async def get(self, request: web.Request) -> web.Response:
        if request.headers.get(hdrs.IF_NONE_MATCH) == self._tag:
            return web.Response(status=304, headers=self._headers)
        return web.Response(body=self._body, content_type=self._type, charset="utf-8", headers=self._headers)
