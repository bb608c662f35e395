"""Exact running sums of numbers that come and go. (pure)

A sum depends on the numbers that are in it, not on the order in which they came, nor on those that went. It is kept to
the last digit and rounded, if at all, when it is shown.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_DOWN, Context, Decimal
from fractions import Fraction
from typing import Final

from broadcaster.kinds import SAFE_INTEGER

WHOLE, FLOAT, DECIMAL = "i", "f", "d"
"""The first letter of a number as text: a whole number, a fraction that JSON numbers carry, a decimal that is a string
in rows. Its digits follow, or `inf`."""

NAN: Final = "NaN"

_INFINITIES: Final = (b'"Infinity"', b'"-Infinity"')
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
_QUOTIENT: Final = Context(prec=34, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
_MOST_EXPONENT: Final = 131_072
_DECIMAL_PLACES: Final = 20_000
_ZERO: Final = Decimal(0)


class Sum:
    """The sum of some numbers, and how many they are. A number of 10^131072 or more counts as infinite, and digits
    behind the 20,000th decimal place count for nothing: only JSON has such, and they would fill the memory."""

    __slots__ = ("_above", "_below", "_decimals", "_floats", "_nans", "_rest", "_whole", "numbers")

    def __init__(self) -> None:
        self.numbers = 0
        self._whole = 0
        self._rest = _ZERO
        self._floats = self._decimals = self._nans = self._above = self._below = 0

    def add(self, number: str) -> None:
        """Put a number in."""
        self._change(number, 1)

    def remove(self, number: str) -> None:
        """Take a number out that is in."""
        self._change(number, -1)

    def _change(self, number: str, sign: int) -> None:
        self.numbers += sign
        if number == NAN:
            self._nans += sign
            return
        letter, digits = number[0], number[1:]
        if letter == WHOLE:
            self._whole += sign * int(digits)
            return
        if letter == DECIMAL:
            self._decimals += sign
        else:
            self._floats += sign
        value = Decimal(digits)
        if not value.is_finite() or (value and value.adjusted() >= _MOST_EXPONENT):
            if value > 0:
                self._above += sign
            else:
                self._below += sign
            return
        if len(digits) > _DECIMAL_PLACES or "E" in digits:
            value = _cut(value)
        self._rest = _EXACT.add(self._rest, value if sign > 0 else -value)

    def total(self) -> bytes:
        """The sum as JSON: null of no numbers; of whole numbers and fractions a number (the nearest double; a string
        where whole ones go beyond ±(2^53-1)), a string with all digits where there are decimals among them."""
        special = self._special()
        if special is not None:
            return special
        if self._decimals:
            return decimal_json(self._exactly())
        return _double(Fraction(self._exactly())) if self._floats else _integer(self._whole)

    def mean(self) -> bytes:
        """The sum by the count as JSON: null of no numbers; a number, the nearest double; where there are decimals
        among them a string of up to 34 digits, the nearest to the exact quotient, of two the even one."""
        special = self._special()
        if special is not None:
            return special
        if self._decimals:
            return decimal_json(_QUOTIENT.divide(self._exactly(), Decimal(self.numbers)))
        return _double(Fraction(self._exactly()) / self.numbers)

    def _exactly(self) -> Decimal:
        return _EXACT.add(self._rest, Decimal(self._whole))

    def _special(self) -> bytes | None:
        if not self.numbers:
            return b"null"
        if self._nans or (self._above and self._below):
            return b'"NaN"'
        if self._above or self._below:
            return _INFINITIES[0 if self._above else 1]
        return None


def _cut(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= -_DECIMAL_PLACES:
        return number
    return number.quantize(Decimal((0, (1,), -_DECIMAL_PLACES)), ROUND_DOWN, _EXACT)


def _integer(number: int) -> bytes:
    return b"%d" % number if abs(number) <= SAFE_INTEGER else b'"%d"' % number


def _double(number: Fraction) -> bytes:
    try:
        nearest = float(number)
    except OverflowError:
        return _INFINITIES[0 if number > 0 else 1]
    if nearest.is_integer() and abs(nearest) <= SAFE_INTEGER:
        return b"%d" % int(nearest)
    return repr(nearest).encode()


def decimal_json(number: Decimal) -> bytes:
    """A decimal as a JSON string, without an exponent and without zeros at the end of a fraction. Not NaN."""
    if not number.is_finite():
        return _INFINITIES[0 if number > 0 else 1]
    if not -_MOST_EXPONENT <= number.adjusted() <= _MOST_EXPONENT and number:
        return b'"%b"' % str(number.normalize(_EXACT)).encode()
    digits = f"{number:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return b'"%b"' % (b"0" if number.is_zero() else digits.encode())
