"""What a source's topics, consumer group and transactional id are called in Kafka. (pure)

Kafka takes letters, digits, `.`, `_` and `-`, at most 249 of them. Everything else becomes `_x<hex>_`, and so does a
`_` that stands before an `x`; what is too long ends in a hash. So no two collections share a topic.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 249
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9._-]|_(?=x)")
_ILLEGAL_OR_DOT: Final = re.compile(r"[^A-Za-z0-9_-]|_(?=x)")
_HASH: Final = 16


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one source's things in Kafka."""

    project: str
    alias: str

    @property
    def transactional_id(self) -> str:
        return f"{_escape(self.project, _ILLEGAL_OR_DOT)}.{_escape(self.alias, _ILLEGAL_OR_DOT)}"

    @property
    def group(self) -> str:
        """The group whose leader is the tailer."""
        return f"{self.transactional_id}.tailer"

    @property
    def position_topic(self) -> str:
        """Has one dot; the topics of collections have two or more."""
        return _shorten(f"{self.transactional_id}-position")

    def topic(self, collection: str) -> str:
        """The topic of a collection's events."""
        return _shorten(f"{self.transactional_id}.{_escape(collection, _ILLEGAL)}")


def confusable(topics: Iterable[str]) -> tuple[str, str] | None:
    """Two of the topics that differ in `.` and `_` only, which Kafka refuses to have side by side."""
    seen: dict[str, str] = {}
    for topic in topics:
        other = seen.setdefault(topic.replace(".", "_"), topic)
        if other != topic:
            return other, topic
    return None


def _escape(name: str, illegal: re.Pattern[str]) -> str:
    return illegal.sub(lambda match: f"_x{ord(match[0]):x}_", name)


def _shorten(name: str) -> str:
    """One that is left as it is has fewer characters than any that was cut."""
    if len(name) < LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH]
    return f"{name[: LONGEST - _HASH - 1]}-{digest}"
