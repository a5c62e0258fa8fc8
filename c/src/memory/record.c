#include "memory/record.h"

#include <string.h>

#include "memory/fault.h"
#include "memory/tags.h"

#if defined(__SANITIZE_THREAD__)
#define MANY_WORDS SIZE_MAX
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MANY_WORDS SIZE_MAX
#endif
#endif
#ifndef MANY_WORDS
#define MANY_WORDS 32
#endif

enum { PIECE_WORDS = 2048 };

_Static_assert(MEMORY_KEY_MAX >> LAYOUT_KEY_BITS == 0, "a record can say how long its key is");

static size_t head_words(uint32_t flags)
{
    return LAYOUT_HEAD_WORDS + (flags & MEMORY_FROM_REDIS ? 1u : 0u);
}

static size_t tag_words(uint32_t flags, uint32_t tag_count)
{
    return flags & MEMORY_TAGGED ? 1 + ((size_t)tag_count + 1) / 2 : 0;
}

/* Of so many bytes, the first of which are in the head. */
static size_t words_beyond_head(size_t bytes)
{
    return bytes <= LAYOUT_HEAD_BYTES ? 0
                                      : (bytes - LAYOUT_HEAD_BYTES + LAYOUT_UNIT - 1) / LAYOUT_UNIT;
}

/* Does the value begin at a word?  To put words together from halves takes twice the time of copying them, and
 * a few bytes are little beside a long value. */
static bool is_aligned(size_t value_length)
{
    return value_length >= LAYOUT_LONG_VALUE;
}

static size_t untagged_units(size_t key_length, size_t value_length, uint32_t flags)
{
    size_t head = head_words(flags);

    if (is_aligned(value_length))
        return head + words_beyond_head(key_length) +
               (value_length + LAYOUT_UNIT - 1) / LAYOUT_UNIT;
    return head + words_beyond_head(key_length + value_length);
}

uint64_t record_units(size_t key_length, size_t value_length, uint32_t flags, uint32_t tag_count)
{
    return untagged_units(key_length, value_length, flags) + tag_words(flags, tag_count);
}

/* So that what walks over a record is kept in registers. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* -- A walk over words, page by page --------------------------------------------------------------- */

struct walk {
    const struct memory *m;
    struct pages_place next; /* where the following run begins */
    _Atomic uint64_t *word, *end;
};

ALWAYS_INLINE void walk_on(struct walk *w)
{
    struct pages_run run = pages_run_at(w->m, &w->next);

    w->word = run.words;
    w->end = run.words + run.units;
    w->next.offset += run.units;
}

static inline struct walk walk_from(const struct memory *m, const struct pages_place *place,
                                    uint64_t units)
{
    struct walk w = {m, *place, NULL, NULL};

    w.next.offset += units;
    walk_on(&w);
    return w;
}

static inline uint64_t walk_load(struct walk *w)
{
    if (w->word == w->end)
        walk_on(w);
    return atomic_load_explicit(w->word++, memory_order_relaxed);
}

ALWAYS_INLINE void walk_store(struct walk *w, uint64_t value)
{
    if (w->word == w->end)
        walk_on(w);
    atomic_store_explicit(w->word++, value, memory_order_relaxed);
}

/* -- Reading -------------------------------------------------------------------------------------- */

/* What of the last word looked at belongs to key and value and has not been used: in the low bits. */
struct rest {
    uint64_t word;
    unsigned bits;
};

static inline struct rest rest_of_head(uint64_t third_word)
{
    return (struct rest){third_word >> (64 - LAYOUT_HEAD_BYTES * 8), LAYOUT_HEAD_BYTES * 8};
}

static bool load_tag_count(struct walk *w, struct record *record)
{
    uint64_t word = walk_load(w);

    record->tag_number = word >> 16;
    record->tag_count = word & 0xffff;
    record->units += tag_words(MEMORY_TAGGED, record->tag_count);
    /* A torn read can say so where there are none. */
    return record->tag_count <= MEMORY_TAGS_MAX && w->m->layout.tags;
}

