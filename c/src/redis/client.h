/*
 * client.h: one server as the I/O thread sees it: operations wait, are sent, are answered.
 *
 *   redis_submit ─► queued ─► waiting ─► sent ─► done hook
 *   any thread      lock      the I/O thread's alone
 *
 * Phases:  idle ─► dialling ─► greeting ─► up
 *                       └───────────┴────────┴──► resting (the breaker is open) ─► dialling
 *
 * While resting every operation is refused, until a try of the client's own has succeeded: users' requests
 * never probe.  A connection that is lost while nothing is due, and had been up, is first made anew
 * without opening the breaker: servers close idle connections.
 */
#ifndef TANDEM_REDIS_CLIENT_H
#define TANDEM_REDIS_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "redis/address_map.h"
#include "redis/breaker.h"
#include "redis/cluster.h"
#include "redis/conn.h"
#include "redis/dial.h"
#include "redis/link.h"
#include "redis/op_list.h"
#include "redis/tagged.h"
#include "redis/topology.h"

enum client_phase { CLIENT_IDLE, CLIENT_DIALLING, CLIENT_GREETING, CLIENT_UP, CLIENT_RESTING };

enum client_greeting {
    GREETING_NONE,
    GREETING_AUTH,
    GREETING_SELECT,
    GREETING_ROLE,     /* with a topology: is it a master? */
    GREETING_READONLY, /* it is a replica, and is to answer all the same */
    GREETING_NAME,
    GREETING_INFO,   /* which server is it? */
    GREETING_SCRIPT, /* that of tagged.h; also later, when the server has lost it */
    GREETING_PING,
    GREETING_PROBE /* no greeting, and whatever is answered: a PING of an idle connection; ASKING */
};

/* What the loop's epoll has of a connection. */
enum { CLIENT_DATA, CLIENT_LINK, CLIENT_WATCHES };

struct client_watch {
    int fd; /* -1: nothing */
    uint32_t events;
    uint32_t serial; /* of the connection: descriptors' numbers come back */
};

struct redis_client {
    /* Constant. */
    struct url url;
    struct tls_context *tls; /* of a rediss://; of a cluster's node: the cluster's */
    char *name;              /* CLIENT SETNAME, or NULL */
    char *prefix, *prefix_glob;
    struct command_prefix command_prefix;
    char server[704];
    struct topology *topology;     /* where sentinels tell of the server; or NULL */
    struct cluster *cluster;       /* of whose nodes each has a client of its own; or NULL */
    bool is_replica;               /* of a cluster, to be read from */
    bool is_named;                 /* by sentinels, as the master: it is asked whether it is one */
    enum redis_replicas replicas;  /* as in the configuration */
    struct address_map *addresses; /* by which those are called; or NULL */
    struct redis_hooks hooks;
    int64_t connect_timeout_ms, timeout_ms;
    size_t max_ops, max_bytes;

    /* Under the lock. */
    pthread_mutex_t lock;
    struct op_list queued;
    size_t ops, bytes; /* accepted and not yet over */
    enum redis_state state;
    char why[256];
    char trouble[256];
    bool has_replica; /* which may be asked while the state is DOWN */
    bool released;
    bool in_loop; /* the loop knows it */

    /* The I/O thread's. */
    enum client_phase phase;
    struct conn conn;
    struct breaker breaker;
    struct dial dial;
    int64_t up_since_ms, down_since_ms;
    int64_t heard_ms; /* when a byte last came, or a reply became due */
    int64_t read_ns;  /* when the bytes that are looked at were read */
    int64_t whole_ms; /* when a whole reply last came, or one became due */
    size_t dripped;   /* bytes that came since */
    int64_t took_ms;  /* when the socket last took a byte */
    bool forgiven;    /* for having been silent, since it was last heard: patience.h */
    size_t unsent;    /* how much it had taken and not passed on, when we last looked; 0: little */

