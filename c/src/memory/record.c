#include "memory/record.h"

#include <string.h>

#include "memory/layout.h"

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static size_t head_words(uint32_t flags)
{
    return LAYOUT_HEAD_WORDS + (flags & MEMORY_FROM_REDIS ? 1u : 0u);
}

uint64_t record_units(size_t key_length, size_t value_length, uint32_t flags)
{
    return head_words(flags) + (key_length + value_length + LAYOUT_UNIT - 1) / LAYOUT_UNIT;
}

bool record_load(const _Atomic uint64_t *words, uint64_t units, struct record *record)
{
    uint64_t w0, w1, w2;

    if (units < LAYOUT_HEAD_WORDS)
        return false;
    w0 = load(words);
    w1 = load(words + 1);
    w2 = load(words + 2);
    record->attributes.expires_ms = (int64_t)(w0 >> 16);
    record->key_length = w0 & 0xffff;
    record->slot = (uint32_t)w1;
    record->attributes.flags = (uint32_t)(w1 >> 32) & 0xff;
    record->value_length = (size_t)(w1 >> 40);
    record->units = (uint32_t)w2;
    record->attributes.epoch = (uint32_t)(w2 >> 32);
    record->attributes.fresh_until_ms = 0;
    if (record->units != units ||
        record_units(record->key_length, record->value_length, record->attributes.flags) > units)
        return false;
    if (record->attributes.flags & MEMORY_FROM_REDIS)
        record->attributes.fresh_until_ms = (int64_t)load(words + LAYOUT_HEAD_WORDS);
    return true;
}

bool record_has_key(const _Atomic uint64_t *words, const struct record *record, const void *key,
                    size_t key_length)
{
    const unsigned char *bytes = key;

    if (record->key_length != key_length)
        return false;
    words += head_words(record->attributes.flags);
    for (; key_length >= 8; key_length -= 8, bytes += 8, words++) {
        uint64_t expected;

        memcpy(&expected, bytes, 8);
        if (load(words) != expected)
            return false;
    }
    if (key_length) {
        uint64_t expected = 0;

        memcpy(&expected, bytes, key_length);
        return ((load(words) ^ expected) & ((UINT64_C(1) << key_length * 8) - 1)) == 0;
    }
    return true;
}

/* Copies length bytes that begin skip bytes after a word's start. */
static void copy_out(const _Atomic uint64_t *words, size_t skip, unsigned char *to, size_t length)
{
    unsigned shift = (unsigned)(skip % 8) * 8;
    uint64_t low, high;

    if (!length)
        return;
    words += skip / 8;
    if (shift == 0) {
        for (; length >= 8; length -= 8, to += 8) {
            low = load(words++);
            memcpy(to, &low, 8);
        }
        if (length) {
            low = load(words);
            memcpy(to, &low, length);
        }
        return;
    }
    low = load(words++) >> shift;
    for (; length >= 8; length -= 8, to += 8) {
        high = load(words++);
        low |= high << (64 - shift);
        memcpy(to, &low, 8);
        low = high >> shift;
    }
    if (length > 8 - skip % 8)
        low |= load(words) << (64 - shift);
    memcpy(to, &low, length);
}

void record_copy_key(const _Atomic uint64_t *words, const struct record *record, void *key)
{
    copy_out(words + head_words(record->attributes.flags), 0, key, record->key_length);
}

void record_copy_value(const _Atomic uint64_t *words, const struct record *record, void *value)
{
    copy_out(words + head_words(record->attributes.flags), record->key_length, value,
             record->value_length);
}

/* A word being put together from bytes. */
struct packer {
    _Atomic uint64_t *to;
    uint64_t word;
    unsigned bits;
};

static void pack(struct packer *p, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    uint64_t next;

    for (; length >= 8; length -= 8, bytes += 8) {
        memcpy(&next, bytes, 8);
        store(p->to++, p->word | next << p->bits);
        p->word = p->bits ? next >> (64 - p->bits) : 0;
    }
    if (!length)
        return;
    next = 0;
    memcpy(&next, bytes, length);
    p->word |= next << p->bits;
    p->bits += (unsigned)length * 8;
    if (p->bits >= 64) {
        store(p->to++, p->word);
        p->bits -= 64;
        p->word = p->bits ? next >> ((unsigned)length * 8 - p->bits) : 0;
    }
}

void record_store(_Atomic uint64_t *words, const struct record *record, const void *key,
                  const void *value)
{
    const struct memory_attributes *a = &record->attributes;
    struct packer p = {words + head_words(a->flags), 0, 0};

    store(words, (uint64_t)a->expires_ms << 16 | record->key_length);
    store(words + 1, (uint64_t)record->value_length << 40 | (uint64_t)(a->flags & 0xff) << 32 |
                         record->slot);
    store(words + 2, (uint64_t)a->epoch << 32 | record->units);
    if (a->flags & MEMORY_FROM_REDIS)
        store(words + LAYOUT_HEAD_WORDS, (uint64_t)a->fresh_until_ms);
    pack(&p, key, record->key_length);
    pack(&p, value, record->value_length);
    if (p.bits)
        store(p.to, p.word);
}

void record_move(_Atomic uint64_t *to, const _Atomic uint64_t *from, uint64_t units)
{
    for (uint64_t i = 0; i < units; i++)
        store(to + i, load(from + i));
}
