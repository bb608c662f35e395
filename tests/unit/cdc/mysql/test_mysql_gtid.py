from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.mysql.gtid import GtidPosition, GtidSet

A = "19d69c1e-ae97-4b8c-a1ef-9e12ba966457"
B = "1c2aad49-ae92-409a-b4df-d05a03e4702e"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", ""),
        (f"{A}:1-3", f"{A}:1-3"),
        (f"{A.upper()}:1-3:4-7:9,\n{B}:5", f"{A}:1-7:9,{B}:5"),
        (f"{B}:1,{A}:9:1-3:2-5", f"{A}:1-5:9,{B}:1"),
        (f"{A}:1-3:TAG:1:3-4:other:2", f"{A}:1-3:other:2:tag:1:3-4"),
        (f"{A}:tag:1,{A}:4", f"{A}:4:tag:1"),
    ],
)
def test_a_set_is_read_and_printed_as_the_server_does(text: str, printed: str) -> None:
    gtids = GtidSet.parse(text)
    assert str(gtids) == printed
    assert GtidSet.parse(printed) == gtids
    assert gtids.tagged is ("tag" in printed)


@pytest.mark.parametrize(
    "text", ["x", A, f"{A}:0", f"{A}:3-1", f"{A}:1-", f"{A}:1-2-3", f"{A}:-1", f"{A}:9x", "a:1"]
)
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|is neither"):
        GtidSet.parse(text)


def test_membership_knows_sources_and_tags() -> None:
    gtids = GtidSet.parse(f"{A}:2-4:tag:1")
    assert f"{A}:2" in gtids and f"{A}:4" in gtids and f"{A}:tag:1" in gtids
    assert f"{A}:1" not in gtids and f"{A}:5" not in gtids
    assert f"{A}:tag:2" not in gtids and f"{B}:2" not in gtids
    with pytest.raises(ValueError, match="no GTID"):
        gtids.add("7")


@given(st.lists(st.integers(1, 30)), st.lists(st.integers(1, 30)))
def test_it_is_a_set_of_numbers(one: list[int], other: list[int]) -> None:
    first, second = GtidSet(), GtidSet()
    for number in one:
        first.add(f"{A}:{number}")
    for number in other:
        second.add(f"{A}:{number}")
    assert [n for n in range(1, 32) if f"{A}:{n}" in first] == sorted(set(one))
    assert first.issubset(second) is set(one).issubset(other)
    assert GtidSet.parse(str(first)) == first
    assert (first == second) is (set(one) == set(other))


def test_a_position_of_mariadb_is_the_last_of_each_domain() -> None:
    position = GtidPosition.parse("1-5-2,0-1011-309")
    assert str(position) == "0-1011-309,1-5-2"
    position.add("0-7-310")
    assert position == GtidPosition.parse("0-7-310,1-5-2")
    assert "0-1011-310" in position and "0-1-311" not in position and "2-1-1" not in position
    assert str(GtidPosition.parse("")) == ""
    with pytest.raises(ValueError, match="no GTID of MariaDB"):
        GtidPosition.parse("0-1")


def test_the_beginnings_are_what_stands_before_gaps() -> None:
    assert str(GtidSet.parse(f"{A}:1-3:5-9:tag:2:4,{B}:7").beginnings()) == f"{A}:1-3:tag:2,{B}:7"
