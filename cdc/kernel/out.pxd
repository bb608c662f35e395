"""A growing run of bytes to write an event into. What it holds stays where it is until `grow` has to move it, so
places in it are kept as offsets."""

from cpython.mem cimport PyMem_Free, PyMem_RawFree, PyMem_RawRealloc
from libc.math cimport fabs, nearbyint, signbit
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memmove, memset, strlen


cdef struct Out:
    unsigned char *data
    Py_ssize_t size
    Py_ssize_t room


cdef inline int grow(Out *out, Py_ssize_t more) except -1:
    """Make room for so many bytes more."""
    cdef Py_ssize_t room = out.room
    cdef void *moved
    if out.size + more < room:
        return 0
    room = 2 * (out.size + more) + 16  # so that there is a place also for nothing
    moved = PyMem_RawRealloc(out.data, room)
    if moved == NULL:
        raise MemoryError
    out.data = <unsigned char *>moved
    out.room = room
    return 0


cdef inline int put(Out *out, const void *data, Py_ssize_t size) except -1:
    """Append these bytes."""
    grow(out, size)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


cdef inline int again(Out *out, Py_ssize_t at, Py_ssize_t size) except -1:
    """Append once more what stands at `at`."""
    grow(out, size)
    memcpy(out.data + out.size, out.data + at, size)
    out.size += size
    return 0


cdef inline void clear(Out *out) noexcept:
    """Begin anew; a buffer that one large event has made large is given back."""
    if out.room > 1 << 20:
        release(out)
    out.size = 0


cdef inline void release(Out *out) noexcept:
    PyMem_RawFree(out.data)
    out.data = NULL
    out.size = out.room = 0


cdef inline int put_byte(Out *out, unsigned char byte) except -1:
    grow(out, 1)
    out.data[out.size] = byte
    out.size += 1
    return 0


cdef inline int put_bytes(Out *out, bytes data) except -1:
    return put(out, <const char *>data, len(data))


cdef inline int put_text(Out *out, text) except -1:
    """Append wire text."""
    if not PyUnicode_Check(text) or PyUnicode_KIND(text) != 1:
        raise ValueError("not wire text")
    return put(out, PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))


cdef inline int put_unsigned(Out *out, uint64_t value) except -1:
    """Append a number in decimal."""
    cdef unsigned char digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = 48 + value % 10
        value //= 10
        if value == 0:
            break
    return put(out, digits + at, 20 - at)


cdef inline int put_signed(Out *out, int64_t value) except -1:
    if value >= 0:
        return put_unsigned(out, <uint64_t>value)
    put_byte(out, 45)
    return put_unsigned(out, <uint64_t>0 - <uint64_t>value)


