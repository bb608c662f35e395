# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled twin of `cdc.tally`."""

from libc.string cimport memcmp


def tally(records):
    """See `cdc.tally.tally`."""
    cdef dict counts = {}
    cdef Py_ssize_t count = 0
    cdef int op, last_op = -1
    last = None
    for name, _, value in records:
        op = 0 if value is None else _op(value, len(value))
        if name is not last or op != last_op:
            if count:
                counts[last, last_op] = counts.get((last, last_op), 0) + count
            last, last_op, count = name, op, 0
        count += 1
    if count:
        counts[last, last_op] = counts.get((last, last_op), 0) + count
    return counts


cdef int _op(bytes value, Py_ssize_t size) noexcept:
    """The letter behind the last `},"op":"`."""
    cdef const unsigned char *data = value
    cdef Py_ssize_t at = size - 9
    while at >= 0:
        if data[at] == 125 and not memcmp(data + at, b'},"op":"', 8):
            return data[at + 8]
        at -= 1
    return 0
