/*
 * verify.c: does a segment hold together?  Without a lock, so that it stops nobody, and so on a segment that
 * is mapped read-only.
 *
 * What is read counts if it did not change meanwhile: of a slot its version tells, of a shard's sums the
 * heads and tails of its logs, and that nobody has its lock.  What is in change all the time is not damage,
 * and is counted apart; nor is what a writer left that died, for the next one empties that shard.  Values have
 * no checksums: what is in them is believed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "memory/index.h"
#include "memory/memory.h"
#include "memory/seq.h"
#include "memory/shard.h"
#include "memory/vlog.h"

enum { SLOT_ATTEMPTS = 40, SHARD_ATTEMPTS = 4, NAP_NS = 50000 };

/* What is known of a shard at a moment. */
struct sums {
    uint64_t entries, head[LOGS], tail[LOGS], live[LOGS];
};

static void read_sums(const struct layout_shard *s, struct sums *sums)
{
    memset(sums, 0, sizeof(*sums));
    sums->entries = shard_get(&s->entries);
    for (int log = 0; log < LOGS; log++) {
        sums->head[log] = shard_get(&s->log[log].head);
        sums->tail[log] = shard_get(&s->log[log].tail);
        sums->live[log] = shard_get(&s->log[log].live);
    }
}

__attribute__((format(printf, 2, 3))) static void damaged(struct memory_findings *f,
                                                          const char *format, ...)
{
    va_list arguments;

    if (f->damaged++ == 0) {
        va_start(arguments, format);
        vsnprintf(f->first, sizeof(f->first), format, arguments);
        va_end(arguments);
    }
}

/* -- A slot -------------------------------------------------------------------------------------- */

/* What of a slot is looked at under one version. */
struct look {
    struct index_word word;
    struct record record;
    bool is_record;
    uint32_t owner; /* which of its key's slots stands for it */
    struct sums sums;
    uint32_t epoch;
};

static uint32_t owner_of(const struct memory *m, const struct look *l)
{
    struct memory_place place;
    char key[MEMORY_KEY_MAX];

    record_copy_key(m, &l->word.place, &l->record, key, l->record.key_length);
    place = index_place(m, key, l->record.key_length);
    return index_owner(m, &place, &l->word.place, &l->record);
}

/* False: it was being changed. */
static bool look_at(const struct memory *m, uint32_t slot, struct look *l)
{
    const _Atomic uint32_t *version = view_bucket(m, slot)->version + slot % LAYOUT_SLOTS;
    uint32_t seen;

    if (!seq_read_begin(version, &seen))
        return false;
    l->word = index_word_load(m, slot);
    if (l->word.empty)
        return true;
    l->is_record = index_record(m, &l->word, &l->record) && l->record.key_length > 0 &&
                   l->record.key_length <= MEMORY_KEY_MAX;
    if (l->is_record)
        l->owner = owner_of(m, l);
    read_sums(view_shard(m, l->word.place.shard), &l->sums);
    if (!seq_read_holds(version, seen))
        return false;
    l->epoch = atomic_load_explicit(&m->header->epoch, memory_order_acquire);
    return true;
}

static bool is_in_its_log(const struct look *l)
{
    const struct pages_place *p = &l->word.place;
    uint64_t head = l->sums.head[p->log], tail = l->sums.tail[p->log];
    uint64_t from_tail = (p->offset - tail) & (LAYOUT_OFFSET_UNITS - 1);

    return tail <= head && from_tail + l->word.units <= head - tail;
}

static void judge(const struct memory *m, uint32_t slot, const struct look *l, int64_t now_ms,
                  struct memory_findings *f)
{
    const struct record *r = &l->record;

