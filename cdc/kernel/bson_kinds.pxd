"""The kinds that a document's values are of, by path. See `cdc.mongo.values`."""

from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memcmp, memcpy, strlen

from cdc.kernel.out cimport Out, grow, put, put_byte, put_string

cdef extern from *:
    """
    static const char *kind_names[] = {
        "", "float", "objectId", "timestamptz", "decimal", "uuid", "bytes", "int64",
    };
    """
    const char *kind_names[8]

cdef enum:
    MIXED, FLOAT, OBJECT_ID, TIMESTAMPTZ, DECIMAL, UUID, BYTES, INT64

cdef enum:
    MOST_KINDS = 256


cdef struct Name:
    # A step of a path; up: the one before.
    const Name *up
    const unsigned char *text
    Py_ssize_t size


cdef struct Kind:
    # code: MIXED where the path is read in more than one way; arrays: around it; at, size: of its path, in `paths`.
    int code, arrays
    Py_ssize_t at, size


cdef struct Kinds:
    # earlier: how many are of fields before the one at hand; quiet: nothing is noted.
    Out paths
    Kind kinds[MOST_KINDS]
    int count, earlier
    bint quiet


cdef inline int note(Kinds *kinds, const Name *name, int code, int arrays) except -1:
    """A value of this path is of this kind; arrays: around it, -1 where it is in none."""
    cdef const Name *each = name
    cdef Py_ssize_t size = name.size
    cdef unsigned char *at
    if kinds.quiet:
        return 0
    while each.up != NULL:
        each = each.up
        size += each.size + 1
    grow(&kinds.paths, size)
    at = kinds.paths.data + kinds.paths.size + size
    each = name
    while True:
        at -= each.size
        memcpy(at, each.text, each.size)
        each = each.up
        if each == NULL:
            break
        at -= 1
        at[0] = 46
    return note_path(kinds, size, code, 0 if arrays < 0 else arrays)


cdef inline int note_path(Kinds *kinds, Py_ssize_t size, int code, int arrays) except -1:
    """The same of the path at the end of `paths`, which is kept if it is new there."""
    cdef unsigned char *path = kinds.paths.data + kinds.paths.size
    cdef int i = kinds.count
    cdef Kind *kind
    while i:
        i -= 1
        kind = kinds.kinds + i
        if kind.size == size and not memcmp(kinds.paths.data + kind.at, path, size):
            if i < kinds.earlier:
                raise ValueError  # two fields of the same path
            if kind.code != code or kind.arrays != arrays:
                kind.code = MIXED
                kind.arrays = 0
            return 0
    if kinds.count == MOST_KINDS:
        raise ValueError
    kind = kinds.kinds + kinds.count
    kind.code, kind.arrays, kind.at, kind.size = code, arrays, kinds.paths.size, size
    kinds.count += 1
    kinds.paths.size += size
    return 0


cdef inline bint tell_the_same(Kinds *one, Kinds *two) noexcept:
    """Whether both tell the same kinds in the same order."""
    cdef Kind *mine
    cdef Kind *its
    cdef int i = 0, j = 0
    while True:
        while i < one.count and one.kinds[i].code == MIXED:
            i += 1
        while j < two.count and two.kinds[j].code == MIXED:
            j += 1
        if i == one.count or j == two.count:
            return i == one.count and j == two.count
        mine, its = one.kinds + i, two.kinds + j
        if (
            mine.code != its.code or mine.arrays != its.arrays or mine.size != its.size
            or memcmp(one.paths.data + mine.at, two.paths.data + its.at, mine.size)
        ):
            return False
        i += 1
        j += 1


cdef inline int put_types(Out *out, Kinds *kinds) except -1:
    """Append `,"types":` and the kinds, if there are any."""
    cdef Kind *kind
    cdef int i, told = 0
    for i in range(kinds.count):
        kind = kinds.kinds + i
        if kind.code == MIXED:
            continue
        put(out, b',' if told else b',"types":{', 1 if told else 10)
        put_string(out, kinds.paths.data + kind.at, kind.size)
        put(out, b':"', 2)
        _put_kind(out, kind)
        put_byte(out, 34)
        told = 1
    if told:
        put_byte(out, 125)
    return 0


cdef inline int _put_kind(Out *out, Kind *kind) except -1:
    cdef int i
    put(out, kind_names[kind.code], strlen(kind_names[kind.code]))
    for i in range(kind.arrays):
        put(out, b'[]', 2)
    return 0


cdef inline dict types_of(Kinds *kinds):
    """Kinds by path, as wire text."""
    cdef Kind *kind
    cdef dict types = {}
    cdef int i
    for i in range(kinds.count):
        kind = kinds.kinds + i
        if kind.code != MIXED:
            path = PyUnicode_DecodeLatin1(<const char *>kinds.paths.data + kind.at, kind.size, NULL)
            types[path] = kind_names[kind.code].decode("latin-1") + "[]" * kind.arrays
    return types
