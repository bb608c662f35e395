# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled twin of `cdc.mongo.decode` and `cdc.mongo.single`: events of a change stream straight to finished
records, also within transactions.

What is not as nearly all events are is left untouched, for the general way to read or to refuse.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint64_t

from cdc.kernel.bson cimport Image, write_key
from cdc.kernel.bson_kinds cimport put_types, tell_the_same, types_of
from cdc.kernel.bson_value cimport LE64
from cdc.kernel.change_event cimport Event, is_together, op_of, parse, span_bytes, token_text
from cdc.kernel.out cimport (
    Out, again, clear, is_ascii, put, put_byte, put_bytes, put_signed, put_text, put_unsigned, release,
)

from json.encoder import encode_basestring

from cdc.mongo.convert import MALFORMED, wire_text
from cdc.mongo.reply import collection_of, session_of
from cdc.mongo.run import Key, Newest, Run
from cdc.mongo.values import Row, merged_types, types_json

cdef enum:
    MOST_NAMESPACES = 1_000


cdef class _Collection:
    """A collection and, in a transaction, its part in the run at hand: as in `cdc.mongo.run.Newest`."""

    cdef str name
    cdef bytes json
    cdef Py_ssize_t order, newest, tail

    def __cinit__(self, str name not None):
        self.name = name
        self.json = f',"collection":{encode_basestring(wire_text(name))},"txId":"'.encode("latin-1")
        self.newest = -1


