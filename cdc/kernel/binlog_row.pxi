# The rows of one table: included by binlog.pyx.

cdef int INTEGER = Way.INTEGER, BIGINT = Way.BIGINT, YEAR = Way.YEAR, BOOLEAN = Way.BOOLEAN, FLAG = Way.FLAG
cdef int FLOAT = Way.FLOAT, DOUBLE = Way.DOUBLE, DECIMAL = Way.DECIMAL, DATE = Way.DATE, DATETIME = Way.DATETIME
cdef int TIMESTAMP = Way.TIMESTAMP, TIME = Way.TIME, LABEL = Way.LABEL, TEXT = Way.TEXT, ASCII = Way.ASCII
cdef int BYTES = Way.BYTES, JSON = Way.JSON, DOCUMENT = Way.DOCUMENT
cdef int64_t SAFE = SAFE_INTEGER

cdef enum:
    MOST_COLUMNS = 250  # that a row says the number of in one byte
    INSERT = 99  # the letters of ops
    UPDATE = 117
    DELETE = 100


cdef struct Column:
    # See `cdc.mysql.rowplan.ColumnPlan`. name: what stands before the value, from the bracket or comma on.
    int way, width, detail
    bint sized, nullable
    const unsigned char *name
    Py_ssize_t name_size


cdef struct Value:
    # One column of a row: its bytes in the event, size -1 for NULL; where its JSON stands in `rows`.
    const unsigned char *data
    Py_ssize_t size, at, length


