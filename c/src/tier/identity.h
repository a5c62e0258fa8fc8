/*
 * identity.h: the text that tells caches apart.
 */
#ifndef TANDEM_TIER_IDENTITY_H
#define TANDEM_TIER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct identity {
    const char *name;
    uint64_t memory_bytes;
    const char *path;   /* or NULL */
    const char *server; /* without secrets, or NULL: then there is no prefix either */
    const char *prefix;
    size_t prefix_length;
    const char *codec;
    bool tags;
    uint32_t entry_size; /* 0: not said */
};

/* One line, different for different identities; what is not printable is escaped.  To be freed with
 * alloc_free.  NULL: no memory. */
char *identity_text(const struct identity *identity);

/* Is this the text of a cache with the server and the prefix of this identity? */
bool identity_has_redis(const char *text, const struct identity *identity);

#endif
