/*
 * ear.c: the thread that hears when a flight of another process ends.
 *
 * It sleeps on a word of the segment (a futex), which whoever ends a flight that is awaited changes: no
 * names, no sockets, nothing that a killed process leaves behind.  An owner that died rings no bell, and
 * one that was stopped beyond its time does not either: so while somebody waits it looks around every 50 ms.
 */
#include "tier/ear.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { LOOK_MS = 50 };

struct flights_wait {
    struct flights_wait *next;
    struct memory_flight flight;
    int64_t deadline_ms;
    struct mailbox_slip slip;
};

static void say(struct outcome *outcome, const char *text, size_t length)
{
    outcome->error = alloc_copy(text, length);
}

/* Is it over?  Then outcome says how.  stuck: a lock of the table was not to be had, which is waited for once
 * in a round. */
static bool is_over(struct tier *tier, const struct flights_wait *w, int64_t now_ms, bool is_alive,
                    bool *stuck, struct outcome *outcome)
{
    struct memory_flight_outcome ended;
    char text[96];
    int status = MEMORY_BUSY;

    if (!*stuck)
        status = memory_flight_look(tier->memory, &w->flight, now_ms, is_alive, &ended);
    *stuck = status == MEMORY_BUSY;
    switch (status) {
    case MEMORY_OK:
        outcome->count = ended.outcome;
        if (ended.error_length) {
            outcome->bytes = alloc_copy(ended.error, ended.error_length);
            outcome->length = outcome->bytes ? ended.error_length : 0;
        }
        return true;
    case MEMORY_ABSENT:
        outcome->count = TANDEM_FLIGHT_GONE;
        return true;
    default:
        if (now_ms < w->deadline_ms)
            return false;
        memory_count(tier->memory, COUNT_FETCH_LOCK_TIMEOUTS, 1);
        outcome->status = TANDEM_ETIMEOUT;
        snprintf(text, sizeof(text), "the loader that runs already did not end in time");
        say(outcome, text, strlen(text));
        return true;
    }
}

/* The time until which those who still wait want to. */
static int64_t look_locked(struct tier *tier, bool is_alive)
{
    struct flights_wait **link = &tier->flights.waits, *w;
    int64_t now_ms = clock_now_ms(), until_ms = now_ms + LOOK_MS;
    bool stuck = false;

    while ((w = *link) != NULL) {
        struct outcome outcome = {.status = TANDEM_OK};

        if (is_over(tier, w, now_ms, is_alive, &stuck, &outcome)) {
            *link = w->next;
            mailbox_complete(&w->slip, &outcome);
            alloc_free(w);
        } else {
            if (w->deadline_ms < until_ms)
                until_ms = w->deadline_ms;
            link = &w->next;
        }
    }
    return until_ms;
}

void ear_look(struct tier *tier, bool is_alive)
{
    pthread_mutex_lock(&tier->flights.mutex);
    look_locked(tier, is_alive);
    pthread_mutex_unlock(&tier->flights.mutex);
}

static void *listen(void *argument)
{
    struct tier *tier = argument;
    struct flights *f = &tier->flights;
    int64_t looked_ms = 0;

    pthread_mutex_lock(&f->mutex);
    while (!f->stop) {
        uint32_t word = memory_flight_word(tier->memory);
        int64_t now_ms = clock_now_ms(), until_ms;
        bool is_alive = now_ms >= looked_ms + LOOK_MS;

        if (!f->waits) {
            pthread_cond_wait(&f->changed, &f->mutex);
            continue;
        }
        if (is_alive)
            looked_ms = now_ms;
        until_ms = look_locked(tier, is_alive);
        if (!f->waits)
            continue;
        pthread_mutex_unlock(&f->mutex);
        if (is_alive)
            mailbox_sweep();
        memory_flight_sleep(tier->memory, word, until_ms > now_ms ? until_ms - now_ms : 1);
        pthread_mutex_lock(&f->mutex);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

static bool start_locked(struct tier *tier)
{
    struct flights *f = &tier->flights;
    sigset_t all, before;

    if (f->listening)
        return true;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    f->listening = pthread_create(&f->ear, NULL, listen, tier) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return f->listening;
}

bool ear_wait(struct tier *tier, const struct memory_flight *flight, int64_t deadline_ms,
              struct mailbox_slip *slip)
{
    struct flights *f = &tier->flights;
    struct flights_wait *w = alloc_zeroed(sizeof(*w));
    bool soon = deadline_ms < clock_now_ms() + LOOK_MS, started;

    if (!w)
        return false;
    pthread_mutex_lock(&f->mutex);
    started = start_locked(tier);
    if (started) {
        w->flight = *flight;
        w->deadline_ms = deadline_ms;
        w->slip = *slip;
        slip->core = NULL;
        w->next = f->waits;
        f->waits = w;
        pthread_cond_signal(&f->changed);
        /* It may have ended since it was found under way, and then nobody rings again. */
        if (!memory_flight_is_under_way(tier->memory, flight))
            look_locked(tier, false);
    }
    pthread_mutex_unlock(&f->mutex);
    if (!started)
        alloc_free(w);
    else if (soon)
        memory_flight_ring(tier->memory); /* the ear may be asleep for longer than that */
    return started;
}

void ear_drop_all(struct tier *tier)
{
    struct flights_wait *w;

    while ((w = tier->flights.waits) != NULL) {
        struct outcome outcome = {.count = TANDEM_FLIGHT_GONE};

        tier->flights.waits = w->next;
        mailbox_complete(&w->slip, &outcome);
        alloc_free(w);
    }
}
