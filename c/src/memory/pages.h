/*
 * pages.h: from an offset in a log to the words that hold it.
 */
#ifndef TANDEM_MEMORY_PAGES_H
#define TANDEM_MEMORY_PAGES_H

#include "memory/view.h"

/* A place in one of a shard's logs.  Offsets are units; what lies beyond LAYOUT_OFFSET_UNITS is the
 * same place. */
struct pages_place {
    uint32_t shard;
    uint32_t log;
    uint64_t offset;
};

/* Words that lie side by side. */
struct pages_run {
    _Atomic uint64_t *words;
    uint64_t units;
};

static inline _Atomic uint16_t *pages_table(const struct memory *m, uint32_t shard)
{
    return m->tables + shard * layout_table_words(&m->layout);
}

/* What lies side by side from a place on.  Without the lock the answer may be nonsense, but never lies
 * outside the shard's pages. */
static inline struct pages_run pages_run_at(const struct memory *m, const struct pages_place *place)
{
    const struct layout *l = &m->layout;
    uint64_t length = UINT64_C(1) << l->page_shift, within = place->offset & (length - 1);
    uint32_t entry = (uint32_t)(place->offset >> l->page_shift) & (l->table_length - 1);
    const _Atomic uint16_t *table = pages_table(m, place->shard) + place->log * l->table_length;
    uint64_t page = atomic_load_explicit(table + entry, memory_order_relaxed);
    struct pages_run run;

    if (page >= l->pages)
        page = 0;
    run.words = (_Atomic uint64_t *)(void *)m->pages +
                ((uint64_t)place->shard * l->pages + page) * length + within;
    run.units = length - within;
    return run;
}

#endif
