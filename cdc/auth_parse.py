"""`auth` and `secret` out of the configuration file: how tokens are checked. (pure)"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cdc.config import Auth
from cdc.config_reader import Reader, parse_url

AUTH_KEYS: Final = (
    "algorithm", "publicKey", "jwks", "issuer", "audience", "leeway", "cookie", "allowQueryToken",
)  # fmt: skip
SECRET_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
KEY_ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip

_COOKIE: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def parse_auth(top: Mapping[str, Reader]) -> Auth | None:
    """From the file's top level; None where neither key stands there. Raises ConfigError."""
    secret = top["secret"].secret() if "secret" in top else None
    if "auth" not in top:
        return None if secret is None else Auth("HS256", secret)
    node = top["auth"]
    given = node.mapping(AUTH_KEYS)
    sources = [key for key in ("publicKey", "jwks") if key in given]
    if secret is not None and sources:
        given[sources[0]].fail("tokens are checked with `secret` or with this, not with both: remove one")
    if len(sources) > 1:
        node.fail("tokens are checked with `publicKey` or with `jwks`, not with both: remove one")
    if secret is None and not sources:
        node.fail("`publicKey` (PEM) or `jwks` (a URL) is missing; for HS256 write `secret` at the top level")
    usual, allowed = ("HS256", SECRET_ALGORITHMS) if secret is not None else ("RS256", KEY_ALGORITHMS)
    return Auth(
        algorithm=given["algorithm"].choice(allowed) if "algorithm" in given else usual,
        key=given["publicKey"].secret() if "publicKey" in given else secret,
        jwks=parse_url(given["jwks"]) if "jwks" in given else None,
        issuer=given["issuer"].string() if "issuer" in given else None,
        audience=given["audience"].string() if "audience" in given else None,
        leeway=given["leeway"].duration() if "leeway" in given else 0.0,
        cookie=_cookie(given["cookie"]) if "cookie" in given else None,
        query_token="allowQueryToken" in given and given["allowQueryToken"].boolean(),
    )


def _cookie(node: Reader) -> str:
    name = node.string()
    if not _COOKIE.fullmatch(name):
        node.fail("must be a cookie's name: letters, digits, `_`, `.` and `-`")
    return name
