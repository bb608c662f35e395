"""Intervals that come and go, and which of them hold a point. (pure)

An interval hangs in the two neighbouring cells that its ends lie in, of a grid as coarse as it is long: there is a grid
for every power of two. So a point looks into one cell of each grid in use, of which there are as many as there are
magnitudes of lengths, however many intervals there are; and since an interval holds the edge between its cells, in each
of them one of its ends decides. Nothing is ever rebuilt or balanced, in whatever order intervals come.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from math import floor, frexp
from typing import Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")

Code: TypeAlias = "float | int"
"""A place on a bracket's line: no further than 2**900 from zero, and of one type on each line."""

_FINEST: Final = -64
_COARSEST: Final = 128
_WHOLE: Final = 1074
"""Grids: the exponents of their cells' sizes. Beyond the coarsest there is one of two cells, below zero and above."""
_BLOCK: Final = 1024


class Bounds(Generic[T]):
    """Items by one end of their intervals, in its order; equal ends in the order of their numbers."""

    __slots__ = ("codes", "items", "numbers")

    def __init__(self) -> None:
        self.codes: list[Code] = []
        self.numbers: list[int] = []
        self.items: list[T] = []

    def __len__(self) -> int:
        return len(self.codes)

    def add(self, code: Code, number: int, item: T) -> None:
        at = self._place(code, number)
        self.codes.insert(at, code)
        self.numbers.insert(at, number)
        self.items.insert(at, item)

    def remove(self, code: Code, number: int) -> None:
        at = self._place(code, number)
        del self.codes[at], self.numbers[at], self.items[at]

    def _place(self, code: Code, number: int) -> int:
        codes = self.codes
        first = bisect_left(codes, code)
        return bisect_left(self.numbers, number, first, bisect_right(codes, code, first))

    def split(self) -> Bounds[T]:
        """Part with the upper half."""
        half: Bounds[T] = Bounds()
        middle = len(self) // 2
        half.codes, half.numbers, half.items = self.codes[middle:], self.numbers[middle:], self.items[middle:]
        del self.codes[middle:], self.numbers[middle:], self.items[middle:]
        return half

    def below(self, code: Code, sure: list[T], open_: list[T]) -> None:
        """Add to `sure` the items whose end is below the code, to `open_` those where it is the code."""
        at = bisect_left(self.codes, code)
        sure += self.items[:at]
        open_ += self.items[at : bisect_right(self.codes, code, at)]

    def above(self, code: Code, sure: list[T], open_: list[T]) -> None:
        """Likewise, above."""
        at = bisect_right(self.codes, code)
        sure += self.items[at:]
        open_ += self.items[bisect_left(self.codes, code, 0, at) : at]


class Blocks(Generic[T]):
    """`Bounds` of any number, of which an insertion moves few."""

    __slots__ = ("_blocks", "_firsts")

    def __init__(self) -> None:
        self._blocks: list[Bounds[T]] = []
        self._firsts: list[tuple[Code, int]] = []

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def add(self, code: Code, number: int, item: T) -> None:
        if not self._blocks:
            self._blocks.append(Bounds())
            self._firsts.append((code, number))
        at = max(0, bisect_right(self._firsts, (code, number)) - 1)
        block = self._blocks[at]
        block.add(code, number, item)
        self._firsts[at] = block.codes[0], block.numbers[0]
        if len(block) > _BLOCK:
            half = block.split()
            self._blocks.insert(at + 1, half)
            self._firsts.insert(at + 1, (half.codes[0], half.numbers[0]))

    def remove(self, code: Code, number: int) -> None:
        at = bisect_right(self._firsts, (code, number)) - 1
        block = self._blocks[at]
        block.remove(code, number)
        if not len(block):
            del self._blocks[at], self._firsts[at]

    def below(self, code: Code, sure: list[T], open_: list[T]) -> None:
        """See `Bounds.below`."""
        for block in self._blocks:
            if block.codes[0] > code:
                break
            block.below(code, sure, open_)

    def above(self, code: Code, sure: list[T], open_: list[T]) -> None:
        """See `Bounds.above`."""
        for block in reversed(self._blocks):
            if block.codes[-1] < code:
                break
            block.above(code, sure, open_)


