#include "memory/vlog.h"

#include "memory/fault.h"
#include "memory/index.h"
#include "memory/seq.h"

/* -- Pages ---------------------------------------------------------------------------------------- */

static _Atomic uint16_t *table_entry(const struct memory *m, uint32_t shard, uint32_t log,
                                     uint64_t offset)
{
    uint32_t entry = (uint32_t)(offset >> m->layout.page_shift) & (m->layout.table_length - 1);

    return pages_table(m, shard) + log * m->layout.table_length + entry;
}

static _Atomic uint16_t *free_pages(const struct memory *m, uint32_t shard)
{
    return pages_table(m, shard) + LOGS * m->layout.table_length;
}

static void page_free(struct memory *m, uint32_t shard, uint16_t page)
{
    struct layout_shard *s = view_shard(m, shard);

    if (s->free_pages < m->layout.pages)
        atomic_store_explicit(free_pages(m, shard) + s->free_pages++, page, memory_order_relaxed);
}

static bool page_take(struct memory *m, uint32_t shard, uint16_t *page)
{
    struct layout_shard *s = view_shard(m, shard);

    if (s->free_pages == 0 || s->free_pages > m->layout.pages)
        return false;
    *page = atomic_load_explicit(free_pages(m, shard) + --s->free_pages, memory_order_relaxed);
    return true;
}

/* -- Head and tail -------------------------------------------------------------------------------- */

bool vlog_has_room_locked(const struct memory *m, uint32_t shard, uint64_t units)
{
    const struct layout_shard *s = view_shard(m, shard);

    return vlog_used(s, LOG_SMALL) + vlog_used(s, LOG_MAIN) + units <= m->layout.capacity;
}

/* Makes sure that there is a page at the head, and says how far it goes. */
static bool page_at_head(struct memory *m, uint32_t shard, uint32_t log, uint64_t *left)
{
    uint64_t head = vlog_head(view_shard(m, shard), log);
    uint64_t length = UINT64_C(1) << m->layout.page_shift, within = head & (length - 1);
    uint16_t page;

    *left = length - within;
    if (within)
        return true;
    if (!page_take(m, shard, &page))
        return false;
    FAULT_POINT(PAGE_TAKEN);
    atomic_store_explicit(table_entry(m, shard, log, head), page, memory_order_relaxed);
    FAULT_POINT(PAGE_LINKED);
    return true;
}

static void advance_head(struct layout_shard *s, uint32_t log, uint64_t units)
{
    shard_set(&s->log[log].head, vlog_head(s, log) + units);
    FAULT_POINT(HEAD_ADVANCED);
}

/* Pages that the tail leaves behind are free; so is the one it stands in, if the log is empty then and
 * the head would take a new one. */
static void advance_tail(struct memory *m, uint32_t shard, uint32_t log, uint64_t units)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t length = UINT64_C(1) << m->layout.page_shift;
    uint64_t tail = vlog_tail(s, log), end = tail + units;

    for (tail -= tail & (length - 1); tail + length <= end; tail += length) {
        page_free(m, shard,
                  atomic_load_explicit(table_entry(m, shard, log, tail), memory_order_relaxed));
        FAULT_POINT(PAGE_FREED);
    }
    shard_set(&s->log[log].tail, end);
    FAULT_POINT(TAIL_ADVANCED);
}

bool vlog_append_locked(struct memory *m, uint32_t shard, uint32_t log, uint64_t units,
                        struct pages_place *place)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t left;

    *place = (struct pages_place){shard, log, vlog_head(s, log)};
    seq_write_fence();
    while (units) {
        if (!page_at_head(m, shard, log, &left))
            return false;
        left = left < units ? left : units;
        advance_head(s, log, left);
        units -= left;
    }
    return true;
}

/* -- Records -------------------------------------------------------------------------------------- */

static bool place_key(const struct memory *m, struct vlog_record *found)
{
    char key[MEMORY_KEY_MAX];
    size_t length = found->record.key_length;

    if (length > sizeof(key))
        return false;
    record_copy_key(m, &found->place, &found->record, key, length);
    index_place_to(m, key, length, &found->key);
    return true;
}

