from __future__ import annotations

from cdc.mysql.gtid import GtidSet
from cdc.mysql.position import order_of
from cdc.mysql.visibility import RIPE_SECONDS, Ends, visibility

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def test_a_gtid_is_shown_if_it_was_executed() -> None:
    shows = visibility(0, GtidSet.parse(f"{UUID}:1-5:7:tag:1-2"))
    named = ("1", "5", "6", "7", "tag:2", "tag:3", "other:1")
    assert [name for name in named if shows(f"{UUID}:{name}")] == ["1", "5", "7", "tag:2"]


def test_a_place_is_shown_if_the_transaction_began_below() -> None:
    for executed in (None, GtidSet.parse(f"{UUID}:1-5")):
        shows = visibility(order_of("bin.000012", 500), executed)
        assert shows("bin.000012:499") and shows("bin.000011:70000")
        assert not shows("bin.000012:500") and not shows("bin.000013:4")
    assert not visibility(order_of("bin.000012", 500))(f"{UUID}:1")


def test_an_end_is_ripe_after_a_while() -> None:
    ends = Ends()
    assert ends.ripe("a", 100.0) == 0
    ends.add("a", 100.0, 7)
    assert ends.ripe("a", 100.0 + RIPE_SECONDS / 2) == 0
    ends.add("a", 100.0 + RIPE_SECONDS / 2, 8)
    assert ends.ripe("a", 100.0 + RIPE_SECONDS) == 7
    assert ends.ripe("a", 100.0 + 2 * RIPE_SECONDS) == 8


def test_another_servers_ends_mean_nothing() -> None:
    ends = Ends()
    ends.add("a", 100.0, 7)
    assert ends.ripe("b", 200.0) == 0
    ends.add("b", 200.0, 1)
    assert (ends.ripe("a", 300.0), ends.ripe("b", 300.0)) == (0, 1)


def test_frequent_ends_are_not_all_kept_nor_put_off_the_ripe_one() -> None:
    ends = Ends()
    for tenth in range(1000):
        ends.add("a", tenth / 10, tenth)
    assert ends.ripe("a", 100.0) == 990
