"""What makes JSON of a BSON document, for the parts that read documents."""

from cdc.kernel.bson_kinds cimport Kinds
from cdc.kernel.out cimport Out

cdef enum:
    MOST_FIELDS = 256


cdef struct Field:
    # One of the document itself: its BSON, where its JSON stands, which kinds are in it.
    const unsigned char *bson
    Py_ssize_t size, at, length
    int first_kind, end_kind


cdef class Image:
    cdef Kinds kinds
    cdef Field _fields[MOST_FIELDS]
    cdef int _count

    cdef const unsigned char *write(
        self, Out *out, const unsigned char *at, const unsigned char *end, Image other
    ) except NULL


cdef const unsigned char *write_key(
    Kinds *scratch, Out *out, const unsigned char *at, const unsigned char *end
) except NULL