bool vlog_look_locked(const struct memory *m, uint32_t shard, uint32_t log, uint64_t offset,
                      struct vlog_record *found)
{
    const struct layout_shard *s = view_shard(m, shard);
    uint64_t head = vlog_head(s, log);

    found->place = (struct pages_place){shard, log, offset};
    if (vlog_used(s, log) > (uint64_t)m->layout.pages << m->layout.page_shift)
        return false; /* to drop all that would take for ever */
    if (offset < vlog_tail(s, log) || offset >= head ||
        !record_load(m, &found->place, &found->record) || found->record.units > head - offset ||
        !place_key(m, found) || found->key.shard != shard)
        return false;
    found->slot = index_owner(m, &found->key, &found->place, &found->record);
    found->live = found->slot != INDEX_NONE;
    return true;
}

void vlog_prefetch(const struct memory *m, uint32_t shard, uint32_t log, uint64_t offset)
{
    struct vlog_record next;

    next.place = (struct pages_place){shard, log, offset};
    if (offset >= vlog_head(view_shard(m, shard), log) ||
        !record_load(m, &next.place, &next.record) || !place_key(m, &next))
        return;
    index_prefetch_owner(m, &next.key, &next.record);
    next.place.offset += next.record.units;
    record_prefetch(m, &next.place);
}

void vlog_drop_locked(struct memory *m, uint32_t shard, const struct vlog_record *tail)
{
    advance_tail(m, shard, tail->place.log, tail->record.units);
}

/* Moves so many units, all within one page on either side. */
static void move_run(struct memory *m, const struct pages_place *from, const struct pages_place *to,
                     uint64_t units)
{
    struct pages_run source = pages_run_at(m, from), target = pages_run_at(m, to);

    for (uint64_t i = 0; i < units; i++) {
        uint64_t word = atomic_load_explicit(source.words + i, memory_order_relaxed);

        atomic_store_explicit(target.words + i, word, memory_order_relaxed);
    }
}

/* Page by page, giving pages back on the way, so that moving needs no room to speak of. */
bool vlog_move_locked(struct memory *m, uint32_t shard, const struct vlog_record *tail,
                      uint32_t to_log)
{
    struct layout_shard *s = view_shard(m, shard);
    uint32_t slot = tail->slot;
    _Atomic uint32_t *version = view_bucket(m, slot)->version + slot % LAYOUT_SLOTS;
    struct pages_place from = tail->place, to = {shard, to_log, vlog_head(s, to_log)};
    struct pages_place start = to;
    uint64_t rest = tail->record.units;

    seq_write_begin(version);
    FAULT_POINT(MOVE_ODD);
    while (rest) {
        uint64_t units = pages_run_at(m, &from).units, left;

        if (!page_at_head(m, shard, to_log, &left))
            return false;
        units = units < left ? units : left;
        units = units < rest ? units : rest;
        move_run(m, &from, &to, units);
        FAULT_POINT(MOVE_COPIED);
        advance_head(s, to_log, units);
        advance_tail(m, shard, from.log, units);
        FAULT_POINT(MOVE_ADVANCED);
        from.offset += units;
        to.offset += units;
        rest -= units;
    }
    index_publish_locked(m, slot, &start, tail->record.units, tail->key.tag);
    FAULT_POINT(MOVE_PUBLISHED);
    vlog_count_live_locked(s, tail->place.log, 0, tail->record.units);
    vlog_count_live_locked(s, to_log, tail->record.units, 0);
    FAULT_POINT(MOVE_COUNTED);
    return true;
}

void vlog_reset_locked(struct memory *m, uint32_t shard)
{
    struct layout_shard *s = view_shard(m, shard);

    for (uint32_t log = 0; log < LOGS; log++) {
        shard_set(&s->log[log].head, 0);
        shard_set(&s->log[log].tail, 0);
        shard_set(&s->log[log].live, 0);
    }
    s->free_pages = 0;
    for (uint32_t page = m->layout.pages; page-- > 0;)
        page_free(m, shard, (uint16_t)page);
}
