#include "memory/view.h"

#include <unistd.h>

void view_init(struct memory *m, struct layout_header *header, uint64_t bytes,
               const struct layout_wants *wants)
{
    char *base = (char *)header;

    layout_compute(bytes, wants, &m->layout);
    m->header = header;
    m->shards = (void *)(base + m->layout.shards_at);
    m->buckets = (void *)(base + m->layout.buckets_at);
    m->ghosts = (void *)(base + m->layout.ghosts_at);
    m->tables = (void *)(base + m->layout.tables_at);
    m->replays = (void *)(base + m->layout.replays_at);
    m->flights = (void *)(base + m->layout.flights_at);
    m->tags = (void *)(base + m->layout.tags_at);
    m->lanes = m->layout.lanes ? (void *)(base + m->layout.lanes_at) : NULL;
    m->pages = (unsigned char *)base + m->layout.pages_at;
    m->seed = header->seed;
    view_choose_counters(m);
}

bool view_is_sound(const struct memory *m)
{
    const struct layout_header *header = m->header;
    bool sound = lock_is_sound(&header->replay_mutex);

    for (int i = 0; sound && i < LAYOUT_FLIGHT_LOCKS; i++)
        sound = lock_is_sound(header->flight_mutex + i);
    for (uint32_t shard = 0; sound && shard < m->layout.shards; shard++)
        sound = lock_is_sound(&view_shard(m, shard)->mutex);
    return sound;
}

/* For views that must not write. */
static struct layout_counters no_counters;
static struct layout_histograms no_histograms;

void view_choose_counters(struct memory *m)
{
    struct layout_counters *blocks = (void *)((char *)m->header + m->layout.counters_at);

    m->counters = blocks + (unsigned)getpid() % LAYOUT_COUNTER_BLOCKS;
    m->histograms = (struct layout_histograms *)((char *)m->header + m->layout.histograms_at) +
                    (unsigned)getpid() % LAYOUT_HISTOGRAM_BLOCKS;
    if (m->read_only) {
        m->counters = &no_counters;
        m->histograms = &no_histograms;
    }
}

enum lock_status view_lock(struct memory *m, pthread_mutex_t *mutex, int64_t wait_us)
{
    int64_t waited_ns;
    enum lock_status status = lock_acquire(mutex, wait_us, &waited_ns);

    if (waited_ns)
        memory_observe(m, HISTOGRAM_MEMORY_LOCK_WAIT, waited_ns);
    return status;
}
