import pytest

from broadcaster.sums import Sum


def sum_of(*numbers):
    made = Sum()
    for number in numbers:
        made.add(number)
    return made


@pytest.mark.parametrize(
    ("numbers", "total", "mean"),
    [
        ([], b"null", b"null"),
        (["i1", "i2"], b"3", b"1.5"),
        (["i9007199254740991", "i1"], b'"9007199254740992"', b"4503599627370496"),
        (["i0", "f0.1", "f0.2"], b"0.3", b"0.1"),
        (["f1.5", "f1.5"], b"3", b"1.5"),
        (["f1e+308", "f1e+308"], b'"Infinity"', b"1e+308"),
        (["d1.50", "d2.5"], b'"4"', b'"2"'),
        (["d99999999999999999999.01", "i1"], b'"100000000000000000000.01"', b'"50000000000000000000.005"'),
        (["d1", "d0", "d0"], b'"1"', b'"0.3333333333333333333333333333333333"'),
        (["d-0.00"], b'"0"', b'"0"'),
        (["d1E+3"], b'"1000"', b'"1000"'),
        (["i1", "NaN"], b'"NaN"', b'"NaN"'),
        (["finf", "i1"], b'"Infinity"', b'"Infinity"'),
        (["d-Infinity"], b'"-Infinity"', b'"-Infinity"'),
        (["finf", "f-inf"], b'"NaN"', b'"NaN"'),
        (["f1E+999999999999", "i1"], b'"Infinity"', b'"Infinity"'),
        (["d1E-999999999999", "d1"], b'"1"', b'"0.5"'),
    ],
)
def test_sums_are_exact_and_rounded_once(numbers, total, mean):
    assert sum_of(*numbers).total() == total
    assert sum_of(*numbers).mean() == mean


def test_a_sum_does_not_remember_what_has_gone():
    numbers = ["i5", "f0.1", "d2.25", "NaN", "finf", "f-inf", "d1E+999999999"]
    made = sum_of("i1", *numbers)
    for number in numbers:
        made.remove(number)
    assert made.total() == b"1"
    made.remove("i1")
    assert made.total() == made.mean() == b"null"
