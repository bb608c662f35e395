"""What of a row is shown."""

from __future__ import annotations

import pytest

from broadcaster.view import Projection, View

KEY = b'{"id":1}'
DOC = b'{"id":1,"n":1.10,"big":12345678901234567890,"a":{"x":1e2,"y":[{"z":1,"w":2},5,[{"z":3}]]},"t":"\\u00e9"}'


def doc(view: View, row: bytes = DOC, key: bytes = KEY) -> str:
    return Projection(view).doc(key, row).decode()


def test_select_keeps_bytes_and_the_key() -> None:
    assert doc(View(("n",))) == '{"id":1,"n":1.10}'
    assert doc(View(("big", "missing"))) == '{"id":1,"big":12345678901234567890}'
    assert doc(View(("a.x",))) == '{"id":1,"a":{"x":1e2}}'
    assert doc(View(("a.y.z",))) == '{"id":1,"a":{"y":[{"z":1},[{"z":3}]]}}'
    assert doc(View(("a.y.z", "a"))) == doc(View(("a", "a.y.z"))) == doc(View(("a",)))
    assert doc(View(("n.x",))) == '{"id":1}'


def test_hidden_is_cut_out_wherever_it_is() -> None:
    assert doc(View(hidden=("a", "n", "big"))) == '{"id":1,"t":"\\u00e9"}'
    assert doc(View(hidden=("a.y.z", "a.x", "t", "n", "big"))) == '{"id":1,"a":{"y":[{"w":2},5,[{}]]}}'
    assert doc(View(("a", "n"), hidden=("a.y", "n"))) == '{"id":1,"a":{"x":1e2}}'


def test_a_hidden_key_is_hidden_in_keys_too() -> None:
    projection = Projection(View(hidden=("id",)))
    assert projection.key(KEY) == b"{}"
    assert projection.doc(KEY, b'{"id":1,"n":2}') == b'{"n":2}'


def test_forced() -> None:
    assert doc(View(("n",), ("t",), (("t", '"x"'),))) == '{"id":1,"n":1.10,"t":"x"}'


@pytest.mark.parametrize("odd", [rb'"\ud800"', b"1e400", b"[" * 3000 + b"]" * 3000])
def test_rows_that_are_hard_to_read_hide_as_well(odd: bytes) -> None:
    row = b'{"id":1,"secret":"s3cr3t","odd":%b,"n":2}' % odd
    shown = doc(View(hidden=("secret",)), row)
    assert "s3cr3t" not in shown
    assert shown.startswith('{"id":1')


def test_hides() -> None:
    view = View(hidden=("a.b", "c"))
    assert [view.hides(path) for path in ("a", "a.b", "a.b.c", "a.bc", "c", "c.x", "cc")] == [
        True, True, True, False, True, True, False,
    ]  # fmt: skip


def test_two_views_share_a_text_only_if_they_show_the_same() -> None:
    views = [View(), View(()), View(("a",)), View(hidden=("a",)), View(forced=(("a", "1"),)), View(("a,b",))]
    assert len({view.text() for view in views}) == len(views)
    assert View(("a", "b")).text() == View(("b", "a", "b")).text()


def test_elements_by_number_and_names_with_dots_are_hidden() -> None:
    row = b'{"id":1,"a":[{"x":1,"y":2},{"x":3,"y":4},5],"a.x":6,"b":{"0":7,"1":8}}'
    assert doc(View(hidden=("a.x", "b.0")), row) == '{"id":1,"a":[{"y":2},{"y":4},5],"b":{"1":8}}'
    assert doc(View(("a",), hidden=("a.0",)), row) == '{"id":1,"a":[{"x":3,"y":4},5]}'
    assert doc(View(("a",), hidden=("a.1.x",)), row) == '{"id":1,"a":[{"x":1,"y":2},{"y":4},5]}'


def test_no_path_reaches_what_is_hidden() -> None:
    view = View(hidden=("cards.number", "log.3.ip", "5"))
    for path in (
        "cards",
        "cards.number",
        "cards.0",
        "cards.0.number",
        "cards.number.9",
        "log",
        "log.ip",
        "5.x",
    ):
        assert view.hides(path), path
    for path in ("card", "cards.holder", "cards.0.holder", "log.at", "0.number", "6"):
        assert not view.hides(path), path


def test_a_document_in_a_text_cannot_be_shown_in_part() -> None:
    row = b'{"id":1,"a":" {\\"x\\":1e999}","b":"[5]","c":["{","-"]}'
    assert doc(View(hidden=("a.x", "c.x")), row) == '{"id":1,"a":null,"b":"[5]","c":[null,"-"]}'
