/*
 * probe.c: when the processes that share a segment try a Redis that is away.
 *
 * One try at a time for all of them, after pauses that grow: whoever wants to try first moves the time of
 * the next try forward, and has the right to this one.  So nobody holds anything that would have to be
 * taken from the dead or the stopped, and one that cannot connect for reasons of its own keeps nobody
 * from trying.  Once one has succeeded, all that went without before that may come.
 *
 *   probe    63                        8 7         0
 *            [ next try, monotonic ms   ][ tries    ]    in a row
 */
#include "memory/memory.h"
#include "memory/view.h"

enum {
    FIRST_MS = 50,
    MOST_MS = 1500,
    TRIES_MOST = 5,
    FORGOTTEN_MS = 3000 /* after so long without a try the next outage is a new one */
};

static int64_t pause_after(unsigned tries, uint32_t random)
{
    int64_t most = tries < TRIES_MOST ? FIRST_MS << tries : MOST_MS;

    return most / 2 + random % (most / 2 + 1);
}

bool memory_probe_reached(const struct memory *m, int64_t since_ms)
{
    return atomic_load_explicit(&m->header->reached_ms, memory_order_acquire) > since_ms;
}

void memory_probe_reach(struct memory *m, int64_t now_ms)
{
    atomic_store_explicit(&m->header->reached_ms, now_ms, memory_order_release);
}

int64_t memory_probe_try(struct memory *m, int64_t now_ms, uint32_t random)
{
    uint64_t seen = atomic_load_explicit(&m->header->probe, memory_order_relaxed);
    int64_t next_ms = (int64_t)(seen >> 8);
    unsigned tries = seen & 0xff;

    if (now_ms < next_ms && next_ms - now_ms <= MOST_MS)
        return next_ms;
    if (now_ms - next_ms > FORGOTTEN_MS)
        tries = 0;
    if (tries < TRIES_MOST)
        tries++;
    next_ms = now_ms + pause_after(tries, random);
    if (atomic_compare_exchange_strong_explicit(&m->header->probe, &seen,
                                                (uint64_t)next_ms << 8 | tries,
                                                memory_order_relaxed, memory_order_relaxed))
        return now_ms;
    return (int64_t)(seen >> 8);
}
