#include "tier/mailbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/bell.h"
#include "tier/core.h"
#include "tier/process.h"
#include "tier/result.h"

#define WAIT_MAX_MS 1e9
#define TICKET_LIMIT 9007199254740992.0 /* 2^53 */

struct tandem_mailbox {
    _Atomic unsigned users;
    unsigned generation; /* of the process that core and bell belong to */
    struct mailbox_core *core;
    struct bell *bell;
};

void outcome_free(struct outcome *outcome)
{
    alloc_free(outcome->bytes);
    alloc_free(outcome->error);
    outcome->bytes = outcome->error = NULL;
}

/* -- Handles ------------------------------------------------------------------------------------- */

tandem_mailbox *mailbox_create(void)
{
    tandem_mailbox *mailbox = alloc_zeroed(sizeof(*mailbox));

    if (!mailbox)
        return NULL;
    if (process_watch_forks())
        mailbox->core = core_create(0);
    if (!mailbox->core) {
        alloc_free(mailbox);
        return NULL;
    }
    atomic_init(&mailbox->users, 1);
    mailbox->generation = process_generation();
    core_enlist(mailbox->core);
    return mailbox;
}

/* The core of this process: in a child of fork(), a new one.  NULL: no memory for it. */
static struct mailbox_core *core_of(tandem_mailbox *mailbox)
{
    struct mailbox_core *core = mailbox->core;

    if (mailbox->generation == process_generation())
        return core;
    core = core_create(core->sequence);
    if (!core)
        return NULL;
    bell_forget(mailbox->bell);
    mailbox->bell = NULL;
    mailbox->core = core;
    mailbox->generation = process_generation();
    core_enlist(core);
    return core;
}

void mailbox_use(tandem_mailbox *mailbox)
{
    atomic_fetch_add_explicit(&mailbox->users, 1, memory_order_relaxed);
}

/* Closes the tickets of an owner, or all of them with NULL. */
static void abandon_all(struct mailbox_core *core, const void *owner)
{
    struct outcome outcome;

    pthread_mutex_lock(&core->mutex);
    for (uint32_t i = 0; i < core->place_count; i++) {
        struct core_place *place = core->places + i;

        if (place->ticket && (!owner || place->owner == owner)) {
            core_close_locked(core, place, &outcome);
            outcome_free(&outcome);
        }
    }
    pthread_mutex_unlock(&core->mutex);
}

void mailbox_release(tandem_mailbox *mailbox)
{
    if (!mailbox || atomic_fetch_sub_explicit(&mailbox->users, 1, memory_order_acq_rel) != 1)
        return;
    if (mailbox->generation == process_generation()) {
        struct mailbox_core *core = mailbox->core;

        bell_close(mailbox->bell);
        core_strike(core);
        abandon_all(core, NULL);
        pthread_mutex_lock(&core->mutex);
        core_set_chime_locked(core, -1);
        pthread_mutex_unlock(&core->mutex);
        core_unreference(core);
    } else {
        bell_forget(mailbox->bell);
    }
    alloc_free(mailbox);
}

/* -- Tickets ------------------------------------------------------------------------------------- */

int mailbox_open(tandem_mailbox *mailbox, const void *owner, int64_t deadline_ms,
                 struct mailbox_slip *slip)
{
    struct mailbox_core *core = core_of(mailbox);
    bool full;

    if (!core)
        return TANDEM_ESYS;
    pthread_mutex_lock(&core->mutex);
    slip->ticket = core_open_locked(core, owner, deadline_ms, &full);
    pthread_mutex_unlock(&core->mutex);
    if (!slip->ticket)
        return full ? TANDEM_EFULL : TANDEM_ESYS;
    core_reference(core);
    slip->core = core;
    return 0;
}

void mailbox_cancel(struct mailbox_slip *slip)
{
    struct outcome nothing = {0};
    struct core_place *place;

    if (!slip->core)
        return;
    pthread_mutex_lock(&slip->core->mutex);
    place = core_find_locked(slip->core, slip->ticket);
    if (place)
        core_close_locked(slip->core, place, &nothing);
    pthread_mutex_unlock(&slip->core->mutex);
    outcome_free(&nothing);
    core_unreference(slip->core);
    slip->core = NULL;
}

void mailbox_complete(struct mailbox_slip *slip, struct outcome *outcome)
{
    struct mailbox_core *core = slip->core;
    struct core_place *place = NULL;

    if (core) {
        pthread_mutex_lock(&core->mutex);
        place = core_find_locked(core, slip->ticket);
        if (place)
            core_complete_locked(core, place, outcome);
        pthread_mutex_unlock(&core->mutex);
        core_unreference(core);
        slip->core = NULL;
    }
    if (!place)
        outcome_free(outcome);
}

/* 0, which no ticket is, for anything that cannot be one. */
static uint64_t ticket_of(double number)
{
    if (!(number >= 1 && number < TICKET_LIMIT))
        return 0;
    return (double)(uint64_t)number == number ? (uint64_t)number : 0;
}

static int answer(const struct outcome *outcome, void *buffer, tandem_result *result)
{
    result->tier = outcome->tier;
    result->ttl = outcome->ttl;
    result->count = outcome->count;
    result->length = (double)outcome->length;
    if (outcome->bytes && outcome->length)
        memcpy(buffer, outcome->bytes, outcome->length);
    if (outcome->status < 0 || outcome->status == TANDEM_DEGRADED)
        result_say(result, 0, "%s", outcome->error ? outcome->error : "no memory to say why");
    return outcome->status;
}

