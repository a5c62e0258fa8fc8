#include "redis/dial.h"

#include <stdio.h>

#include "redis/loop.h"

/* Each address gets its share of the time that is left: one that swallows everything shall not keep us
 * from the next. */
static enum dial_status try_next(struct dial *d, int64_t now_ms)
{
    int count = d->url->is_unix ? 1 : d->addresses.count;

    while (d->next_address < count) {
        const char *address = d->addresses.address[d->next_address];

        d->next_ms = now_ms + (d->give_up_ms - now_ms) / (count - d->next_address++);
        if (conn_open(d->conn, d->url, address, d->reason, sizeof(d->reason)))
            return DIAL_WAITING;
    }
    return DIAL_FAILED;
}

enum dial_status dial_begin(struct dial *d, const struct url *url, struct conn *conn,
                            int64_t timeout_ms, int64_t now_ms)
{
    d->url = url;
    d->conn = conn;
    d->resolve = NULL;
    d->next_address = 0;
    d->timeout_ms = timeout_ms;
    d->give_up_ms = d->next_ms = now_ms + timeout_ms;
    if (url->is_unix || resolve_numeric(url->host, &d->addresses))
        return try_next(d, now_ms);
    d->resolve = resolve_start(url->host, loop_wake, d->reason, sizeof(d->reason));
    return d->resolve ? DIAL_WAITING : DIAL_FAILED;
}

static enum dial_status resolved(struct dial *d, int64_t now_ms)
{
    if (!resolve_poll(d->resolve, &d->addresses))
        return DIAL_WAITING;
    dial_end(d);
    snprintf(d->reason, sizeof(d->reason), "cannot look the host up: %s", d->addresses.error);
    return try_next(d, now_ms);
}

static enum dial_status called(struct dial *d, bool writable, int64_t now_ms)
{
    if (writable && conn_finish(d->conn, d->reason, sizeof(d->reason)) == CONN_OK)
        return DIAL_CONNECTED;
    if (!writable && now_ms < d->next_ms)
        return DIAL_WAITING;
    if (!writable)
        snprintf(d->reason, sizeof(d->reason), "no connection in %lld ms",
                 (long long)d->timeout_ms);
    conn_close(d->conn, false);
    return try_next(d, now_ms);
}

enum dial_status dial_continue(struct dial *d, bool writable, int64_t now_ms)
{
    enum dial_status status = DIAL_WAITING;

    if (d->resolve)
        status = resolved(d, now_ms);
    else if (d->conn->context)
        status = called(d, writable, now_ms);
    if (status != DIAL_WAITING || now_ms < d->give_up_ms)
        return status;
    snprintf(d->reason, sizeof(d->reason), "%s in %lld ms",
             d->resolve ? "the host was not found" : "no connection", (long long)d->timeout_ms);
    return DIAL_FAILED;
}

void dial_end(struct dial *d)
{
    resolve_release(d->resolve);
    d->resolve = NULL;
}
