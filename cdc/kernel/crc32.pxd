"""CRC-32 as zlib has it, eight bytes at a time: for events so small that calling zlib costs more than its sum."""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from *:
    """
    static uint32_t crc32_tables[8][256];

    static void crc32_begin(void) {
        uint32_t i, k, crc;
        for (i = 0; i < 256; i++) {
            crc = i;
            for (k = 0; k < 8; k++)
                crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0);
            crc32_tables[0][i] = crc;
        }
        for (k = 1; k < 8; k++)
            for (i = 0; i < 256; i++)
                crc32_tables[k][i] = crc32_tables[k - 1][i] >> 8 ^ crc32_tables[0][crc32_tables[k - 1][i] & 255];
    }

    static uint32_t crc32_of(const unsigned char *data, Py_ssize_t size) {
        uint32_t crc = 0xFFFFFFFFU, low, high;
        for (; size >= 8; size -= 8, data += 8) {
            low = crc ^ ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
            high = (uint32_t)data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 | (uint32_t)data[7] << 24;
            crc = crc32_tables[7][low & 255] ^ crc32_tables[6][low >> 8 & 255] ^ crc32_tables[5][low >> 16 & 255]
                ^ crc32_tables[4][low >> 24] ^ crc32_tables[3][high & 255] ^ crc32_tables[2][high >> 8 & 255]
                ^ crc32_tables[1][high >> 16 & 255] ^ crc32_tables[0][high >> 24];
        }
        for (; size > 0; size--, data++)
            crc = crc >> 8 ^ crc32_tables[0][(crc ^ *data) & 255];
        return ~crc;
    }
    """
    void crc32_begin() noexcept
    uint32_t crc32_of(const unsigned char *data, Py_ssize_t size) noexcept
