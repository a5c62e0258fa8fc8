/*
 * ear.c: how a process hears that something has happened in the segment: a futex that others ring.
 *
 * No socket, no name, no permission: who can ring is who has mapped the segment, and a process that is
 * killed leaves nothing behind but an owner that is found dead when its ear is needed.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "memory/memory.h"
#include "memory/owner.h"
#include "memory/view.h"

static bool claim(struct layout_ear *ear, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&ear->owner, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

int memory_ear_claim(struct memory *m)
{
    struct layout_ear *ears = m->ears;
    uint64_t self = owner_self();

    for (int i = 0; i < LAYOUT_EARS; i++)
        if (claim(ears + i, 0, self))
            return i;
    for (int i = 0; i < LAYOUT_EARS; i++) {
        uint64_t owner = atomic_load_explicit(&ears[i].owner, memory_order_relaxed);

        if (owner && owner_is_dead(owner, self) && claim(ears + i, owner, self))
            return i;
    }
    return -1;
}

void memory_ear_release(struct memory *m, int ear)
{
    if (ear >= 0)
        atomic_store_explicit(&m->ears[ear].owner, 0, memory_order_release);
}

_Atomic uint32_t *memory_ear_word(struct memory *m, int ear)
{
    return &m->ears[ear].rings;
}

void memory_ear_ring(struct memory *m, int ear)
{
    memory_ear_ring_word(memory_ear_word(m, ear));
}

void memory_ear_ring_word(_Atomic uint32_t *word)
{
    atomic_fetch_add_explicit(word, 1, memory_order_release);
    syscall(SYS_futex, (void *)word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void memory_ear_listen(_Atomic uint32_t *word, uint32_t rings, int64_t wait_ms)
{
    struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000};

    /* Whatever it answers, the caller looks around. */
    syscall(SYS_futex, (void *)word, FUTEX_WAIT, rings, wait_ms < 0 ? NULL : &wait, NULL, 0);
}
