/*
 * changes.c: when keys were last said to have changed, for whoever has something older to go by than a token.
 *
 * Times of keys whose hashes meet are one: the later.
 */
#include "base/hash.h"
#include "memory/grow.h"
#include "memory/memory.h"
#include "memory/view.h"

static _Atomic int64_t *of(const struct memory *m, const char *key, size_t key_length)
{
    return m->lanes->changed_ms + hash_bytes(key, key_length, m->seed) % m->layout.changes;
}

void memory_changed(struct memory *m, const char *key, size_t key_length, int64_t now_ms)
{
    grow_time(key ? of(m, key, key_length) : &m->lanes->all_changed_ms, now_ms);
}

int64_t memory_unchanged_since(const struct memory *m, const char *key, size_t key_length)
{
    int64_t all_ms = atomic_load_explicit(&m->lanes->all_changed_ms, memory_order_acquire);
    int64_t ms = atomic_load_explicit(of(m, key, key_length), memory_order_acquire);

    return ms > all_ms ? ms : all_ms;
}
