"""Who asks: a request's token to its claims (RFC 7519), checked with a pinned algorithm."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import aiohttp
import jwt
from aiohttp import hdrs, web

from broadcaster.errors import RequestError
from broadcaster.identity import Identity
from broadcaster.tickets import Tickets
from broadcaster.worker import Worker
from cdc.config import Auth
from cdc.errors import ConfigError

log = logging.getLogger(__name__)

_MOST_TOKEN: Final = 16_384
_FETCH_SECONDS: Final = 5.0
_KEYS_BYTES: Final = 1 << 20
_REFRESH_SECONDS: Final = 600.0
_REFETCH_SECONDS: Final = 10.0
"""A token with an unknown key has the keys fetched anew, but no more often than this."""
_SAME_SITE: Final = frozenset({None, "same-origin", "none"})


class Authenticator:
    """Checks the tokens of one project. worker: which one this is, of several."""

    def __init__(self, auth: Auth, origins: tuple[str, ...], worker: Worker | None = None) -> None:
        """Raises ConfigError for a key that is none of the algorithm's."""
        if auth.key is not None and not auth.algorithm.startswith("HS"):
            _check_public(auth.key.reveal(), auth.algorithm)
        self._auth = auth
        self._origins = frozenset(origins) - {"*"}
        self._jwks = None if auth.jwks is None else _Jwks(auth.jwks)
        self._tickets = Tickets.of(auth, worker)

    async def identify(self, request: web.Request) -> Identity | None:
        """Who sends this request; None if it carries no token.

        Raises RequestError: unauthenticated, token_expired, keys_unavailable, and access_denied where another site's
        page sends the cookie.
        """
        ticket = request.query.get("ticket")
        if ticket is not None:
            return self._tickets.redeem(ticket)
        token = self._token(request)
        return None if token is None else await self.check(token)

    async def check(self, token: str) -> Identity:
        """The identity that a token proves. Raises as `identify`."""
        if len(token) > _MOST_TOKEN:
            raise _refused("the token is too long")
        auth = self._auth
        try:
            claims = jwt.decode(
                token,
                await self._key(token),
                algorithms=[auth.algorithm],
                issuer=auth.issuer,
                audience=auth.audience,
                leeway=auth.leeway,
                options={"require": ["exp"], "verify_aud": auth.audience is not None},
            )
            return Identity(claims, float(claims["exp"]) + auth.leeway)
        except jwt.ExpiredSignatureError:
            raise RequestError("token_expired", "the token has expired; reconnect with a fresh one") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            log.info("a token was refused: %s", error)
            raise _refused("the token is not valid") from None

    def ticket(self, identity: Identity) -> str:
        """A word that stands for the identity once, within `TICKET_SECONDS`."""
        return self._tickets.give(identity)

    async def close(self) -> None:
        """Release the connections to the server of the keys."""
        if self._jwks is not None:
            await self._jwks.close()

    def _token(self, request: web.Request) -> str | None:
        given = request.headers.get(hdrs.AUTHORIZATION)
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise _refused("the Authorization header must be `Bearer <token>`")
            return token.strip()
        if self._auth.query_token and "token" in request.query:
            return request.query["token"]
        if "token" in request.query:
            raise _refused(
                "a token in the URL is not accepted (allowQueryToken): send it in a header or get a ticket"
            )
        if self._auth.cookie is None or self._auth.cookie not in request.cookies:
            return None
        self._check_origin(request)
        return request.cookies[self._auth.cookie]

    def _check_origin(self, request: web.Request) -> None:
        """A browser sends the cookie for any page that asks; only pages of this site and of `cors.origins` may."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            trusted = request.headers.get("Sec-Fetch-Site") in _SAME_SITE
        else:
            trusted = origin in self._origins or origin.partition("://")[2] == request.host
        if not trusted:
            raise RequestError("access_denied", "pages of this origin may not use the cookie (cors.origins)")

    async def _key(self, token: str) -> Any:
        if self._jwks is not None:
            return await self._jwks.key(jwt.get_unverified_header(token).get("kid"))
        assert self._auth.key is not None
        return self._auth.key.reveal()


class _Jwks:
    """The keys at a URL (RFC 7517), fetched when needed; the last good ones serve while it cannot be reached.
    A known key waits for nobody."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str | None, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def key(self, kid: object) -> Any:
        """The key of this id. Raises RequestError: unauthenticated, keys_unavailable."""
        name = kid if isinstance(kid, str) else None
        if name not in self._keys:
            await self._refresh(name)
        elif self._is_old and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._refresh(name))
        if name in self._keys:
            return self._keys[name]
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        if not self._keys:
            raise RequestError(
                "keys_unavailable", "the keys that tokens are checked with cannot be fetched now"
            )
        raise _refused("the token is not valid")

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})
        if self._session is not None:
            await self._session.close()

    @property
    def _is_old(self) -> bool:
        return asyncio.get_running_loop().time() - self._fetched > _REFRESH_SECONDS

    async def _refresh(self, name: str | None) -> None:
        async with self._fetching:
            now = asyncio.get_running_loop().time()
            wanted = self._is_old or (name is not None and name not in self._keys)
            if not wanted or now - self._tried < (_REFETCH_SECONDS if self._keys else 1.0):
                return
            self._tried = now
            try:
                self._keys = await self._fetch()
            except Exception as error:  # whatever is found there
                why = str(error) or type(error).__name__
                log.error("auth.jwks: %s: the keys cannot be fetched: %s", self._url, why)
            else:
                self._fetched = now

    async def _fetch(self) -> dict[str | None, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_FETCH_SECONDS))
        async with self._session.get(self._url, allow_redirects=False) as response:
            response.raise_for_status()
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > _KEYS_BYTES:
                    raise ValueError(f"more than {_KEYS_BYTES:,} bytes")
        found: dict[str | None, Any] = {}
        for key in jwt.PyJWKSet.from_json(body.decode()).keys:
            if key.public_key_use in (None, "sig") and hasattr(key.key, "verify"):
                found[key.key_id] = key.key
        if not found:
            raise ValueError("there is no public key to check signatures with")
        return found


def _check_public(pem: str, algorithm: str) -> None:
    try:
        fits = hasattr(jwt.get_algorithm_by_name(algorithm).prepare_key(pem), "verify")
    except (jwt.PyJWTError, ValueError, TypeError):
        fits = False
    if not fits:
        raise ConfigError(f"auth.publicKey: is no public key in PEM for {algorithm} (auth.algorithm)")


def _refused(why: str) -> RequestError:
    return RequestError("unauthenticated", why)
