# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled twin of `cdc.mongo.convert`: BSON documents to JSON and kinds.

What is not as every collection has it raises ValueError: the twin then does it, or refuses it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.math cimport isfinite, isnan
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from cdc.kernel.bson_kinds cimport (
    BYTES, DECIMAL, FLOAT, INT64, MIXED, OBJECT_ID, TIMESTAMPTZ, UUID, Kind, Kinds, Name, note, note_path, types_of,
)
from cdc.kernel.bson_value cimport (
    LE32, LE64, YEAR_1, YEAR_10000, counted, need, put_date, put_regex, put_text_value, put_usual_decimal,
    put_uuid,
)
from cdc.kernel.out cimport (
    Out, again, clear, grow, is_ascii, put, put_base64, put_byte, put_double, put_hex, put_signed, put_string, put_text,
    put_unsigned, release,
)

from bson.decimal128 import Decimal128

from cdc.mongo.convert import date_text

cdef enum:
    DEEPEST = 200

cdef object decimal = Decimal128.from_bid
cdef int64_t SAFE = (<int64_t>1 << 53) - 1


cdef class Image:
    """The JSON of a document, in the making, and the kinds in it. Two of them can be compared."""

    def __dealloc__(self):
        release(&self.kinds.paths)

    cdef const unsigned char *write(
        self, Out *out, const unsigned char *at, const unsigned char *end, Image other
    ) except NULL:
        """Append the JSON of the document that begins at `at`; where it ends. other: an image that was written to the
        same place before, most of whose fields this one probably has; or None."""
        cdef const unsigned char *last = counted(at, end)
        cdef Field *field
        cdef int i = 0
        clear(&self.kinds.paths)
        self.kinds.count = self._count = 0
        self.kinds.quiet = False
        at += 4
        put_byte(out, 123)
        while at < last:
            if i:
                put_byte(out, 44)
            self.kinds.earlier = self.kinds.count
            field = self._fields + (i if i < MOST_FIELDS else MOST_FIELDS - 1)
            field.bson, field.at, field.first_kind = at, out.size, self.kinds.count
            if other is None or i >= other._count or not _copy(&self.kinds, out, &at, last, other, other._fields + i):
                at = _element(out, &self.kinds, at, last, NULL, -1, 0)
            field.size, field.length, field.end_kind = at - field.bson, out.size - field.at, self.kinds.count
            i += 1
        self._count = min(i, MOST_FIELDS - 1)
        put_byte(out, 125)
        return last + 1


cdef bint _copy(
    Kinds *kinds, Out *out, const unsigned char **at, const unsigned char *end, Image other, Field *field
) except -1:
    """Append the other image's field, if what stands here is the same."""
    cdef Kind *kind
    cdef int i
    if end - at[0] < field.size or memcmp(at[0], field.bson, field.size):
        return False
    at[0] += field.size
    again(out, field.at, field.length)
    for i in range(field.first_kind, field.end_kind):
        kind = other.kinds.kinds + i
        grow(&kinds.paths, kind.size)
        memcpy(kinds.paths.data + kinds.paths.size, other.kinds.paths.data + kind.at, kind.size)
        note_path(kinds, kind.size, kind.code, kind.arrays)
    return True


cdef const unsigned char *write_key(
    Kinds *scratch, Out *out, const unsigned char *at, const unsigned char *end
) except NULL:
    """Append the key in the document key that begins at `at`, where a shard key may come with it; where it ends."""
    cdef const unsigned char *last = counted(at, end)
    cdef Py_ssize_t begin = out.size
    cdef bint found = False, this
    scratch.quiet = True
    at += 4
    put_byte(out, 123)
    while at < last:
        begin = out.size
        this = last - at > 5 and not memcmp(at + 1, b'_id', 4)
        at = _element(out, scratch, at, last, NULL, -1, 0)
        if not this:
            out.size = begin
        elif found:
            raise ValueError
        found = found or this
    if not found:
        raise ValueError
    put_byte(out, 125)
    return last + 1


# Values. up: the path of the document around them; arrays: as in `note`; depth: documents and arrays around them.


cdef const unsigned char *_element(
    Out *out, Kinds *kinds, const unsigned char *at, const unsigned char *end, const Name *up, int arrays, int depth
) except NULL:
    """Append a field's name and value; where it ends."""
    cdef const unsigned char *stop = <const unsigned char *>memchr(at + 1, 0, end - at - 1)
    cdef Name name
    if stop == NULL:
        raise ValueError
    name.up, name.text, name.size = up, at + 1, stop - at - 1
    put_string(out, name.text, name.size)
    put_byte(out, 58)
    return _value(out, kinds, at[0], stop + 1, end, &name, arrays, depth)


cdef const unsigned char *_document(
    Out *out, Kinds *kinds, const unsigned char *at, const unsigned char *end, const Name *name, int arrays, int depth
) except NULL:
    cdef const unsigned char *last = counted(at, end)
    cdef bint first = True
    if depth == DEEPEST:
        raise ValueError
    at += 4
    put_byte(out, 123)
    while at < last:
        if not first:
            put_byte(out, 44)
        first = False
        at = _element(out, kinds, at, last, name, -1 if arrays < 0 else 0, depth + 1)
    put_byte(out, 125)
    return last + 1


