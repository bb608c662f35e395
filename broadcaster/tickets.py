"""Tickets: words that stand for a client's identity once, for what can send no header.

A ticket carries what it stands for, sealed, so that any worker and any broadcaster with the same `secret` can redeem it
without having given it. That it is good only once is known where it was used: in one process, or, with a folder, in all
processes of this machine that share it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broadcaster.errors import RequestError
from broadcaster.identity import Identity
from broadcaster.worker import Worker
from cdc.config import Auth

TICKET_SECONDS: Final = 30
_MOST_USED: Final = 10_000
_MOST_USED_EACH: Final = 100
"""Of one token, so that nobody takes the others' room."""
_NONCE_BYTES: Final = 12


class Tickets:
    """Gives and redeems tickets. clock: Unix seconds."""

    def __init__(self, key: bytes, used: UsedTickets, *, clock: Callable[[], float] = time.time) -> None:
        self._seal = AESGCM(key)
        self._used = used
        self._clock = clock

    @classmethod
    def of(cls, auth: Auth, worker: Worker | None) -> Tickets:
        """Those of a project: under a key that follows from its `secret`; else they are good at this address only."""
        if auth.key is not None and auth.algorithm.startswith("HS"):
            key = hmac.digest(auth.key.reveal().encode(), b"livetail: tickets", "sha256")
        else:
            key = secrets.token_bytes(32) if worker is None else worker.ticket_key
        return cls(key, UsedTickets(None if worker is None else worker.used_tickets))

    def give(self, identity: Identity) -> str:
        """A ticket for this identity."""
        until = self._clock() + TICKET_SECONDS
        content = json.dumps([until, identity.expires, identity.claims]).encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._seal.encrypt(nonce, content, None)).decode().rstrip("=")

    def redeem(self, ticket: str) -> Identity:
        """What the ticket stands for, once. Raises RequestError: unauthenticated, overloaded."""
        now = self._clock()
        try:
            sealed = base64.b64decode(ticket + "=" * (-len(ticket) % 4), altchars=b"-_", validate=True)
            nonce = sealed[:_NONCE_BYTES]
            content = self._seal.decrypt(nonce, sealed[_NONCE_BYTES:], None)
        except (binascii.Error, ValueError, InvalidTag):
            raise _refused() from None
        until, expires, claims = json.loads(content)
        owner = hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()
        if until <= now or not self._used.use(nonce.hex(), owner, until, now):
            raise _refused()
        return Identity(claims, expires)


@dataclass(frozen=True, slots=True)
class _Use:
    until: float
    ticket: str
    owner: str


class UsedTickets:
    """The tickets used lately, each for as long as it could be used again. Bounded: what has no room is refused.

    folder: an empty file there marks a use for all processes.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            _sweep(folder)
        self._uses: deque[_Use] = deque()
        self._tickets: set[str] = set()
        self._owners: Counter[str] = Counter()

    def use(self, ticket: str, owner: str, until: float, now: float) -> bool:
        """Whether this ticket was unused; from now on it is used. Raises RequestError: overloaded."""
        self._forget(now)
        if ticket in self._tickets:
            return False
        if len(self._uses) >= _MOST_USED or self._owners[owner] >= _MOST_USED_EACH:
            raise RequestError("overloaded", "too many tickets were used in the last seconds")
        if self._folder is not None and not _mark(self._folder / ticket):
            return False
        self._uses.append(_Use(until, ticket, owner))
        self._tickets.add(ticket)
        self._owners[owner] += 1
        return True

    def _forget(self, now: float) -> None:
        """Those that are too old to be used. In the order of their use, so some stay up to twice as long."""
        while self._uses and self._uses[0].until <= now:
            use = self._uses.popleft()
            self._tickets.remove(use.ticket)
            self._owners[use.owner] -= 1
            if not self._owners[use.owner]:
                del self._owners[use.owner]
            if self._folder is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self._folder / use.ticket)


def _sweep(folder: Path) -> None:
    """Make the folder, and remove the marks that nobody needs, left by a process that was killed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for mark in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - mark.stat().st_mtime > TICKET_SECONDS:
                mark.unlink()


def _mark(file: Path) -> bool:
    """Make the file; False if it is there. Raises RequestError where that cannot be told."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        raise RequestError(
            "overloaded", "whether the ticket was used cannot be found out now; try again"
        ) from error
    return True


def _refused() -> RequestError:
    return RequestError(
        "unauthenticated", f"the ticket is unknown, used or older than {TICKET_SECONDS} s; get another"
    )