/* Passes over its tags, looking at each.  Of a torn read the answer means nothing, as all else of it. */
static void load_tags(struct walk *w, struct record *record)
{
    record->is_void = false;
    for (uint32_t i = 0; i < record->tag_count; i += 2) {
        uint64_t pair = walk_load(w);

        record->is_void |= tags_number(w->m, (uint32_t)pair) > record->tag_number ||
                           (i + 1 < record->tag_count &&
                            tags_number(w->m, (uint32_t)(pair >> 32)) > record->tag_number);
    }
}

ALWAYS_INLINE bool load_head(struct walk *w, struct record *record, struct rest *rest)
{
    uint64_t w0 = walk_load(w), w1 = walk_load(w), w2 = walk_load(w);

    record->attributes.expires_ms = (int64_t)(w0 >> 16);
    record->bucket = (uint32_t)w0 >> LAYOUT_KEY_BITS & 3;
    record->key_length = w0 & ((1u << LAYOUT_KEY_BITS) - 1);
    record->attributes.epoch = (uint32_t)w1;
    record->attributes.flags = (uint32_t)(w1 >> 32) & 0xff;
    record->value_length = (size_t)(w1 >> 40);
    record->used = (uint32_t)w2 & 0xffffff;
    *rest = rest_of_head(w2);
    record->units =
        untagged_units(record->key_length, record->value_length, record->attributes.flags) +
        ((w2 >> 24) & 0xff);
    record->attributes.fresh_until_ms = 0;
    if (record->attributes.flags & MEMORY_FROM_REDIS)
        record->attributes.fresh_until_ms = (int64_t)walk_load(w);
    if ((record->attributes.flags & MEMORY_TAGGED) && !load_tag_count(w, record))
        return false;
    return record->units < LAYOUT_LENGTH_UNITS;
}

void record_prefetch(const struct memory *m, const struct pages_place *place)
{
    const char *from = (const void *)pages_run_at(m, place).words;

    __builtin_prefetch(from);
    __builtin_prefetch(from + 32);
}

bool record_load(const struct memory *m, const struct pages_place *place, struct record *record)
{
    struct walk w = walk_from(m, place, 0);
    struct rest rest;

    if (!load_head(&w, record, &rest))
        return false;
    if (record->attributes.flags & MEMORY_TAGGED)
        load_tags(&w, record);
    return true;
}

/* Are the next bytes, fewer than there are in rest, these? */
static inline bool same_bytes(struct rest *rest, const unsigned char *bytes, size_t length)
{
    uint64_t expected = 0;

    memcpy(&expected, bytes, length);
    expected ^= rest->word;
    rest->word = expected >> length * 8;
    rest->bits -= (unsigned)length * 8;
    return !(expected & ((UINT64_C(1) << length * 8) - 1));
}

/* Compares the key; what is left then is the value's. */
static inline bool same_key(struct walk *w, struct rest *rest, const unsigned char *key,
                            size_t length)
{
    uint64_t expected;

    if (length < LAYOUT_HEAD_BYTES)
        return same_bytes(rest, key, length);
    if (!same_bytes(rest, key, LAYOUT_HEAD_BYTES))
        return false;
    key += LAYOUT_HEAD_BYTES;
    length -= LAYOUT_HEAD_BYTES;
    for (; length >= 8; length -= 8, key += 8) {
        memcpy(&expected, key, 8);
        if (walk_load(w) != expected)
            return false;
    }
    if (!length)
        return true;
    *rest = (struct rest){walk_load(w), 64};
    return same_bytes(rest, key, length);
}

/* Copies whole words, as many as lie side by side at a time. */
static inline void copy_words(struct walk *w, unsigned char *to, size_t words)
{
    while (words) {
        size_t run = (size_t)(w->end - w->word);
        const _Atomic uint64_t *from = w->word;

        if (run == 0) {
            walk_on(w);
            continue;
        }
        run = run < words ? run : words;
        for (size_t i = 0; i < run; i++) {
            uint64_t word = atomic_load_explicit(from + i, memory_order_relaxed);

            memcpy(to + i * 8, &word, 8);
        }
        w->word += run;
        to += run * 8;
        words -= run;
    }
}

