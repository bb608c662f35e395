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
from cdc.kernel.change_event cimport Event, is_span, is_together, op_of, parse, span_bytes, token_text
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
    SHORT = 16  # events of a transaction that goes together with others
    LAST = 12  # bytes of what tells the last event


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
    cdef bytes _lsid, _session  # of the last transaction
    cdef list _run_records, _run_touched
    cdef Py_ssize_t _run_size, _run_budget
    cdef Event _run_last
    # What is complete of it, and of the transaction at hand, if there is one: `_open`, whether it is the assembler's,
    # and what it counted before the run.
    cdef Py_ssize_t _complete, _complete_size
    cdef Event _complete_last
    cdef bint _in_transaction, _open
    cdef Py_ssize_t _total
    cdef dict _orders

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
                if i == first or not is_together(&event, &self._run_last):
                    if i > first and not self._complete_transaction():
                        break
                    self._begin_transaction(&event, transaction if i == first else None)
                self._add(&event, self._collection(&event), limit)
                self._run_last = event
                if self._run_size >= self._run_budget or self._is_another_long():
                    break
        except ValueError:
            pass  # the next call is about this event; the general way must see it
        return self._finish() if self._run_records else None

    cdef int _begin(self, Py_ssize_t budget, now_ms) except -1:
        self._now = f',"ts_ms":{now_ms},"transaction":{{"id":"'.encode()
        self._run_records = []
        self._forget_transaction()
        self._run_size = self._complete = self._complete_size = 0
        self._run_budget = budget
        return 0

    cdef int _forget_transaction(self) except -1:
        cdef _Collection collection
        for collection in self._run_touched:
            collection.newest = -1
        self._run_touched = []
        self._in_transaction = self._open = False
        self._total = 0
        self._orders = {}
        return 0

    cdef int _begin_transaction(self, Event *event, transaction) except -1:
        """What comes is of the transaction of this event, which may be the assembler's open one."""
        if event.number == NULL:
            return 0
        if self._lsid is None or not is_span(&event.lsid, self._lsid):
            lsid = span_bytes(&event.lsid)
            try:
                self._session = session_of(lsid)
            except MALFORMED as error:
                raise ValueError from error
            self._lsid = lsid
        self._in_transaction = True
        if transaction is not None and transaction.key == self._transaction_key(event):
            self._open = True
            self._total = transaction.total
            self._orders = transaction.orders()
            self._run_budget -= transaction.size
        return 0

    cdef object _transaction_key(self, Event *event):
        return Key(LE64(event.time), self._session, <int64_t>LE64(event.number))

    cdef bint _complete_transaction(self) except -1:
        """The transaction at hand, if there is one, is complete, since another event comes. False if the run ends with it:
        it is the assembler's, or long."""
        cdef _Collection collection
        if self._in_transaction:
            if self._open or len(self._run_records) - self._complete > SHORT:
                return False
            for collection in self._run_touched:
                name, key, value = self._run_records[collection.newest]
                tail = len(value) - collection.tail
                self._run_records[collection.newest] = name, key, value[:tail] + b',"last":true' + value[tail:]
                self._run_size += LAST
            self._forget_transaction()
        self._complete, self._complete_size = len(self._run_records), self._run_size
        self._complete_last = self._run_last
        return True

    cdef bint _is_another_long(self):
        """Whether the transaction at hand is long, and what is complete before it goes first."""
        return self._in_transaction and 0 < self._complete < len(self._run_records) - SHORT

    cdef object _finish(self):
        """The run: what is complete, or a piece of a transaction."""
        cdef _Collection collection
        records, self._run_records = self._run_records, None
        if not self._in_transaction:
            return _run(records, self._run_size, &self._run_last, None, {})
        if self._complete:
            return _run(records[: self._complete], self._complete_size, &self._complete_last, None, {})
        newest = {
            collection.name: Newest(collection.order, collection.newest, collection.tail)
            for collection in self._run_touched
            if collection.newest >= 0
        }
        return _run(records, self._run_size, &self._run_last, self._transaction_key(&self._run_last), newest)

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
        if self._in_transaction:
            if collection.newest < 0:
                collection.order = self._orders.get(collection.name, 0)
            order = collection.order + 1
        clear(value)
        types = self._put_images(event, end)
        self._put_source(event, collection, op)
        put(value, b'","total_order":', 16)
        put_unsigned(value, self._total + 1)
        put(value, b',"data_collection_order":', 25)
        put_unsigned(value, order)
        if not self._in_transaction:
            put(value, b',"last":true', LAST)
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
        if self._in_transaction:
            if collection.newest < 0:
                self._run_touched.append(collection)
            self._total += 1
            collection.order = order
            collection.newest = len(self._run_records)
            collection.tail = value.size - tail
        self._run_records.append(record)
        self._run_size += value.size
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


cdef object _run(list records, Py_ssize_t size, Event *last, transaction, dict newest):
    token = token_text(&last.token, &last.bits)
    return Run(records, size, token, LE64(last.time), <int64_t>LE64(last.wall), transaction, newest)


cdef bytes _finished(Out *out):
    """What was written. Raises ValueError if it is not UTF-8."""
    if not is_ascii(out.data, out.size):
        PyUnicode_DecodeUTF8(<const char *>out.data, out.size, NULL)
    return PyBytes_FromStringAndSize(<const char *>out.data, out.size)
