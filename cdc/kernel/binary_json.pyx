# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled twin of `cdc.mysql.binary_json`, to which a document is left that is not as it should be."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.math cimport fabs, isfinite, signbit
from libc.stdlib cimport atoi
from libc.string cimport memset

from cdc.kernel.binlog_values cimport (
    decimal_size, double_at, little, little_signed, put_decimal, put_padded,
)
from cdc.kernel.out cimport (
    Out, PyOS_double_to_string, put, put_byte, put_bytes, put_signed, put_string, put_text, put_unsigned, release,
)

from cdc.mysql.binary_json import DEPTH, FIXED_POINT, opaque
from cdc.mysql.binary_json import text_of as twin

cdef enum:
    SMALL_OBJECT = 0
    LARGE_OBJECT = 1
    SMALL_ARRAY = 2
    LARGE_ARRAY = 3
    LITERAL = 4
    INT16 = 5
    UINT16 = 6
    INT32 = 7
    UINT32 = 8
    INT64 = 9
    UINT64 = 10
    DOUBLE = 11
    STRING = 12
    OPAQUE = 15
    NEWDECIMAL = 246

cdef int _DEPTH = DEPTH, _FIXED_POINT = FIXED_POINT
cdef tuple _LITERALS = (b"null", b"true", b"false")


cdef struct Document:
    const unsigned char *data
    Py_ssize_t size


def text_of(bytes data):
    """See `cdc.mysql.binary_json.text_of`."""
    cdef Out out
    memset(&out, 0, sizeof(Out))
    try:
        put_document(&out, data, len(data))
        return PyUnicode_DecodeLatin1(<const char *>out.data, out.size, NULL)
    except (LookupError, ValueError):
        return twin(data)
    finally:
        release(&out)


cdef int put_document(Out *out, const unsigned char *data, Py_ssize_t size) except -1:
    """Append a document's JSON. Raises ValueError or LookupError for one that the twin should see."""
    cdef Document document
    if size == 0:
        return put(out, b'null', 4)
    document.data = data
    document.size = size
    return _put(out, &document, data[0], 1, 0)


cdef int _put(Out *out, Document *document, int kind, Py_ssize_t at, int depth) except -1:
    """Append the value of this type that begins at `at`."""
    cdef const unsigned char *data = document.data
    cdef Py_ssize_t size = 0
    if kind <= LARGE_ARRAY:
        return _put_container(out, document, kind, at, depth)
    if kind == STRING:
        at = _size(document, at, &size)
        return put_string(out, data + at, size)
    if kind == LITERAL:
        _check(document, at, 1)
        if data[at] > 2:
            raise ValueError("no literal")
        return put_bytes(out, <bytes>_LITERALS[data[at]])
    if kind == INT16 or kind == UINT16:
        _check(document, at, 2)
        return put_signed(out, little_signed(data + at, 2) if kind == INT16 else little(data + at, 2))
    if kind == INT32 or kind == UINT32:
        _check(document, at, 4)
        return put_signed(out, little_signed(data + at, 4) if kind == INT32 else little(data + at, 4))
    if kind == INT64:
        _check(document, at, 8)
        return put_signed(out, little_signed(data + at, 8))
    if kind == UINT64:
        _check(document, at, 8)
        return put_unsigned(out, little(data + at, 8))
    if kind == DOUBLE:
        _check(document, at, 8)
        return _put_double(out, double_at(data + at))
    if kind == OPAQUE:
        return _put_opaque(out, document, at)
    raise ValueError("no type")


