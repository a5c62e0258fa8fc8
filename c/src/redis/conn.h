/*
 * conn.h: one connection: hiredis's context in its non-blocking form, and the replies that are due on
 * it, in order.  The I/O thread's alone.
 */
#ifndef TANDEM_REDIS_CONN_H
#define TANDEM_REDIS_CONN_H

#include <hiredis/hiredis.h>

#include "redis/reply.h"
#include "redis/secure.h"
#include "redis/url.h"

enum { CONN_READ_BYTES = 16 << 10, CONN_ERROR_BYTES = 160 };

/* Whom the next reply is for. */
struct conn_due {
    struct redis_op *op; /* NULL: nobody any more, or the handshake */
    uint8_t part;        /* enum reply_part */
    uint8_t handshake;   /* enum client_greeting, 0: none */
};

/* All zero: closed. */
struct conn {
    redisContext *context; /* NULL: closed */
    struct secure secure;  /* with TLS */
    bool heard;            /* something came */
    struct conn_due *due;  /* a ring */
    size_t due_size;       /* a power of two */
    uint64_t due_first, due_end;
    bool output;     /* there is something left to send */
    uint32_t serial; /* how many connections this has been */

    /* What a child has to close.  Changes with the socket itself under a lock that a fork waits for:
     * hiredis's structures may be in any state then. */
    bool has_fd;
    int fd;
};

enum conn_status { CONN_OK, CONN_BUSY, CONN_LOST, CONN_GARBAGE };

/* Starts to connect.  False with the reason in error. */
bool conn_open(struct conn *conn, const struct url *url, const char *address, char *error,
               size_t error_size);

int conn_fd(const struct conn *conn);

/* Is the connection made?  CONN_LOST with the reason: refused, unreachable, ... */
enum conn_status conn_finish(struct conn *conn, char *error, size_t error_size);

/* A step of TLS on a connection to host that is made, with certificates of secure_prepare; to be called again while it
 * says CONN_BUSY, on each event.  The server is who it has to be once it says CONN_OK. */
enum conn_status conn_handshake(struct conn *conn, const struct tls_context *context,
                                const char *host, char *error, size_t error_size);

/* TLS may have to write in order to read, and the other way round.  Of events, those that a connection without
 * it would have; and what to watch for: EPOLLIN always, EPOLLOUT when wanted. */
uint32_t conn_events(const struct conn *conn, uint32_t events);
uint32_t conn_watch(const struct conn *conn, bool has_output);

/* Something came that no event tells of: conn_events has EPOLLIN at once. */
bool conn_has_pending(const struct conn *conn);

/* Closes, forgetting what is due.  With reset, what has not reached the peer's system yet never will (TCP; a
 * unix socket has no such thing).  What has is carried out when the peer gets to it: before anything that
 * another connection brings later. */
void conn_close(struct conn *conn, bool reset);

/* In a child: the parent's connection.  Closes the child's copy of the socket and touches nothing else. */
void conn_forget(struct conn *conn);

/* Around a fork, in the parent and in the child: no socket comes or goes in between. */
void conn_before_fork(void);
void conn_after_fork(void);

/* Makes room for so many replies more to be due.  False: no memory. */
bool conn_reserve(struct conn *conn, size_t more);

/* Notes that a reply is due.  False: no memory, and none was reserved. */
bool conn_expect(struct conn *conn, struct conn_due due);

static inline size_t conn_due_count(const struct conn *conn)
{
    return (size_t)(conn->due_end - conn->due_first);
}

static inline struct conn_due *conn_due_at(const struct conn *conn, uint64_t number)
{
    return conn->due + (number & (conn->due_size - 1));
}

/* Appends to what is to be sent.  False: no memory; the connection is of no use any more. */
bool conn_append(struct conn *conn, const char *bytes, size_t length);

/* Sends what it can of what was appended. */
enum conn_status conn_write(struct conn *conn, char *error, size_t error_size);

/* How many of the bytes sent the peer's system has not taken yet. */
size_t conn_unsent(const struct conn *conn);

/* Reads once; sets bytes: fewer than CONN_READ_BYTES when there is no more for now.  CONN_LOST also at the
 * stream's end.  conn_next should follow: to read on first would let hiredis's buffer grow, and what is
 * taken from its front costs as much as there is behind. */
enum conn_status conn_read(struct conn *conn, size_t *bytes, char *error, size_t error_size);

/* The next whole reply, to be freed with freeReplyObject, or NULL.  CONN_GARBAGE: not Redis's protocol. */
enum conn_status conn_next(struct conn *conn, redisReply **reply, char *error, size_t error_size);

#endif
