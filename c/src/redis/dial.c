#include "redis/dial.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "redis/loop.h"

static void say(struct dial *d, const char *reason)
{
    if (!d->met)
        snprintf(d->reason, sizeof(d->reason), "%s", reason);
}

/* Each address gets its share of the time that is left: one that swallows everything shall not keep us
 * from the next. */
static enum dial_status try_next(struct dial *d, int64_t now_ms)
{
    int count = d->url->is_unix ? 1 : d->addresses.count;
    char reason[CONN_ERROR_BYTES];

    while (d->next_address < count) {
        const char *address = d->addresses.address[d->next_address];

        d->connected = false;
        d->next_ms = now_ms + (d->give_up_ms - now_ms) / (count - d->next_address++);
        if (conn_open(d->conn, d->url, address, reason, sizeof(reason)))
            return DIAL_WAITING;
        say(d, reason);
    }
    return DIAL_FAILED;
}

static void init(struct dial *d, struct conn *conn, int64_t timeout_ms, int64_t now_ms)
{
    d->connected = d->met = false;
    d->conn = conn;
    d->resolve = NULL;
    d->next_address = 0;
    d->timeout_ms = timeout_ms;
    d->give_up_ms = d->next_ms = now_ms + timeout_ms;
}

static enum dial_status look_up(struct dial *d, int64_t now_ms)
{
    if (d->url->is_unix || resolve_numeric(d->url->host, &d->addresses))
        return try_next(d, now_ms);
    d->resolve = resolve_start(d->url->host, loop_wake, d->reason, sizeof(d->reason));
    return d->resolve ? DIAL_WAITING : DIAL_FAILED;
}

enum dial_status dial_begin(struct dial *d, const struct url *url, const struct tls_context *tls,
                            struct conn *conn, int64_t timeout_ms, int64_t now_ms)
{
    init(d, conn, timeout_ms, now_ms);
    d->url = url;
    d->tls = tls;
    return look_up(d, now_ms);
}

static enum dial_status resolved(struct dial *d, int64_t now_ms)
{
    if (!resolve_poll(d->resolve, &d->addresses))
        return DIAL_WAITING;
    dial_end(d);
    snprintf(d->reason, sizeof(d->reason), "cannot look the host up: %s", d->addresses.error);
    return try_next(d, now_ms);
}

/* On the connection that is being made. */
static enum conn_status step(struct dial *d, uint32_t events, char *reason, size_t size)
{
    if (!d->connected) {
        enum conn_status status = CONN_BUSY;

        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            status = conn_finish(d->conn, reason, size);
        d->connected = status == CONN_OK;
        if (status != CONN_OK)
            return status;
    }
    return d->tls ? conn_handshake(d->conn, d->tls, d->url->host, reason, size) : CONN_OK;
}

static void say_late(struct dial *d, char *reason, size_t size)
{
    snprintf(reason, size,
             d->connected ? "no answer to TLS in %lld ms: is this the server's TLS port?"
                          : "no connection in %lld ms",
             (long long)d->timeout_ms);
}

static enum dial_status called(struct dial *d, uint32_t events, int64_t now_ms)
{
    char reason[CONN_ERROR_BYTES];
    enum conn_status status = CONN_BUSY;

    if (events)
        status = step(d, events, reason, sizeof(reason));
    if (status == CONN_OK)
        return DIAL_CONNECTED;
    if (status == CONN_BUSY && now_ms < d->next_ms)
        return DIAL_WAITING;
    if (status == CONN_BUSY)
        say_late(d, reason, sizeof(reason));
    say(d, reason);
    d->met = d->met || d->connected;
    conn_close(d->conn, false);
    return try_next(d, now_ms);
}

enum dial_status dial_continue(struct dial *d, uint32_t events, int64_t now_ms)
{
    enum dial_status status = DIAL_WAITING;
    char reason[64];

    if (d->resolve)
        status = resolved(d, now_ms);
    else if (d->conn->context)
        status = called(d, events, now_ms);
    if (status != DIAL_WAITING || now_ms < d->give_up_ms)
        return status;
    snprintf(reason, sizeof(reason), "%s in %lld ms",
             d->resolve ? "the host was not found" : "no connection", (long long)d->timeout_ms);
    say(d, reason);
    return DIAL_FAILED;
}

bool dial_has_output(const struct dial *d)
{
    return !d->connected;
}

void dial_end(struct dial *d)
{
    resolve_release(d->resolve);
    d->resolve = NULL;
}