cdef int _put_container(Out *out, Document *document, int kind, Py_ssize_t base, int depth) except -1:
    """base: where the offsets in it count from."""
    cdef const unsigned char *data = document.data
    cdef bint large = kind == LARGE_OBJECT or kind == LARGE_ARRAY
    cdef bint is_object = kind == SMALL_OBJECT or kind == LARGE_OBJECT
    cdef int width = 4 if large else 2
    cdef Py_ssize_t count, size, key, entry, name, i
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    _check(document, base, 2 * width)
    count = little(data + base, width)
    size = little(data + base + width, width)
    key = base + 2 * width
    entry = key + (count * (width + 2) if is_object else 0)
    if base + size > document.size or entry + count * (width + 1) > base + size:
        raise ValueError("no container")
    put_byte(out, 123 if is_object else 91)
    for i in range(count):
        if i:
            put_byte(out, 44)
        if is_object:
            name = base + <Py_ssize_t>little(data + key, width)
            size = little(data + key + width, 2)
            _check(document, name, size)
            put_string(out, data + name, size)
            put_byte(out, 58)
            key += width + 2
        kind = data[entry]
        if kind == LITERAL or kind == INT16 or kind == UINT16 or (large and (kind == INT32 or kind == UINT32)):
            _put(out, document, kind, entry + 1, depth)
        else:
            _put(out, document, kind, base + <Py_ssize_t>little(data + entry + 1, width), depth + 1)
        entry += width + 1
    return put_byte(out, 125 if is_object else 93)


cdef int _put_opaque(Out *out, Document *document, Py_ssize_t at) except -1:
    """Append a value of an SQL type that JSON does not have."""
    cdef const unsigned char *data = document.data
    cdef Py_ssize_t size = 0, width
    cdef int kind
    _check(document, at, 1)
    kind = data[at]
    at = _size(document, at + 1, &size)
    data += at
    if kind == NEWDECIMAL and size > 2:
        width = decimal_size(data[0], data[1])
        if width and width == size - 2:
            return put_decimal(out, data + 2, data[0], data[1])
    return put_text(out, opaque(kind, PyBytes_FromStringAndSize(<const char *>data, size)))


cdef int _put_double(Out *out, double value) except -1:
    """See `cdc.mysql.binary_json.double`."""
    cdef unsigned char digits[40]
    cdef int count = 0, point = 0
    cdef bint has_point = False
    cdef char *text
    cdef const char *at
    if not isfinite(value):
        raise ValueError("a number that is not finite")
    if signbit(value):
        put_byte(out, 45)
    text = PyOS_double_to_string(fabs(value), b'r', 0, 0, NULL)
    try:
        at = text
        while at[0] and at[0] != 101:
            if at[0] == 46:
                has_point = True
            else:
                point += not has_point
                if count or at[0] != 48:
                    digits[count] = at[0]
                    count += 1
                else:
                    point -= 1
            at += 1
        if at[0]:
            point += atoi(at + 1)
    finally:
        PyMem_Free(text)
    while count and digits[count - 1] == 48:
        count -= 1
    if count == 0:
        return put(out, b'0.0', 3)
    if point < 1 - _FIXED_POINT or (point > _FIXED_POINT and count <= point):
        put_byte(out, digits[0])
        if count > 1:
            put_byte(out, 46)
            put(out, digits + 1, count - 1)
        put_byte(out, 101)
        return put_signed(out, point - 1)
    if point <= 0:
        put(out, b'0.', 2)
        put_padded(out, 0, -point)
        return put(out, digits, count)
    put(out, digits, min(count, point))
    if count <= point:
        put_padded(out, 0, point - count)
        return put(out, b'.0', 2)
    put_byte(out, 46)
    return put(out, digits + point, count - point)


cdef Py_ssize_t _size(Document *document, Py_ssize_t at, Py_ssize_t *size) except -1:
    """A length of seven bits a byte, and where it ends; so many bytes are there."""
    cdef int shift = 0
    size[0] = 0
    while True:
        _check(document, at, 1)
        size[0] |= <Py_ssize_t>(document.data[at] & 127) << shift
        shift += 7
        at += 1
        if document.data[at - 1] < 128:
            break
        if shift > 28:
            raise ValueError("no length")
    _check(document, at, size[0])
    return at


cdef inline int _check(Document *document, Py_ssize_t at, Py_ssize_t size) except -1:
    """Raises ValueError unless so many bytes are there."""
    if at + size > document.size:
        raise ValueError("cut short")
    return 0
