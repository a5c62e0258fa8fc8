/*
 * core.h: the part of a mailbox that the I/O thread completes into.
 *
 * Functions ending in _locked are for the holder of the core's mutex; nothing else is taken while it is
 * held, and nothing under it waits.
 */
#ifndef TANDEM_TIER_CORE_H
#define TANDEM_TIER_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "tier/mailbox.h"

/* A chain of places in the table. */
struct core_chain {
    uint32_t first, last;
};

enum core_state { CORE_FREE = 0, CORE_PENDING, CORE_UNHEARD, CORE_HEARD };

/* One ticket. */
struct core_place {
    uint64_t ticket; /* 0: free */
    const void *owner;
    int64_t deadline_ms;
    enum core_state state; /* UNHEARD: done, not drained yet; HEARD: done and drained */
    uint32_t next, previous;
    struct outcome outcome;
};

struct mailbox_core {
    struct mailbox_core *next; /* the process's list; process lock */
    _Atomic unsigned references;
    pthread_mutex_t mutex;
    pthread_cond_t completed;
    struct core_place *places;
    uint32_t place_count;
    uint32_t used; /* places with a ticket */
    uint64_t sequence;
    struct core_chain free, unheard, heard;
    unsigned waiting; /* threads in mailbox_wait */
    int chime;        /* this side of the bell's connection, or -1 */
    bool rung;        /* a byte was sent since the last drain */
};

/* With one reference, its sequence going on from that number.  NULL: no memory. */
struct mailbox_core *core_create(uint64_t sequence);
void core_reference(struct mailbox_core *core);
void core_unreference(struct mailbox_core *core);

/* The list of this process's cores, for sweeping and for fork(). */
void core_enlist(struct mailbox_core *core);
void core_strike(struct mailbox_core *core);
void core_after_fork(void); /* for process.c */

/* Opens a ticket: 0 when the table is full (*full) or cannot grow. */
uint64_t core_open_locked(struct mailbox_core *core, const void *owner, int64_t deadline_ms,
                          bool *full);
/* The place of a ticket, or NULL. */
struct core_place *core_find_locked(struct mailbox_core *core, uint64_t ticket);
/* Closes a ticket; what its outcome owned goes to outcome. */
void core_close_locked(struct mailbox_core *core, struct core_place *place,
                       struct outcome *outcome);
/* Puts an outcome into a pending place and tells everybody. */
void core_complete_locked(struct mailbox_core *core, struct core_place *place,
                          const struct outcome *outcome);
/* The next completed ticket that was not drained, which then is; or 0. */
uint64_t core_hear_locked(struct mailbox_core *core);

/* Sends a byte over the chime if there is something to hear and none was sent. */
void core_ring_locked(struct mailbox_core *core);
/* Another connection (-1: none) instead of the present one, which is hung up. */
void core_set_chime_locked(struct mailbox_core *core, int fd);

#endif