    /* The I/O thread's, in pipeline.c. */
    struct op_list waiting, sent;
    struct command command;   /* under way to the socket */
    struct redis_op *writing; /* whose command that is, if its value is still to be read there */
    int64_t next_deadline_ms; /* of any operation waiting or sent; 0: none */

    /* The I/O thread's. */
    struct link_config link_config;
    struct link link;
    _Atomic bool identify;       /* asks it so; anybody's */
    uint64_t server_id;          /* of the connection, as redis_op.server */
    char script[TAGGED_SHA + 1]; /* how the server knows the script of tagged.h; "": not at all */
    bool script_lost;            /* it is to be told again */
    bool preface;                /* so it is, or there may be operations that ASKING goes before */
    bool link_wanted;
    bool probe_wanted;
    int64_t next_tick_ms;
    struct client_watch watch[CLIENT_WATCHES];
    struct client_watch topology_watch;
    bool demoted;                     /* an answer says so */
    struct redis_client *next;        /* in the loop's list */
    struct redis_client *next_of_all; /* in redis.c's list */
};

/* One round of the I/O thread: takes what is queued, sends, reads if readable, keeps deadlines.  events:
 * what happened on each connection.  Says when it wants the next round at the latest (INT64_MAX: only on
 * events), and what to watch for. */
struct client_wish {
    int64_t at_ms;
    struct client_watch watch[CLIENT_WATCHES];
};
struct client_wish client_round(struct redis_client *client, const uint32_t events[CLIENT_WATCHES],
                                int64_t now_ms);

/* What to watch for of its topology's connection. */
struct client_watch client_topology_watch(const struct redis_client *client);

/* Appends the script of tagged.h, which the server will know by its SHA1.  False: no memory. */
bool client_tell_script(struct redis_client *client);

/* Nothing has come of it yet. */
static inline void redis_op_begin(struct redis_op *op)
{
    op->status = REDIS_DONE;
    op->may_have_run = op->forgiven = op->overtaken = false;
    op->replies_due = 0;
    op->reply = op->list = NULL;
    op->reply_length = op->reply_count = op->list_length = 0;
    op->pttl_ms = op->integer = 0;
    op->server = 0;
    op->sent_ms = clock_now_ms(); /* of its submission, so far */
    op->error[0] = '\0';
}

/* Appends ASKING, for the command that follows.  False: no memory. */
bool client_tell_asking(struct redis_client *client);

/* From now on an answer is listened for, or for the next one. */
static inline void client_listen(struct redis_client *client, int64_t now_ms)
{
    client->heard_ms = client->whole_ms = now_ms;
    client->dripped = 0;
}

/* It is so: for whoever submits. */
void client_set_state(struct redis_client *client, enum redis_state state, const char *why);

/* Is there a replica that may be asked while it is DOWN? */
void client_set_replica(struct redis_client *client, bool has_replica);

/* What is wrong with what the URL names, from now on. */
void client_set_trouble(struct redis_client *client, const char *reason);

/* Its server is another's now: what is under way there ends, and it begins anew when it is asked something. */
void client_leave(struct redis_client *client, const char *reason, int64_t now_ms);

/* If an answer said that its server is a replica it is left: true. */
bool client_heed_demotion(struct redis_client *client, int64_t now_ms);

/* Nothing of it is under way; if stopping, nobody minds that it goes either. */
bool client_is_quiet(struct redis_client *client, bool stopping, int64_t now_ms);

/* Released, and quiet: it can go. */
bool client_is_over(struct redis_client *client, int64_t now_ms);

/* The loop's epoll has none of its connections. */
void client_watch_nothing(struct redis_client *client);

/* Ends it: closes, calls the gone hook, frees. */
void client_destroy(struct redis_client *client);

/* Frees one that was never anything but memory. */
void client_free(struct redis_client *client);

/* As client_destroy, for one that the face knows; in redis.c. */
void redis_client_over(struct redis_client *client);

/* In a child whose parent had it under way: all that is the parent's is forgotten.  The lock stays held. */
void client_after_fork(struct redis_client *client);

#endif
