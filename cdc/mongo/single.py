"""Changes that are a transaction by themselves, from the server's message to the finished event in one go, by code that
is generated per shape of event: most of what there is where applications write. (pure)

Whatever is not exactly as an event that was seen before is left to the general way, `decode` and `assemble`, which
knows everything, and whose results these are to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Final, TypeAlias

from cdc import kernel
from cdc.event import Op, Record
from cdc.mongo.convert import MALFORMED, uint32, utf8, wire_text
from cdc.mongo.documentcode import Code, DocumentCode, Image, UnfitError
from cdc.mongo.reply import DOCUMENT, STRING, Fields, Reply, fields, place, string
from cdc.mongo.run import EventReader, Run
from cdc.mongo.values import types_json
from cdc.wire_text import literal

if TYPE_CHECKING:
    from cdc.mongo.open_transaction import OpenTransaction

Found: TypeAlias = tuple[str, int, int, Record]
"""(token, order, commit in Unix ms, record)"""

EventFunction: TypeAlias = Callable[[bytes, str, int, int], Found | None]
"""Of (message, its wire text, where the event begins, now)."""

OPS: Final = {"insert": Op.CREATE, "update": Op.UPDATE, "replace": Op.UPDATE, "delete": Op.DELETE}
_IMAGES: Final = {
    Op.CREATE: ("fullDocument",),
    Op.UPDATE: ("fullDocument", "fullDocumentBeforeChange"),
    Op.DELETE: ("fullDocumentBeforeChange",),
}
_KEPT: Final = 8  # of a collection
_COLLECTIONS: Final = 1_000
_UNKNOWN_PER_SHAPE: Final = 256  # events of other shapes before one more is generated: that costs 2 ms
_MOST_PATIENCE: Final = 1 << 13  # where nothing new is learned
# what follows the cluster time in a token tells the collection, by its UUID; only how fast we are depends on it
_COLLECTION_BEGIN: Final = 24 + 18
_COLLECTION_END: Final = _COLLECTION_BEGIN + 52
_ERRORS: Final = (*MALFORMED, RecursionError)
_TIMES: Final = {("clusterTime", "\x11"): ("Q", "order"), ("wallTime", "\x09"): ("q", "ts_ms")}


def event_reader(collections: Iterable[str], source: str) -> EventReader:
    """The kernel's, or the one in Python, for these collections. source: as in `Assembler`."""
    compiled = kernel.load("changes")
    return (
        SingleReader(collections, source) if compiled is None else compiled.EventReader(collections, source)
    )


class SingleReader:
    """Reads events of these collections, whose shapes it comes to know. source: as in `Assembler`."""

    def __init__(self, collections: Iterable[str], source: str) -> None:
        self._collections = frozenset(collections)
        self._source = source
        self._known: dict[str, list[EventFunction]] = {}
        self._patience = self._unknown = _UNKNOWN_PER_SHAPE

    def read(
        self, reply: Reply, first: int, end: int, budget: int, now_ms: int, transaction: OpenTransaction
    ) -> Run | None:
        """See `EventReader`. Usual are single changes of known shapes."""
        raw, text, events, known = reply.raw, reply.text, reply.events, self._known
        records: list[Record] = []
        size = order = ts_ms = 0
        token = ""
        for at in events[first:end]:
            functions = known.get(text[at + _COLLECTION_BEGIN : at + _COLLECTION_END])
            found = None if functions is None else _first(functions, raw, text, at, now_ms)
            if found is None:
                self._learn(raw, text, at)
                break
            token, order, ts_ms, record = found
            records.append(record)
            size += len(record[2] or b"")
            if size >= budget:
                break
        return Run(records, size, token, order, ts_ms) if records else None

    def _learn(self, raw: bytes, text: str, at: int) -> None:
        """From an event that was left to the general way, which says what is wrong with it if anything is."""
        self._unknown += 1
        if self._unknown <= self._patience:
            return
        self._unknown = 0
        self._patience = min(2 * self._patience, _MOST_PATIENCE)
        function = generate(raw, text, at, self._collections, self._source)
        if function is None:
            return
        if len(self._known) >= _COLLECTIONS:
            self._known.clear()
        functions = self._known.setdefault(text[at + _COLLECTION_BEGIN : at + _COLLECTION_END], [])
        if not any(
            function.__code__ == known.__code__ for known in functions
        ):  # its values were unusual, not its shape
            functions.insert(0, function)
            del functions[_KEPT:]
            self._patience = _UNKNOWN_PER_SHAPE


def _first(functions: list[EventFunction], raw: bytes, text: str, at: int, now_ms: int) -> Found | None:
    """What the first of these makes of it that can."""
    for i, function in enumerate(functions):
        try:
            found = function(raw, text, at, now_ms)
        except _ERRORS:
            continue  # the message ends before an event of this shape would, to begin with
        if found is not None:
            if i:
                functions.insert(0, functions.pop(i))
            return found
    return None


def generate(
    raw: bytes, text: str, at: int, collections: Collection[str], source: str
) -> EventFunction | None:
    """The function for the shape of the event that begins at `at`; None if it gets none."""
    try:
        return _EventCode(raw, text).function(at, collections, source)
    except (UnfitError, *_ERRORS):
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
        result = f'token, order, ts_ms, (collection, utf8(f"{key}"), utf8(f"{event}"))'
        function: EventFunction = code.function("raw, text, at, now_ms", result)
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
            *('","total_order":1,"data_collection_order":1,"last":true}', types, "}"),
        )


def _inside(*parts: str) -> str:
    """The inside of an f-string: text, and what is to be filled in, in turn."""
    return "".join(part if i % 2 else literal(part) for i, part in enumerate(parts))
