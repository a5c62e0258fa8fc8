/*
 * tags.h: from tags as Redis and callers have them to what memory goes by.
 *
 * Names: for each tag a byte with its length, then its bytes.  A list: the same, with each tag's generation
 * behind it (redis/tagged.h).
 */
#ifndef TANDEM_TIER_TAGS_H
#define TANDEM_TIER_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/memory.h"

struct tandem_cache;
struct tandem_result;
struct tier;
struct request;

enum tags_shape { TAGS_NAMES, TAGS_LIST };

struct tags {
    struct memory_tags tags;
    uint32_t hashes[MEMORY_TAGS_MAX];
};

/* Are these names: 1 to MEMORY_TAGS_MAX of them, of 1 to REDIS_TAG_MAX bytes? */
bool tags_are_names(const char *names, size_t length);

/* Has an entry tagged, since that number.  No bytes: it is not. */
void tags_attach(struct tier *tier, enum tags_shape shape, const char *bytes, size_t length,
                 uint64_t number, struct tags *tags, struct memory_attributes *attributes);

/* Has none of these been invalidated since that number? */
bool tags_hold(struct tier *tier, enum tags_shape shape, const char *bytes, size_t length,
               uint64_t number);

/* Is Redis still to be told that one of a list was invalidated? */
bool tags_are_awaited(struct tier *tier, const char *list, size_t length);

/* The message that this key, without the prefix, has changed.  False: it has nothing to do with tags. */
bool tags_hear(struct tier *tier, const char *key, size_t key_length);

/* The tag that a key holds the generation of, or NULL. */
const char *tags_of_key(const char *key, size_t key_length, size_t *length);

/* In memory: what has it does not exist from now on. */
void tags_apply(struct tier *tier, const char *tag, size_t length);

/* As tandem_invalidate_tag. */
int tags_invalidate(struct tandem_cache *cache, const char *tag, size_t length, int flags,
                    struct tandem_result *result);

/* I/O thread. */
void tags_done(struct tier *tier, struct request *request);

#endif