cdef class _Rows:
    """Reads one row after another. rows: the JSON of the images; before, after: what of it is which, in bytes, -1: null;
    old_marked, marked: which values are, in the image before and in the newest."""

    cdef int count, null_bytes
    cdef Column *columns
    cdef Value *old
    cdef Value *new
    cdef list names, labels, converters
    cdef tuple key_places
    cdef Out rows
    cdef Out key
    cdef Py_ssize_t before, after
    cdef object old_marked, marked

    def __cinit__(self, plan, *_):
        cdef Column *column
        cdef bytes name
        cdef int i
        self.count = len(plan.columns)
        self.null_bytes = (self.count + 7) // 8
        self.columns = <Column *>calloc(self.count, sizeof(Column))
        self.old = <Value *>calloc(2 * self.count, sizeof(Value))
        if self.columns == NULL or self.old == NULL:
            raise MemoryError
        self.new = self.old + self.count
        self.names = [b"%s%s:" % (b"," if i else b"{", each.name) for i, each in enumerate(plan.columns)]
        self.labels = [each.labels for each in plan.columns]
        self.converters = [each.convert for each in plan.columns]
        self.key_places = plan.key
        for i, each in enumerate(plan.columns):
            column = self.columns + i
            name = self.names[i]
            column.name, column.name_size = name, len(name)
            column.way, column.width, column.detail = each.way, each.width, each.detail
            column.sized, column.nullable = each.sized, each.nullable

    def __dealloc__(self):
        free(self.columns)
        free(self.old)
        release(&self.rows)
        release(&self.key)

    cdef const unsigned char *begin(self, int op, const unsigned char *at, const unsigned char *end) except? NULL:
        """Where the rows begin, from the count of columns on; NULL: it is for the general way."""
        cdef int images = 2 if op == UPDATE else 1, i, rest = self.count & 7
        cdef Py_ssize_t size = images * self.null_bytes
        if self.count > MOST_COLUMNS or end - at < 1 + size or at[0] != self.count:
            return NULL
        at += 1
        for i in range(size):
            if i % self.null_bytes == self.null_bytes - 1 and rest:
                if ~at[i] & (1 << rest) - 1:
                    return NULL
            elif at[i] != 255:
                return NULL
        return at + size

    cdef const unsigned char *row(self, int op, const unsigned char *at, const unsigned char *end) except NULL:
        """Read one row, and say where it ends. Raises one of `ROW_ERRORS` for what is for the general way."""
        cdef Out *rows = &self.rows
        clear(rows)
        self.marked = self.old_marked = 0
        self.before = self.after = -1
        if op != INSERT:
            at = self._image(self.old if op == UPDATE else self.new, NULL, at, end)
            self.before = rows.size
        if op == UPDATE:
            self.old_marked, self.marked = self.marked, 0
            at = self._image(self.new, self.old, at, end)
            self.after = rows.size - self.before
        elif op == INSERT:
            at = self._image(self.new, NULL, at, end)
            self.after = rows.size
        if not is_ascii(rows.data, rows.size):
            PyUnicode_DecodeUTF8(<const char *>rows.data, rows.size, NULL)
        return at

    cdef const unsigned char *_image(
        self, Value *values, Value *old, const unsigned char *at, const unsigned char *end
    ) except NULL:
        """Read one image and write its JSON. old: the image before, which is written already."""
        cdef Out *rows = &self.rows
        cdef const unsigned char *nulls = at
        cdef Column *column
        cdef Value *value
        cdef int i
        if end - at < self.null_bytes:
            raise ValueError("cut short")
        at += self.null_bytes
        for i in range(self.count):
            column = self.columns + i
            value = values + i
            put(rows, column.name, column.name_size)
            value.at = rows.size
            if nulls[i >> 3] >> (i & 7) & 1:
                if not column.nullable:
                    raise ValueError("NULL in a column that is NOT NULL")
                value.size = -1
                put(rows, b"null", 4)
            else:
                value.data = at
                value.size = column.width
                if value.size <= end - at and column.sized:
                    value.size += <Py_ssize_t>little(at, column.width)
                if value.size > end - at:
                    raise ValueError("cut short")
                at += value.size
                if old != NULL and old[i].size == value.size and memcmp(old[i].data, value.data, value.size) == 0:
                    again(rows, old[i].at, old[i].length)
                    if self.old_marked:
                        self.marked |= self.old_marked & 1 << <object>i
                elif not self._value(column, value, i):
                    rows.size = value.at
                    self._call(value, i)
            value.length = rows.size - value.at
        put_byte(rows, 125)
        return at

    cdef bint _value(self, Column *column, Value *value, int i) except -1:
        """Write a value's JSON; False: unless that needs a call."""
        cdef Out *rows = &self.rows
        cdef const unsigned char *data = value.data
        cdef const unsigned char *text = data + column.width
        cdef Py_ssize_t size = value.size - column.width
        cdef int way = column.way, detail = column.detail
        if way == TEXT or (way == ASCII and is_ascii(text, size)):
            put_string(rows, text, size)
        elif way == INTEGER:
            _put_integer(rows, data, column.width, detail)
        elif (way == BOOLEAN or way == FLAG) and little(data, column.width) <= 1:
            put_bytes(rows, b"true" if data[0] else b"false")
        elif way == BOOLEAN:
            _put_integer(rows, data, column.width, detail)
        elif way == BIGINT:
            self._put_bigint(little(data, 8), detail, i)
        elif way == DATETIME:
            put_datetime(rows, data, detail)
        elif way == DECIMAL:
            put_byte(rows, 34)
            put_decimal(rows, data, detail >> 8, detail & 255)
            put_byte(rows, 34)
        elif way == JSON:
            put_document(rows, text, size)
        elif way == TIMESTAMP:
            put_timestamp(rows, data, detail)
        elif way == DATE:
            put_byte(rows, 34)
            put_day(rows, little(data, 3) >> 9, little(data, 3) >> 5 & 15, data[0] & 31)
            put_byte(rows, 34)
        elif way == TIME:
            put_time(rows, data, detail)
        elif way == DOUBLE:
            _put_double(rows, double_at(data))
        elif way == FLOAT:
            put_float(rows, float_at(data))
        elif way == LABEL and little(data, column.width) < <uint64_t>len(<tuple>self.labels[i]):
            put_bytes(rows, <bytes>(<tuple>self.labels[i])[<Py_ssize_t>little(data, column.width)])
        elif way == BYTES and size >= detail:
            put_byte(rows, 34)
            put_base64(rows, text, size)
            put_byte(rows, 34)
        elif way == YEAR:
            put_unsigned(rows, data[0] + 1900 if data[0] else 0)
        else:
            return way == DOCUMENT and put_compact(rows, text, text + size)
        return True

    cdef int _put_bigint(self, uint64_t value, bint is_unsigned, int i) except -1:
        cdef int64_t signed = <int64_t>value
        cdef bint safe = value <= <uint64_t>SAFE if is_unsigned else -SAFE <= signed <= SAFE
        if not safe:
            put_byte(&self.rows, 34)
        if is_unsigned:
            put_unsigned(&self.rows, value)
        else:
            put_signed(&self.rows, signed)
        if not safe:
            put_byte(&self.rows, 34)
            self.marked |= 1 << <object>i
        return 0

    cdef int _call(self, Value *value, int i) except -1:
        """Write a value's JSON as the code in Python does."""
        convert = self.converters[i]
        if convert is None:
            raise ValueError("no value")
        json, marked = convert(PyBytes_FromStringAndSize(<const char *>value.data, value.size))
        if marked:
            self.marked |= marked
        return put_text(&self.rows, json)

    cdef bint is_other_key(self) except -1:
        """Whether the image after has another key than the one before."""
        cdef Value *old
        cdef Value *new
        cdef int i
        for i in self.key_places:
            old, new = self.old + i, self.new + i
            if old.length != new.length or memcmp(self.rows.data + old.at, self.rows.data + new.at, new.length):
                return True
        return False

    cdef bytes key_of(self, Value *values):
        """The key's JSON."""
        cdef Out *key = &self.key
        cdef Column *column
        cdef bint first = True
        cdef int i
        clear(key)
        for i in self.key_places:
            column = self.columns + i
            put_byte(key, 123 if first else 44)
            put(key, column.name + 1, column.name_size - 1)
            put(key, self.rows.data + values[i].at, values[i].length)
            first = False
        put_byte(key, 125)
        return PyBytes_FromStringAndSize(<const char *>key.data, key.size)

    cdef int put_images(self, Out *event, bint before, bint after) except -1:
        """Append the beginning of an event with these of the images that there are."""
        put(event, b'{"before":', 10)
        if before and self.before >= 0:
            put(event, self.rows.data, self.before)
        else:
            put(event, b"null", 4)
        put(event, b',"after":', 9)
        if after and self.after >= 0:
            return put(event, self.rows.data + self.rows.size - self.after, self.after)
        return put(event, b"null", 4)


cdef inline int _put_integer(Out *out, const unsigned char *data, int width, bint is_unsigned) except -1:
    if is_unsigned:
        return put_unsigned(out, little(data, width))
    return put_signed(out, little_signed(data, width))


cdef inline int _put_double(Out *out, double value) except -1:
    if not isfinite(value):
        raise ValueError("a DOUBLE that is not finite")
    return put_double(out, value)
