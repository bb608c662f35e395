"""How long a process that ended waits for its next life."""

from broadcaster.restarts import Restarts


def test_short_lives_wait_twice_as_long_each_time() -> None:
    restarts, now, delays = Restarts(), 1000.0, []
    for _ in range(9):
        restarts.started(now)
        now += 0.5
        delays.append(restarts.ended(now))
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_long_life_makes_good_for_what_was_before() -> None:
    restarts = Restarts()
    for _ in range(100):
        restarts.started(0.0)
        restarts.ended(1.0)
    restarts.started(10.0)
    assert restarts.ended(40.0) == 0.1
    restarts.started(41.0)
    assert restarts.ended(42.0) == 0.2
