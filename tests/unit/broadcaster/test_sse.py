import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster import sse


def test_a_frame_ends_a_transaction_only_with_a_cursor():
    assert sse.frame(b"diff", b"{}") == b"event: diff\ndata: {}\n\n"
    assert sse.frame(b"diff", b"{}", b"c.1") == b"event: diff\nid: c.1\ndata: {}\n\n"


def test_of_several_frames_the_last_ends_the_transaction():
    one, other = (b"diff", b"{}"), (b"ready", b"[]")
    assert sse.frames([one], None) == sse.frame(*one)
    assert sse.frames([one, other], b"c.1") == sse.frame(*one) + sse.frame(*other, b"c.1")


def test_chunked_is_rfc_9112():
    assert sse.chunked(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_initial_is_sent_in_parts_of_bounded_size():
    docs = [b'{"a":%d}' % i for i in range(10)]
    frames = list(sse.initial_frames(b'"q"', docs, 20))
    assert len(frames) == 5
    assert frames[0] == b'event: initial\ndata: {"id":"q","docs":[{"a":0},{"a":1}]}\n\n'


def test_an_empty_initial_is_one_event_and_a_large_row_goes_alone():
    assert list(sse.initial_frames(b'"q"', [], 10)) == [b'event: initial\ndata: {"id":"q","docs":[]}\n\n']
    assert len(list(sse.initial_frames(b'"q"', [b"1" * 50, b"2" * 50], 10))) == 2


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8), st.tuples(st.text(max_size=16), st.integers(0, 2**62)), max_size=4
    ),
    st.frozensets(st.binary(min_size=6, max_size=6), max_size=5),
)
def test_a_cursor_comes_back_as_it_was(places, covered):
    prefix = sse.cursor_prefix({alias: epoch for alias, (epoch, _) in places.items()}, covered)
    text = sse.cursor_text(prefix, [offset for _, (_, offset) in sorted(places.items())])
    assert sse.parse_cursor(text.decode()) == sse.Cursor(places, covered)


@given(
    st.text(max_size=60)
    | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + ".1")
)
def test_garbage_is_no_cursor_and_no_error(text):
    assert sse.parse_cursor(text) is None


@pytest.mark.parametrize("tail", [".-1", ".x", ".", ".1-2", f".{2**63}"])
def test_offsets_must_fit(tail):
    prefix = sse.cursor_prefix({"db": "e"}, [])
    assert sse.parse_cursor(prefix.decode() + tail) is None


def test_a_digest_names_the_id_and_the_meaning():
    assert sse.digest("a", "bc") != sse.digest("ab", "c")
    assert sse.digest("q1", "x") == sse.digest("q1", "x")