int mailbox_take(tandem_mailbox *mailbox, double number, void *buffer, size_t size,
                 tandem_result *result)
{
    struct mailbox_core *core = core_of(mailbox);
    struct core_place *place = NULL;
    struct outcome outcome = {.status = TANDEM_ELOST};
    int status;

    result_clear(result);
    if (core) {
        pthread_mutex_lock(&core->mutex);
        place = core_find_locked(core, ticket_of(number));
        if (place && place->state == CORE_PENDING)
            outcome.status = TANDEM_PENDING;
        else if (place && place->outcome.length > size) {
            outcome.status = TANDEM_TOO_SMALL;
            outcome.length = place->outcome.length;
            outcome.tier = place->outcome.tier;
        } else if (place)
            core_close_locked(core, place, &outcome);
        pthread_mutex_unlock(&core->mutex);
    }
    if (outcome.status == TANDEM_ELOST && !outcome.error)
        return result_say(result, TANDEM_ELOST,
                          "there is no such operation: taken, abandoned, expired or a parent's");
    if (outcome.status == TANDEM_PENDING)
        result->ticket = number;
    status = answer(&outcome, buffer, result);
    outcome_free(&outcome);
    return status;
}

static struct timespec time_after(double timeout_ms)
{
    double bounded = timeout_ms > 0 ? timeout_ms < WAIT_MAX_MS ? timeout_ms : WAIT_MAX_MS : 0;
    int64_t end_us = clock_now_us() + (int64_t)(bounded * 1000);
    struct timespec end = {.tv_sec = (time_t)(end_us / 1000000),
                           .tv_nsec = (long)(end_us % 1000000) * 1000};

    return end;
}

int mailbox_wait(tandem_mailbox *mailbox, double number, double timeout_ms)
{
    struct mailbox_core *core = core_of(mailbox);
    struct timespec end = time_after(timeout_ms);
    uint64_t ticket = ticket_of(number);
    struct core_place *place;
    int rc = 0, status = TANDEM_ELOST;

    if (!core)
        return status;
    pthread_mutex_lock(&core->mutex);
    core->waiting++;
    while ((place = core_find_locked(core, ticket)) != NULL && place->state == CORE_PENDING &&
           rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&core->completed, &core->mutex, &end);
    core->waiting--;
    if (place)
        status = place->state == CORE_PENDING ? TANDEM_PENDING : TANDEM_OK;
    pthread_mutex_unlock(&core->mutex);
    return status;
}

int mailbox_drain(tandem_mailbox *mailbox, double *tickets, int max)
{
    struct mailbox_core *core = core_of(mailbox);
    int n = 0;
    uint64_t ticket;

    if (!core)
        return 0;
    pthread_mutex_lock(&core->mutex);
    while (n < max && (ticket = core_hear_locked(core)) != 0)
        tickets[n++] = (double)ticket;
    core->rung = false;
    core_ring_locked(core); /* for what did not fit */
    pthread_mutex_unlock(&core->mutex);
    return n;
}

void mailbox_abandon(tandem_mailbox *mailbox, double number)
{
    struct mailbox_core *core = core_of(mailbox);
    struct outcome outcome = {0};
    struct core_place *place;

    if (!core)
        return;
    pthread_mutex_lock(&core->mutex);
    place = core_find_locked(core, ticket_of(number));
    if (place)
        core_close_locked(core, place, &outcome);
    pthread_mutex_unlock(&core->mutex);
    outcome_free(&outcome);
}

void mailbox_abandon_of(tandem_mailbox *mailbox, const void *owner)
{
    if (mailbox->generation == process_generation())
        abandon_all(mailbox->core, owner);
}

int mailbox_pending(tandem_mailbox *mailbox)
{
    struct mailbox_core *core = core_of(mailbox);
    int used = 0;

    if (core) {
        pthread_mutex_lock(&core->mutex);
        used = (int)core->used;
        pthread_mutex_unlock(&core->mutex);
    }
    return used;
}

/* -- The bell ------------------------------------------------------------------------------------ */

static void set_chime(struct mailbox_core *core, int fd)
{
    pthread_mutex_lock(&core->mutex);
    core_set_chime_locked(core, fd);
    pthread_mutex_unlock(&core->mutex);
}

int mailbox_bell_open(tandem_mailbox *mailbox, const char *runtime_dir, char *path,
                      size_t path_size, char *error, size_t error_size)
{
    if (!core_of(mailbox)) {
        snprintf(error, error_size, "no memory");
        return TANDEM_ESYS;
    }
    if (mailbox->bell && !bell_reachable(mailbox->bell)) {
        bell_close(mailbox->bell);
        mailbox->bell = NULL;
    }
    if (!mailbox->bell)
        mailbox->bell = bell_open(runtime_dir, error, error_size);
    if (!mailbox->bell)
        return TANDEM_ESYS;
    if (snprintf(path, path_size, "%s", bell_path(mailbox->bell)) >= (int)path_size) {
        snprintf(error, error_size, "the path of the socket takes %zu bytes, the buffer has %zu",
                 strlen(bell_path(mailbox->bell)) + 1, path_size);
        return TANDEM_ESYS;
    }
    return TANDEM_OK;
}

int mailbox_bell_accept(tandem_mailbox *mailbox)
{
    struct mailbox_core *core = core_of(mailbox);
    int fd;

    if (!core)
        return TANDEM_ESYS;
    if (!mailbox->bell)
        return TANDEM_MISS;
    fd = bell_accept(mailbox->bell);
    if (fd < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? TANDEM_MISS : TANDEM_ESYS;
    set_chime(core, fd);
    return TANDEM_OK;
}

void mailbox_bell_hang_up(tandem_mailbox *mailbox)
{
    struct mailbox_core *core = core_of(mailbox);

    if (core)
        set_chime(core, -1);
}
