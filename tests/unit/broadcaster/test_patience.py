import pytest

from broadcaster.patience import ATTEMPTS, patiently
from cdc.errors import CursorExpired, LogError


class Attempts:
    """What fails so often, and then gives an answer."""

    def __init__(self, failures, error=LogError):
        self.made = 0
        self.pauses = []
        self._failures = failures
        self._error = error

    async def __call__(self):
        self.made += 1
        if self.made <= self._failures:
            raise self._error(f"failure {self.made}")
        return "answer"

    async def pause(self, seconds):
        self.pauses.append(seconds)


async def test_what_does_not_fail_is_asked_once():
    attempts = Attempts(0)
    assert await patiently("db", attempts, attempts.pause) == "answer"
    assert attempts.pauses == []


async def test_pauses_grow_up_to_a_bound():
    attempts = Attempts(ATTEMPTS - 1)
    assert await patiently("db", attempts, attempts.pause) == "answer"
    assert attempts.made == ATTEMPTS
    assert 0.1 <= attempts.pauses[0] <= 0.2
    assert 2.5 <= attempts.pauses[-1] <= 5
    assert 15 < sum(attempts.pauses) < 30


async def test_the_last_failure_is_told():
    attempts = Attempts(ATTEMPTS)
    with pytest.raises(LogError, match=f"failure {ATTEMPTS}"):
        await patiently("db", attempts, attempts.pause)


async def test_what_does_not_pass_is_not_waited_for():
    attempts = Attempts(1, CursorExpired)
    with pytest.raises(CursorExpired):
        await patiently("db", attempts, attempts.pause)
    assert attempts.made == 1
