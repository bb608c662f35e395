"""The patterns of `$like` and `$regex` as tests of a text, in time linear in the text. (pure)"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import re2

TextTest: TypeAlias = Callable[[str], bool]

REGEX_FLAGS: Final = "ims"
"""What `$options` may hold: ignore case; `^` and `$` at every line; `.` matches a newline."""

_REGEX_BYTES: Final = 1 << 18
_ANY: Final = "%"
_ONE: Final = "_"


def like_parts(pattern: str) -> list[str | None]:
    """A LIKE pattern as characters to find (None: any one of them) between empty strings for `%`.

    `\\` makes the next character an ordinary one. Raises ValueError if nothing follows it.
    """
    parts: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == _ANY:
            if parts[-1:] != [""]:
                parts.append("")
        elif character == _ONE:
            parts.append(None)
        elif character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise ValueError("a \\ at the end escapes nothing; write \\\\ for one")
            parts.append(escaped)
        else:
            parts.append(character)
    return parts


def like_text(parts: Sequence[str | None]) -> str:
    """The parts as a pattern, in the one spelling that equal patterns share."""
    return "".join(_spelt(part) for part in parts)


def _spelt(part: str | None) -> str:
    if part is None:
        return _ONE
    if not part:
        return _ANY
    return f"\\{part}" if part in "%_\\" else part


def like_prefix(pattern: str) -> str:
    """What every match begins with."""
    prefix = []
    for part in like_parts(pattern):
        if not part:
            break
        prefix.append(part)
    return "".join(prefix)


@lru_cache(maxsize=512)
def compile_like(pattern: str) -> TextTest:
    """A test whether the whole text matches. Between two `%` the leftmost find is as good as any, so that nothing is
    ever tried twice."""
    pieces: list[list[str | None]] = [[]]
    for part in like_parts(pattern):
        if part == "":
            pieces.append([])
        else:
            pieces[-1].append(part)
    head, *inner = [re.compile("".join(map(_regex_of, piece)), re.DOTALL) for piece in pieces]
    if not inner:
        return lambda text: head.fullmatch(text) is not None
    tail, tail_length = inner.pop(), len(pieces[-1])

    def test(text: str) -> bool:
        found = head.match(text)
        if found is None:
            return False
        at, end = found.end(), len(text) - tail_length
        if at > end or tail.match(text, end) is None:
            return False
        for piece in inner:
            found = piece.search(text, at, end)
            if found is None:
                return False
            at = found.end()
        return True

    return test


def _regex_of(part: str | None) -> str:
    return "." if part is None else re.escape(part)


def compile_regex(pattern: str, flags: str = "") -> TextTest:
    """A test whether the regular expression (RE2's syntax, https://github.com/google/re2/wiki/Syntax) is found in the
    text. flags: of `REGEX_FLAGS`. Raises ValueError, which says what is wrong with it."""
    search = _regex(pattern, flags).search
    return lambda text: search(text.encode("utf-8", "surrogatepass")) is not None


def regex_size(pattern: str, flags: str = "") -> int:
    """The instructions of RE2's program for it: each may be tried at every character of a text. Raises as
    `compile_regex`."""
    return int(_regex(pattern, flags).programsize)


@lru_cache(maxsize=512)
def _regex(pattern: str, flags: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _REGEX_BYTES
    try:
        return re2.compile(f"(?{flags}){pattern}" if flags else pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise ValueError(
            reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        ) from None
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair") from None