class _Cell(Generic[T]):
    """What hangs in one cell: by its lower ends what goes on into the next, by its upper ends what comes from the one
    before, and what does neither."""

    __slots__ = ("coming", "going", "within")

    def __init__(self) -> None:
        self.going: Bounds[T] | None = None
        self.coming: Bounds[T] | None = None
        self.within: dict[int, tuple[Code, Code, T]] | None = None

    def __bool__(self) -> bool:
        return bool(self.going or self.coming or self.within)


class _Grid(Generic[T]):
    """Cells of one size; scale: cells a unit."""

    __slots__ = ("cells", "scale")

    def __init__(self, level: int) -> None:
        self.scale = 2.0**-level
        self.cells: dict[int, _Cell[T]] = {}

    def ends(self, low: Code, high: Code) -> tuple[int, int]:
        """The cells in which the ends lie."""
        return floor(low * self.scale), floor(high * self.scale)

    def cell(self, number: int) -> _Cell[T]:
        cell = self.cells.get(number)
        if cell is None:
            cell = self.cells[number] = _Cell()
        return cell

    def tidy(self, numbers: Iterable[int]) -> None:
        """Drop those of these cells that are empty."""
        for number in set(numbers):
            if not self.cells[number]:
                del self.cells[number]


class Intervals(Generic[T]):
    """Closed intervals; either end may be open to infinity (None), not both.

    `at` costs one look-up for each grid in use, O(log n) comparisons and what is found.
    """

    __slots__ = ("_from", "_grids", "_to")

    def __init__(self) -> None:
        self._from: Blocks[T] = Blocks()
        self._to: Blocks[T] = Blocks()
        self._grids: dict[int, _Grid[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._from or self._to or self._grids)

    def add(self, low: Code | None, high: Code | None, number: int, item: T) -> None:
        """number: unique among these intervals; it and the ends find the interval again."""
        if high is None:
            assert low is not None
            self._from.add(low, number, item)
        elif low is None:
            self._to.add(high, number, item)
        else:
            level = _level(low, high)
            grid = self._grids.get(level)
            if grid is None:
                grid = self._grids[level] = _Grid(level)
            first, last = grid.ends(low, high)
            cell = grid.cell(first)
            if first == last:
                cell.within = cell.within or {}
                cell.within[number] = low, high, item
                return
            cell.going = cell.going or Bounds()
            cell.going.add(low, number, item)
            cell = grid.cell(last)
            cell.coming = cell.coming or Bounds()
            cell.coming.add(high, number, item)

    def remove(self, low: Code | None, high: Code | None, number: int) -> None:
        """Undo `add` of the same."""
        if high is None:
            assert low is not None
            self._from.remove(low, number)
        elif low is None:
            self._to.remove(high, number)
        else:
            level = _level(low, high)
            grid = self._grids[level]
            first, last = grid.ends(low, high)
            if first == last:
                within = grid.cells[first].within
                assert within is not None
                del within[number]
            else:
                going, coming = grid.cells[first].going, grid.cells[last].coming
                assert going is not None
                assert coming is not None
                going.remove(low, number)
                coming.remove(high, number)
            grid.tidy((first, last))
            if not grid.cells:
                del self._grids[level]

    def at(self, code: Code, sure: list[T], open_: list[T]) -> None:
        """Add to `sure` the items whose intervals hold the code between their ends, to `open_` those with it for an
        end; each once."""
        if self._from:
            self._from.below(code, sure, open_)
        if self._to:
            self._to.above(code, sure, open_)
        for grid in self._grids.values():
            cell = grid.cells.get(floor(code * grid.scale))
            if cell is None:
                continue
            if cell.going:
                cell.going.below(code, sure, open_)
            if cell.coming:
                cell.coming.above(code, sure, open_)
            if cell.within:
                for low, high, item in cell.within.values():
                    if low <= code <= high:
                        (sure if low < code < high else open_).append(item)


def _level(low: Code, high: Code) -> int:
    """The finest grid in which the ends lie in neighbouring cells, or in one."""
    level = max(_FINEST, frexp(high - low)[1] - 1)
    while level <= _COARSEST:
        scale = 2.0**-level
        if floor(high * scale) - floor(low * scale) <= 1:
            return level
        level += 1
    return _WHOLE
