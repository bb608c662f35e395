# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled twin of `cdc.mysql.rowwriter` and `cdc.mysql.single`: rows events straight into finished change events, and
small transactions as a whole.

What is not exactly what every table sees all day is left untouched, for the twins and the general way to read or to refuse.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from cdc.kernel.binary_json cimport put_document
from cdc.kernel.binlog_values cimport (
    double_at, float_at, little, little_signed, put_datetime, put_day, put_decimal, put_float, put_time, put_timestamp,
)
from cdc.kernel.crc32 cimport crc32_begin, crc32_of
from cdc.kernel.json_text cimport put_compact
from cdc.kernel.out cimport (
    Out, again, clear, is_ascii, put, put_base64, put_byte, put_bytes, put_double, put_signed, put_string, put_text,
    put_unsigned, release,
)

from cdc.mysql import binlog
from cdc.mysql.forms import SAFE_INTEGER
from cdc.mysql.rowcode import ROW_ERRORS
from cdc.mysql.single import Singles
from cdc.mysql.ways import Way
from cdc.wire_text import json_name

include "binlog_row.pxi"

cdef int WRITE_ROWS_V1 = binlog.WRITE_ROWS_V1, WRITE_ROWS = binlog.WRITE_ROWS


cdef inline int op_of(int kind) noexcept:
    """The op of a rows event of this type; 0: it is another."""
    kind -= WRITE_ROWS if kind >= WRITE_ROWS else WRITE_ROWS_V1
    return INSERT if kind == 0 else UPDATE if kind == 1 else DELETE if kind == 2 else 0


cdef class RowWriter(_Rows):
    """See `cdc.mysql.rowwriter.RowWriter`. Events are found first, and added to the transaction when the whole rows
    event is read; total, order: the numbers of the newest. source, when, numbering: see `cdc.mysql.writer.Texts`, of
    this part of the transaction."""

    cdef object _writer, _make_twin, _twin, _types, _transaction, _collection, _part
    cdef bytes _source, _when, _numbering, _unmarked, alone_source, alone_table
    cdef str name
    cdef Out _event
    cdef list _found
    cdef Py_ssize_t _total, _order, _size
    # For `SingleReader`: the newest transaction with rows of this table, how many events of it are, which is the newest.
    cdef uint64_t number
    cdef Py_ssize_t order, newest

    def __init__(self, plan, writer, make_twin):
        self._types = plan.types
        self._writer = writer
        self._make_twin = make_twin
        self._transaction = writer.transaction
        self._collection = writer.collection
        self.name = writer.collection.name
        self.alone_source = writer.alone.source.encode("latin-1")
        self.alone_table = writer.alone.table.encode("latin-1")
        self._unmarked = self.types_of(0)

    def __dealloc__(self):
        release(&self._event)

    def add(self, int kind, bytes data, Py_ssize_t at, Py_ssize_t end, place):
        """See `cdc.mysql.rowwriter.RowWriter.add`."""
        cdef const unsigned char *body = data
        cdef int op = op_of(kind)
        if op and 0 <= at <= end <= len(data):
            try:
                if self._read(op, body + at, body + end, place):
                    return True
            except ROW_ERRORS:
                pass
        return self._in_python().add(kind, data, at, end, place)

    @property
    def code(self):
        """See `cdc.mysql.rowwriter.RowWriter`."""
        return self._in_python().code

    cdef object _in_python(self):
        """The twin."""
        if self._twin is None:
            self._twin = self._make_twin()
        return self._twin

    cdef bint _read(self, int op, const unsigned char *at, const unsigned char *end, uint64_t place) except -1:
        cdef Py_ssize_t number = 0
        cdef list records
        transaction, collection = self._transaction, self._collection
        at = self.begin(op, at, end)
        if at == NULL:
            return False
        self._found = []
        self._size = 0
        while at < end:
            at = self.row(op, at, end)
            if number == 0:
                self._enter()
            if op == UPDATE and self.is_other_key():
                self._finish(DELETE, self.old, self.types_of(self.old_marked), place, number)
                self._finish(INSERT, self.new, self.types_of(self.marked), place, number)
            else:
                self._finish(op, self.new, self.both_types(), place, number)
            number += 1
        if number:
            records = transaction.records
            records += self._found
            transaction.total = self._total
            transaction.size += self._size
            collection.order = self._order
            collection.newest = len(records) - 1
        return True

    cdef int _enter(self) except -1:
        """Take part in the transaction, or in this part of it."""
        transaction = self._transaction
        if self._part != transaction.part:
            texts = self._writer.enter()
            self._source = texts.source.encode("latin-1")
            self._when = texts.when.encode("latin-1")
            self._numbering = texts.numbering.encode("latin-1")
            self._part = transaction.part
        self._total, self._order = transaction.total, self._collection.order
        return 0

    cdef int _finish(self, int op, Value *keyed, bytes types, uint64_t place, Py_ssize_t number) except -1:
        """Complete an event of the row."""
        cdef Out *event = &self._event
        self._total += 1
        self._order += 1
        clear(event)
        self.put_images(event, op != INSERT, op != DELETE)
        put_bytes(event, self._source)
        put_unsigned(event, place)
        put(event, b',"row":', 7)
        put_unsigned(event, number)
        put(event, b'},"op":"', 8)
        put_byte(event, op)
        put_bytes(event, self._when)
        put_bytes(event, types)
        put_bytes(event, self._numbering)
        put_unsigned(event, self._total)
        put(event, b',"data_collection_order":', 25)
        put_unsigned(event, self._order)
        put(event, b"}}", 2)
        self._size += event.size
        self._found.append((
            self.name, self.key_of(keyed), PyBytes_FromStringAndSize(<const char *>event.data, event.size)
        ))
        return 0

    cdef bytes types_of(self, object marked):
        """The `types` of a row with these marks."""
        return self._writer.types(self._types[marked]).encode("latin-1")

    cdef bytes both_types(self):
        """The `types` of an event with all of the row's images."""
        if not self.marked and not self.old_marked:
            return self._unmarked
        if self.before < 0 or self.after < 0 or self.marked == self.old_marked:
            return self.types_of(self.marked)
        kinds = {**(self._types[self.old_marked] or {}), **(self._types[self.marked] or {})}
        return self._writer.types(kinds).encode("latin-1")


crc32_begin()
include "binlog_event.pxi"
include "binlog_single.pxi"
