#include "memory/view.h"

#include <unistd.h>

void view_init(struct memory *m, struct layout_header *header, uint64_t bytes, bool with_redis)
{
    char *base = (char *)header;

    layout_compute(bytes, with_redis, &m->layout);
    m->header = header;
    m->shards = (void *)(base + m->layout.shards_at);
    m->buckets = (void *)(base + m->layout.buckets_at);
    m->ghosts = (void *)(base + m->layout.ghosts_at);
    m->tables = (void *)(base + m->layout.tables_at);
    m->replays = (void *)(base + m->layout.replays_at);
    m->flights = (void *)(base + m->layout.flights_at);
    m->pages = (unsigned char *)base + m->layout.pages_at;
    m->seed = header->seed;
    view_choose_counters(m);
}

void view_choose_counters(struct memory *m)
{
    struct layout_counters *blocks = (void *)((char *)m->header + m->layout.counters_at);

    m->counters = blocks + (unsigned)getpid() % LAYOUT_COUNTER_BLOCKS;
    m->histograms = (struct layout_histograms *)((char *)m->header + m->layout.histograms_at) +
                    (unsigned)getpid() % LAYOUT_HISTOGRAM_BLOCKS;
}

enum lock_status view_lock(struct memory *m, pthread_mutex_t *mutex, int64_t wait_us)
{
    int64_t waited_ns;
    enum lock_status status = lock_acquire(mutex, wait_us, &waited_ns);

    if (waited_ns)
        memory_observe(m, HISTOGRAM_MEMORY_LOCK_WAIT, waited_ns);
    return status;
}