cdef const unsigned char *_array(
    Out *out, Kinds *kinds, const unsigned char *at, const unsigned char *end, const Name *name, int arrays, int depth
) except NULL:
    cdef const unsigned char *last = counted(at, end)
    cdef const unsigned char *stop
    cdef bint first = True
    if depth == DEEPEST:
        raise ValueError
    arrays = 1 if arrays < 0 else arrays + 1
    at += 4
    put_byte(out, 91)
    while at < last:
        if not first:
            put_byte(out, 44)
        first = False
        stop = <const unsigned char *>memchr(at + 1, 0, last - at - 1)
        if stop == NULL:
            raise ValueError
        at = _value(out, kinds, at[0], stop + 1, last, name, arrays, depth + 1)
    put_byte(out, 93)
    return last + 1


cdef const unsigned char *_value(
    Out *out, Kinds *kinds, unsigned char kind, const unsigned char *at, const unsigned char *end, const Name *name,
    int arrays, int depth,
) except NULL:
    """Append a value's JSON; where it ends."""
    if kind == 0x02 or kind == 0x0E:
        if arrays >= 0:
            note(kinds, name, MIXED, 0)
        return put_text_value(out, at, end)
    if kind == 0x03:
        return _document(out, kinds, at, end, name, arrays, depth)
    if kind == 0x04:
        return _array(out, kinds, at, end, name, arrays, depth)
    if kind == 0x05:
        return _binary(out, kinds, at, end, name, arrays)
    if kind == 0x06 or kind == 0x0A:
        put(out, b'null', 4)
        return at
    if kind == 0x08:
        need(at, end, 1)
        put(out, b'true' if at[0] else b'false', 4 if at[0] else 5)
        return at + 1
    if kind == 0x10:
        need(at, end, 4)
        put_signed(out, <int32_t>LE32(at))
        return at + 4
    if kind == 0x07:
        need(at, end, 12)
        note(kinds, name, OBJECT_ID, arrays)
        put_byte(out, 34)
        put_hex(out, at, 12)
        put_byte(out, 34)
        return at + 12
    if kind == 0x13:
        need(at, end, 16)
        note(kinds, name, DECIMAL, arrays)
        put_byte(out, 34)
        if not put_usual_decimal(out, at):
            put_text(out, str(decimal(PyBytes_FromStringAndSize(<const char *>at, 16))))
        put_byte(out, 34)
        return at + 16
    if kind == 0x0B:
        return put_regex(out, at, end)
    if kind == 0x0D:
        put(out, b'{"$code":', 9)
        at = put_text_value(out, at, end)
        put_byte(out, 125)
        return at
    if kind == 0xFF or kind == 0x7F:
        put(out, b'{"$minKey":1}' if kind == 0xFF else b'{"$maxKey":1}', 13)
        return at
    need(at, end, 8)
    _put_eight(out, kinds, kind, LE64(at), name, arrays)
    return at + 8


cdef int _put_eight(Out *out, Kinds *kinds, unsigned char kind, uint64_t bits, const Name *name, int arrays) except -1:
    """Append the JSON of one of the types of eight bytes."""
    cdef int64_t number = <int64_t>bits
    cdef double real
    if kind == 0x12 and -SAFE <= number <= SAFE:
        put_signed(out, number)
    elif kind == 0x12:
        note(kinds, name, INT64, arrays)
        put_byte(out, 34)
        put_signed(out, number)
        put_byte(out, 34)
    elif kind == 0x09:
        note(kinds, name, TIMESTAMPTZ, arrays)
        if YEAR_1 <= number < YEAR_10000:
            return put_date(out, number)
        put_text(out, date_text(number))
    elif kind == 0x01:
        memcpy(&real, &bits, 8)
        if isfinite(real):
            return put_double(out, real)
        note(kinds, name, FLOAT, arrays)
        put_text(out, '"NaN"' if isnan(real) else '"Infinity"' if real > 0 else '"-Infinity"')
    elif kind == 0x11:
        put(out, b'{"$timestamp":{"t":', 19)
        put_unsigned(out, bits >> 32)
        put(out, b',"i":', 5)
        put_unsigned(out, bits & 0xFFFFFFFF)
        put(out, b'}}', 2)
    else:
        raise ValueError
    return 0


cdef const unsigned char *_binary(
    Out *out, Kinds *kinds, const unsigned char *at, const unsigned char *end, const Name *name, int arrays
) except NULL:
    cdef Py_ssize_t size
    cdef unsigned char subtype
    need(at, end, 5)
    size, subtype = LE32(at), at[4]
    at += 5
    need(at, end, size)
    end = at + size
    put_byte(out, 34)
    if subtype == 4 and size == 16:
        note(kinds, name, UUID, arrays)
        put_uuid(out, at)
    else:
        note(kinds, name, BYTES, arrays)
        if subtype == 2:  # an old form, which tells its size once more
            need(at, end, 4)
            at += 4
        put_base64(out, at, end - at)
    put_byte(out, 34)
    return end


def encode_document(bytes raw not None):
    """(JSON, the JSON object of its `_id`, kinds by path) of a document; None: see `cdc.mongo.values.encode_document`."""
    cdef Out out = Out(NULL, 0, 0)
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(raw)
    cdef Py_ssize_t size = len(raw)
    cdef Image image = Image()
    cdef Field *id_ = image._fields
    if size < 10 or memcmp(at + 5, b'_id', 4):
        return None
    try:
        image.write(&out, at, at + size, None)
        if not is_ascii(out.data, out.size):
            PyUnicode_DecodeUTF8(<const char *>out.data, out.size, NULL)
        json = PyBytes_FromStringAndSize(<const char *>out.data, out.size)
        key = b"{%b}" % PyBytes_FromStringAndSize(<const char *>out.data + id_.at, id_.length)
        types = types_of(&image.kinds)
        return json, key, {path.encode("latin-1").decode(): kind for path, kind in types.items()}
    except ValueError:
        return None
    finally:
        release(&out)
