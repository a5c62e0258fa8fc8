#include "memory/ghosts.h"

/* Ages wrap at eight shards; a ghost is gone before that. */
enum { TIME_BITS = 15, STEPS = 4096, OLD_STEPS = 3 * STEPS, SWEEP_SHARDS = 2 };

static uint64_t step(const struct memory *m)
{
    return m->layout.capacity / STEPS + 1;
}

static _Atomic uint32_t *group(const struct memory *m, const struct memory_place *place)
{
    return m->ghosts + (uint64_t)place->shard * m->layout.ghosts + place->ghosts;
}

static uint32_t log_of(uint32_t ghost)
{
    return ghost >> TIME_BITS & 1;
}

/* In steps. */
static uint32_t age_of(const struct memory *m, uint32_t ghost, const uint64_t now[LOGS])
{
    return (uint32_t)(now[log_of(ghost)] / step(m) - ghost) & ((1u << TIME_BITS) - 1);
}

void ghosts_prefetch(const struct memory *m, const struct memory_place *place)
{
    __builtin_prefetch((const void *)group(m, place), 1);
}

void ghosts_put_locked(struct memory *m, const struct memory_place *place, uint32_t log,
                       const uint64_t now[LOGS])
{
    _Atomic uint32_t *ghosts = group(m, place);
    uint32_t time = (uint32_t)(now[log] / step(m)) & ((1u << TIME_BITS) - 1);
    uint32_t oldest = 0, most = 0;

    for (uint32_t i = 0; i < LAYOUT_GHOST_GROUP; i++) {
        uint32_t ghost = atomic_load_explicit(ghosts + i, memory_order_relaxed);
        uint32_t age = ghost ? age_of(m, ghost, now) : UINT32_MAX;

        if (age >= most) {
            most = age;
            oldest = i;
        }
    }
    atomic_store_explicit(ghosts + oldest,
                          (uint32_t)(place->fingerprint ? place->fingerprint : 1) << 16 |
                              log << TIME_BITS | time,
                          memory_order_relaxed);
}

bool ghosts_take_locked(struct memory *m, const struct memory_place *place,
                        const uint64_t now[LOGS], uint32_t *log, uint64_t *age)
{
    _Atomic uint32_t *ghosts = group(m, place);
    uint32_t fingerprint = place->fingerprint ? place->fingerprint : 1;

    for (uint32_t i = 0; i < LAYOUT_GHOST_GROUP; i++) {
        uint32_t ghost = atomic_load_explicit(ghosts + i, memory_order_relaxed);

        if (ghost >> 16 != fingerprint || age_of(m, ghost, now) > OLD_STEPS)
            continue;
        *log = log_of(ghost);
        *age = age_of(m, ghost, now) * step(m);
        atomic_store_explicit(ghosts + i, 0, memory_order_relaxed);
        return true;
    }
    return false;
}

void ghosts_sweep_locked(struct memory *m, uint32_t shard, uint64_t appended, uint64_t units,
                         const uint64_t now[LOGS])
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t groups = m->layout.ghosts / LAYOUT_GHOST_GROUP;
    uint64_t span = SWEEP_SHARDS * m->layout.capacity;
    uint64_t due = (appended + units) * groups / span - appended * groups / span;
    _Atomic uint32_t *first = m->ghosts + (uint64_t)shard * m->layout.ghosts;

    for (; due > 0; due--) {
        _Atomic uint32_t *ghosts;

        s->ghosts_swept = s->ghosts_swept + 1 < groups ? s->ghosts_swept + 1 : 0;
        ghosts = first + (uint64_t)s->ghosts_swept * LAYOUT_GHOST_GROUP;
        for (uint32_t i = 0; i < LAYOUT_GHOST_GROUP; i++) {
            uint32_t ghost = atomic_load_explicit(ghosts + i, memory_order_relaxed);

            if (ghost && age_of(m, ghost, now) > OLD_STEPS)
                atomic_store_explicit(ghosts + i, 0, memory_order_relaxed);
        }
    }
}
