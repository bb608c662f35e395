from cdc.kernel.out cimport Out


cdef int put_document(Out *out, const unsigned char *data, Py_ssize_t size) except -1
