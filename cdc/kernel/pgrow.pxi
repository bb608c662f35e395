# Part of `pgoutput.pyx`: one row of a row message, to JSON.

cdef extern from *:
    """
    #define BE16(at) ((uint16_t)((at)[0] << 8 | (at)[1]))
    #define BE32(at) ((uint32_t)(at)[0] << 24 | (uint32_t)(at)[1] << 16 | (uint32_t)(at)[2] << 8 | (at)[3])
    #define BE64(at) ((uint64_t)BE32(at) << 32 | BE32((at) + 4))
    """
    uint16_t BE16(const unsigned char *at) nogil
    uint32_t BE32(const unsigned char *at) nogil
    uint64_t BE64(const unsigned char *at) nogil

cdef enum:
    INSERT = 73
    UPDATE = 85
    DELETE = 68
    BEGIN = 66
    COMMIT = 67
    HEAD = 25  # of an XLogData frame: 'w', start LSN, end LSN, time
    ROW = HEAD + 5  # behind the message's type and the relation's id
    VALUE = 5  # a value's kind and size

cdef object ONE = 1  # marks have as many bits as there are columns
cdef int TEXT = Form.TEXT, NUMBER = Form.NUMBER, BOOLEAN = Form.BOOLEAN, INT8 = Form.INT8
cdef int FLOAT = Form.FLOAT, TIMESTAMP = Form.TIMESTAMP, TIMESTAMPTZ = Form.TIMESTAMPTZ
cdef int JSON = Form.JSON, JSONB = Form.JSONB
cdef Py_ssize_t INT8_LIMIT = INT8_SHORT, JSON_LIMIT = JSON_SHORT, DEPTH = JSON_DEPTH


cdef struct Value:
    # One column of a row: its text in the message, size -1 for NULL; where its JSON stands in the event.
    const unsigned char *text
    Py_ssize_t size, at, length


cdef class _Relation:
    """A wanted relation, and the text of its events that no row changes."""

    cdef object known, collection, types, part
    cdef str name
    cdef list names, encode
    cdef bytes forms, is_key, place, usual_types
    cdef Out source, when, number
    cdef tuple key
    cdef int count
    cdef Value *old
    cdef Value *new
    cdef Value *keyed  # the one of them that the key is taken from

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
        self.place = known.place.encode("latin-1")
        self.usual_types = self.types_text(0)

    def __dealloc__(self):
        free(self.old)
        release(&self.source)
        release(&self.when)
        release(&self.number)

    cdef int begin(self, bytes id, uint64_t commit_lsn, int64_t commit_ms, int64_t now_ms) except -1:
        """Take part in this transaction: make the text around an event's LSN, and from there to its number."""
        clear(&self.source)
        put(&self.source, b',"source":{', 11)
        put_bytes(&self.source, self.place)
        put(&self.source, b',"ts_ms":', 9)
        put_signed(&self.source, commit_ms)
        put(&self.source, b',"txId":"', 9)
        put_bytes(&self.source, id)
        put(&self.source, b'","commit_lsn":', 15)
        put_unsigned(&self.source, commit_lsn)
        put(&self.source, b',"lsn":', 7)
        clear(&self.when)
        put(&self.when, b'","ts_ms":', 10)
        put_signed(&self.when, now_ms)
        clear(&self.number)
        put(&self.number, b',"transaction":{"id":"', 22)
        put_bytes(&self.number, id)
        return put(&self.number, b'","total_order":', 16)

    cdef int put_source(self, Out *event, uint64_t lsn, unsigned char kind, marked) except -1:
        """Write what stands behind both images, up to the event's number."""
        self.keyed = self.old if kind == DELETE else self.new
        put(event, self.source.data, self.source.size)
        put_unsigned(event, lsn)
        put(event, b'},"op":"', 8)
        put_byte(event, 99 if kind == INSERT else 117 if kind == UPDATE else 100)
        put(event, self.when.data, self.when.size)
        put_bytes(event, self.types_text(marked) if marked else self.usual_types)
        return put(event, self.number.data, self.number.size)

    cdef bytes types_text(self, marked):
        """The event's field `types` behind another one, for a row with these marks."""
        return types_text(self.types[marked]).encode("latin-1")


cdef class _RowWriter:
    """Reads rows, and writes their JSON into `event`."""

    cdef Out event
    cdef object marked

    def __dealloc__(self):
        release(&self.event)

    cdef bint rows(self, _Relation relation, unsigned char kind, const unsigned char *at, const unsigned char *end) except -1:
        """Write both images of a row message, whose rows begin at `at`; False for what is not for this code."""
        clear(&self.event)
        self.marked = 0
        put(&self.event, b'{"before":', 10)
        if kind == INSERT:
            put(&self.event, b'null,"after":', 13)
            return self._row(relation, relation.new, NULL, 78, at, end) == end
        at = self._row(relation, relation.old, NULL, 79, at, end)
        if at == NULL or (relation.known.partitioned and _is_key_alone(relation)):
            return False
        put(&self.event, b',"after":', 9)
        if kind == DELETE:
            put(&self.event, b'null', 4)
            return at == end
        return self._row(relation, relation.new, relation.old, 78, at, end) == end

    cdef const unsigned char *_row(
        self, _Relation relation, Value *values, Value *old, unsigned char letter,
        const unsigned char *at, const unsigned char *end,
    ) except? NULL:
        """Read one row and write its JSON; where it ends, or NULL for what is not for this code. old: the row before,
        which is written already."""
        cdef Out *event = &self.event
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
        cdef Out *event = &self.event
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
            self.marked |= ONE << i
        return put_text(&self.event, json)


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
