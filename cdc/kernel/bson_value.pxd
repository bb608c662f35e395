"""BSON's values to JSON, as far as they need to know nothing but their bytes; where documents and values end.

`at` is where to read, `end` the first byte that is not theirs to read.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr

from cdc.kernel.out cimport Out, grow, put, put_byte, put_fixed, put_hex, put_string

cdef extern from *:
    """
    static inline uint32_t LE32(const unsigned char *at) {
        return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    }
    static inline uint64_t LE64(const unsigned char *at) {
        return (uint64_t)LE32(at) | (uint64_t)LE32(at + 4) << 32;
    }
    #define DAY 86400000LL
    #define YEAR_1 (-62135596800000LL)
    #define YEAR_10000 253402300800000LL
    """
    uint32_t LE32(const unsigned char *at) nogil
    uint64_t LE64(const unsigned char *at) nogil
    const int64_t DAY, YEAR_1, YEAR_10000


cdef inline const unsigned char *counted(const unsigned char *at, const unsigned char *end) except NULL:
    """The last byte, which is 0, of the document or array that begins at `at`."""
    cdef const unsigned char *last
    need(at, end, 5)
    if LE32(at) < 5 or LE32(at) > end - at:
        raise ValueError
    last = at + LE32(at) - 1
    if last[0]:
        raise ValueError
    return last


cdef inline int need(const unsigned char *at, const unsigned char *end, Py_ssize_t size) except -1:
    """There are so many bytes more."""
    if end - at < size:
        raise ValueError
    return 0


cdef inline const unsigned char *skipped(
    unsigned char kind, const unsigned char *at, const unsigned char *end
) except NULL:
    """Where a value ends of one of the types that the server's own documents have."""
    cdef Py_ssize_t size
    if kind == 0x03 or kind == 0x04:
        return counted(at, end) + 1
    if kind == 0x02 or kind == 0x05:
        need(at, end, 4)
        size = <Py_ssize_t>LE32(at) + (4 if kind == 0x02 else 5)
    elif kind == 0x01 or kind == 0x09 or kind == 0x11 or kind == 0x12:
        size = 8
    elif kind == 0x10:
        size = 4
    elif kind == 0x08:
        size = 1
    else:
        raise ValueError
    need(at, end, size)
    return at + size


cdef inline const unsigned char *put_text_value(Out *out, const unsigned char *at, const unsigned char *end) except NULL:
    """Append a string, which tells its size with its end; where it ends."""
    cdef Py_ssize_t size
    need(at, end, 5)
    size = LE32(at)
    at += 4
    if size < 1 or size > end - at or at[size - 1]:
        raise ValueError
    put_string(out, at, size - 1)
    return at + size


cdef inline const unsigned char *put_regex(Out *out, const unsigned char *at, const unsigned char *end) except NULL:
    cdef const unsigned char *stop = <const unsigned char *>memchr(at, 0, end - at)
    if stop == NULL:
        raise ValueError
    put(out, b'{"$regularExpression":{"pattern":', 33)
    put_string(out, at, stop - at)
    at = stop + 1
    stop = <const unsigned char *>memchr(at, 0, end - at)
    if stop == NULL:
        raise ValueError
    put(out, b',"options":', 11)
    put_string(out, at, stop - at)
    put(out, b'}}', 2)
    return stop + 1


cdef inline int put_uuid(Out *out, const unsigned char *at) except -1:
    put_hex(out, at, 4)
    put_byte(out, 45)
    put_hex(out, at + 4, 2)
    put_byte(out, 45)
    put_hex(out, at + 6, 2)
    put_byte(out, 45)
    put_hex(out, at + 8, 2)
    put_byte(out, 45)
    return put_hex(out, at + 10, 6)


cdef inline int put_date(Out *out, int64_t millis) except -1:
    """Append a date of the years 1 to 9999 as `cdc.mongo.convert.date_text` does."""
    cdef int64_t days, era, of_era, year, of_year, month
    cdef int rest, fraction
    cdef unsigned char *to
    days = (millis - YEAR_1) // DAY
    rest = (millis - YEAR_1) % DAY
    days += 306  # since March 1st of the year 0, so that the leap day is a year's last
    era, of_era = days // 146_097, days % 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    year += 400 * era + (month >= 10)
    grow(out, 26)
    to = out.data + out.size
    to[0] = 34
    two(to + 1, year // 100)
    two(to + 3, year % 100)
    to[5] = to[8] = 45
    two(to + 6, month + 3 if month < 10 else month - 9)
    two(to + 9, of_year - (153 * month + 2) // 5 + 1)
    to[11] = 84
    two(to + 12, rest // 3_600_000)
    to[14] = to[17] = 58
    two(to + 15, rest // 60_000 % 60)
    two(to + 18, rest // 1_000 % 60)
    out.size += 20
    fraction = rest % 1_000
    if fraction:
        to[20] = 46
        to[21] = 48 + fraction // 100
        two(to + 22, fraction % 100)
        out.size += 4
        while out.data[out.size - 1] == 48:
            out.size -= 1
    return put(out, b'Z"', 2)


cdef inline void two(unsigned char *to, int number) noexcept:
    to[0] = 48 + number // 10
    to[1] = 48 + number % 10


cdef inline bint put_usual_decimal(Out *out, const unsigned char *at) except -1:
    """Append a Decimal128 as `decimal.Decimal` writes it, and return True, if it has no exponent then, and not more
    digits than 64 bits hold.

    https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md
    """
    cdef uint64_t digits = LE64(at), high = LE64(at + 8), power = 1
    cdef int places = 6176 - <int>(high >> 49 & 0x3FFF), count = 1
    if high & 0x1FFFFFFFFFFFF or high >> 61 & 3 == 3 or places < 0 or places > 24:
        return False
    while count < 20 and digits // power >= 10:
        power *= 10
        count += 1
    if count - places <= -6:
        return False
    put_fixed(out, high >> 63, digits, places)
    return True
