/*
 * reserved.h: key names that belong to the library: what it keeps in Redis beside the values.
 */
#ifndef TANDEM_BASE_RESERVED_H
#define TANDEM_BASE_RESERVED_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What they begin with, after the prefix. */
#define RESERVED "#tandem:"

static inline bool reserved_is(const char *key, size_t length)
{
    return length >= sizeof(RESERVED) - 1 && memcmp(key, RESERVED, sizeof(RESERVED) - 1) == 0;
}

/* Is it that name (RESERVED "lock:", say) and something behind it? */
static inline bool reserved_begins(const char *key, size_t length, const char *name)
{
    size_t n = strlen(name);

    return length > n && memcmp(key, name, n) == 0;
}

#endif
