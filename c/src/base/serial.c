#include "base/serial.h"

#include <stdint.h>
#include <string.h>

enum { DEEPEST = 100 }; /* that encode makes */

/* A value begins with a number in one, two or five bytes: what it is; for strings, their length besides. */
enum {
    TAG_NULL = 3,
    TAG_INTEGER = 6,
    TAG_NUMBER = 7,
    TAG_TABLE = 8, /* + 1: with a hash part; + 2 or + 4: with an array, from index 0 or 1 */
    TAG_TABLES_END = 14,
    TAG_INTEGER_64 = 16,
    TAG_UNSIGNED_64 = 17,
    TAG_COMPLEX = 18,
    TAG_STRING = 32
};

struct reader {
    const unsigned char *at, *end;
};

static size_t left(const struct reader *in)
{
    return (size_t)(in->end - in->at);
}

static bool skip(struct reader *in, size_t n)
{
    if (n > left(in))
        return false;
    in->at += n;
    return true;
}

static bool read_number(struct reader *in, uint32_t *number)
{
    if (left(in) < 1)
        return false;
    *number = *in->at++;
    if (*number < 0xe0)
        return true;
    if (*number < 0xff) {
        if (left(in) < 1)
            return false;
        *number = ((*number & 0x1f) << 8) + *in->at++ + 0xe0;
        return true;
    }
    if (left(in) < sizeof(*number))
        return false;
    memcpy(number, in->at, sizeof(*number));
    in->at += sizeof(*number);
    return true;
}

/* How many values come in a table, keys included; each takes a byte at least. */
static bool read_table(struct reader *in, uint32_t tag, uint64_t *values)
{
    uint32_t array = 0, hash = 0;

    if (tag >= TAG_TABLE + 2 && !read_number(in, &array))
        return false;
    if ((tag & 1) && !read_number(in, &hash))
        return false;
    if (array && tag >= TAG_TABLE + 4)
        array--;
    *values = array + 2 * (uint64_t)hash;
    return true;
}

/* Passes over a value that is no table.  Pointers and words of dictionaries are not for others to send. */
static bool skip_value(struct reader *in, uint32_t tag)
{
    switch (tag) {
    case TAG_INTEGER:
        return skip(in, 4);
    case TAG_NUMBER:
    case TAG_INTEGER_64:
    case TAG_UNSIGNED_64:
        return skip(in, 8);
    case TAG_COMPLEX:
        return skip(in, 16);
    default:
        return tag <= TAG_NULL || (tag >= TAG_STRING && skip(in, tag - TAG_STRING));
    }
}

bool serial_is_sound(const void *bytes, size_t length)
{
    struct reader in = {bytes, length ? (const unsigned char *)bytes + length : bytes};
    uint64_t pending[DEEPEST + 1] = {1}; /* values still to come, at each depth */
    int depth = 0;

    while (depth >= 0) {
        uint64_t values;
        uint32_t tag;

        if (pending[depth] == 0) {
            depth--;
            continue;
        }
        pending[depth]--;
        if (!read_number(&in, &tag))
            return false;
        if (tag < TAG_TABLE || tag >= TAG_TABLES_END) {
            if (!skip_value(&in, tag))
                return false;
            continue;
        }
        if (!read_table(&in, tag, &values) || ++depth > DEEPEST)
            return false;
        pending[depth] = values;
    }
    return left(&in) == 0;
}
