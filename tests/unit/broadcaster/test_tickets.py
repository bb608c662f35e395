"""Tickets: sealed, good once, in one process or in all that share a folder."""

import base64
import os
from pathlib import Path

import pytest

from broadcaster.errors import RequestError
from broadcaster.identity import Identity
from broadcaster.tickets import TICKET_SECONDS, Tickets, UsedTickets
from broadcaster.worker import Worker
from cdc.config import Auth, Secret

KEY = bytes(range(32))
ANN = Identity({"sub": "ann", "n": 2**80, "text": "\ud800ä"}, 5000.5)


class Now:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def tickets(now: Now, key: bytes = KEY, folder: Path | None = None) -> Tickets:
    return Tickets(key, UsedTickets(folder), clock=now)


def refused(here: Tickets, ticket: str) -> str:
    with pytest.raises(RequestError) as caught:
        here.redeem(ticket)
    return caught.value.code


def test_a_ticket_is_the_identity_once() -> None:
    here = tickets(Now())
    first, second = here.give(ANN), here.give(ANN)
    assert first != second
    assert here.redeem(second) == ANN
    assert here.redeem(first) == ANN
    assert refused(here, first) == refused(here, second) == "unauthenticated"


def test_a_ticket_shows_nothing_and_cannot_be_changed() -> None:
    here = tickets(Now())
    ticket = here.give(ANN)
    sealed = base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))
    assert b"ann" not in sealed
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        assert refused(here, base64.urlsafe_b64encode(changed).decode()) == "unauthenticated"
    for guess in ("", "a", "guess", "ä", "\ud800", "A" * 60_000, ticket[:-4]):
        assert refused(here, guess) == "unauthenticated"
    assert here.redeem(ticket) == ANN


def test_a_ticket_ends() -> None:
    now = Now()
    here = tickets(now)
    early, late = here.give(ANN), here.give(ANN)
    now.at += TICKET_SECONDS - 0.001
    assert here.redeem(early) == ANN
    now.at += 0.001
    assert refused(here, late) == refused(here, early) == "unauthenticated"


def test_processes_that_share_a_folder_take_a_ticket_once(tmp_path: Path) -> None:
    now = Now()
    folder = tmp_path / "tickets"
    workers = [tickets(now, folder=folder) for _ in range(3)]
    ticket = workers[0].give(ANN)
    assert workers[1].redeem(ticket) == ANN
    assert [refused(worker, ticket) for worker in workers] == ["unauthenticated"] * 3
    now.at += TICKET_SECONDS + 1
    workers[1].redeem(workers[0].give(ANN))
    assert len(list(folder.iterdir())) == 1


def test_what_a_killed_process_marked_is_swept_by_the_next(tmp_path: Path) -> None:
    for name, age in (("old", TICKET_SECONDS + 5), ("new", 0)):
        (tmp_path / name).touch()
        if age:
            os.utime(tmp_path / name, (0, 0))
    UsedTickets(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["new"]


def test_where_a_use_cannot_be_marked_the_ticket_is_not_taken(tmp_path: Path) -> None:
    here = tickets(Now(), folder=tmp_path / "tickets")
    ticket = here.give(ANN)
    (tmp_path / "tickets").rmdir()
    assert refused(here, ticket) == "overloaded"


def test_one_client_does_not_take_the_room_of_others() -> None:
    now = Now()
    here = tickets(now)
    for _ in range(100):
        here.redeem(here.give(ANN))
    assert refused(here, here.give(ANN)) == "overloaded"
    ben = Identity({"sub": "ben"}, 5000)
    assert here.redeem(here.give(ben)) == ben
    now.at += TICKET_SECONDS
    assert here.redeem(here.give(ANN)) == ANN


def test_there_is_room_for_ten_thousand() -> None:
    used = UsedTickets(None)
    for number in range(10_000):
        assert used.use(f"t{number}", f"owner{number}", 30.0, 1.0)
    with pytest.raises(RequestError, match="too many tickets"):
        used.use("one more", "another", 30.0, 1.0)
    assert used.use("one more", "another", 60.0, 30.0)


def test_the_key_follows_from_the_secret_else_the_workers_share_one(tmp_path: Path) -> None:
    """With a secret any broadcaster redeems; a public key is no secret."""
    secret = Auth("HS256", Secret("s" * 32))
    public = Auth("ES256", jwks="https://keys.example")
    other = Auth("HS256", Secret("t" * 32))
    worker = Worker(0, 2, tmp_path, KEY, lifeline=-1)
    sibling = Worker(1, 2, tmp_path, KEY, lifeline=-1)

    ticket = Tickets.of(secret, None).give(ANN)
    assert refused(Tickets.of(other, None), ticket) == "unauthenticated"
    assert Tickets.of(secret, worker).redeem(ticket) == ANN
    assert refused(Tickets.of(secret, sibling), ticket) == "unauthenticated"

    ticket = Tickets.of(public, worker).give(ANN)
    assert refused(Tickets.of(public, None), ticket) == "unauthenticated"
    assert Tickets.of(public, sibling).redeem(ticket) == ANN
