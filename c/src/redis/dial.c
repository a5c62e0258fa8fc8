#include "redis/dial.h"

#include <stdio.h>

#include "redis/loop.h"

static enum dial_status try_next(struct dial *d)
{
    int count = d->url->is_unix ? 1 : d->addresses.count;

    while (d->next_address < count) {
        const char *address = d->addresses.address[d->next_address++];

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
    d->give_up_ms = now_ms + timeout_ms;
    if (url->is_unix || resolve_numeric(url->host, &d->addresses))
        return try_next(d);
    d->resolve = resolve_start(url->host, loop_wake);
    if (d->resolve)
        return DIAL_WAITING;
    snprintf(d->reason, sizeof(d->reason), "cannot start a thread to look the host up");
    return DIAL_FAILED;
}

static enum dial_status resolved(struct dial *d)
{
    if (!resolve_poll(d->resolve, &d->addresses))
        return DIAL_WAITING;
    dial_end(d);
    snprintf(d->reason, sizeof(d->reason), "cannot look the host up: %s", d->addresses.error);
    return try_next(d);
}

enum dial_status dial_continue(struct dial *d, bool writable, int64_t now_ms)
{
    enum dial_status status = DIAL_WAITING;

    if (d->resolve) {
        status = resolved(d);
    } else if (writable && d->conn->context) {
        if (conn_finish(d->conn, d->reason, sizeof(d->reason)) == CONN_OK)
            return DIAL_CONNECTED;
        conn_close(d->conn, false);
        status = try_next(d);
    }
    if (status == DIAL_WAITING && now_ms >= d->give_up_ms) {
        snprintf(d->reason, sizeof(d->reason), "no connection in %lld ms",
                 (long long)d->timeout_ms);
        return DIAL_FAILED;
    }
    return status;
}

void dial_end(struct dial *d)
{
    resolve_release(d->resolve);
    d->resolve = NULL;
}
