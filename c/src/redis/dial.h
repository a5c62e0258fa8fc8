/*
 * dial.h: from a URL to a connection: look the host up, try its addresses in turn, and speak TLS with the server
 * if the URL has it, all within one bound.
 * The I/O thread's.
 */
#ifndef TANDEM_REDIS_DIAL_H
#define TANDEM_REDIS_DIAL_H

#include "redis/conn.h"
#include "redis/resolve.h"

enum dial_status { DIAL_WAITING, DIAL_CONNECTED, DIAL_FAILED };

struct dial {
    const struct url *url;
    const struct tls_context *tls; /* of a rediss:// */
    struct conn *conn;             /* opened here */
    bool connected;                /* as far as TCP goes */
    bool met; /* a server, whose TLS was no good: what to tell, whatever others do */
    struct resolve *resolve;
    struct resolve_answer addresses;
    int next_address;
    int64_t timeout_ms, give_up_ms;
    int64_t next_ms;  /* when dial_continue wants to be called at the latest */
    char reason[160]; /* with DIAL_FAILED */
};

/* Begins.  Any status. */
enum dial_status dial_begin(struct dial *dial, const struct url *url, const struct tls_context *tls,
                            struct conn *conn, int64_t timeout_ms, int64_t now_ms);

/* Goes on, with what epoll says of the connection. */
enum dial_status dial_continue(struct dial *dial, uint32_t events, int64_t now_ms);

/* Is EPOLLOUT to be watched for? */
bool dial_has_output(const struct dial *dial);

/* Gives up what was begun, and is harmless otherwise.  The connection is the caller's to close. */
void dial_end(struct dial *dial);

#endif