cdef extern from "Python.h":
    int PyUnicode_KIND(object text)
    void *PyUnicode_DATA(object text)
    bint PyUnicode_Check(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    char *PyOS_double_to_string(double value, char form, int precision, int flags, int *type) except NULL
    const int Py_DTSF_ADD_DOT_0


cdef extern from *:
    """
    /* 0: as it is; 'u': \\u00XX; else the letter behind the backslash. What JSON demands, and no more (RFC 8259, 7). */
    static const unsigned char escapes[256] = {
        'u','u','u','u','u','u','u','u','b','t','n','u','f','r','u','u',
        'u','u','u','u','u','u','u','u','u','u','u','u','u','u','u','u',
        ['"'] = '"', ['\\\\'] = '\\\\',
    };
    static const char hex[] = "0123456789abcdef";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    /* How many bytes from the beginning need no escape. */
    static inline Py_ssize_t plain(const unsigned char *text, Py_ssize_t size) {
        Py_ssize_t at = 0;
        while (size - at >= 8) {
            uint64_t word, quote, slash, low;
            memcpy(&word, text + at, 8);
            low = (word - 0x2020202020202020ULL) & ~word;
            quote = word ^ 0x2222222222222222ULL;
            slash = word ^ 0x5c5c5c5c5c5c5c5cULL;
            quote = (quote - 0x0101010101010101ULL) & ~quote;
            slash = (slash - 0x0101010101010101ULL) & ~slash;
            if ((low | quote | slash) & 0x8080808080808080ULL)
                break;
            at += 8;
        }
        while (at < size && !escapes[text[at]])
            at++;
        return at;
    }

    static inline int is_ascii(const unsigned char *text, Py_ssize_t size) {
        uint64_t seen = 0, word;
        Py_ssize_t at = 0;
        for (; size - at >= 8; at += 8) {
            memcpy(&word, text + at, 8);
            seen |= word;
        }
        for (; at < size; at++)
            seen |= text[at];
        return !(seen & 0x8080808080808080ULL);
    }
    """
    const unsigned char escapes[256]
    const char hex[17]
    const char base64[65]
    Py_ssize_t plain(const unsigned char *text, Py_ssize_t size)
    bint is_ascii(const unsigned char *text, Py_ssize_t size)


cdef inline int put_string(Out *out, const unsigned char *text, Py_ssize_t size) except -1:
    """Append UTF-8 as a JSON string, as `cdc.wire_text.string` does."""
    cdef Py_ssize_t at = 0, run
    cdef unsigned char byte
    put_byte(out, 34)
    while True:
        run = plain(text + at, size - at)
        put(out, text + at, run)
        at += run
        if at >= size:
            break
        byte = text[at]
        at += 1
        grow(out, 6)
        out.data[out.size] = 92
        out.data[out.size + 1] = escapes[byte]
        if escapes[byte] != 117:
            out.size += 2
            continue
        memset(out.data + out.size + 2, 48, 2)
        out.data[out.size + 4] = hex[byte >> 4]
        out.data[out.size + 5] = hex[byte & 15]
        out.size += 6
    return put_byte(out, 34)


cdef inline int put_double(Out *out, double value) except -1:
    """Append a finite number as `repr` writes it."""
    cdef char *text
    cdef double whole, power = 1
    cdef uint64_t digits
    cdef int places
    for places in range(5 if fabs(value) < 1e10 else 0):
        whole = nearbyint(value * power)
        if whole / power == value:  # with so few digits there is no shorter way to write it
            digits = <uint64_t>fabs(whole)
            return put_fixed(out, signbit(value), digits if places else 10 * digits, places if places else 1)
        power *= 10
    text = PyOS_double_to_string(value, b'r', 0, Py_DTSF_ADD_DOT_0, NULL)
    try:
        return put(out, text, strlen(text))
    finally:
        PyMem_Free(text)


cdef inline int put_fixed(Out *out, bint negative, uint64_t digits, int places) except -1:
    """Append a number of which so many digits are decimals."""
    cdef Py_ssize_t begin
    cdef unsigned char *point
    if negative:
        put_byte(out, 45)
    begin = out.size
    put_unsigned(out, digits)
    if places == 0:
        return 0
    grow(out, places + 2)
    if out.size - begin <= places:
        digits = places + 1 - (out.size - begin)  # zeros that are to stand before them
        memmove(out.data + begin + digits, out.data + begin, out.size - begin)
        memset(out.data + begin, 48, digits)
        out.size += digits
    point = out.data + out.size - places
    memmove(point + 1, point, places)
    point[0] = 46
    out.size += 1
    return 0


cdef inline int put_hex(Out *out, const unsigned char *data, Py_ssize_t size) except -1:
    """Append bytes in hex."""
    cdef Py_ssize_t i
    grow(out, 2 * size)
    for i in range(size):
        out.data[out.size + 2 * i] = hex[data[i] >> 4]
        out.data[out.size + 2 * i + 1] = hex[data[i] & 15]
    out.size += 2 * size
    return 0


cdef inline int put_base64(Out *out, const unsigned char *data, Py_ssize_t size) except -1:
    """Append bytes in base64, with its padding."""
    cdef unsigned char *to
    cdef Py_ssize_t at
    cdef int three, left
    grow(out, (size + 2) // 3 * 4)
    to = out.data + out.size
    for at in range(0, size, 3):
        left = <int>min(size - at, 3)
        three = data[at] << 16
        if left > 1:
            three |= data[at + 1] << 8
        if left > 2:
            three |= data[at + 2]
        to[0] = base64[three >> 18]
        to[1] = base64[three >> 12 & 63]
        to[2] = base64[three >> 6 & 63] if left > 1 else 61
        to[3] = base64[three & 63] if left > 2 else 61
        to += 4
    out.size = to - out.data
    return 0
