#include "tier/core.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/process.h"

enum { PLACES_FIRST = 64, INDEX_BITS = 16 };

#define NOWHERE UINT32_MAX
#define SEQUENCE_MAX ((UINT64_C(1) << (53 - INDEX_BITS)) - 1)

static struct mailbox_core *cores; /* of this process; process lock */
static struct mailbox_core
    *inherited; /* of its ancestors: kept, for what they hold is in use there */

_Static_assert(MAILBOX_TICKETS == 1 << INDEX_BITS, "a ticket's low bits are its place");

/* -- Chains -------------------------------------------------------------------------------------- */

static void append(struct mailbox_core *core, struct core_chain *chain, uint32_t i)
{
    struct core_place *place = core->places + i;

    place->next = NOWHERE;
    place->previous = chain->last;
    if (chain->last == NOWHERE)
        chain->first = i;
    else
        core->places[chain->last].next = i;
    chain->last = i;
}

static void unchain(struct mailbox_core *core, struct core_chain *chain, uint32_t i)
{
    struct core_place *place = core->places + i;

    if (place->previous == NOWHERE)
        chain->first = place->next;
    else
        core->places[place->previous].next = place->next;
    if (place->next == NOWHERE)
        chain->last = place->previous;
    else
        core->places[place->next].previous = place->previous;
}

/* -- Cores --------------------------------------------------------------------------------------- */

static bool init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    bool ok;

    if (pthread_condattr_init(&attributes) != 0)
        return false;
    ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
         pthread_cond_init(condition, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return ok;
}

struct mailbox_core *core_create(uint64_t sequence)
{
    struct mailbox_core *core = alloc_zeroed(sizeof(*core));

    if (!core)
        return NULL;
    if (pthread_mutex_init(&core->mutex, NULL) != 0) {
        alloc_free(core);
        return NULL;
    }
    if (!init_condition(&core->completed)) {
        pthread_mutex_destroy(&core->mutex);
        alloc_free(core);
        return NULL;
    }
    core->free.first = core->free.last = NOWHERE;
    core->unheard = core->heard = core->free;
    core->chime = -1;
    core->sequence = sequence;
    atomic_init(&core->references, 1);
    return core;
}

void core_reference(struct mailbox_core *core)
{
    atomic_fetch_add_explicit(&core->references, 1, memory_order_relaxed);
}