cdef class EventReader:
    """See `cdc.mongo.run.EventReader`. What begins with `_run` is about the run at hand."""

    cdef dict _collections
    cdef dict _namespaces  # BSON to _Collection, None for one that is not wanted
    cdef bytes _source, _now
    cdef Image _before, _after
    cdef Out _value, _key
    cdef list _run_records, _run_touched
    cdef dict _run_orders
    cdef object _run_transaction
    cdef Py_ssize_t _run_total, _run_size, _run_budget
    cdef Event _run_last

    def __init__(self, collections, source):
        self._collections = {name: _Collection(name) for name in collections}
        self._namespaces = {}
        self._source = f",{source}".encode("latin-1")
        self._before = Image()
        self._after = Image()
        self._run_touched = []

    def __dealloc__(self):
        release(&self._value)
        release(&self._key)

    def read(self, reply, Py_ssize_t first, Py_ssize_t end, Py_ssize_t budget, now_ms, transaction):
        """See `cdc.mongo.run.EventReader.read`."""
        cdef bytes raw = reply.raw
        cdef list places = reply.events
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(raw)
        cdef const unsigned char *limit = data + len(raw)
        cdef Event event
        cdef Py_ssize_t i
        self._begin(budget, now_ms)
        try:
            for i in range(first, end):
                parse(&event, data + <Py_ssize_t>places[i], limit)
                if i == first:
                    self._begin_transaction(&event, transaction)
                elif not is_together(&event, &self._run_last):
                    break
                self._add(&event, self._collection(&event), limit)
                self._run_last = event
                if self._run_size >= self._run_budget:
                    break
        except ValueError:
            pass  # the next call is about this event; the general way must see it
        return self._finish() if self._run_records else None

    cdef int _begin(self, Py_ssize_t budget, now_ms) except -1:
        cdef _Collection collection
        for collection in self._run_touched:
            collection.newest = -1
        self._now = f',"ts_ms":{now_ms},"transaction":{{"id":"'.encode()
        self._run_records, self._run_touched = [], []
        self._run_size = self._run_total = 0
        self._run_budget = budget
        return 0

    cdef int _begin_transaction(self, Event *event, transaction) except -1:
        """The run is about the transaction of this event, which may be the open one."""
        self._run_transaction = None
        self._run_orders = {}
        if event.number == NULL:
            return 0
        try:
            session = session_of(span_bytes(&event.lsid))
        except MALFORMED as error:
            raise ValueError from error
        self._run_transaction = Key(LE64(event.time), session, <int64_t>LE64(event.number))
        if self._run_transaction == transaction.key:
            self._run_total = transaction.total
            self._run_budget -= transaction.size
            self._run_orders = transaction.orders()
        return 0

    cdef object _finish(self):
        cdef Event *last = &self._run_last
        cdef _Collection collection
        token = token_text(&last.token, &last.bits)
        newest = {}
        for collection in self._run_touched:
            if collection.newest >= 0:
                newest[collection.name] = Newest(collection.order, collection.newest, collection.tail)
        records, self._run_records = self._run_records, None
        return Run(
            records, self._run_size, token, LE64(last.time), <int64_t>LE64(last.wall), self._run_transaction, newest
        )

    cdef _Collection _collection(self, Event *event):
        """Raises ValueError if it is not wanted."""
        cdef bytes namespace = span_bytes(&event.namespace)
        found = self._namespaces.get(namespace, self)
        if found is self:
            try:
                found = self._collections.get(collection_of(namespace.decode("latin-1")))
            except MALFORMED as error:
                raise ValueError from error
            if len(self._namespaces) >= MOST_NAMESPACES:
                self._namespaces.clear()
            self._namespaces[namespace] = found
        if found is None:
            raise ValueError
        return <_Collection>found

    cdef int _add(self, Event *event, _Collection collection, const unsigned char *end) except -1:
        """Read one event to the end of the run."""
        cdef Out *value = &self._value
        cdef Out *key = &self._key
        cdef unsigned char op = op_of(event)
        cdef Py_ssize_t order = 1, tail
        if self._run_transaction is not None:
            if collection.newest < 0:
                collection.order = self._run_orders.get(collection.name, 0)
                self._run_touched.append(collection)
            order = collection.order + 1
        clear(value)
        types = self._put_images(event, end)
        self._put_source(event, collection, op)
        put(value, b'","total_order":', 16)
        put_unsigned(value, 1 if self._run_transaction is None else self._run_total + 1)
        put(value, b',"data_collection_order":', 25)
        put_unsigned(value, order)
        if self._run_transaction is None:
            put(value, b',"last":true', 12)
        tail = value.size
        put_byte(value, 125)
        if types is not None:
            put_text(value, types)
        elif op == 100:
            put_types(value, &self._before.kinds)
        else:
            put_types(value, &self._after.kinds)
        put_byte(value, 125)
        clear(key)
        write_key(&self._after.kinds, key, event.key, end)
        record = collection.name, _finished(key), _finished(value)
        if self._run_transaction is not None:
            collection.order = order
            collection.newest = len(self._run_records)
            collection.tail = value.size - tail
        self._run_records.append(record)
        self._run_size += value.size
        self._run_total += 1
        return 0

    cdef object _put_images(self, Event *event, const unsigned char *end):
        """Begin the event. The types at its end, where they are not simply those of its images."""
        cdef Out *value = &self._value
        cdef Py_ssize_t middle
        put(value, b'{"before":', 10)
        if event.before == NULL:
            put(value, b'null', 4)
        else:
            self._before.write(value, event.before, end, None)
        middle = value.size
        put(value, b',"after":', 9)
        if event.after == NULL:
            put(value, b'null', 4)
            return None
        self._after.write(value, event.after, end, None if event.before == NULL else self._before)
        if event.before == NULL or tell_the_same(&self._after.kinds, &self._before.kinds):
            return None
        types = merged_types(
            Row(PyUnicode_DecodeLatin1(<const char *>value.data + 10, middle - 10, NULL), types_of(&self._before.kinds)),
            Row(
                PyUnicode_DecodeLatin1(<const char *>value.data + middle + 9, value.size - middle - 9, NULL),
                types_of(&self._after.kinds),
            ),
        )
        if types is None:
            raise ValueError
        return f',"types":{types_json(types)}' if types else ""

    cdef int _put_source(self, Event *event, _Collection collection, unsigned char op) except -1:
        """Append what follows the images, up to the transaction's id."""
        cdef Out *value = &self._value
        cdef uint64_t time = LE64(event.time)
        cdef Py_ssize_t at, length
        put_bytes(value, self._source)
        put_signed(value, <int64_t>LE64(event.wall))
        put_bytes(value, collection.json)
        at = value.size
        put_unsigned(value, time)
        length = value.size - at
        put(value, b'","ord":', 8)
        put_unsigned(value, time & 0xFFFFFFFF)
        put(value, b'},"op":"', 8)
        put_byte(value, op)
        put_byte(value, 34)
        put_bytes(value, self._now)
        return again(value, at, length)


cdef bytes _finished(Out *out):
    """What was written. Raises ValueError if it is not UTF-8."""
    if not is_ascii(out.data, out.size):
        PyUnicode_DecodeUTF8(<const char *>out.data, out.size, NULL)
    return PyBytes_FromStringAndSize(<const char *>out.data, out.size)
