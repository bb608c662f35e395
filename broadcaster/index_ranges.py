"""Intervals that come and go, and which of them hold a point. (pure)

An interval hangs in the two neighbouring cells that its ends lie in, of a grid as coarse as it is long: there is a grid
for every power of two. So a point looks into one cell of each grid in use, of which there are as many as there are
magnitudes of lengths, however many intervals there are; and since an interval holds the edge between its cells, in each
of them one of its ends decides. Nothing is ever rebuilt or balanced, in whatever order intervals come.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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

LOW_IS_OPEN: Final = 1
HIGH_IS_OPEN: Final = 2
"""Bits of an interval's tag: whether the end itself is outside."""


class Bounds(Generic[T]):
    """Items by one end of their intervals, in its order; equal ends in the order of their tags."""

    __slots__ = ("codes", "items", "tags")

    def __init__(self) -> None:
        self.codes: list[Code] = []
        self.tags: list[int] = []
        self.items: list[T] = []

    def __len__(self) -> int:
        return len(self.codes)

    def add(self, code: Code, tag: int, item: T) -> None:
        at = self._place(code, tag)
        self.codes.insert(at, code)
        self.tags.insert(at, tag)
        self.items.insert(at, item)

    def remove(self, code: Code, tag: int) -> None:
        at = self._place(code, tag)
        del self.codes[at], self.tags[at], self.items[at]

    def _place(self, code: Code, tag: int) -> int:
        codes = self.codes
        first = bisect_left(codes, code)
        return bisect_left(self.tags, tag, first, bisect_right(codes, code, first))

    def split(self) -> Bounds[T]:
        """Part with the upper half."""
        half: Bounds[T] = Bounds()
        middle = len(self) // 2
        half.codes, half.tags, half.items = self.codes[middle:], self.tags[middle:], self.items[middle:]
        del self.codes[middle:], self.tags[middle:], self.items[middle:]
        return half

    def below(self, code: Code, within: list[T], closed: list[T], open_: list[T]) -> None:
        """As lower ends; see `Intervals.at`."""
        at = bisect_left(self.codes, code)
        within += self.items[:at]
        self._edge(code, at, LOW_IS_OPEN, closed, open_)

    def above(self, code: Code, within: list[T], closed: list[T], open_: list[T]) -> None:
        """As upper ends; see `Intervals.at`."""
        codes = self.codes
        at = bisect_left(codes, code)
        edge = self._edge(code, at, HIGH_IS_OPEN, closed, open_)
        within += self.items[edge:]

    def _edge(self, code: Code, at: int, bit: int, closed: list[T], open_: list[T]) -> int:
        codes, count = self.codes, len(self.codes)
        while at < count and codes[at] == code:
            (open_ if self.tags[at] & bit else closed).append(self.items[at])
            at += 1
        return at


class Blocks(Generic[T]):
    """`Bounds` of any number, of which an insertion moves few."""

    __slots__ = ("_blocks", "_firsts")

    def __init__(self, bounds: Bounds[T]) -> None:
        """bounds: at least one."""
        self._blocks = [bounds]
        self._firsts = [(bounds.codes[0], bounds.tags[0])]

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, code: Code, tag: int, item: T) -> None:
        at = self._place(code, tag)
        block = self._blocks[at]
        block.add(code, tag, item)
        self._firsts[at] = block.codes[0], block.tags[0]
        if len(block) > _BLOCK:
            half = block.split()
            self._blocks.insert(at + 1, half)
            self._firsts.insert(at + 1, (half.codes[0], half.tags[0]))

    def remove(self, code: Code, tag: int) -> None:
        at = self._place(code, tag)
        block = self._blocks[at]
        block.remove(code, tag)
        if not len(block):
            del self._blocks[at], self._firsts[at]

    def _place(self, code: Code, tag: int) -> int:
        return max(0, bisect_right(self._firsts, (code, tag)) - 1)

    def below(self, code: Code, within: list[T], closed: list[T], open_: list[T]) -> None:
        """See `Bounds.below`."""
        for block in self._blocks:
            if block.codes[0] > code:
                break
            block.below(code, within, closed, open_)

    def above(self, code: Code, within: list[T], closed: list[T], open_: list[T]) -> None:
        """See `Bounds.above`."""
        for block in reversed(self._blocks):
            if block.codes[-1] < code:
                break
            block.above(code, within, closed, open_)


def _added(bounds: Bounds[T] | Blocks[T] | None, code: Code, tag: int, item: T) -> Bounds[T] | Blocks[T]:
    if bounds is None:
        bounds = Bounds()
    elif len(bounds) == _BLOCK and isinstance(bounds, Bounds):
        bounds = Blocks(bounds)
    bounds.add(code, tag, item)
    return bounds


