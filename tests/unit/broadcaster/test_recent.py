from broadcaster.recent import MOST, Recent


def test_unseen_are_those_that_a_snapshot_does_not_show_before_a_place():
    recent = Recent()
    recent.add("7", 1, 2)
    recent.add("8", 3, 3)
    recent.add("9", 4, 6)
    assert recent.until(6).unseen(lambda tx: tx == "8") == [(1, 2), (4, 6)]
    assert recent.until(5).unseen(lambda tx: tx == "8") == [(1, 2)]


def test_what_one_snapshot_shows_is_forgotten():
    recent = Recent()
    recent.add("7", 1, 2)
    recent.add("8", 3, 3)
    recent.prune(lambda tx: tx == "7")
    assert len(recent) == 1
    assert recent.until(9).unseen(lambda _: False) == [(3, 3)]


def test_what_is_forgotten_is_still_known_to_a_snapshot_that_was_begun_before():
    recent = Recent()
    recent.add("7", 1, 2)
    past = recent.until(2)
    recent.prune(lambda _: True)
    recent.add("8", 3, 3)
    assert past.unseen(lambda _: False) == [(1, 2)]
    assert recent.until(9).unseen(lambda _: False) == [(3, 3)]


def test_without_a_database_to_ask_the_oldest_are_forgotten():
    recent = Recent()
    for number in range(3 * MOST):
        recent.add("7", number, number)
        assert len(recent) <= MOST
    assert recent.until(3 * MOST).unseen(lambda _: False)[-1] == (3 * MOST - 1, 3 * MOST - 1)
