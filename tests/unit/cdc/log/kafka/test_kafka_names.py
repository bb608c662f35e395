"""Names in Kafka: legal, and different where what they are made of is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.log.kafka.names import LONGEST, Names, confusable

names = st.text(
    st.sampled_from("ab_x.-ü $5f") | st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=300
)


def test_plain_names_stay_as_they_are() -> None:
    made = Names("todo-app", "sql-postgres")
    assert made.topic("todos") == "todo-app.sql-postgres.todos"
    assert made.topic("other.todos") == "todo-app.sql-postgres.other.todos"
    assert made.position_topic == "todo-app.sql-postgres-position"
    assert made.transactional_id == "todo-app.sql-postgres"
    assert made.group == "todo-app.sql-postgres.tailer"


@pytest.mark.parametrize(
    ("collection", "topic"),
    [
        ("Aufträge", "p.a.Auftr_xe4_ge"),
        ("a b", "p.a.a_x20_b"),
        ("a_x20_b", "p.a.a_x5f_x20_b"),
        ("a_b", "p.a.a_b"),
        ("_x", "p.a._x5f_x"),
    ],
)
def test_what_kafka_does_not_take_is_escaped(collection: str, topic: str) -> None:
    assert Names("p", "a").topic(collection) == topic


@given(names, names)
def test_two_collections_never_share_a_topic(one: str, other: str) -> None:
    made = Names("p", "a")
    assert (made.topic(one) == made.topic(other)) == (one == other)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,249}", made.topic(one))
    assert made.topic(one) != made.position_topic


def test_a_cut_name_is_like_no_whole_one() -> None:
    made = Names("p", "a")
    cut = made.topic("c" * 300)
    assert len(cut) == LONGEST
    assert made.topic(cut.removeprefix("p.a.")) != cut


def test_names_that_kafka_takes_for_the_same() -> None:
    assert confusable(["p.a.b_c", "p.a.d", "p.a.b.c"]) == ("p.a.b_c", "p.a.b.c")
    assert confusable(["p.a.b", "p.a.c", "p.a.b"]) is None
