"""Writes the code that reads whole events of one shape, from the server's message to the finished record in one go.
(pure)

Whatever is not exactly as an event that was seen before is left to the general way, `decode` and `assemble`, which
knows everything, and whose results these are to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from json.encoder import encode_basestring
from typing import Final, TypeAlias

from cdc.event import Op, Record
from cdc.mongo.convert import MALFORMED, uint32, utf8, wire_text
from cdc.mongo.documentcode import Code, DocumentCode, Image, UnfitError
from cdc.mongo.reply import DOCUMENT, STRING, Fields, fields, place, string
from cdc.mongo.values import types_json
from cdc.wire_text import literal


class Numbers:
    """What an event is told of its place in its transaction. total: its number in it, from 1; orders: how many of each
    collection there were before; last: what tells that no other follows, or nothing."""

    __slots__ = ("last", "orders", "total")

    def __init__(self, total: int, orders: dict[str, int], last: str = "") -> None:
        self.total = total
        self.orders = orders
        self.last = last


Found: TypeAlias = tuple[str, int, int, Record, str]
"""(token, order, commit in Unix ms, record, wire text of what tells its kinds in it, behind its numbers)"""

EventFunction: TypeAlias = Callable[[bytes, str, int, int, int, Numbers], Found | None]
"""Of (message, its wire text, where the event begins, bytes of its fields before its `_id`, now, numbers). Raises
`ERRORS`."""

OPS: Final = {"insert": Op.CREATE, "update": Op.UPDATE, "replace": Op.UPDATE, "delete": Op.DELETE}
ERRORS: Final = (*MALFORMED, RecursionError)
_IMAGES: Final = {
    Op.CREATE: ("fullDocument",),
    Op.UPDATE: ("fullDocument", "fullDocumentBeforeChange"),
    Op.DELETE: ("fullDocumentBeforeChange",),
}
_TIMES: Final = {("clusterTime", "\x11"): ("Q", "order"), ("wallTime", "\x09"): ("q", "ts_ms")}
_TRANSACTION: Final = ("txnNumber", "lsid")


def generate(
    raw: bytes, text: str, at: int, collections: Collection[str], source: str
) -> EventFunction | None:
    """The function for the shape of the event that begins at `at`; None if it gets none."""
    try:
        return _EventCode(raw, text).function(at, collections, source)
    except (UnfitError, *ERRORS):
        return None


class _EventCode:
    """Writes what reads one event."""

    def __init__(self, raw: bytes, text: str) -> None:
        self._raw = raw
        self._text = text
        self._code = Code(raw, text)
        self._documents: dict[str, Image] = {}
        self._known: dict[str, tuple[str, ...]] = {}

    def function(self, at: int, collections: Collection[str], source: str) -> EventFunction:
        code, found = self._code, fields(self._raw, self._text, at)
        op, collection = self._subject(found)
        if op is None or collection not in collections:
            raise UnfitError
        begin, size = code.mark(), code.field("I")
        code.end_run()
        code.lines.append("at += skip")
        if "_id" not in found:
            raise UnfitError
        for name in _TRANSACTION if tuple(found)[:2] == _TRANSACTION else ():
            del found[name]
        for name, (kind, value_at) in found.items():
            self._element(name, kind, value_at)
        code.literal(b"\0")
        code.check(f"{begin} + {size} == {{here}}")
        code.end_run()
        if self._documents.keys() != {*_IMAGES[op], "documentKey"}:
            raise UnfitError
        types = self._types([self._documents[name] for name in _IMAGES[op]])
        code.space |= {"collection": collection, "utf8": utf8, "types_json": types_json}
        key = _inside('{"_id":', self._documents["documentKey"].fields["_id"], "}")
        event = self._event(op, collection, source, types)
        code.lines += ["count = numbers.orders.get(collection, 0) + 1"]
        result = f'token, order, ts_ms, (collection, utf8(f"{key}"), utf8(f"{event}")), f"{types}"'
        function: EventFunction = code.function("raw, text, at, skip, now_ms, numbers", result)
        return function

    def _subject(self, found: Fields) -> tuple[Op | None, str]:
        """What the event did, and to which collection."""
        raw, text = self._raw, self._text
        namespace = fields(raw, text, place(found, "ns", DOCUMENT))
        collection = string(raw, text, place(namespace, "coll", STRING))
        op = OPS.get(string(raw, text, place(found, "operationType", STRING)))
        return op, utf8(collection).decode()

    def _element(self, name: str, kind: str, at: int) -> None:
        """One of the event's own fields."""
        code, raw = self._code, self._raw
        head = raw[at - len(name) - 2 : at]
        if name in ("operationType", "ns"):
            code.literal(head + raw[at : at + uint32(raw, at)[0] + (4 if kind == STRING else 0)])
            return
        code.literal(head)
        if name == "_id":
            if fields(raw, self._text, at).keys() != {"_data"}:
                raise UnfitError
            code.skip(4)
            code.literal(b"\x02_data\0")
            code.string("token")
            code.literal(b"\0")
        elif (name, kind) in _TIMES:
            code.field(*_TIMES[name, kind])
        elif kind == DOCUMENT and name == "updateDescription":
            begin, size = code.mark(), code.field("I")
            code.end_run()
            code.lines.append(f"at = {begin} + {size}")
        elif kind == DOCUMENT and name in ("fullDocument", "documentKey", "fullDocumentBeforeChange"):
            image, _ = DocumentCode(code, self._known).write(at)
            self._documents[name] = image
            self._known |= image.known
        else:
            raise UnfitError

    def _types(self, images: list[Image]) -> str:
        """What the event ends with. There is but one set of kinds, so that both images must be read alike."""
        code = self._code
        first, last = images[0].kinds, images[-1].kinds
        if [each[:2] for each in first] != [each[:2] for each in last]:
            raise UnfitError
        for one, other in zip(first, last, strict=True):
            if one.variable != other.variable:
                code.lines += [f"if {one.variable} != {other.variable}:", "    return None"]
        if not any(each.variable for each in last):
            types = types_json({each.path: each.kind for each in last})
            return literal(f',"types":{types}') if types else ""
        code.lines += [
            f"types = {code.types(last)}",
            "types = f',\"types\":{types_json(types)}' if types else ''",
        ]
        return "{types}"

    def _event(self, op: Op, collection: str, source: str, types: str) -> str:
        before = self._documents["fullDocumentBeforeChange"].json if op is not Op.CREATE else "null"
        after = self._documents["fullDocument"].json if op is not Op.DELETE else "null"
        name = encode_basestring(wire_text(collection))
        return _inside(
            *('{"before":', before, ',"after":', after, f",{source}", "{ts_ms}"),
            *(f',"collection":{name},"txId":"', "{order}", '","ord":', "{order & 0xFFFFFFFF}"),
            *(f'}},"op":"{op.value}","ts_ms":', "{now_ms}", ',"transaction":{"id":"', "{order}"),
            *(
                '","total_order":',
                "{numbers.total}",
                ',"data_collection_order":',
                "{count}",
                "",
                "{numbers.last}",
            ),
            *("}", types, "}"),
        )


def _inside(*parts: str) -> str:
    """The inside of an f-string: text, and what is to be filled in, in turn."""
    return "".join(part if i % 2 else literal(part) for i, part in enumerate(parts))