    f->entries++;
    if (!l->is_record)
        damaged(f, "slot %u: it stands for no record", slot);
    else if (!is_in_its_log(l))
        damaged(f, "slot %u: its record lies outside its log", slot);
    else if (l->owner == INDEX_NONE)
        damaged(f, "slot %u: the key of its record belongs elsewhere", slot);
    else if (l->owner != slot)
        damaged(f, "slot %u: its record is slot %u's", slot, l->owner);
    else if ((int32_t)(r->attributes.epoch - l->epoch) > 0)
        damaged(f, "slot %u: its record is of an epoch that is still to come", slot);
    else if (!shard_exists(m, r, now_ms))
        f->expired++;
    else if (r->attributes.flags & MEMORY_NEGATIVE)
        f->absences++;
    else
        f->bytes += (double)(r->key_length + r->value_length);
}

static bool check_slot(const struct memory *m, uint32_t slot, int64_t now_ms, struct sums *found,
                       struct memory_findings *f)
{
    const struct timespec nap = {0, NAP_NS};
    struct look l;
    bool settled = false;

    for (int i = 0; !settled && i < SLOT_ATTEMPTS; i++) {
        if (i > SLOT_ATTEMPTS / 2)
            nanosleep(&nap, NULL);
        settled = look_at(m, slot, &l);
    }
    f->slots++;
    if (!settled) {
        f->unsettled++;
        return false;
    }
    if (l.word.empty)
        return true;
    found->entries++;
    found->live[l.word.place.log] += l.word.units;
    judge(m, slot, &l, now_ms, f);
    return true;
}

/* -- A shard ------------------------------------------------------------------------------------- */

static void check_sums(const struct memory *m, uint32_t shard, const struct sums *said,
                       const struct sums *found, struct memory_findings *f)
{
    uint64_t used = 0;

    for (int log = 0; log < LOGS; log++) {
        used += said->head[log] - said->tail[log];
        if (said->tail[log] > said->head[log])
            damaged(f, "shard %u: a log ends after it begins", shard);
        else if (said->live[log] != found->live[log])
            damaged(f, "shard %u: %llu units of log %d are said to be in use, and %llu are", shard,
                    (unsigned long long)said->live[log], log, (unsigned long long)found->live[log]);
    }
    if (used > (uint64_t)m->layout.pages << m->layout.page_shift)
        damaged(f, "shard %u: its logs are longer than its pages", shard);
    if (said->entries != found->entries)
        damaged(f, "shard %u: it is said to have %llu entries, and has %llu", shard,
                (unsigned long long)said->entries, (unsigned long long)found->entries);
}

static void check_shard(const struct memory *m, uint32_t shard, int64_t now_ms,
                        struct memory_findings *f)
{
    const struct layout_shard *s = view_shard(m, shard);
    uint32_t slots = m->layout.buckets * LAYOUT_SLOTS, first = shard * slots;
    struct memory_findings once;
    bool still = false;

    for (int i = 0; !still && i < SHARD_ATTEMPTS; i++) {
        struct sums before, after, found = {0};

        memset(&once, 0, sizeof(once));
        still = lock_look(&s->mutex) == LOCK_SEEN_FREE;
        read_sums(s, &before);
        for (uint32_t slot = first; slot < first + slots; slot++)
            still = check_slot(m, slot, now_ms, &found, &once) && still;
        read_sums(s, &after);
        still = still && memcmp(&before, &after, sizeof(before)) == 0 &&
                lock_look(&s->mutex) == LOCK_SEEN_FREE;
        if (still)
            check_sums(m, shard, &before, &found, &once);
        else if (once.damaged > 0)
            break; /* what is wrong with a slot does not depend on that */
    }
    if (lock_look(&s->mutex) == LOCK_SEEN_ORPHANED) {
        once.orphaned_shards = 1;
        once.damaged = 0;
        once.first[0] = '\0';
    } else {
        once.busy_shards = !still;
    }
    if (atomic_load_explicit(&s->out_of_service, memory_order_relaxed))
        damaged(&once, "shard %u: it is out of service", shard);
    *f = once;
}

bool memory_verify(const struct memory *m, uint32_t shard, int64_t now_ms,
                   struct memory_findings *findings)
{
    memset(findings, 0, sizeof(*findings));
    if (shard >= m->layout.shards)
        return false;
    check_shard(m, shard, now_ms, findings);
    return true;
}
