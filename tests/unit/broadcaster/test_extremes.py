from broadcaster.extremes import Extreme


def extreme(*numbers, keep=3, greatest=False):
    made = Extreme(keep, greatest=greatest)
    for number in numbers:
        made.add(b"%03d" % number, b"%d" % number)
    return made


def test_the_first_value_of_those_that_are_in():
    assert extreme().best == b"null"
    least = extreme(5, 3, 3, 9)
    least.remove(b"003", b"3")
    assert least.best == b"3"
    least.remove(b"003", b"3")
    assert least.best == b"5"
    assert extreme(5, 3, 9, greatest=True).best == b"9"


def test_of_equal_values_always_the_same_one():
    for spellings in ((b"1.0", b"1"), (b"1", b"1.0")):
        made = Extreme(3, greatest=True)
        for spelling in spellings:
            made.add(b"r", spelling)
        assert made.best == b"1"


def test_what_lies_beyond_the_bound_is_counted_and_must_be_read_again_once_it_is_first():
    made = extreme(*range(100))
    assert made.best == b"0"
    for number in range(50, 100):
        made.remove(b"%03d" % number, b"%d" % number)
    gone = 0
    while not made.is_short:
        made.remove(b"%03d" % gone, b"%d" % gone)
        gone += 1
    assert 3 <= gone <= 6
    made.add(b"000", b"0")
    assert not made.is_short
    assert made.best == b"0"


def test_a_short_one_that_loses_all_is_whole_again():
    made = extreme(*range(7))
    for number in range(7):
        made.remove(b"%03d" % number, b"%d" % number)
    assert not made.is_short
    assert made.best == b"null"
    made.add(b"900", b"900")
    assert made.best == b"900"


def test_long_values_are_fewer():
    made = Extreme(100, greatest=False)
    for number in range(50):
        made.add(b"%03d" % number, b"x" * 40_000)
    made.remove(b"000", b"x" * 40_000)
    assert made.is_short