/* Copies length bytes, of which the rest, which there is, is the first. */
static inline void copy_shifted(struct walk *w, const struct rest *rest, unsigned char *to,
                                size_t length)
{
    uint64_t low = rest->word, high;

    for (; length >= 8; length -= 8, to += 8) {
        high = walk_load(w);
        low |= high << rest->bits;
        memcpy(to, &low, 8);
        low = high >> (64 - rest->bits);
    }
    if (length > rest->bits / 8)
        low |= walk_load(w) << rest->bits;
    memcpy(to, &low, length);
}

static inline void copy_bytes(struct walk *w, const struct rest *rest, unsigned char *to,
                              size_t length)
{
    if (!length)
        return;
    if (rest->bits) {
        copy_shifted(w, rest, to, length);
        return;
    }
    copy_words(w, to, length / 8);
    if (length % 8) {
        uint64_t word = walk_load(w);

        memcpy(to + length / 8 * 8, &word, length % 8);
    }
}

enum record_status record_read(const struct memory *m, const struct pages_place *place,
                               uint64_t units, const void *key, size_t key_length, void *buffer,
                               size_t size, struct record *record)
{
    struct walk w = walk_from(m, place, 0);
    struct rest rest;

    if (!load_head(&w, record, &rest) || record->units != units || record->key_length != key_length)
        return RECORD_OTHER;
    if (record->attributes.flags & MEMORY_TAGGED)
        load_tags(&w, record);
    if (!same_key(&w, &rest, key, key_length))
        return RECORD_OTHER;
    if ((record->attributes.flags & MEMORY_TAGGED) && record->is_void)
        return RECORD_VOID;
    if (!buffer)
        return RECORD_FOUND;
    if (record->value_length > size)
        return RECORD_SMALL;
    if (is_aligned(record->value_length))
        rest.bits = 0;
    copy_bytes(&w, &rest, buffer, record->value_length);
    return RECORD_FOUND;
}

void record_copy_key(const struct memory *m, const struct pages_place *place,
                     const struct record *record, void *key, size_t length)
{
    uint32_t flags = record->attributes.flags;
    struct walk w = walk_from(m, place, LAYOUT_HEAD_WORDS - 1);
    struct rest rest = rest_of_head(walk_load(&w));

    w = walk_from(m, place, head_words(flags) + tag_words(flags, record->tag_count));
    copy_bytes(&w, &rest, key, length);
}

void record_copy_tags(const struct memory *m, const struct pages_place *place,
                      const struct record *record, uint32_t *hashes)
{
    struct walk w = walk_from(m, place, head_words(record->attributes.flags) + 1);
    const struct rest none = {0, 0};

    copy_bytes(&w, &none, (void *)hashes, record->tag_count * sizeof(*hashes));
}

/* -- Writing -------------------------------------------------------------------------------------- */

/* Readers may be reading these words, and will not believe them: what orders the two is the slot's
 * version and its fences, so a large copy need not be atomic word by word.  The thread sanitizer
 * thinks that it does.  Copied in pieces: from 16448 bytes on, memcpy may be told to use stores that
 * x86 orders with no others, not even with a version's before them. */
ALWAYS_INLINE void store_words(_Atomic uint64_t *to, const unsigned char *from, size_t words)
{
    uint64_t word;

    if (words >= MANY_WORDS) {
        for (size_t n; words > 0; words -= n, to += n, from += n * 8) {
            n = words < PIECE_WORDS ? words : PIECE_WORDS;
            memcpy((void *)to, from, n * 8);
        }
        return;
    }
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, from + i * 8, 8);
        atomic_store_explicit(to + i, word, memory_order_relaxed);
    }
}

/* A word being put together from bytes. */
struct packer {
    struct walk w;
    uint64_t word;
    unsigned bits;
};

/* Stores whole words, as many as lie side by side at a time. */
ALWAYS_INLINE void pack_words(struct packer *p, const unsigned char *bytes, size_t words)
{
    while (words) {
        size_t run = (size_t)(p->w.end - p->w.word);
        uint64_t next;

        if (run == 0) {
            walk_on(&p->w);
            continue;
        }
        run = run < words ? run : words;
        if (p->bits == 0) {
            store_words(p->w.word, bytes, run);
        } else {
            for (size_t i = 0; i < run; i++) {
                memcpy(&next, bytes + i * 8, 8);
                atomic_store_explicit(p->w.word + i, p->word | next << p->bits,
                                      memory_order_relaxed);
                p->word = next >> (64 - p->bits);
            }
        }
        p->w.word += run;
        bytes += run * 8;
        words -= run;
    }
}

