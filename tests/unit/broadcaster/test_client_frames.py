import pytest

from broadcaster.client_frames import (
    Diff,
    Failure,
    Frame,
    Inbox,
    Initial,
    Progress,
    Ready,
    Reset,
    RowChange,
    parse_frame,
)
from broadcaster.sse_parser import Event, StreamError

DIFF = Diff("q1", 1, "7", [RowChange("delete", {"id": 1}, None)])
OTHER = Diff("q2", 1, "7", [RowChange("insert", {"id": 1}, {"id": 1})])


def test_frames_as_the_protocol_has_them() -> None:
    assert parse_frame(Event("initial", '{"id":"q1","docs":[{"id":1},{"id":9007199254740993}]}')) == Initial(
        "q1", [{"id": 1}, {"id": 9007199254740993}]
    )
    assert parse_frame(Event("ready", '{"id":"q1","count":2,"indexed":true}')) == Ready("q1", 2)
    assert parse_frame(Event("ready", '{"id":"q1","count":2,"key":["a","b"]}')) == Ready(
        "q1", 2, key=("a", "b")
    )
    assert parse_frame(Event("ready", '{"id":"q1","resumed":true}')) == Ready("q1", resumed=True)
    assert parse_frame(
        Event(
            "diff",
            '{"id":"q1","time":179,"tx":"771","changes":[{"type":"insert","find":{"id":"t3"},"doc":{"id":"t3"}},'
            '{"type":"delete","find":{"id":"t1"}}]}',
        )
    ) == Diff(
        "q1",
        179,
        "771",
        [RowChange("insert", {"id": "t3"}, {"id": "t3"}), RowChange("delete", {"id": "t1"}, None)],
    )
    assert parse_frame(Event("reset", '{"id":"q1","reason":"truncated"}')) == Reset("q1", "truncated")
    assert parse_frame(Event("error", '{"code":"not_ready","message":"m","retryable":true}')) == Failure(
        None, "not_ready", "m", True
    )
    assert parse_frame(Event("progress", "{}")) == Progress()
    assert parse_frame(Event("of_next_year", "?")) is None


@pytest.mark.parametrize("data", ["", "{", "[]", '{"id":1}', '{"id":"q1","time":"x","tx":"1","changes":[]}'])
def test_a_frame_that_is_not_as_the_protocol_has_it(data: str) -> None:
    with pytest.raises(StreamError, match="`diff`"):
        parse_frame(Event("diff", data))


def test_a_result_comes_whole() -> None:
    inbox = Inbox()
    ready = Ready("q1", 2)
    assert inbox.take(Initial("q1", [{"id": 1}]), None) == []
    assert inbox.take(OTHER, "c1") == [OTHER], "another live query does not wait for it"
    assert inbox.take(Initial("q1", [{"id": 2}]), None) == []
    assert inbox.take(ready, "c2") == [Initial("q1", [{"id": 1}, {"id": 2}]), ready]
    assert inbox.cursor == "c2"


def test_a_transaction_comes_whole() -> None:
    inbox = Inbox("c0")
    assert inbox.take(DIFF, None) == []
    assert inbox.cursor == "c0"
    assert inbox.take(OTHER, "c1") == [DIFF, OTHER]


def test_what_a_disconnect_left_unfinished_is_forgotten() -> None:
    inbox = Inbox("c0")
    inbox.take(DIFF, None)
    inbox.take(Reset("q2", "epoch_changed"), None)
    inbox.take(Initial("q2", [{"id": 1}]), None)
    inbox.drop()
    assert inbox.cursor == "c0"
    ready = Ready("q2", resumed=True)
    assert inbox.take(ready, "c1") == [ready]


def test_a_reset_comes_with_its_result() -> None:
    inbox = Inbox("c0")
    frames: list[Frame] = [Reset("q1", "truncated"), Initial("q1", []), Ready("q1", 0)]
    assert [inbox.take(frame, None) for frame in frames[:2]] == [[], []]
    assert inbox.take(frames[2], "c1") == frames
    skipped: list[Frame] = [Reset("q1", "truncated"), Ready("q1")]
    assert inbox.take(skipped[0], None) == []
    assert inbox.take(skipped[1], "c2") == skipped


def test_failures_and_a_bare_heartbeat_do_not_wait() -> None:
    inbox = Inbox()
    inbox.take(DIFF, None)
    failure = Failure("q1", "not_ready", "m", True)
    assert inbox.take(failure, None) == [failure]
    assert inbox.take(Progress(), None) == [Progress()]
    assert inbox.take(Progress(), "c1") == [DIFF, Progress()]
