"""Values as the binlog has them, to JSON: the compiled twins of `cdc.mysql.temporal`, and of parts of `readings` and
`scalars`. What is no usual value raises ValueError, and is left to the twins to read or to refuse."""

from cpython.mem cimport PyMem_Free
from libc.math cimport fabs, isfinite, isinf
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cdc.kernel.out cimport Out, PyOS_double_to_string, put, put_byte, put_double, put_unsigned


cdef extern from "Python.h":
    double PyOS_string_to_double(const char *text, char **end, object overflow) except? -1.0


cdef extern from *:
    """
    static const uint32_t powers_of_ten[10] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000
    };
    static const int decimal_bytes[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
    """
    const uint32_t powers_of_ten[10]
    const int decimal_bytes[10]


cdef inline uint64_t little(const unsigned char *at, int size) noexcept:
    """A number of so many bytes, the lowest first."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        value |= <uint64_t>at[i] << 8 * i
    return value


cdef inline uint64_t big(const unsigned char *at, int size) noexcept:
    """A number of so many bytes, the uppermost first."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        value = value << 8 | at[i]
    return value


cdef inline int64_t little_signed(const unsigned char *at, int size) noexcept:
    return <int64_t>(little(at, size) << 64 - 8 * size) >> 64 - 8 * size


cdef inline int put_padded(Out *out, uint64_t value, int width) except -1:
    """Append a number of at least so many digits."""
    cdef unsigned char digits[20]
    cdef int at = 20
    while value or width > 20 - at:
        at -= 1
        digits[at] = 48 + value % 10
        value //= 10
    return put(out, digits + at, 20 - at)


cdef inline int decimal_size(int precision, int scale) noexcept:
    """Bytes of a DECIMAL of up to 65 digits; 0 for what is none."""
    cdef int whole = precision - scale
    if whole < 0 or precision > 65:
        return 0
    return whole // 9 * 4 + decimal_bytes[whole % 9] + scale // 9 * 4 + decimal_bytes[scale % 9]


cdef inline int put_decimal(Out *out, const unsigned char *data, int precision, int scale) except -1:
    """See `cdc.mysql.readings`. data: `decimal_size` bytes, which is not 0."""
    cdef unsigned char bits[32]
    cdef int size = decimal_size(precision, scale), left = precision - scale, at = 0, i, digits
    cdef unsigned char flip = 0 if data[0] & 128 else 255
    cdef uint64_t group
    cdef bint begun = False
    for i in range(size):
        bits[i] = data[i] ^ flip
    bits[0] ^= 128
    if flip:
        put_byte(out, 45)
    while left:
        digits = left % 9 or 9
        group = big(bits + at, decimal_bytes[digits])
        if group >= powers_of_ten[digits]:
            raise ValueError("no DECIMAL")
        if begun:
            put_padded(out, group, digits)
        elif group:
            put_unsigned(out, group)
            begun = True
        at += decimal_bytes[digits]
        left -= digits
    if not begun:
        put_byte(out, 48)
    if scale:
        put_byte(out, 46)
    while scale:
        digits = min(scale, 9)
        group = big(bits + at, decimal_bytes[digits])
        if group >= powers_of_ten[digits]:
            raise ValueError("no DECIMAL")
        put_padded(out, group, digits)
        at += decimal_bytes[digits]
        scale -= digits
    return 0


cdef inline int put_fraction(Out *out, uint64_t value, int size) except -1:
    """A fraction of so many bytes, two digits each, without the zeros at its end."""
    if value == 0:
        return 0
    put_byte(out, 46)
    put_padded(out, value, 2 * size)
    while out.data[out.size - 1] == 48:
        out.size -= 1
    return 0


cdef inline int put_day(Out *out, uint64_t year, uint64_t month, uint64_t day) except -1:
    put_padded(out, year, 4)
    put_byte(out, 45)
    put_padded(out, month, 2)
    put_byte(out, 45)
    return put_padded(out, day, 2)


cdef inline int put_clock(Out *out, uint64_t hour, uint64_t minute, uint64_t second) except -1:
    put_padded(out, hour, 2)
    put_byte(out, 58)
    put_padded(out, minute, 2)
    put_byte(out, 58)
    return put_padded(out, second, 2)


cdef inline int put_datetime(Out *out, const unsigned char *data, int extra) except -1:
    """DATETIME2: five bytes, and those of the fraction."""
    cdef int64_t packed = <int64_t>big(data, 5) - (<int64_t>1 << 39)
    if packed < 0:
        raise ValueError("no DATETIME")
    put_byte(out, 34)
    put_day(out, (packed >> 22) // 13, (packed >> 22) % 13, packed >> 17 & 31)
    put_byte(out, 84)
    put_clock(out, packed >> 12 & 31, packed >> 6 & 63, packed & 63)
    put_fraction(out, big(data + 5, extra), extra)
    return put_byte(out, 34)


cdef inline int put_timestamp(Out *out, const unsigned char *data, int extra) except -1:
    """TIMESTAMP2: seconds since 1970 in four bytes, and those of the fraction."""
    cdef uint64_t seconds = big(data, 4)
    cdef uint64_t days = seconds // 86400 + 719468, era, day, year, month
    if seconds == 0:
        return put(out, b'"0000-00-00T00:00:00Z"', 22)
    era = days // 146097  # http://howardhinnant.github.io/date_algorithms.html, civil_from_days
    day = days % 146097
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    put_byte(out, 34)
    put_day(out, 400 * era + year + (month <= 2), month, day + 1)
    put_byte(out, 84)
    put_clock(out, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
    put_fraction(out, big(data + 4, extra), extra)
    return put(out, b'Z"', 2)


cdef inline int put_time(Out *out, const unsigned char *data, int extra) except -1:
    """TIME2: three bytes, and those of the fraction."""
    cdef int64_t packed = <int64_t>big(data, 3 + extra) - (<int64_t>1 << 23 + 8 * extra)
    cdef int64_t whole
    put_byte(out, 34)
    if packed < 0:
        packed = -packed
        put_byte(out, 45)
    whole = packed >> 8 * extra
    put_clock(out, whole >> 12 & 0x3FF, whole >> 6 & 63, whole & 63)
    put_fraction(out, packed & (<int64_t>1 << 8 * extra) - 1, extra)
    return put_byte(out, 34)


cdef inline int put_float(Out *out, float value) except -1:
    """See `cdc.mysql.scalars.float32`."""
    cdef int digits = 6 if fabs(value) >= 2.0 ** -126 else 1
    cdef double shorter
    cdef char *text
    if not isfinite(value):
        raise ValueError("a FLOAT that is not finite")
    while True:
        text = PyOS_double_to_string(value, b'g', digits, 0, NULL)
        try:
            shorter = PyOS_string_to_double(text, NULL, OverflowError)
        finally:
            PyMem_Free(text)
        if digits == 9 or <float>shorter == value:
            break
        digits += 1
    if isinf(<float>shorter):
        raise ValueError("no FLOAT")
    return put_double(out, shorter)


cdef inline double double_at(const unsigned char *data) noexcept:
    cdef uint64_t bits = little(data, 8)
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef inline float float_at(const unsigned char *data) noexcept:
    cdef uint32_t bits = <uint32_t>little(data, 4)
    cdef float value
    memcpy(&value, &bits, 4)
    return value
