/*
 * mailbox.h: tickets and outcomes of one Lua VM or C thread.
 *
 * Two structs.  The handle (tandem_mailbox) belongs to one thread at a time and counts who uses it.
 * Its core is what the I/O thread completes into: a mutex, a table of tickets, the end of the bell's
 * connection.  Each operation under way keeps the core alive, so that it can complete after everybody
 * else has left; a ticket that is not there any more just swallows what comes.
 *
 * A ticket is a sequence number times 65536 plus its place in the table.  It is never used again
 * (before 2^37 operations), so a late call with an old ticket finds nothing.
 *
 * After fork() the child's handle gets a core of its own at first use, whose sequence goes on where the
 * parent's was: the parent's tickets are unknown in the child.  The old core, whose mutex some thread of
 * the parent may have held, is never touched again.
 */
#ifndef TANDEM_TIER_MAILBOX_H
#define TANDEM_TIER_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem.h"

enum {
    MAILBOX_TICKETS = 65536, /* at most, at once */
    MAILBOX_GRACE_MS = 1000, /* an outcome waits this long past its deadline to be taken */
    MAILBOX_SWEEP_MS = 1000  /* how often mailbox_sweep should run */
};

struct mailbox_core;

/* How an operation ended. */
struct outcome {
    int status; /* what tandem_take answers */
    int32_t tier;
    double ttl, count;
    char *bytes; /* NULL, or to be freed; a value's or page's length bytes */
    size_t length;
    char *error; /* NULL, or to be freed: a sentence */
};

/* Frees what an outcome owns. */
void outcome_free(struct outcome *outcome);

/* Where one operation's outcome goes; { NULL, 0 } for one that nobody waits for. */
struct mailbox_slip {
    struct mailbox_core *core;
    uint64_t ticket;
};

/* -- For the handle's thread --------------------------------------------------------------------- */

tandem_mailbox *mailbox_create(void);      /* NULL: no memory */
void mailbox_use(tandem_mailbox *mailbox); /* one more user */
void mailbox_release(tandem_mailbox *mailbox);

/* Opens a ticket.  owner is a word that mailbox_abandon_of() finds it by.  0; TANDEM_EFULL;
 * TANDEM_ESYS: no memory. */
int mailbox_open(tandem_mailbox *mailbox, const void *owner, int64_t deadline_ms,
                 struct mailbox_slip *slip);

/* Closes a ticket whose operation was not accepted after all. */
void mailbox_cancel(struct mailbox_slip *slip);

int mailbox_take(tandem_mailbox *mailbox, double ticket, void *buffer, size_t size,
                 tandem_result *result);
int mailbox_wait(tandem_mailbox *mailbox, double ticket, double timeout_ms);
int mailbox_drain(tandem_mailbox *mailbox, double *tickets, int max);
void mailbox_abandon(tandem_mailbox *mailbox, double ticket);
void mailbox_abandon_of(tandem_mailbox *mailbox, const void *owner);
int mailbox_pending(tandem_mailbox *mailbox);

int mailbox_bell_open(tandem_mailbox *mailbox, const char *runtime_dir, char *path,
                      size_t path_size, char *error, size_t error_size);
int mailbox_bell_accept(tandem_mailbox *mailbox);
void mailbox_bell_hang_up(tandem_mailbox *mailbox);

/* -- For the I/O thread -------------------------------------------------------------------------- */

/* Puts an outcome, and all that it owns, where the slip says, and tells whoever waits.  To be called
 * exactly once for each slip not cancelled; the slip is used up. */
void mailbox_complete(struct mailbox_slip *slip, struct outcome *outcome);

/* Drops outcomes that nobody took in time, in all mailboxes of the process. */
void mailbox_sweep(void);

#endif
