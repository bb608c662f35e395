from broadcaster.recent import Recent


def test_unseen_are_those_that_a_snapshot_does_not_show_before_a_place():
    recent = Recent()
    recent.add("7", 1, 2)
    recent.add("8", 3, 3)
    recent.add("9", 4, 6)
    assert recent.unseen(lambda tx: tx == "8", 6) == [(1, 2), (4, 6)]
    assert recent.unseen(lambda tx: tx == "8", 5) == [(1, 2)]


def test_what_one_snapshot_shows_is_forgotten():
    recent = Recent()
    recent.add("7", 1, 2)
    recent.add("8", 3, 3)
    recent.prune(lambda tx: tx == "7")
    assert len(recent) == 1
    assert recent.unseen(lambda _: False, 9) == [(3, 3)]
