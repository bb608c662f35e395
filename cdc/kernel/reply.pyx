# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled twin of `cdc.mongo.reply.read_reply`."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t
from libc.string cimport memchr, memset

from cdc.kernel.bson_value cimport LE64, counted, skipped
from cdc.kernel.change_event cimport Span, is_name, take_token, token_text


cdef struct Reply:
    # The parts of a cursor, NULL what it has not.
    const unsigned char *number
    const unsigned char *batch
    Span token, bits


def read_reply(bytes raw not None):
    """(cursor, token, where the events begin), as in `cdc.mongo.reply.Reply`; None: the twin must see it."""
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(raw)
    cdef const unsigned char *end = data + len(raw)
    cdef Reply reply
    try:
        _find(&reply, _cursor(data, end), end)
        events = _events(data, reply.batch, end)
        return <int64_t>LE64(reply.number), token_text(&reply.token, &reply.bits), events
    except ValueError:
        return None


cdef const unsigned char *_cursor(const unsigned char *at, const unsigned char *end) except NULL:
    """Where the cursor begins."""
    cdef const unsigned char *last = counted(at, end)
    cdef const unsigned char *found = NULL
    cdef unsigned char kind
    cdef Span name
    at += 4
    while at < last:
        kind = at[0]
        at = _name(&name, at, last)
        if is_name(name, b'cursor', 6):
            if kind != 0x03 or found != NULL:
                raise ValueError
            found = at
        at = skipped(kind, at, last)
    if found == NULL:
        raise ValueError
    return found


cdef int _find(Reply *reply, const unsigned char *at, const unsigned char *end) except -1:
    """The parts of the cursor that begins at `at`."""
    cdef const unsigned char *last = counted(at, end)
    cdef unsigned char kind
    cdef Span name
    memset(reply, 0, sizeof(Reply))
    at += 4
    while at < last:
        kind = at[0]
        at = _name(&name, at, last)
        if kind == 0x12 and is_name(name, b'id', 2) and reply.number == NULL:
            reply.number = at
        elif kind == 0x04 and (is_name(name, b'nextBatch', 9) or is_name(name, b'firstBatch', 10)) and reply.batch == NULL:
            reply.batch = at
        elif kind == 0x03 and is_name(name, b'postBatchResumeToken', 20) and reply.token.at == NULL:
            take_token(&reply.token, &reply.bits, at + 4, counted(at, last))
        elif not is_name(name, b'ns', 2):
            raise ValueError
        at = skipped(kind, at, last)
    if reply.number == NULL or reply.batch == NULL or reply.token.at == NULL:
        raise ValueError
    return 0


cdef list _events(const unsigned char *data, const unsigned char *at, const unsigned char *end):
    """Where each event of the batch begins that begins at `at`."""
    cdef const unsigned char *last = counted(at, end)
    cdef unsigned char kind
    cdef Span name
    cdef list places = []
    at += 4
    while at < last:
        kind = at[0]
        at = _name(&name, at, last)
        if kind != 0x03:
            raise ValueError
        places.append(at - data)
        at = counted(at, last) + 1
    return places


cdef const unsigned char *_name(Span *name, const unsigned char *at, const unsigned char *last) except NULL:
    """Take the name of the field that begins at `at`; where its value begins."""
    cdef const unsigned char *stop = <const unsigned char *>memchr(at + 1, 0, last - at - 1)
    if stop == NULL:
        raise ValueError
    name.at, name.size = at + 1, stop - at - 1
    return stop + 1