ALWAYS_INLINE void pack(struct packer *p, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    size_t rest = length % 8;
    uint64_t next = 0;

    pack_words(p, bytes, length / 8);
    if (!rest)
        return;
    memcpy(&next, bytes + length - rest, rest);
    p->word |= next << p->bits;
    p->bits += (unsigned)rest * 8;
    if (p->bits >= 64) {
        walk_store(&p->w, p->word);
        p->bits -= 64;
        p->word = p->bits ? next >> ((unsigned)rest * 8 - p->bits) : 0;
    }
}

/* Stores what there is of a word. */
static inline void pack_end(struct packer *p)
{
    if (p->bits)
        walk_store(&p->w, p->word);
    p->word = 0;
    p->bits = 0;
}

static uint64_t first_word(const struct record *record)
{
    return (uint64_t)record->attributes.expires_ms << 16 |
           (uint64_t)record->bucket << LAYOUT_KEY_BITS | record->key_length;
}

static uint64_t second_word(const struct record *record)
{
    const struct memory_attributes *a = &record->attributes;

    return (uint64_t)record->value_length << 40 | (uint64_t)(a->flags & 0xff) << 32 | a->epoch;
}

static uint64_t third_word(const struct record *record, uint32_t body)
{
    uint64_t slack = record->units - record_units(record->key_length, record->value_length,
                                                  record->attributes.flags, record->tag_count);

    return (uint64_t)body << 32 | slack << 24 | (record->used & 0xffffff);
}

static void store_tags(struct walk *w, const struct record *record)
{
    const uint32_t *hashes = record->attributes.tags->hashes;

    walk_store(w, record->tag_number << 16 | record->tag_count);
    for (uint32_t i = 0; i < record->tag_count; i += 2) {
        uint64_t second = i + 1 < record->tag_count ? hashes[i + 1] : 0;

        walk_store(w, second << 32 | hashes[i]);
    }
}

void record_store(struct memory *m, const struct pages_place *place, const struct record *record,
                  const void *key, const void *value)
{
    const struct memory_attributes *a = &record->attributes;
    struct packer p = {walk_from(m, place, 0), 0, 0};
    size_t of_key = least(record->key_length, LAYOUT_HEAD_BYTES);
    size_t of_value = is_aligned(record->value_length)
                          ? 0
                          : least(record->value_length, LAYOUT_HEAD_BYTES - of_key);
    unsigned char body[LAYOUT_HEAD_BYTES] = {0};
    uint32_t first;

    memcpy(body, key, of_key);
    memcpy(body + of_key, value, of_value);
    memcpy(&first, body, sizeof(first));
    walk_store(&p.w, first_word(record));
    walk_store(&p.w, second_word(record));
    walk_store(&p.w, third_word(record, first));
    if (a->flags & MEMORY_FROM_REDIS)
        walk_store(&p.w, (uint64_t)a->fresh_until_ms);
    if (a->flags & MEMORY_TAGGED)
        store_tags(&p.w, record);
    FAULT_POINT(RECORD_HEAD);
    pack(&p, (const char *)key + of_key, record->key_length - of_key);
    FAULT_POINT(RECORD_KEY);
    if (is_aligned(record->value_length))
        pack_end(&p);
    pack(&p, (const char *)value + of_value, record->value_length - of_value);
    FAULT_POINT(RECORD_VALUE);
    pack_end(&p);
}

void record_store_expiry(struct memory *m, const struct pages_place *place,
                         const struct record *record)
{
    struct walk w = walk_from(m, place, 0);

    walk_store(&w, first_word(record));
}

void record_store_used(struct memory *m, const struct pages_place *place,
                       const struct record *record)
{
    struct walk w = walk_from(m, place, LAYOUT_HEAD_WORDS - 1);
    uint64_t word = atomic_load_explicit(w.word, memory_order_relaxed);

    walk_store(&w, (word & ~UINT64_C(0xffffff)) | (record->used & 0xffffff));
    FAULT_POINT(USED_STORED);
}
