/*
 * resolve.h: from a host's name to its addresses, in a short-lived thread of its own, because the
 * system's resolver waits and the I/O thread must not.
 */
#ifndef TANDEM_REDIS_RESOLVE_H
#define TANDEM_REDIS_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

enum { RESOLVE_MOST = 8, RESOLVE_TEXT = 64 };

struct resolve_answer {
    int count;                                /* 0: failed, see error */
    char address[RESOLVE_MOST][RESOLVE_TEXT]; /* numeric */
    char error[120];
};

struct resolve;

/* A numeric address is answered at once: true.  */
bool resolve_numeric(const char *host, struct resolve_answer *answer);

/* Starts looking a name up.  wake is called from the other thread when it is done.  NULL with the reason
 * in error: no memory, no thread, or too many look-ups under way already. */
struct resolve *resolve_start(const char *host, void (*wake)(void), char *error, size_t error_size);

/* In a child: the threads were the parent's. */
void resolve_after_fork(void);

/* Is there an answer?  Then it is copied. */
bool resolve_poll(struct resolve *resolve, struct resolve_answer *answer);

/* Gives the look-up up, answered or not.  Never waits. */
void resolve_release(struct resolve *resolve);

#endif
