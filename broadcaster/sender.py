"""Whether a request comes from this server's own page."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from broadcaster.errors import RequestError


def check_sender(request: web.Request, host: str) -> None:
    """For routes that ask nobody who is there: no other site's page may reach them, neither across origins nor through
    a name of its own that resolves to this machine. host: what the server listens on. Raises RequestError."""
    called = urlsplit(f"//{request.host}").hostname or ""
    origin = request.headers.get(hdrs.ORIGIN)
    if not (
        (called in ("localhost", host) or _is_address(called))
        and (origin is None or urlsplit(origin).netloc == request.host)
        and request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    ):
        raise RequestError("access_denied", "only this server's own page may do this")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
