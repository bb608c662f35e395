"""An event of a change stream, cut where its parts begin. ValueError: it is not as nearly all events are."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr, memcmp, memset

from cdc.kernel.bson_value cimport LE32, LE64, counted, need


cdef struct Span:
    const unsigned char *at
    Py_ssize_t size


cdef struct Event:
    # Where its parts are, NULL what it has not; bits: those of the token; number: of the transaction.
    Span token, bits, operation, namespace, lsid
    const unsigned char *time
    const unsigned char *wall
    const unsigned char *number
    const unsigned char *key
    const unsigned char *before
    const unsigned char *after
    const unsigned char *description


cdef inline bint is_together(Event *event, Event *last) except -1:
    """Whether both are single, or of one transaction. Raises ValueError where the bytes alone do not tell."""
    if event.number == NULL or last.number == NULL:
        return event.number == last.number
    if LE64(event.number) != LE64(last.number) or LE64(event.time) != LE64(last.time):
        return False
    if event.lsid.size != last.lsid.size or memcmp(event.lsid.at, last.lsid.at, last.lsid.size):
        raise ValueError
    return True


cdef inline unsigned char op_of(Event *event) except 0:
    """As in `cdc.event.Op`; the event has the images that this has."""
    cdef unsigned char op
    if is_name(event.operation, b'insert', 6):
        op = 99
    elif is_name(event.operation, b'update', 6) or is_name(event.operation, b'replace', 7):
        op = 117
    elif is_name(event.operation, b'delete', 6):
        op = 100
    else:
        raise ValueError
    if (event.after == NULL) != (op == 100) or (event.before == NULL) != (op == 99):
        raise ValueError
    return op


cdef inline bint is_span(Span *span, bytes what) noexcept:
    return span.size == len(what) and not memcmp(span.at, <const char *>what, span.size)


cdef inline bint is_name(Span text, const char *what, Py_ssize_t size) noexcept:
    return text.size == size and not memcmp(text.at, what, size)


cdef inline int parse(Event *event, const unsigned char *at, const unsigned char *end) except -1:
    """Find an event's parts. All are there that single changes have."""
    cdef const unsigned char *last = counted(at, end)
    cdef const unsigned char *stop
    cdef unsigned char kind
    cdef Span name
    memset(event, 0, sizeof(Event))
    at += 4
    while at < last:
        kind = at[0]
        stop = <const unsigned char *>memchr(at + 1, 0, last - at - 1)
        if stop == NULL:
            raise ValueError
        name = Span(at + 1, stop - at - 1)
        at = stop + 1
        if kind == 0x03:
            stop = counted(at, last)
            _take_document(event, name, at, stop)
            at = stop + 1
        elif kind == 0x02 and is_name(name, b'operationType', 13) and event.operation.at == NULL:
            at = _text(&event.operation, at, last)
        else:
            need(at, last, 8)
            _take_number(event, kind, name, at)
            at += 8
    if (
        event.token.at == NULL or event.operation.at == NULL or event.time == NULL or event.wall == NULL
        or event.namespace.at == NULL or event.key == NULL or (event.number == NULL) != (event.lsid.at == NULL)
    ):
        raise ValueError
    return 0


cdef inline int _take_document(Event *event, Span name, const unsigned char *at, const unsigned char *last) except -1:
    """A part that is a document. Raises ValueError if it is there already, or none that is usual."""
    cdef Span whole = Span(at, last + 1 - at)
    if is_name(name, b'fullDocument', 12) and event.after == NULL:
        event.after = at
    elif is_name(name, b'fullDocumentBeforeChange', 24) and event.before == NULL:
        event.before = at
    elif is_name(name, b'documentKey', 11) and event.key == NULL:
        event.key = at
    elif is_name(name, b'ns', 2) and event.namespace.at == NULL:
        event.namespace = whole
    elif is_name(name, b'_id', 3) and event.token.at == NULL:
        take_token(&event.token, &event.bits, at + 4, last)
    elif is_name(name, b'updateDescription', 17) and event.description == NULL:
        event.description = at
    elif is_name(name, b'lsid', 4) and event.lsid.at == NULL:
        event.lsid = whole
    else:
        raise ValueError
    return 0


cdef inline int _take_number(Event *event, unsigned char kind, Span name, const unsigned char *at) except -1:
    """A part of eight bytes. Raises as `_take_document`."""
    if kind == 0x11 and is_name(name, b'clusterTime', 11) and event.time == NULL:
        event.time = at
    elif kind == 0x09 and is_name(name, b'wallTime', 8) and event.wall == NULL:
        event.wall = at
    elif kind == 0x12 and is_name(name, b'txnNumber', 9) and event.number == NULL:
        event.number = at
    else:
        raise ValueError
    return 0


cdef inline int take_token(Span *token, Span *bits, const unsigned char *at, const unsigned char *last) except -1:
    """What is in the resume token, whose bytes up to the last are these. See `cdc.mongo.reply.token_at`."""
    need(at, last, 7)
    if memcmp(at, b'\x02_data', 7):
        raise ValueError
    at = _text(token, at + 7, last)
    if at < last:
        need(at, last, 16)
        if memcmp(at, b'\x05_typeBits', 11):
            raise ValueError
        bits[0] = Span(at + 16, LE32(at + 11))
        at += 16
        need(at, last, bits.size)
        at += bits.size
    if at != last:
        raise ValueError
    return 0


cdef inline object token_text(Span *token, Span *bits):
    """The same as text."""
    text = PyUnicode_DecodeLatin1(<const char *>token.at, token.size, NULL)
    return f"{text}.{span_bytes(bits).hex()}" if bits.size else text


cdef inline bytes span_bytes(Span *span):
    return PyBytes_FromStringAndSize(<const char *>span.at, span.size)


cdef inline const unsigned char *_text(Span *text, const unsigned char *at, const unsigned char *end) except NULL:
    """Take a string; where it ends."""
    need(at, end, 5)
    text.at, text.size = at + 4, <Py_ssize_t>LE32(at) - 1
    if text.size < 0 or text.size >= end - text.at or text.at[text.size]:
        raise ValueError
    return text.at + text.size + 1
