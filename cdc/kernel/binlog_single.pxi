# Small transactions: included by binlog.pyx.

cdef bytes LAST = b',"last":true}}'


cdef class SingleReader:
    """See `cdc.mysql.single.SingleReader`. of, source: of the newest GTID, as text and as the event has it; head: what
    follows thread and duration in the newest BEGIN; table, rows, described: the newest; file, quoted_file: where it all
    is; now_ms, base: as told to `read`.

    Of the newest transaction: number, how many there were; name; found, size: its records; touched: their tables."""

    cdef dict _tables
    cdef bint _mariadb, _numbered
    cdef bytes _of, _source, _head
    cdef uint32_t _server
    cdef str _file_name
    cdef bytes _file, _quoted_file
    cdef object _table
    cdef RowWriter _rows
    cdef bytes _described
    cdef int64_t _now_ms
    cdef uint64_t _base, _number
    cdef list _found, _touched
    cdef Py_ssize_t _size
    cdef Out _event, _name

    def __init__(self, tables, *, mariadb, numbered):
        self._tables = tables
        self._mariadb = mariadb
        self._numbered = numbered
        self._of = self._source = self._head = b""

    def __dealloc__(self):
        release(&self._event)
        release(&self._name)

    def read(self, bytes data, Py_ssize_t at, Py_ssize_t budget, str file, uint64_t base, int64_t end, int64_t now_ms):
        """See `cdc.mysql.single.SingleReader.read`."""
        cdef const unsigned char *begin = data
        cdef const unsigned char *here = begin + at
        cdef const unsigned char *limit = begin + len(data)
        cdef const unsigned char *stop = here + min(budget, limit - here)
        cdef const unsigned char *next
        cdef list records = [], gtids = []
        cdef Begin transaction
        cdef bytes of, source = b""
        cdef uint64_t first = 0, last = 0
        cdef int64_t commit_ms = 0
        cdef Py_ssize_t size = 0
        self._base, self._now_ms = base, now_ms
        if file != self._file_name:
            self._file, self._quoted_file = file.encode("latin-1"), json_name(file).encode("latin-1")
            self._file_name = file
        try:
            while here < stop:
                next = self._transaction(data, here, limit, &transaction, &end)
                if next == NULL:
                    break
                here = next
                records += self._found
                size += self._size
                commit_ms = transaction.commit_ms
                of = self._of if transaction.named else b""
                if of == source and transaction.number == last + 1:
                    last = transaction.number
                    continue
                if source:
                    gtids.append((source.decode(), first, last))
                source, first, last = of, transaction.number, transaction.number
        except ROW_ERRORS:
            pass  # the general way comes to it next, and says it properly
        if not records:
            return None
        if source:
            gtids.append((source.decode(), first, last))
        return Singles(here - begin, end, records, size, commit_ms, gtids)

    cdef const unsigned char *_transaction(
        self, bytes data, const unsigned char *at, const unsigned char *limit, Begin *begin, int64_t *end
    ) except? NULL:
        """Read the transaction that begins here, and say where in the buffer and in the file it ends; NULL: it is not for this
        code."""
        cdef Event event
        cdef int left = _rows_events(at, limit)
        if left == 0:
            return NULL
        if self._mariadb:
            at = self._mariadb_begin(at, limit, end[0], begin, &event)
        else:
            at = self._mysql_begin(data, at, limit, end[0], begin, &event)
        if at == NULL:
            return NULL
        self._enter(begin)
        while True:
            at = _event(at, limit, event.ended, &event)
            if at == NULL:
                return NULL
            if event.kind == XID:
                break
            if event.kind == TABLE_MAP:
                if not self._is_known(&event):
                    return NULL
            else:
                left -= 1
                if not self._rows_event(&event, begin, left == 0):
                    return NULL
        if not self._found:
            return NULL
        self._mark()
        end[0] = event.ended
        return at

    cdef int _enter(self, Begin *begin) except -1:
        """A transaction begins."""
        cdef Out *name = &self._name
        self._number += 1
        self._size = 0
        self._found = []
        self._touched = []
        clear(name)
        if begin.named and self._numbered:
            put_bytes(name, self._of)
            return put_unsigned(name, begin.number)
        put_bytes(name, self._file)
        put_byte(name, 58)
        return put_signed(name, begin.begins)

    cdef int _mark(self) except -1:
        """Mark the last event of each collection, but that of the transaction, which is."""
        cdef RowWriter rows
        cdef bytes event
        for rows in self._touched:
            name, key, event = self._found[rows.newest]
            if not event.endswith(LAST):
                self._found[rows.newest] = (name, key, event[:len(event) - 2] + LAST)
                self._size += len(LAST) - 2

    cdef const unsigned char *_mysql_begin(
        self, bytes data, const unsigned char *at, const unsigned char *limit, int64_t end, Begin *begin, Event *event
    ) except? NULL:
        """GTID_LOG_EVENT and a QUERY_EVENT that says BEGIN."""
        cdef const unsigned char *body
        cdef const unsigned char *start = data
        at = _event(at, limit, end, event)
        if at == NULL or (event.kind != GTID and event.kind != ANONYMOUS_GTID) or event.limit - event.body < 50:
            return NULL
        body = event.body
        begin.named = event.kind == GTID
        begin.number = little(body + 17, 8)
        begin.commit_ms = (little(body + 42, 8) & COMMIT_TIME_BITS) // 1000
        begin.server = event.server
        begin.begins = event.ended - event.size
        if begin.number >> 63:
            return NULL
        if begin.named and (len(self._source) != 16 or memcmp(<const char *>self._source, body + 1, 16)):
            self._source = PyBytes_FromStringAndSize(<const char *>body + 1, 16)
            self._of = f"{binlog.uuid_text(self._source)}:".encode()
        at = _event(at, limit, event.ended, event)
        if at == NULL or event.kind != QUERY or event.limit - event.body < 8:
            return NULL
        begin.thread = little(event.body, 4)
        body = event.body + 8
        if event.limit - body != len(self._head) or memcmp(<const char *>self._head, body, event.limit - body):
            if not binlog.is_begin(data, event.body - start, event.limit - start):
                return NULL
            self._head = PyBytes_FromStringAndSize(<const char *>body, event.limit - body)
        return at

    cdef const unsigned char *_mariadb_begin(
        self, const unsigned char *at, const unsigned char *limit, int64_t end, Begin *begin, Event *event
    ) except? NULL:
        """MariaDB's GTID_EVENT, which is a BEGIN too."""
        cdef const unsigned char *body
        at = _event(at, limit, end, event)
        if at == NULL or event.kind != MARIADB_GTID or event.limit - event.body < 13 or event.body[12] & NOT_PLAIN:
            return NULL
        body = event.body
        begin.named = True
        begin.number = little(body, 8)
        begin.commit_ms = <int64_t>event.stamp * 1000
        begin.server = event.server
        begin.thread = -1
        begin.begins = event.ended - event.size
        if begin.number >> 63:
            return NULL
        source = PyBytes_FromStringAndSize(<const char *>body + 8, 4)
        if source != self._source or event.server != self._server:
            self._source, self._server = source, event.server
            self._of = b"%d-%d-" % (little(body + 8, 4), event.server)
        return at

    cdef bint _is_known(self, Event *event) except -1:
        """Whether this table map is the one that is known by its id."""
        cdef Py_ssize_t size = event.limit - event.body - ID_SIZE
        if size < 0 or not self._select(event.body):
            return False
        return size == len(self._described) and memcmp(<const char *>self._described, event.body + ID_SIZE, size) == 0

    cdef bint _select(self, const unsigned char *table_id) except -1:
        """Turn to this table; False: its rows may not be read here."""
        table = self._tables.get(PyBytes_FromStringAndSize(<const char *>table_id, ID_SIZE))
        if table is None:
            return False
        if table is not self._table:
            single = table.single
            if single is None or type(single.rows) is not RowWriter:
                return False
            self._table = table
            self._rows = single.rows
            self._described = table.described
        return True

    cdef bint _rows_event(self, Event *event, Begin *begin, bint is_last) except -1:
        """Read the rows of this event; False: it is not for this code. is_last: the transaction has no other."""
        cdef const unsigned char *at = event.body + ID_SIZE + 2
        cdef int op = op_of(event.kind)
        cdef uint32_t place = event.ended - event.size
        cdef Py_ssize_t number = 0
        cdef RowWriter rows
        cdef bint ends
        if op == 0 or event.limit - event.body < COLUMNS or not self._select(event.body):
            return False
        if event.kind >= WRITE_ROWS:
            if little(at, 2) != 2:
                return False  # extra data
            at += 2
        rows = self._rows
        at = rows.begin(op, at, event.limit)
        if at == NULL:
            return False
        while at < event.limit:
            at = rows.row(op, at, event.limit)
            ends = is_last and at == event.limit
            if op == UPDATE and rows.is_other_key():
                self._add(begin, DELETE, rows.old, rows.types_of(rows.old_marked), place, number, False)
                self._add(begin, INSERT, rows.new, rows.types_of(rows.marked), place, number, ends)
            else:
                self._add(begin, op, rows.new, rows.both_types(), place, number, ends)
            number += 1
        return True

    cdef int _add(
        self, Begin *begin, int op, Value *keyed, bytes types, uint32_t place, Py_ssize_t number, bint ends
    ) except -1:
        """Add an event of the row that was read. ends: it is the transaction's last."""
        cdef Out *event = &self._event
        cdef RowWriter rows = self._rows
        if rows.number != self._number:
            self._take_part(rows)
        rows.order += 1
        rows.newest = len(self._found)
        clear(event)
        rows.put_images(event, op != INSERT, op != DELETE)
        self._put_source(begin)
        put_unsigned(event, place)
        put(event, b',"row":', 7)
        put_unsigned(event, number)
        put(event, b'},"op":"', 8)
        put_byte(event, op)
        put(event, b'","ts_ms":', 10)
        put_signed(event, self._now_ms)
        put_bytes(event, types)
        put(event, b',"transaction":{"id":"', 22)
        put(event, self._name.data, self._name.size)
        put(event, b'","total_order":', 16)
        put_unsigned(event, rows.newest + 1)
        put(event, b',"data_collection_order":', 25)
        put_unsigned(event, rows.order)
        if ends:
            put_bytes(event, LAST)
        else:
            put(event, b"}}", 2)
        self._size += event.size
        self._found.append((
            rows.name, rows.key_of(keyed), PyBytes_FromStringAndSize(<const char *>event.data, event.size)
        ))
        return 0

    cdef int _take_part(self, RowWriter rows) except -1:
        """The first row of this table in the transaction."""
        cdef RowWriter other
        for other in self._touched:
            if other.name == rows.name:
                raise ValueError("two descriptions of one table")
        rows.number, rows.order = self._number, 0
        self._touched.append(rows)

    cdef int _put_source(self, Begin *begin) except -1:
        """Append what stands between an event's rows and its place."""
        cdef Out *event = &self._event
        put_bytes(event, self._rows.alone_source)
        put_signed(event, begin.commit_ms)
        put_bytes(event, self._rows.alone_table)
        put_unsigned(event, begin.server)
        if begin.named:
            put(event, b',"gtid":"', 9)
            put_bytes(event, self._of)
            put_unsigned(event, begin.number)
            put(event, b'","file":', 9)
        else:
            put(event, b',"gtid":null,"file":', 20)
        put_bytes(event, self._quoted_file)
        put(event, b',"thread":', 10)
        if begin.thread < 0:
            put(event, b"null", 4)
        else:
            put_signed(event, begin.thread)
        put(event, b',"txId":"', 9)
        put(event, self._name.data, self._name.size)
        put(event, b'","commit_lsn":', 15)
        put_unsigned(event, self._base | <uint64_t>begin.begins)
        return put(event, b',"pos":', 7)
