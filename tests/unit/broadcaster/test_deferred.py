import pytest

from broadcaster.deferred import Deferred
from broadcaster.outcome import Outcome

INSERT, UPDATE, DELETE = b"insert", b"update", b"delete"


def deferred(*transactions):
    made = Deferred()
    for number, changes in enumerate(transactions, 1):
        deltas = [(kind, b"k", doc, b"") for kind, doc in changes]
        made.add(Outcome(deltas, b"", str(number), number))
    return made


@pytest.mark.parametrize(
    ("transactions", "merged"),
    [
        ([[(INSERT, b"1")], [(UPDATE, b"2")]], (INSERT, b"2")),
        ([[(INSERT, b"1")], [(UPDATE, b"2")], [(DELETE, None)]], None),
        ([[(UPDATE, b"1")], [(UPDATE, b"2")]], (UPDATE, b"2")),
        ([[(UPDATE, b"1")], [(DELETE, None)]], (DELETE, None)),
        ([[(DELETE, None)], [(INSERT, b"2")]], (UPDATE, b"2")),
        ([[(DELETE, None), (INSERT, b"2")], [(DELETE, None)]], (DELETE, None)),
        ([[(INSERT, b"1"), (DELETE, None)], [(INSERT, b"2")]], (INSERT, b"2")),
    ],
)
def test_changes_of_a_row_are_one(transactions, merged):
    made = deferred(*transactions)
    assert [(kind, doc) for kind, _, doc, _ in made.deltas] == ([] if merged is None else [merged])
    assert (made.transactions, made.tx, made.time) == (
        len(transactions),
        str(len(transactions)),
        len(transactions),
    )
    assert made.size == (0 if merged is None else 1 + len(merged[1] or b""))
