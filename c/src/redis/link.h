/*
 * link.h: the tracking link: the connection on which Redis says which keys have changed.
 *
 * RESP2, so that every hiredis can read it: the connection redirects its own invalidations to itself.
 *
 *   AUTH, CLIENT SETNAME, INFO server, CLIENT ID ─► CLIENT TRACKING ON REDIRECT id BCAST PREFIX p, CLIENT TRACKINGINFO,
 *   SUBSCRIBE __redis__:invalidate, SUBSCRIBE p#tandem:changed ─► live
 *
 * One connection, one failure domain: when it is gone, so is every promise made on it.  Its heartbeat is
 * the first SUBSCRIBE sent again, which every version answers.  The I/O thread's alone.
 */
#ifndef TANDEM_REDIS_LINK_H
#define TANDEM_REDIS_LINK_H

#include "redis/breaker.h"
#include "redis/command.h"
#include "redis/dial.h"

enum link_phase {
    LINK_OFF,
    LINK_DIALLING,
    LINK_GREETING,    /* up to the answer of CLIENT ID */
    LINK_SUBSCRIBING, /* up to both acknowledgements */
    LINK_LIVE,
    LINK_RESTING /* until the breaker's next try */
};

struct link_config {
    const struct url *url;
    const struct tls_context *tls; /* of a rediss:// */
    const char *name;              /* or NULL */
    const struct command_prefix *prefix;
    const char *server;
    const struct redis_hooks *hooks;
    int64_t connect_timeout_ms, timeout_ms, beat_ms;
    bool is_named; /* by sentinels, as the master: it is asked whether it is one */
};

struct link {
    const struct link_config *config;
    enum link_phase phase;
    struct conn conn;
    struct dial dial;
    struct breaker breaker;
    char *channel;         /* the cache's own */
    uint64_t server;       /* as redis_op.server */
    unsigned acknowledged; /* subscriptions, while subscribing */
    int64_t progress_ms;   /* when a byte last came, or an answer became due */
    int64_t whole_ms;      /* when something whole last came, or an answer became due */
    size_t dripped;        /* bytes that came since */
    bool forgiven;         /* for having been silent, since it was last heard: patience.h */
    int64_t beat_sent_ms;  /* of the heartbeat under way; 0: none */
    int64_t next_beat_ms;
};

struct link_wish {
    int64_t at_ms;
    uint32_t events;
};

/* One round: wanted says whether there shall be a link. */
struct link_wish link_round(struct link *link, bool wanted, uint32_t events, int64_t now_ms);

/* The server is not the one to be on any more: ends, says why, and is made anew in the next round. */
void link_leave(struct link *link, const char *why, int64_t now_ms);

/* Closes without a word. */
void link_close(struct link *link);

/* As conn_forget. */
void link_after_fork(struct link *link);

#endif