/* The last one to leave finds no ticket open: they went with the handle. */
void core_unreference(struct mailbox_core *core)
{
    if (atomic_fetch_sub_explicit(&core->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_cond_destroy(&core->completed);
    pthread_mutex_destroy(&core->mutex);
    alloc_free(core->places);
    alloc_free(core);
}

/* -- Tickets ------------------------------------------------------------------------------------- */

static bool grow(struct mailbox_core *core, bool *full)
{
    uint32_t count = core->place_count ? core->place_count * 2 : PLACES_FIRST;
    struct core_place *places;

    *full = core->place_count == MAILBOX_TICKETS;
    if (*full)
        return false;
    places = alloc_resize(core->places, count * sizeof(*places));
    if (!places)
        return false;
    memset(places + core->place_count, 0, (count - core->place_count) * sizeof(*places));
    core->places = places;
    for (uint32_t i = core->place_count; i < count; i++)
        append(core, &core->free, i);
    core->place_count = count;
    return true;
}

uint64_t core_open_locked(struct mailbox_core *core, const void *owner, int64_t deadline_ms,
                          bool *full)
{
    struct core_place *place;
    uint32_t i;

    *full = false;
    if (core->free.first == NOWHERE && !grow(core, full))
        return 0;
    i = core->free.first;
    place = core->places + i;
    unchain(core, &core->free, i);
    core->sequence = core->sequence >= SEQUENCE_MAX ? 1 : core->sequence + 1;
    memset(place, 0, sizeof(*place));
    place->ticket = core->sequence << INDEX_BITS | i;
    place->owner = owner;
    place->deadline_ms = deadline_ms;
    place->state = CORE_PENDING;
    core->used++;
    return place->ticket;
}

struct core_place *core_find_locked(struct mailbox_core *core, uint64_t ticket)
{
    uint32_t i = (uint32_t)ticket & (MAILBOX_TICKETS - 1);

    if (ticket == 0 || i >= core->place_count || core->places[i].ticket != ticket)
        return NULL;
    return core->places + i;
}

void core_close_locked(struct mailbox_core *core, struct core_place *place, struct outcome *outcome)
{
    uint32_t i = (uint32_t)(place - core->places);

    if (place->state == CORE_UNHEARD)
        unchain(core, &core->unheard, i);
    else if (place->state == CORE_HEARD)
        unchain(core, &core->heard, i);
    *outcome = place->outcome;
    memset(place, 0, sizeof(*place));
    append(core, &core->free, i);
    core->used--;
}

void core_complete_locked(struct mailbox_core *core, struct core_place *place,
                          const struct outcome *outcome)
{
    place->outcome = *outcome;
    place->state = CORE_UNHEARD;
    append(core, &core->unheard, (uint32_t)(place - core->places));
    if (core->waiting)
        pthread_cond_broadcast(&core->completed);
    core_ring_locked(core);
}

uint64_t core_hear_locked(struct mailbox_core *core)
{
    uint32_t i = core->unheard.first;

    if (i == NOWHERE)
        return 0;
    unchain(core, &core->unheard, i);
    append(core, &core->heard, i);
    core->places[i].state = CORE_HEARD;
    return core->places[i].ticket;
}

/* -- The chime ----------------------------------------------------------------------------------- */

void core_ring_locked(struct mailbox_core *core)
{
    ssize_t n;

    if (core->chime < 0 || core->rung || core->unheard.first == NOWHERE)
        return;
    do
        n = send(core->chime, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    /* When the buffer is full there is enough to read. */
    if (n == 1 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)))
        core->rung = true;
    else
        core_set_chime_locked(core, -1);
}

void core_set_chime_locked(struct mailbox_core *core, int fd)
{
    int old = core->chime;

    core->chime = -1; /* before it is closed: a fork in between must not find the number */
    if (old >= 0) {
        shutdown(old, SHUT_RDWR); /* a child of fork() may hold a copy */
        close(old);
    }
    core->chime = fd;
    core->rung = false;
    core_ring_locked(core);
}

/* -- All cores of the process -------------------------------------------------------------------- */

void core_enlist(struct mailbox_core *core)
{
    process_lock();
    core->next = cores;
    cores = core;
    process_unlock();
}

void core_strike(struct mailbox_core *core)
{
    struct mailbox_core **link = &cores;

    process_lock();
    while (*link && *link != core)
        link = &(*link)->next;
    if (*link)
        *link = core->next;
    process_unlock();
}

static void sweep_chain_locked(struct mailbox_core *core, struct core_chain *chain, int64_t now_ms)
{
    struct outcome outcome;

    for (uint32_t i = chain->first, next; i != NOWHERE; i = next) {
        struct core_place *place = core->places + i;

        next = place->next;
        if (now_ms - MAILBOX_GRACE_MS > place->deadline_ms) {
            core_close_locked(core, place, &outcome);
            outcome_free(&outcome);
        }
    }
}

/* Rather not now than waiting: whoever holds the lock may be forking. */
void mailbox_sweep(void)
{
    int64_t now_ms = clock_now_ms();

    if (!process_try_lock())
        return;
    for (struct mailbox_core *core = cores; core; core = core->next) {
        pthread_mutex_lock(&core->mutex);
        sweep_chain_locked(core, &core->unheard, now_ms);
        sweep_chain_locked(core, &core->heard, now_ms);
        pthread_mutex_unlock(&core->mutex);
    }
    process_unlock();
}

void core_after_fork(void)
{
    while (cores) {
        struct mailbox_core *core = cores;

        cores = core->next;
        core->next = inherited;
        inherited = core;
        if (core->chime >= 0)
            close(core->chime); /* without shutdown: the connection is the parent's */
        core->chime = -1;
    }
}
