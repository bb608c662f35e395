import pytest

from cdc.postgres.visibility import visibility

WRAP = 1 << 32


def test_running_and_later_transactions_are_not_shown():
    shows = visibility("100:110:103,105")
    assert [xid for xid in range(98, 112) if not shows(str(xid))] == [103, 105, 110, 111]


def test_nothing_runs():
    shows = visibility("100:100:")
    assert shows("99")
    assert not shows("100")


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_xids_wrap_around(epoch):
    high = epoch * WRAP + WRAP + 5
    shows = visibility(f"{high - 10}:{high}:{high - 7}")
    assert shows(str((high - 11) % WRAP))
    assert not shows(str((high - 7) % WRAP))
    assert shows(str((high - 8) % WRAP))
    assert not shows(str(high % WRAP))
    assert not shows(str((high + 3) % WRAP))


def test_just_before_the_wrap():
    shows = visibility(f"{WRAP - 2}:{WRAP - 1}:{WRAP - 2}")
    assert shows(str(WRAP - 3))
    assert not shows(str(WRAP - 2))
    assert not shows("3")  # already in the next round
