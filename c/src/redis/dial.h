/*
 * dial.h: from a URL to a connected socket: look the host up, try its addresses in turn, within a bound.
 * The I/O thread's.
 */
#ifndef TANDEM_REDIS_DIAL_H
#define TANDEM_REDIS_DIAL_H

#include "redis/conn.h"
#include "redis/resolve.h"

enum dial_status { DIAL_WAITING, DIAL_CONNECTED, DIAL_FAILED };

struct dial {
    const struct url *url;
    struct conn *conn; /* opened here */
    struct resolve *resolve;
    struct resolve_answer addresses;
    int next_address;
    int64_t timeout_ms, give_up_ms;
    int64_t next_ms;  /* when dial_continue wants to be called at the latest */
    char reason[160]; /* with DIAL_FAILED */
};

/* Begins.  Any status. */
enum dial_status dial_begin(struct dial *dial, const struct url *url, struct conn *conn,
                            int64_t timeout_ms, int64_t now_ms);

/* Goes on; writable: epoll says that the connection is made or has failed. */
enum dial_status dial_continue(struct dial *dial, bool writable, int64_t now_ms);

/* Gives up what was begun, and is harmless otherwise.  The connection is the caller's to close. */
void dial_end(struct dial *dial);

#endif
