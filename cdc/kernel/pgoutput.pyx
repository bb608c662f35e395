# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of `cdc.postgres.rowreader`: row messages of pgoutput straight into finished events, and transactions
of one row, or none, as a whole.

What is not exactly what every table sees all day is left untouched, for the general way to read or to refuse.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp

from cdc.kernel.out cimport (
    Out, again, clear, is_ascii, put, put_byte, put_bytes, put_signed, put_string, put_text, put_unsigned, release,
)

from cdc.postgres.pgoutput import EPOCH_2000_US
from cdc.postgres.relation import types_text
from cdc.postgres.rowreader import Held, Singles
from cdc.postgres.scalars import INT8_SHORT
from cdc.postgres.values import Form
from cdc.wire_text import JSON_DEPTH, JSON_SHORT, Marked

include "pgrow.pxi"

cdef int64_t EPOCH = EPOCH_2000_US


cdef class RowReader:
    """See `cdc.postgres.rowreader.RowReader`."""

    cdef dict _relations
    cdef object _transaction, _now_ms
    cdef _RowWriter _rows
    cdef Out _key
    cdef public bint is_open
    cdef readonly bint is_holding
    cdef public uint64_t order
    # The transaction that is held, and its row.
    cdef uint64_t _commit_lsn, _xid
    cdef int64_t _time_us, _now
    cdef _Relation _held
    # The transactions that were held and are complete.
    cdef list _records
    cdef Py_ssize_t _size
    cdef bint _moved, _is_copying
    cdef int64_t _commit_ms

    def __cinit__(self, transaction, now_ms):
        self._transaction = transaction
        self._now_ms = now_ms
        self._relations = {}
        self._rows = _RowWriter()
        self._records = []

    def __dealloc__(self):
        release(&self._key)

    @property
    def size(self):
        """See `cdc.postgres.rowreader.RowReader`."""
        return self._size + (self._rows.event.size if self._held is not None else 0)

    @property
    def has_singles(self):
        """See `cdc.postgres.rowreader.RowReader`."""
        return bool(self._records)

    def install(self, relid, known):
        """See `cdc.postgres.rowreader.RowReader.install`."""
        self._relations[relid] = None if known is None else _Relation(known)

    cpdef bint read(self, message) except -1:
        """See `cdc.postgres.rowreader.RowReader.read`."""
        cdef Py_buffer view
        PyObject_GetBuffer(message, &view, PyBUF_SIMPLE)
        try:
            return self._read(<const unsigned char *>view.buf, view.len)
        except (LookupError, ValueError):
            return False
        finally:
            PyBuffer_Release(&view)

    def copy(self, get, int most):
        """See `cdc.postgres.rowreader.RowReader.copy`."""
        cdef int count
        self._now = self._now_ms()
        self._is_copying = True
        try:
            for count in range(most):
                size, data = get(1)
                if size <= 0:
                    return count, size, None
                if not self.read(data):
                    return count, size, data
            return most, 1, None
        finally:
            self._is_copying = False

    def unhold(self):
        """See `cdc.postgres.rowreader.RowReader.unhold`."""
        if not self.is_holding:
            return None
        self.is_holding = False
        record = None
        if self._held is not None:
            put(&self._rows.event, b"}}", 2)
            record = self._record(self._held)
            self._held = None
        return Held(self._commit_lsn, self._time_us, self._xid, self._now, record)

    def release(self):
        """See `cdc.postgres.rowreader.RowReader.release`."""
        if not self._moved:
            return None
        singles = Singles(self._records, self._size, self.order, self._commit_ms)
        self._records = []
        self._size = 0
        self._moved = False
        return singles

    cdef bint _read(self, const unsigned char *data, Py_ssize_t size) except -1:
        cdef unsigned char kind
        if size <= ROW or data[0] != 119:
            return False
        kind = data[HEAD]
        if kind == INSERT or kind == UPDATE or kind == DELETE:
            return self._row(kind, data, size)
        if kind == BEGIN:
            return self._hold(data, size)
        return kind == COMMIT and self._complete(data, size)

    cdef bint _row(self, unsigned char kind, const unsigned char *data, Py_ssize_t size) except -1:
        cdef _Relation relation
        if not self.is_open and not self.is_holding:
            return False
        found = self._relations.get(BE32(data + HEAD + 1), self)
        if found is None:
            return True
        if found is self or self._held is not None:
            return False
        relation = <_Relation>found
        if not self._rows.rows(relation, kind, data + ROW, data + size):
            return False
        if self.is_open:
            self._add(relation, kind, data)
        else:
            self._keep(relation, kind, data)
        return True

    cdef int _add(self, _Relation relation, unsigned char kind, const unsigned char *data) except -1:
        """Complete the event and add it to the open transaction."""
        cdef Out *event = &self._rows.event
        cdef Py_ssize_t total, order
        cdef list records
        transaction, collection = self._transaction, relation.collection
        if relation.part != transaction.part:
            transaction.enter(collection)
            relation.part = transaction.part
            relation.begin(transaction.id.encode(), transaction.commit_lsn, transaction.commit_ms, transaction.now_ms)
        total, order = transaction.total + 1, collection.order + 1
        relation.put_source(event, BE64(data + 1), kind, self._rows.marked)
        put_unsigned(event, total)
        put(event, b',"data_collection_order":', 25)
        put_unsigned(event, order)
        put(event, b"}}", 2)
        record = self._record(relation)
        records = transaction.records
        transaction.total = total
        transaction.size += event.size
        collection.order = order
        collection.newest = len(records)
        records.append(record)
        return 0

    cdef tuple _record(self, _Relation relation):
        """What the log gets of the event that is written."""
        cdef Out *event = &self._rows.event
        cdef Out *key = &self._key
        cdef Value *keyed = relation.keyed
        cdef bint first = True
        cdef int i
        if not is_ascii(event.data, event.size):
            PyUnicode_DecodeUTF8(<const char *>event.data, event.size, NULL)
        clear(key)
        put_byte(key, 123)
        for i in relation.key:
            if not first:
                put_byte(key, 44)
            first = False
            put_bytes(key, <bytes>relation.names[i])
            put(key, event.data + keyed[i].at, keyed[i].length)
        put_byte(key, 125)
        return (
            relation.name,
            PyBytes_FromStringAndSize(<const char *>key.data, key.size),
            PyBytes_FromStringAndSize(<const char *>event.data, event.size),
        )

    cdef bint _hold(self, const unsigned char *data, Py_ssize_t size) except -1:
        """Begin a transaction, unless it is one that only the general way may judge."""
        if size != HEAD + 21 or self.is_open or self.is_holding or BE64(data + HEAD + 1) < self.order:
            return False
        self._commit_lsn = BE64(data + HEAD + 1)
        self._time_us = <int64_t>BE64(data + HEAD + 9)
        self._xid = BE32(data + HEAD + 17)
        if not self._is_copying:
            self._now = self._now_ms()
        self.is_holding = True
        return True

    cdef int _keep(self, _Relation relation, unsigned char kind, const unsigned char *data) except -1:
        """Write the event of the row of the transaction that is held, all but its end."""
        cdef Out *event = &self._rows.event
        relation.begin(b"%d" % self._xid, self._commit_lsn, (self._time_us + EPOCH) // 1000, self._now)
        relation.part = None
        relation.put_source(event, BE64(data + 1), kind, self._rows.marked)
        put(event, b'1,"data_collection_order":1', 27)
        if not is_ascii(event.data, event.size):
            PyUnicode_DecodeUTF8(<const char *>event.data, event.size, NULL)
        self._held = relation
        return 0

    cdef bint _complete(self, const unsigned char *data, Py_ssize_t size) except -1:
        """End the transaction that is held."""
        cdef Out *event = &self._rows.event
        cdef uint64_t end
        if size != HEAD + 26 or not self.is_holding or BE64(data + HEAD + 2) != self._commit_lsn:
            return False
        end = BE64(data + HEAD + 10)
        if end < self._commit_lsn:
            return False
        if self._held is not None:
            put(event, b',"last":true}}', 14)
            self._records.append(self._record(self._held))
            self._size += event.size
            self._commit_ms = (self._time_us + EPOCH) // 1000
            self._held = None
        self.is_holding = False
        self._moved = True
        self.order = end
        return True

