# Events in their packets: included by binlog.pyx.

cdef enum:
    PACKET_HEAD = 5
    HEADER_SIZE = 19
    CHECKSUM_SIZE = 4
    BODY = PACKET_HEAD + HEADER_SIZE
    ID_SIZE = 6
    COLUMNS = ID_SIZE + 4  # of a rows event, behind table id, flags, and a size of extra data
    LARGEST = 1 << 20
    SMALL = 1 << 14  # bytes of a transaction of several rows events
    GOOD = 0x2144DF1C  # the CRC-32 of whatever has its own CRC-32 behind it

cdef int QUERY = binlog.QUERY, XID = binlog.XID, TABLE_MAP = binlog.TABLE_MAP
cdef int GTID = binlog.GTID, ANONYMOUS_GTID = binlog.ANONYMOUS_GTID, MARIADB_GTID = binlog.MARIADB_GTID
cdef int NOT_PLAIN = binlog.NOT_PLAIN
cdef uint64_t COMMIT_TIME_BITS = binlog.COMMIT_TIME_BITS


cdef struct Event:
    # An event with a good checksum. body, limit: without header and checksum; ended: in the file.
    const unsigned char *body
    const unsigned char *limit
    uint32_t stamp, server, size, ended
    int kind


cdef struct Begin:
    # How a transaction begins. begins: in the file; thread: -1 if it is not told; named: it has a GTID.
    uint64_t number
    int64_t begins, commit_ms, thread
    uint32_t server
    bint named


cdef int _rows_events(const unsigned char *at, const unsigned char *limit) noexcept:
    """How many rows events the transaction has that begins here; 0: it is not all here, or not small, or has others."""
    cdef const unsigned char *begin = at
    cdef int count = 0, kind
    while limit - at >= BODY:
        kind = at[PACKET_HEAD + 4]
        at += PACKET_HEAD - 1 + little(at, 3)
        if kind == XID:
            return count
        if op_of(kind):
            count += 1
        elif kind != TABLE_MAP and kind != QUERY and kind != GTID and kind != ANONYMOUS_GTID and kind != MARIADB_GTID:
            return 0
        if count > 1 and at - begin > SMALL:
            return 0
    return 0


cdef const unsigned char *_event(
    const unsigned char *at, const unsigned char *limit, int64_t previous, Event *event
) noexcept:
    """Read the event in the packet at `at`, and say where it ends in the buffer; NULL: it is not whole, not ordinary, or not
    behind the place where the previous one ended in the file. at: NULL is as good as nothing there."""
    cdef uint32_t size
    if at == NULL or limit - at < BODY + CHECKSUM_SIZE:
        return NULL
    size = <uint32_t>little(at + 14, 4)
    event.ended = <uint32_t>little(at + 18, 4)
    if (
        at[4] != 0
        or size < HEADER_SIZE + CHECKSUM_SIZE
        or size > LARGEST
        or size > limit - at - PACKET_HEAD
        or little(at, 3) != size + 1
        or event.ended <= previous
        or crc32_of(at + PACKET_HEAD, size) != GOOD
    ):
        return NULL
    event.stamp = <uint32_t>little(at + 5, 4)
    event.kind = at[9]
    event.server = <uint32_t>little(at + 10, 4)
    event.size = size
    event.body = at + BODY
    event.limit = at + PACKET_HEAD + size - CHECKSUM_SIZE
    return at + PACKET_HEAD + size
