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

static size_t words_of(size_t bytes)
{
    return (bytes + LAYOUT_UNIT - 1) / LAYOUT_UNIT;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Does the value go on at a word, behind the key?  To put words together from halves takes twice the time of
 * copying them, and a few bytes are little beside a long value. */
static bool is_aligned(size_t value_length)
{
    return value_length >= LAYOUT_LONG_VALUE;
}

static size_t untagged_units(size_t key_length, size_t value_length, uint32_t flags)
{
    size_t rest = value_length - least(value_length, LAYOUT_HEAD_BYTES);

    if (is_aligned(value_length))
        return head_words(flags) + words_of(key_length) + words_of(rest);
    return head_words(flags) + words_of(key_length + rest);
}

uint64_t record_units(size_t key_length, size_t value_length, uint32_t flags, uint32_t tag_count)
{
    return untagged_units(key_length, value_length, flags) + tag_words(flags, tag_count);
}

/* So that what walks over a record is kept in registers. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* The first 1 to 7 bytes of something, as a word.  Not by memcpy: it would put them together in memory, byte by byte,
 * and to load a word from there waits for all stores before it. */
static inline uint64_t few_bytes(const unsigned char *bytes, size_t length)
{
    uint32_t low, high;

    if (length < 4)
        return bytes[0] | (uint64_t)bytes[length / 2] << length / 2 * 8 |
               (uint64_t)bytes[length - 1] << (length - 1) * 8;
    memcpy(&low, bytes, 4);
    memcpy(&high, bytes + length - 4, 4);
    return low | (uint64_t)high << (length - 4) * 8;
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

ALWAYS_INLINE bool load_head(struct walk *w, struct record *record)
{
    uint64_t w0 = walk_load(w), w1 = walk_load(w), w2 = walk_load(w);

    record->attributes.expires_ms = (int64_t)(w0 >> 16);
    record->bucket = (uint32_t)w0 >> LAYOUT_KEY_BITS & 3;
    record->key_length = w0 & ((1u << LAYOUT_KEY_BITS) - 1);
    record->attributes.epoch = (uint32_t)w1;
    record->attributes.flags = (uint32_t)(w1 >> 32) & 0xff;
    record->value_length = (size_t)(w1 >> 40);
    record->used = (uint32_t)w2 & 0xffffff;
    record->beginning = (uint32_t)(w2 >> 32);
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

    if (!load_head(&w, record))
        return false;
    if (record->attributes.flags & MEMORY_TAGGED)
        load_tags(&w, record);
    return true;
}

/* Compares the key.  What its last word holds of the value goes to rest, in the low bits. */
static inline bool same_key(struct walk *w, const unsigned char *key, size_t length, uint64_t *rest)
{
    uint64_t expected;

    for (; length >= 8; length -= 8, key += 8) {
        memcpy(&expected, key, 8);
        if (walk_load(w) != expected)
            return false;
    }
    if (!length)
        return true;
    expected = few_bytes(key, length);
    *rest = walk_load(w) ^ expected;
    if (*rest & ((UINT64_C(1) << length * 8) - 1))
        return false;
    *rest >>= length * 8;
    return true;
}

/* A writer may be changing these words meanwhile, but what is read then will not count: what says so is the
 * slot's version and its fences.  So, as in store_words, a large copy need not be atomic word by word. */
ALWAYS_INLINE void load_words(unsigned char *to, const _Atomic uint64_t *from, size_t words)
{
    if (words >= MANY_WORDS) {
        memcpy(to, (const void *)from, words * 8);
        return;
    }
    for (size_t i = 0; i < words; i++) {
        uint64_t word = atomic_load_explicit(from + i, memory_order_relaxed);

        memcpy(to + i * 8, &word, 8);
    }
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
        load_words(to, from, run);
        w->word += run;
        to += run * 8;
        words -= run;
    }
}

/* Copies length bytes, the first of which are the bytes of low below have bits. */
static inline void copy_shifted(struct walk *w, uint64_t low, unsigned have, unsigned char *to,
                                size_t length)
{
    uint64_t high;

    for (; length >= 8; length -= 8, to += 8) {
        high = walk_load(w);
        low |= high << have;
        memcpy(to, &low, 8);
        low = high >> (64 - have);
    }
    if (length > have / 8)
        low |= walk_load(w) << have;
    memcpy(to, &low, length);
}

static inline void copy_bytes(struct walk *w, unsigned char *to, size_t length)
{
    copy_words(w, to, length / 8);
    if (length % 8) {
        uint64_t word = walk_load(w);

        memcpy(to + length / 8 * 8, &word, length % 8);
    }
}

static inline void copy_value(struct walk *w, const struct record *record, uint64_t rest,
                              unsigned char *to)
{
    size_t length = record->value_length, of_key = record->key_length % 8;

    if (length <= LAYOUT_HEAD_BYTES) {
        memcpy(to, &record->beginning, length);
        return;
    }
    memcpy(to, &record->beginning, LAYOUT_HEAD_BYTES);
    to += LAYOUT_HEAD_BYTES;
    if (of_key == 0 || is_aligned(length))
        copy_bytes(w, to, length - LAYOUT_HEAD_BYTES);
    else
        copy_shifted(w, rest, 64 - (unsigned)of_key * 8, to, length - LAYOUT_HEAD_BYTES);
}

enum record_status record_read(const struct memory *m, const struct pages_place *place,
                               uint64_t units, const void *key, size_t key_length, void *buffer,
                               size_t size, struct record *record)
{
    struct walk w = walk_from(m, place, 0);
    uint64_t rest = 0;

    if (!load_head(&w, record) || record->units != units || record->key_length != key_length)
        return RECORD_OTHER;
    if (record->attributes.flags & MEMORY_TAGGED)
        load_tags(&w, record);
    if (!same_key(&w, key, key_length, &rest))
        return RECORD_OTHER;
    if ((record->attributes.flags & MEMORY_TAGGED) && record->is_void)
        return RECORD_VOID;
    if (!buffer)
        return RECORD_FOUND;
    if (record->value_length > size)
        return RECORD_SMALL;
    copy_value(&w, record, rest, buffer);
    return RECORD_FOUND;
}

void record_copy_key(const struct memory *m, const struct pages_place *place,
                     const struct record *record, void *key, size_t length)
{
    uint32_t flags = record->attributes.flags;
    struct walk w = walk_from(m, place, head_words(flags) + tag_words(flags, record->tag_count));

    copy_bytes(&w, key, length);
}

void record_copy_tags(const struct memory *m, const struct pages_place *place,
                      const struct record *record, uint32_t *hashes)
{
    struct walk w = walk_from(m, place, head_words(record->attributes.flags) + 1);

    copy_bytes(&w, (void *)hashes, record->tag_count * sizeof(*hashes));
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
    uint64_t next;

    pack_words(p, bytes, length / 8);
    if (!rest)
        return;
    next = few_bytes(bytes + length - rest, rest);
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

static uint64_t third_word(const struct record *record, uint32_t beginning)
{
    uint64_t slack = record->units - record_units(record->key_length, record->value_length,
                                                  record->attributes.flags, record->tag_count);

    return (uint64_t)beginning << 32 | slack << 24 | (record->used & 0xffffff);
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
    size_t in_head = least(record->value_length, LAYOUT_HEAD_BYTES);
    uint32_t beginning = in_head ? (uint32_t)few_bytes(value, in_head) : 0;

    walk_store(&p.w, first_word(record));
    walk_store(&p.w, second_word(record));
    walk_store(&p.w, third_word(record, beginning));
    if (a->flags & MEMORY_FROM_REDIS)
        walk_store(&p.w, (uint64_t)a->fresh_until_ms);
    if (a->flags & MEMORY_TAGGED)
        store_tags(&p.w, record);
    FAULT_POINT(RECORD_HEAD);
    pack(&p, key, record->key_length);
    FAULT_POINT(RECORD_KEY);
    if (is_aligned(record->value_length))
        pack_end(&p);
    pack(&p, (const char *)value + in_head, record->value_length - in_head);
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
