"""JSON text, compact: what is unusual is not for this code."""

from libc.string cimport memcmp

from cdc.kernel.out cimport Out, plain, put, put_byte

cdef enum:
    JSON_DEEP = 64  # far from where any reader stops
    JSON_DIGITS = 18  # of a number that every reader takes


cdef inline const unsigned char *json_space(const unsigned char *at, const unsigned char *end) noexcept:
    """Behind white space."""
    while at < end and (at[0] == 32 or at[0] == 10 or at[0] == 13 or at[0] == 9):
        at += 1
    return at


cdef inline const unsigned char *json_string(const unsigned char *at, const unsigned char *end) noexcept:
    """Behind the string that begins here; NULL: unusual, as is a surrogate."""
    cdef unsigned char letter
    cdef int i
    if at >= end or at[0] != 34:
        return NULL
    at += 1
    while True:
        at += plain(at, end - at)
        if at >= end or at[0] < 32:
            return NULL
        if at[0] == 34:
            return at + 1
        if end - at < 2:
            return NULL
        letter = at[1]
        at += 2
        if letter == 117:
            if end - at < 4 or ((at[0] | 32) == 100 and at[1] > 55):
                return NULL
            for i in range(4):
                if not (48 <= at[i] <= 57 or 97 <= (at[i] | 32) <= 102):
                    return NULL
            at += 4
        elif letter not in (34, 92, 47, 98, 102, 110, 114, 116):
            return NULL


cdef inline const unsigned char *json_digits(const unsigned char *at, const unsigned char *end) noexcept:
    """Behind the digits that begin here; NULL: there are none, or too many."""
    cdef const unsigned char *begin = at
    while at < end and 48 <= at[0] <= 57:
        at += 1
    return at if 0 < at - begin <= JSON_DIGITS else NULL


cdef inline const unsigned char *json_number(const unsigned char *at, const unsigned char *end) noexcept:
    """Behind the number that begins here; NULL: unusual, as is one with an exponent."""
    cdef const unsigned char *begin
    if at < end and at[0] == 45:
        at += 1
    begin = at
    at = json_digits(at, end)
    if at == NULL or (begin[0] == 48 and at - begin > 1):
        return NULL
    if at < end and at[0] == 46:
        at = json_digits(at + 1, end)
    if at == NULL or (at < end and (at[0] | 32) == 101):
        return NULL
    return at


cdef inline const unsigned char *json_word(const unsigned char *at, const unsigned char *end) noexcept:
    """Behind true, false or null; NULL: it is none of these."""
    if end - at >= 4 and (memcmp(at, b"true", 4) == 0 or memcmp(at, b"null", 4) == 0):
        return at + 4
    if end - at >= 5 and memcmp(at, b"false", 5) == 0:
        return at + 5
    return NULL


cdef inline bint put_compact(Out *out, const unsigned char *at, const unsigned char *end) except -1:
    """Append a document without the white space between its tokens, and the rest as it is, wherever `cdc.mysql.scalars`'
    `document` does so; False: it is for that to say, and what was appended is to be dropped. Bytes that are not UTF-8
    are not looked for."""
    cdef unsigned char closing[JSON_DEEP]
    cdef int depth = 0
    cdef const unsigned char *begin
    while True:
        # a value, after the name that it may have
        at = json_space(at, end)
        if depth and closing[depth - 1] == 125:
            begin = at
            at = json_string(at, end)
            if at == NULL:
                return False
            put(out, begin, at - begin)
            at = json_space(at, end)
            if at >= end or at[0] != 58:
                return False
            put_byte(out, 58)
            at = json_space(at + 1, end)
        if at >= end:
            return False
        begin = at
        if at[0] == 123 or at[0] == 91:
            if depth == JSON_DEEP:
                return False
            put_byte(out, at[0])
            closing[depth] = at[0] + 2
            depth += 1
            at = json_space(at + 1, end)
            if at >= end or at[0] != closing[depth - 1]:
                continue
        elif at[0] == 34:
            at = json_string(at, end)
        elif at[0] == 45 or 48 <= at[0] <= 57:
            at = json_number(at, end)
        else:
            at = json_word(at, end)
        if at == NULL:
            return False
        if begin[0] != 123 and begin[0] != 91:
            put(out, begin, at - begin)
        # what follows it
        while True:
            at = json_space(at, end)
            if depth == 0:
                return at == end
            if at >= end:
                return False
            if at[0] == 44:
                break
            if at[0] != closing[depth - 1]:
                return False
            put_byte(out, at[0])
            depth -= 1
            at += 1
        put_byte(out, 44)
        at += 1
