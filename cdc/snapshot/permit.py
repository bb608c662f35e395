"""Who may ask a tailer for a snapshot: whoever has the project's `secret`; without one, this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
import time
from typing import Final

from aiohttp import hdrs, web

from cdc.config import Auth, Config

HEADER: Final = "X-Livetail"
"""Sent with every request: a page of another site, in a browser on this machine, cannot send it unasked."""
_SECONDS: Final = 60


class Permit:
    """Of one project. The key follows from `secret`, but is another one: no client's token is good for this."""

    def __init__(self, config: Config) -> None:
        self._key = _key(config.auth)

    def headers(self) -> dict[str, str]:
        """What a request that is permitted carries."""
        if self._key is None:
            return {HEADER: "1"}
        import jwt  # 8 MB, and few are ever asked

        token = jwt.encode({"exp": int(time.time()) + _SECONDS}, self._key, "HS256")
        return {HEADER: "1", hdrs.AUTHORIZATION: f"Bearer {token}"}

    def refusal(self, request: web.Request) -> str | None:
        """Why this one is not permitted; None if it is."""
        if HEADER not in request.headers:
            return f"the header {HEADER} is missing"
        if self._key is None:
            if _is_loopback(request.remote) and _is_loopback(request.url.host):
                return None
            return "without `secret` in the configuration only this machine may ask, by a loopback address"
        import jwt

        _, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        try:
            jwt.decode(token, self._key, algorithms=["HS256"], options={"require": ["exp"]})
        except jwt.PyJWTError:
            return "asked without the project's `secret`, or too long ago: are both clocks right?"
        return None


def _key(auth: Auth | None) -> bytes | None:
    if auth is None or auth.key is None or not auth.algorithm.startswith("HS"):
        return None
    return hmac.digest(auth.key.reveal().encode(), b"livetail: tailer", "sha256")


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
