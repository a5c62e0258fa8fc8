/*
 * page.h: a page of keys as it is handed upward: items one after the other, each a 4-byte length in host
 * order and its bytes; the first is the next cursor.  Pure.
 */
#ifndef TANDEM_REDIS_PAGE_H
#define TANDEM_REDIS_PAGE_H

#include <stdint.h>
#include <string.h>

struct page_item {
    const char *bytes;
    size_t length;
};

enum { PAGE_LENGTH_BYTES = sizeof(uint32_t) };

/* Reads the item that begins at at.  Where the next one begins; 0: there is none at at. */
static inline size_t page_next(const char *page, size_t page_length, size_t at,
                               struct page_item *item)
{
    uint32_t n;

    if (page_length - at < sizeof(n))
        return 0;
    memcpy(&n, page + at, sizeof(n));
    item->bytes = page + at + sizeof(n);
    item->length = n;
    return at + sizeof(n) + n;
}

/* Writes an item; says where the next one goes. */
static inline char *page_put(char *to, const char *bytes, size_t length)
{
    uint32_t n = (uint32_t)length;

    memcpy(to, &n, sizeof(n));
    if (length)
        memcpy(to + sizeof(n), bytes, length);
    return to + sizeof(n) + length;
}

#endif
