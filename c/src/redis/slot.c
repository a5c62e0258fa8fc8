#include "redis/slot.h"

#include <stdint.h>
#include <string.h>

/* CRC16/XMODEM, four bits at a time. */
static uint16_t add(uint16_t crc, const char *bytes, size_t length)
{
    static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};

    for (size_t i = 0; i < length; i++) {
        unsigned byte = (unsigned char)bytes[i];

        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ byte >> 4]);
        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ (byte & 15)]);
    }
    return crc;
}

/* Both parts, one behind the other. */
struct joined {
    const char *prefix, *key;
    size_t prefix_length, length;
};

/* Where c is from there on for the first time, or the length. */
static size_t find(const struct joined *j, size_t from, char c)
{
    const char *at = NULL;

    if (from < j->prefix_length)
        at = memchr(j->prefix + from, c, j->prefix_length - from);
    if (at)
        return (size_t)(at - j->prefix);
    from = from > j->prefix_length ? from - j->prefix_length : 0;
    if (j->prefix_length + from < j->length)
        at = memchr(j->key + from, c, j->length - j->prefix_length - from);
    return at ? j->prefix_length + (size_t)(at - j->key) : j->length;
}

static uint16_t crc_of(const struct joined *j, size_t begin, size_t end)
{
    size_t split = j->prefix_length;
    uint16_t crc = 0;

    if (begin < split)
        crc = add(crc, j->prefix + begin, (end < split ? end : split) - begin);
    if (end > split) {
        size_t from = begin > split ? begin - split : 0;

        crc = add(crc, j->key + from, end - split - from);
    }
    return crc;
}

unsigned slot_of(const char *prefix, size_t prefix_length, const char *key, size_t key_length)
{
    const struct joined j = {prefix, key, prefix_length, prefix_length + key_length};
    size_t open = find(&j, 0, '{');
    size_t close = open < j.length ? find(&j, open + 1, '}') : j.length;

    if (close < j.length && close > open + 1)
        return crc_of(&j, open + 1, close) & (SLOTS - 1);
    return crc_of(&j, 0, j.length) & (SLOTS - 1);
}

bool slot_is_one(const char *prefix, size_t prefix_length)
{
    const char *open = prefix_length ? memchr(prefix, '{', prefix_length) : NULL;
    const char *close = open ? memchr(open, '}', prefix_length - (size_t)(open - prefix)) : NULL;

    return close && close > open + 1;
}
