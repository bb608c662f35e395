"""What of a row a client gets: the fields it selected, without those that its rules hide. (pure)

Values that are kept keep their bytes, so that no digit of a number is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from broadcaster.rowjson import decode_any

_Tree: TypeAlias = "dict[str, _Tree | None]"
"""Fields by name: None is the whole field, a tree some of what is below it."""

_document: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode
_NULL: Final = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class View:
    """select: dotted paths, None for all; the primary key is always kept. hidden: paths that are cut out, whatever is
    selected; of the primary key too. forced: (top-level field, JSON value), set in every row."""

    select: tuple[str, ...] | None = None
    hidden: tuple[str, ...] = ()
    forced: tuple[tuple[str, str], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether rows are shown as they are."""
        return self.select is None and not self.hidden and not self.forced

    def text(self) -> str:
        """A text that two views share only if they show the same."""
        select = None if self.select is None else sorted(set(self.select))
        return json.dumps([select, sorted(set(self.hidden)), list(self.forced)])

    def hides(self, path: str) -> bool:
        """Whether the path leads to something hidden, or to something that holds it: through all elements of an array,
        or by number through one of them."""
        return path in self.hidden or any(
            _begins_with(own, other) or _begins_with(other, own)
            for own, other in ((_unnumbered(path), _unnumbered(hidden)) for hidden in self.hidden)
        )

    def forces(self, path: str) -> bool:
        """Whether what the path leads to is not the row's own."""
        return any(path.partition(".")[0] == name for name, _ in self.forced)


WHOLE: Final = View()


def _unnumbered(path: str) -> list[str]:
    """The path's segments without those that may name an element of an array: a row itself is none."""
    first, *rest = path.split(".")
    return [first, *(segment for segment in rest if not segment.isdigit())]


def _begins_with(path: list[str], other: list[str]) -> bool:
    return path[: len(other)] == other


class Projection:
    """A view, compiled."""

    __slots__ = ("_forced", "_hidden", "_select", "view")

    def __init__(self, view: View) -> None:
        self.view = view
        self._select = None if view.select is None else _tree(view.select)
        self._hidden = _tree(view.hidden) | dict.fromkeys(view.hidden)
        """Also the fields with dots in their names that these paths may mean."""
        self._forced = {name: msgspec.Raw(value.encode()) for name, value in view.forced}

    def key(self, key: bytes) -> bytes:
        """A primary key as the client sees it."""
        return _encode(_without(_document(key), self._hidden)) if self._hidden else key

    def doc(self, key: bytes, doc: bytes) -> bytes:
        """A row as the client sees it; key: its primary key."""
        try:
            row = _document(doc)
            if self._select is not None:
                own = _document(key)
                row = _only(row, {**self._select, **dict.fromkeys(own)})
            if self._hidden:
                row = _without(row, self._hidden)
            row.update(self._forced)
            return _encode(row)
        except (msgspec.DecodeError, RecursionError):
            return self._slowly(key, doc)

    def _slowly(self, key: bytes, doc: bytes) -> bytes:
        """Of a row that msgspec refuses (see `rowjson`): its numbers as Python reads them, half surrogates as `?`."""
        try:
            plain = json.dumps(decode_any(doc.decode()), default=str, ensure_ascii=False)
            return self.doc(key, plain.encode(errors="replace"))
        except RecursionError:  # deeper than anyone can show in part
            return self.key(key)


def _tree(paths: Iterable[str]) -> _Tree:
    """A path includes all below it, so that a longer one beside it says nothing."""
    root: _Tree = {}
    for path in paths:
        node = root
        *above, last = path.split(".")
        for segment in above:
            below = node.setdefault(segment, {})
            if below is None:
                break
            node = below
        else:
            node[last] = None
    return root


def _only(row: Mapping[str, msgspec.Raw], tree: _Tree) -> dict[str, msgspec.Raw]:
    kept: dict[str, msgspec.Raw] = {}
    for name, value in row.items():
        if name in tree:
            below = tree[name]
            part = value if below is None else _only_inner(value, below)
            if part is not None:
                kept[name] = part
    return kept


def _only_inner(raw: msgspec.Raw, tree: _Tree) -> msgspec.Raw | None:
    """Of an array its documents; of what is no document nothing."""
    kind = _kind(raw)
    if kind == b"{":
        return _raw(_only(_document(raw), tree))
    if kind == b"[":
        return _raw([part for item in _array(raw) if (part := _only_inner(item, tree)) is not None])
    return None


def _without(row: Mapping[str, msgspec.Raw], tree: _Tree) -> dict[str, msgspec.Raw]:
    kept: dict[str, msgspec.Raw] = {}
    for name, value in row.items():
        if name not in tree:
            kept[name] = value
        elif (below := tree[name]) is not None:
            kept[name] = _without_inner(value, below)
    return kept


def _without_inner(raw: msgspec.Raw, tree: _Tree) -> msgspec.Raw:
    kind = _kind(raw)
    if kind == b"{":
        return _raw(_without(_document(raw), tree))
    if kind == b"[":
        kept = []
        for index, item in enumerate(_array(raw)):
            own = tree.get(str(index), tree)
            if own is not None:
                part = _without_inner(item, tree)
                kept.append(part if own is tree else _without_inner(part, own))
        return _raw(kept)
    if (
        kind == b'"' and tree and _text(raw).lstrip()[:1] in ("{", "[")
    ):  # a document that MariaDB keeps as text
        return _NULL
    return raw


def _kind(raw: msgspec.Raw) -> bytes:
    return bytes(raw).lstrip()[:1]


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))