class _Cell(Generic[T]):
    """What hangs in one cell: by its lower ends what goes on into the next, by its upper ends what comes from the one
    before, and by its tag what does neither."""

    __slots__ = ("coming", "going", "staying")

    def __init__(self) -> None:
        self.going: Bounds[T] | None = None
        self.coming: Bounds[T] | None = None
        self.staying: dict[int, tuple[Code, Code, T]] | None = None

    def __bool__(self) -> bool:
        return bool(self.going or self.coming or self.staying)


class _Grid(Generic[T]):
    """Cells of one size; scale: cells a unit."""

    __slots__ = ("cells", "scale")

    def __init__(self, level: int) -> None:
        self.scale = 2.0**-level
        self.cells: dict[int, _Cell[T]] = {}

    def add(self, low: Code, high: Code, tag: int, item: T) -> None:
        first, last = floor(low * self.scale), floor(high * self.scale)
        cell = self._cell(first)
        if first == last:
            if cell.staying is None:
                cell.staying = {}
            cell.staying[tag] = low, high, item
            return
        if cell.going is None:
            cell.going = Bounds()
        cell.going.add(low, tag, item)
        cell = self._cell(last)
        if cell.coming is None:
            cell.coming = Bounds()
        cell.coming.add(high, tag, item)

    def _cell(self, number: int) -> _Cell[T]:
        cell = self.cells.get(number)
        if cell is None:
            cell = self.cells[number] = _Cell()
        return cell

    def remove(self, low: Code, high: Code, tag: int) -> None:
        """Undo `add` of the same."""
        first, last = floor(low * self.scale), floor(high * self.scale)
        if first == last:
            staying = self.cells[first].staying
            assert staying is not None
            del staying[tag]
        else:
            going, coming = self.cells[first].going, self.cells[last].coming
            assert going is not None
            assert coming is not None
            going.remove(low, tag)
            coming.remove(high, tag)
        for number in {first, last}:
            if not self.cells[number]:
                del self.cells[number]


class Intervals(Generic[T]):
    """Intervals; either end may be open to infinity (None), not both.

    `at` costs one look-up for each grid in use, O(log n) comparisons and what is found.
    """

    __slots__ = ("_from", "_grids", "_to")

    def __init__(self) -> None:
        self._from: Bounds[T] | Blocks[T] | None = None
        self._to: Bounds[T] | Blocks[T] | None = None
        self._grids: dict[int, _Grid[T]] | None = None

    def __bool__(self) -> bool:
        return bool(self._from or self._to or self._grids)

    def add(self, low: Code | None, high: Code | None, tag: int, item: T) -> None:
        """tag: unique among these intervals but for `LOW_IS_OPEN` and `HIGH_IS_OPEN`, which say whether the ends are
        inside; it and the ends find the interval again."""
        if high is None:
            assert low is not None
            self._from = _added(self._from, low, tag, item)
        elif low is None:
            self._to = _added(self._to, high, tag, item)
        else:
            if self._grids is None:
                self._grids = {}
            level = _level(low, high)
            grid = self._grids.get(level)
            if grid is None:
                grid = self._grids[level] = _Grid(level)
            grid.add(low, high, tag, item)

    def remove(self, low: Code | None, high: Code | None, tag: int) -> None:
        """Undo `add` of the same."""
        if high is None:
            assert low is not None
            assert self._from is not None
            self._from.remove(low, tag)
            self._from = self._from or None
        elif low is None:
            assert self._to is not None
            self._to.remove(high, tag)
            self._to = self._to or None
        else:
            assert self._grids is not None
            level = _level(low, high)
            grid = self._grids[level]
            grid.remove(low, high, tag)
            if not grid.cells:
                del self._grids[level]

    def at(self, code: Code, within: list[T], closed: list[T], open_: list[T]) -> None:
        """Add to `within` the items whose intervals hold the code between their ends, to the others those of which it
        is an end: to `open_` where that is outside. Each once."""
        if self._from is not None:
            self._from.below(code, within, closed, open_)
        if self._to is not None:
            self._to.above(code, within, closed, open_)
        if self._grids is None:
            return
        for grid in self._grids.values():
            cell = grid.cells.get(floor(code * grid.scale))
            if cell is None:
                continue
            if cell.going is not None:
                cell.going.below(code, within, closed, open_)
            if cell.coming is not None:
                cell.coming.above(code, within, closed, open_)
            if cell.staying is not None:
                for tag, (low, high, item) in cell.staying.items():
                    if low < code < high:
                        within.append(item)
                    elif low <= code <= high:
                        is_open = (low == code and tag & LOW_IS_OPEN) or (high == code and tag & HIGH_IS_OPEN)
                        (open_ if is_open else closed).append(item)


def _level(low: Code, high: Code) -> int:
    """The finest grid in which the ends lie in neighbouring cells, or in one."""
    level = max(_FINEST, frexp(high - low)[1] - 1)
    while level <= _COARSEST:
        scale = 2.0**-level
        if floor(high * scale) - floor(low * scale) <= 1:
            return level
        level += 1
    return _WHOLE
