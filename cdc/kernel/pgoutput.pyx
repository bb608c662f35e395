# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of `cdc.postgres.rowcode`: row messages of pgoutput straight into finished events.

What is not exactly what every table sees all day is left untouched, for the general way to read or to refuse.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp

from cdc.kernel.out cimport (
    Out, again, clear, is_ascii, put, put_byte, put_bytes, put_string, put_text, put_unsigned, release,
)

from cdc.postgres.scalars import INT8_SHORT
from cdc.postgres.values import Form
from cdc.wire_text import JSON_DEPTH, JSON_SHORT, Marked

cdef extern from *:
    """
    #define BE16(at) ((uint16_t)((at)[0] << 8 | (at)[1]))
    #define BE32(at) ((uint32_t)(at)[0] << 24 | (uint32_t)(at)[1] << 16 | (uint32_t)(at)[2] << 8 | (at)[3])
    """
    uint16_t BE16(const unsigned char *at) nogil
    uint32_t BE32(const unsigned char *at) nogil

cdef enum:
    HEAD = 25  # of an XLogData frame: 'w', start LSN, end LSN, time
    ROW = HEAD + 5  # behind the message's type and the relation's id
    VALUE = 5  # a value's kind and size

cdef int TEXT = Form.TEXT, NUMBER = Form.NUMBER, BOOLEAN = Form.BOOLEAN, INT8 = Form.INT8
cdef int FLOAT = Form.FLOAT, TIMESTAMP = Form.TIMESTAMP, TIMESTAMPTZ = Form.TIMESTAMPTZ
cdef int JSON = Form.JSON, JSONB = Form.JSONB
cdef Py_ssize_t INT8_LIMIT = INT8_SHORT, JSON_LIMIT = JSON_SHORT, DEPTH = JSON_DEPTH


cdef struct Value:
    # One column of a row: its text in the message, size -1 for NULL; where its JSON stands in the event.
    const unsigned char *text
    Py_ssize_t size, at, length


cdef class _Relation:
    """A wanted relation; `source` and `tail`s are the constant text of its events in this part of the transaction."""

    cdef object known, collection, types, part
    cdef str name
    cdef list names, encode
    cdef bytes forms, is_key, source
    cdef list tails
    cdef tuple key
    cdef int count
    cdef Value *old
    cdef Value *new

    def __cinit__(self, known):
        shape = known.shape
        self.count = len(shape.names)
        self.old = <Value *>calloc(2 * self.count, sizeof(Value))
        if self.old == NULL:
            raise MemoryError
        self.new = self.old + self.count
        self.known = known
        self.collection = known.collection
        self.name = known.collection.name
        self.names = [f"{name}:".encode("latin-1") for name in shape.json_names]
        self.encode = [encoder.encode for encoder in shape.encoders]
        self.forms = bytes([encoder.form for encoder in shape.encoders])
        self.is_key = bytes([i in shape.key for i in range(self.count)])
        self.key = shape.key
        self.types = shape.types

    def __dealloc__(self):
        free(self.old)

    cdef int enter(self, transaction) except -1:
        """Take part in this transaction, or in this part of it."""
        self.known.enter(transaction)
        self.part = self.known.part
        self.source = self.known.source.encode("latin-1")
        self.tails = [None, None, None]
        return 0

    cdef bytes tail(self, int which, object marked):
        """The text between an event's LSN and its number."""
        cdef bytes tail
        op = "cud"[which]
        if marked:
            return self.known.tail(op, self.types[marked]).encode("latin-1")
        tail = self.tails[which]
        if tail is None:
            tail = self.tails[which] = self.known.tail(op, self.types[0]).encode("latin-1")
        return tail


cdef class RowReader:
    """See `cdc.postgres.rowcode.RowReader`."""

    cdef dict _relations
    cdef object _transaction
    cdef public bint is_open
    cdef Out _event
    cdef Out _key
    cdef object _marked

    def __cinit__(self, transaction):
        self._transaction = transaction
        self._relations = {}

    def __dealloc__(self):
        release(&self._event)
        release(&self._key)

    def install(self, relid, known):
        """See `cdc.postgres.rowcode.RowReader.install`."""
        self._relations[relid] = None if known is None else _Relation(known)

    def read(self, message):
        """See `cdc.postgres.rowcode.RowReader.read`."""
        cdef Py_buffer view
        if not self.is_open:
            return False
        PyObject_GetBuffer(message, &view, PyBUF_SIMPLE)
        try:
            return self._read(<const unsigned char *>view.buf, view.len)
        except (LookupError, ValueError):
            return False
        finally:
            PyBuffer_Release(&view)

    cdef bint _read(self, const unsigned char *data, Py_ssize_t size) except -1:
        cdef const unsigned char *at = data + ROW
        cdef const unsigned char *end = data + size
        cdef Out *event = &self._event
        cdef _Relation relation
        cdef unsigned char kind
        if size <= ROW or data[0] != 119:
            return False
        kind = data[HEAD]
        if kind != 73 and kind != 85 and kind != 68:
            return False
        found = self._relations.get(BE32(data + HEAD + 1), self)
        if found is None:
            return True
        if found is self:
            return False
        relation = <_Relation>found
        clear(event)
        self._marked = 0
        put(event, b'{"before":', 10)
        if kind == 73:
            put(event, b'null,"after":', 13)
            at = self._row(relation, relation.new, NULL, 78, at, end)
        else:
            at = self._row(relation, relation.old, NULL, 79, at, end)
            if at == NULL or (relation.known.partitioned and _is_key_alone(relation)):
                return False
            put(event, b',"after":', 9)
            if kind == 85:
                at = self._row(relation, relation.new, relation.old, 78, at, end)
            else:
                put(event, b'null', 4)
        if at != end:
            return False
        if kind == 73:
            self._finish(relation, relation.new, 0, data)
        elif kind == 85:
            self._finish(relation, relation.new, 1, data)
        else:
            self._finish(relation, relation.old, 2, data)
        return True

    cdef const unsigned char *_row(
        self, _Relation relation, Value *values, Value *old, unsigned char letter,
        const unsigned char *at, const unsigned char *end,
    ) except? NULL:
        """Read one row and write its JSON; where it ends, or NULL for what is not for this code. old: the row before,
        which is written already."""
        cdef Out *event = &self._event
        cdef const unsigned char *forms = relation.forms
        cdef const unsigned char *is_key = relation.is_key
        cdef Value *value
        cdef int i
        if end - at < 3 or at[0] != letter or BE16(at + 1) != relation.count:
            return NULL
        at += 3
        put_byte(event, 123)
        for i in range(relation.count):
            if i:
                put_byte(event, 44)
            put_bytes(event, <bytes>relation.names[i])
            value = values + i
            value.at = event.size
            if at >= end:
                return NULL
            if at[0] == 116:
                if end - at < VALUE or end - at - VALUE < BE32(at + 1):
                    return NULL
                value.size = BE32(at + 1)
                value.text = at + VALUE
                at = value.text + value.size
                if old != NULL and value.size == old[i].size and not memcmp(value.text, old[i].text, value.size):
                    again(event, old[i].at, old[i].length)
                elif old != NULL and is_key[i]:
                    return NULL
                elif not self._value(value, forms[i]):
                    self._call(value, relation.encode[i], i)
            elif at[0] == 110 and not is_key[i]:
                at += 1
                value.size = -1
                put(event, b'null', 4)
            elif at[0] == 117 and old != NULL and old[i].size >= 0:
                at += 1  # an unchanged out-of-line value, known from the old row
                value.size = old[i].size
                value.text = old[i].text
                again(event, old[i].at, old[i].length)
            else:
                return NULL
            value.length = event.size - value.at
        put_byte(event, 125)
        return at

    cdef bint _value(self, Value *value, int form) except -1:
        """Write a value's JSON, if that needs no call."""
        cdef Out *event = &self._event
        cdef const unsigned char *text = value.text
        cdef Py_ssize_t size = value.size
        if form == TEXT:
            put_string(event, text, size)
        elif form == NUMBER or (form == INT8 and size < INT8_LIMIT):
            put(event, text, size)
        elif form == BOOLEAN and size == 1 and text[0] == 116:
            put(event, b'true', 4)
        elif form == BOOLEAN and size == 1 and text[0] == 102:
            put(event, b'false', 5)
        elif form == FLOAT and size and text[size - 1] < 58:
            put(event, text, size)
        elif form == TIMESTAMP and size > 18 and text[10] == 32 and text[size - 1] < 58:
            _put_moment(event, text, size)
            put_byte(event, 34)
        elif form == TIMESTAMPTZ and size > 21 and text[10] == 32 and not memcmp(text + size - 3, b'+00', 3):
            _put_moment(event, text, size - 3)
            put(event, b'Z"', 2)
        elif (form == JSONB and size < JSON_LIMIT) or ((form == JSON or form == JSONB) and _is_plain(text, size)):
            put(event, text, size)
        else:
            return False
        return True

    cdef int _call(self, Value *value, encode, int i) except -1:
        """Write a value's JSON the general way."""
        json = encode(PyUnicode_DecodeLatin1(<const char *>value.text, value.size, NULL))
        if type(json) is Marked:
            self._marked |= 1 << i
        return put_text(&self._event, json)

    cdef int _finish(self, _Relation relation, Value *keyed, int which, const unsigned char *data) except -1:
        """Complete the event and add it to the transaction."""
        cdef Out *event = &self._event
        cdef Out *key = &self._key
        cdef uint64_t lsn = <uint64_t>BE32(data + 1) << 32 | BE32(data + 5)
        cdef list records
        cdef Py_ssize_t total, order
        cdef int i, first = True
        transaction, collection = self._transaction, relation.collection
        if relation.part != transaction.part:
            relation.enter(transaction)
        total, order = transaction.total + 1, collection.order + 1
        put_bytes(event, relation.source)
        put_unsigned(event, lsn)
        put_bytes(event, relation.tail(which, self._marked))
        put_unsigned(event, total)
        put(event, b',"data_collection_order":', 25)
        put_unsigned(event, order)
        put(event, b'}}', 2)
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
        records = transaction.records
        transaction.total = total
        transaction.size += event.size
        collection.order = order
        collection.newest = len(records)
        records.append((
            relation.name,
            PyBytes_FromStringAndSize(<const char *>key.data, key.size),
            PyBytes_FromStringAndSize(<const char *>event.data, event.size),
        ))
        return 0


cdef int _put_moment(Out *event, const unsigned char *text, Py_ssize_t size) except -1:
    """Date and time with a T between them, and no closing quote yet."""
    put_byte(event, 34)
    put(event, text, 10)
    put_byte(event, 84)
    return put(event, text + 11, size - 11)


cdef bint _is_plain(const unsigned char *text, Py_ssize_t size) noexcept:
    """Whether `cdc.wire_text.json` leaves it as it is: on one line, without a surrogate, and not deep."""
    cdef Py_ssize_t i, depth = 0
    if memchr(text, 10, size) != NULL or memchr(text, 13, size) != NULL:
        return False
    for i in range(size):
        if text[i] == 91 or text[i] == 123:
            depth += 1
        elif text[i] == 92 and i + 1 < size and text[i + 1] == 117:
            return False
    return depth <= DEPTH


cdef bint _is_key_alone(_Relation relation) noexcept:
    """Whether an old row has nothing but a key: it may come from a partition without FULL identity."""
    cdef const unsigned char *is_key = relation.is_key
    cdef bint others = False
    cdef int i
    for i in range(relation.count):
        if not is_key[i]:
            others = True
            if relation.old[i].size >= 0:
                return False
    return others
