/*
 * redis.h: the face of the redis room.  Bytes that Redis sees are made here.
 *
 * A client stands for one server and database.  Its operations are queued by any thread and carried
 * out by the one I/O thread of the process, over one pipelined connection.  The room knows nothing of
 * the memory tier and nothing of Lua: it reports upward through the hooks given to it at start.
 *
 * Fork: the I/O thread and all connections are the parent's.  In the child every client starts anew
 * on its first operation; operations pending in the parent are the parent's and their structs, as
 * copied into the child, are neither completed nor freed there.
 */
#ifndef TANDEM_REDIS_REDIS_H
#define TANDEM_REDIS_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lanes.h"
#include "base/reserved.h"
#include "tls/tls.h"

struct redis_client;

enum redis_kind {
    REDIS_GET,     /* GET and PTTL in one pipeline: reply = value, pttl_ms */
    REDIS_EXISTS,  /* integer = 0 or 1 */
    REDIS_PTTL,    /* pttl_ms: -2 absent, -1 no expiry */
    REDIS_SET,     /* SET key value [PX ttl_ms] */
    REDIS_DELETE,  /* DEL key: integer = 0 or 1 */
    REDIS_ADD,     /* as REDIS_SET, with NX: REDIS_ABSENT: there is such a key, nothing was done */
    REDIS_REPLACE, /* as REDIS_SET, with XX: REDIS_ABSENT: there is none */
    REDIS_INCR,    /* a script: number = the sum; REDIS_ABSENT: there is no such key, and no init */
    REDIS_EXPIRE,  /* PEXPIRE key ttl_ms; PERSIST if that is 0: integer = 0 or 1, is there a key */
    REDIS_SCAN, /* SCAN cursor MATCH prefix+glob COUNT n: items = next cursor, keys (prefix off) */
    REDIS_INVALIDATE_TAG, /* the key is a tag: what has it does not exist any more */
    REDIS_LOCK,           /* the key's lock for the fleet: integer = enum redis_lock; fleet.h */
    REDIS_UNLOCK,         /* gives it up: integer = 0 or 1, was it still ours */
    REDIS_PUBLISH, /* PUBLISH the key on the cache's own channel, which its tracking links hear */
    REDIS_SCAN_UNLINK, /* as REDIS_SCAN, then one UNLINK of the page's keys: integer = keys that went */

    /* The room's own: of a cluster, cluster.h. */
    REDIS_SCAN_ALL,  /* as REDIS_SCAN, reserved names too */
    REDIS_UNLINK,    /* UNLINK key, and the list of its tags: integer = how many of them went */
    REDIS_ASKED_GET, /* as REDIS_GET and REDIS_EXPIRE, as one command */
    REDIS_ASKED_EXPIRE,
    REDIS_REPLICA_GET,   /* as REDIS_GET, and ROLE before it: integer = a replica's offset, or -1 */
    REDIS_CLUSTER_MAP,   /* CLUSTER INFO, CLUSTER SLOTS: slot_map.h */
    REDIS_CLUSTER_CHECK, /* ROLE, CLUSTER INFO: slot_map.h */
    REDIS_ROLE,          /* ROLE, as of REDIS_CLUSTER_CHECK */
    REDIS_REPLICATION    /* INFO replication: replication.h */
};

enum { REDIS_TAG_MAX = 200, REDIS_TAG_GENERATION = 17, REDIS_TOKEN = 16 };

/* What a key that holds a tag's generation, the tags of a key or its lock begins with, after the prefix. */
#define REDIS_TAG_KEY RESERVED "tag:"
#define REDIS_TAGS_KEY RESERVED "tags:"
#define REDIS_LOCK_KEY RESERVED "lock:"

/* What came of asking for a lock. */
enum redis_lock {
    REDIS_LOCK_HELD, /* by another: holder says whose, pttl_ms for how long at most (-1: for ever) */
    REDIS_LOCK_TAKEN, /* by us */
    REDIS_LOCK_LEFT,  /* whoever held it when we asked last has given it up with a message: reply */
    REDIS_LOCK_ANSWERED, /* there is a value */
    REDIS_LOCKS
};

enum redis_status {
    REDIS_DONE = 0, /* answered; for REDIS_GET present */
    REDIS_ABSENT,   /* REDIS_GET: no such key */
    REDIS_UNSENT,   /* failed before a byte of it was sent: certainly not carried out */
    REDIS_UNKNOWN,  /* sent, and the connection broke: may have been carried out or not */
    REDIS_TIMEOUT,  /* its deadline passed; may_have_run says whether it had been sent */
    REDIS_REFUSED,  /* the server answered with an error: error holds its text */
    REDIS_GARBAGE,  /* the peer broke the protocol, or answered with a type that makes no sense */
    REDIS_REPLICA /* REDIS_GET, with redis_config.replicas: the master is away, as error says, and its
                       replica has a value, of an age that nobody knows */
};

/*
 * One operation.  Allocated with alloc_bytes by whoever submits it, together with its strings; it and
 * they belong to the room from an accepted redis_submit() until the done hook, which gets them back.
 */
struct redis_op {
    struct redis_op *next; /* the room's, and those up to owner, from submission to done */
    uint64_t first_reply;  /* number of the first reply it expects on its connection */
    uint32_t replies_due;
    uint16_t slot; /* in a cluster: where it belongs; slot_map.h */
    uint16_t node; /* and where it is sent to by an ASK */
    void *owner;   /* the submitter's; the room never looks at it */
    enum redis_kind kind;
    char *key; /* without prefix, or the glob (NULL: all) of a scan */
    size_t key_length;
    char *value;         /* REDIS_SET, _ADD, _REPLACE; the cursor of a scan */
    size_t value_length; /* REDIS_UNLOCK: the message, or none */
    int64_t
        ttl_ms; /* REDIS_SET, _ADD, _REPLACE, _EXPIRE; of the key that _INCR makes; 0: none; of a
                        lock; _UNLOCK: how long value, if there is one, is there to be read */
    double by, init; /* REDIS_INCR */
    bool with_init;
    char token[REDIS_TOKEN]; /* REDIS_LOCK, _UNLOCK: ours; letters and digits */
    char holder
        [REDIS_TOKEN]; /* REDIS_LOCK: who held it when we asked last, or zeroes; and who holds it */
    int64_t
        enough_ms; /* REDIS_LOCK: a value that lives longer than this makes it needless; -1: none does */
    char *tags; /* REDIS_SET, _ADD, with tags: for each a byte with its length, and its bytes */
    size_t tags_length;
    bool
        loaded; /* what is written was made from what there was at time_us: not to be, if one of its tags
                    has been invalidated since */
    uint64_t time_us;    /* the server's clock, in microseconds; of the answer, with tags */
    int64_t deadline_ms; /* clock_now_ms() time after which it is given up */
    bool forgiven; /* the room's: it has had a little longer already; and these, in a cluster: */
    bool asking;   /* it goes where an ASK has sent it */
    bool ready;    /* what it waited for has come */
    /* The submitter's: REDIS_GET may be answered by a replica that has what its master has; and, while that is away, by one
     * of which nobody knows that, as REDIS_REPLICA. */
    bool by_replica, or_stale;
    uint8_t replica;   /* one is being asked: enum cluster_replica */
    uint8_t redirects; /* how often it has been sent elsewhere */

    /* Filled in before the done hook. */
    enum redis_status status;
    bool may_have_run; /* at least one byte of it may have reached the server */
    int64_t sent_ms;   /* when it was handed to the socket */
    int64_t sent_ns;   /* the room's: the same, of the clock that measures */
    uint64_t server;   /* tells the server that answered from others; 0: it cannot be told */
    char *reply;       /* REDIS_GET: the value; scans: items, each a 4-byte length in host order and
                           its bytes; REDIS_LOCK: a message; NULL otherwise.  To be freed with alloc_free by the done hook */
    size_t reply_length;
    size_t reply_count; /* scans: how many items */
    int64_t pttl_ms;    /* of the lock, REDIS_LOCK_HELD */
    int64_t integer;
    double number;    /* REDIS_INCR; in a cluster: slot_map.h */
    bool well;        /* the room's: so is the cluster, as a node says; it is a master */
    uint64_t history; /* the room's: replication.h */
    uint64_t choice;  /* the room's: slot_map.h */
    struct {
        int64_t deadline_ms;
        int64_t as_of_ms, offset;
        uint64_t server;
    } first; /* the room's: what a replica is to have, and when its master is asked: cluster_replica.c */
    char *list; /* REDIS_GET with tags: as tags, but each followed by REDIS_TAG_GENERATION bytes */
    size_t list_length;
    bool overtaken; /* REDIS_ABSENT, since a tag has been invalidated */
    char error
        [256]; /* a sentence naming the server, without secrets, unless REDIS_DONE/REDIS_ABSENT */
};

/* Frees an operation and its strings, reply included.  NULL is fine. */
void redis_op_free(struct redis_op *op);

/* What the room counts, reported by the count hook. */
enum redis_counter {
    REDIS_COUNT_COMMANDS, /* commands handed to the socket */
    REDIS_COUNT_BYTES_OUT,
    REDIS_COUNT_BYTES_IN,
    REDIS_COUNT_CONNECTS,      /* connections that became usable */
    REDIS_COUNT_FAILURES,      /* attempts that did not */
    REDIS_COUNT_DISCONNECTS,   /* usable connections lost */
    REDIS_COUNT_TIMEOUTS,      /* operations given up at their deadline */
    REDIS_COUNT_ERRORS,        /* error replies */
    REDIS_COUNT_LATE_REPLIES,  /* replies to operations already given up: read and dropped */
    REDIS_COUNT_REPLICA_READS, /* operations that a replica has answered */
    REDIS_COUNTERS
};

/* What the tracking link reports. */
enum redis_link_event {
    REDIS_LINK_LIVE,   /* subscribed: every change from at_ms on is reported */
    REDIS_LINK_ALIVE,  /* every change up to at_ms has been reported */
    REDIS_LINK_LOST,   /* not connected any more, or not yet: why; it is tried again */
    REDIS_LINK_PARTLY, /* so it is with one of several servers: why */
    REDIS_LINK_REFUSED /* the server does not track for us: why; it is tried again, seldom */
};

/* Called on the I/O thread (gone may also be called by redis_client_release itself, when the thread
 * never ran).  They must not wait long.  Of this room they may call redis_submit, redis_client_state,
 * redis_link_server, redis_want_link, redis_want_probe and redis_op_free. */
struct redis_hooks {
    void *context;
    /* The operation is over, one way or the other; exactly once for each accepted one.  Operations of
     * one client that are answered complete in the order in which they were submitted. */
    void (*done)(void *context, struct redis_op *op);
    void (*count)(void *context, enum redis_counter counter, uint64_t n);
    /* An operation's command was answered so long after it was handed to the socket (twice, for a
     * REDIS_SCAN_UNLINK that has two).  NULL: not at all. */
    void (*took)(void *context, int64_t ns);
    /* Another client, or this one, has changed a key in Redis (NULL: any of them may have changed).  Only
     * while there is a link; but NULL also when another server has taken the place of the one before. */
    void (*invalidate)(void *context, const char *key, size_t key_length);
    void (*link)(void *context, enum redis_link_event event, int64_t at_ms, const char *why);
    /* Keys of these lanes have other servers now: they may have been changed there.  Only where there are lanes. */
    void (*moved)(void *context, const struct lanes *lanes);
    /* A key (NULL: any of them) has been changed, as invalidate or done will say next.  Only where there are lanes. */
    void (*changed)(void *context, const char *key, size_t key_length);
    /* Is what an operation's key had at since_ms what it has now, as far as anybody of this host has been told?  server:
     * as redis_op.server, of the lane.  Only where there are lanes. */
    bool (*unchanged)(void *context, const struct redis_op *op, int64_t since_ms, uint64_t server);
    /* Called now and then, in any case not long after the time it answered last time (INT64_MAX: never).
     * NULL: not at all. */
    int64_t (*tick)(void *context, int64_t now_ms);
    /* The server is away since since_ms, and the client would try again: now?  now_ms, or when to ask again.
     * random: any 32 random bits.  NULL: it may. */
    int64_t (*may_try)(void *context, int64_t since_ms, int64_t now_ms, uint32_t random);
    /* The process is exiting, or the client was released, and no operation is under way: may it go now?
     * Asked again and again until it says yes.  NULL: it may. */
    bool (*may_stop)(void *context, int64_t now_ms);
    /* The last call for a released client: nothing of it is left. */
    void (*gone)(void *context);
};

/* What replicas are asked, of a cluster or behind sentinels. */
enum redis_replicas {
    REDIS_REPLICAS_NEVER,
    REDIS_REPLICAS_FALLBACK, /* REDIS_GET while masters are away: REDIS_REPLICA */
    REDIS_REPLICAS_PREFER    /* that, and what is by_replica always */
};

struct redis_config {
    const char *url;                               /* url.h says which */
    const char *username, *password, *client_name; /* NULL, or instead of the URL's */
    struct tls_options tls;                        /* for rediss:// and rediss+cluster:// */
    const char *address_map; /* NULL, or address_map.h: of servers that others tell of */
    enum redis_replicas replicas;
    const char *prefix;
    size_t prefix_length;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    bool tags;                 /* values may have tags: tagged.h */
    size_t max_ops, max_bytes; /* bounds of what may be queued and unanswered; 0: the defaults */
};

/* Makes a client.  Checks the URL, contacts nobody, starts nothing.  NULL with a sentence in error
 * when the URL is malformed, TLS is not to be had as wanted, or there is no memory. */
struct redis_client *redis_client_create(const struct redis_config *config,
                                         const struct redis_hooks *hooks, char *error,
                                         size_t error_size);

/* Gives the client up.  Never waits: operations under way still end, each at its deadline at the
 * latest, then the gone hook runs.  In a child whose parent made it, its pending operations are just
 * forgotten. */
void redis_client_release(struct redis_client *client);

/* The server without secrets: "redis host:port/db" or "redis unix:path/db". */
const char *redis_client_server(const struct redis_client *client);

enum redis_submit {
    REDIS_ACCEPTED = 0,
    REDIS_QUEUE_FULL, /* bounds reached; op still the caller's, op->error says so */
    REDIS_DOWN,       /* the breaker is open: op still the caller's, op->error says why */
    REDIS_NO_THREAD   /* the I/O thread cannot be started; op->error says why */
};

/* Queues an operation.  Any thread; never waits for the network.  With cork the I/O thread is not woken
 * for it: an operation without cork must follow at once.  Operations are sent in the order in which
 * they were submitted. */
enum redis_submit redis_submit(struct redis_client *client, struct redis_op *op, bool cork);

/* Wakes the I/O thread for what was submitted corked. */
void redis_uncork(struct redis_client *client);

/* Starts the I/O thread for this client, if it does not run yet, so that ticks come.  0, or -1. */
int redis_client_attend(struct redis_client *client);

/* Has each connection made from now on ask which server it has reached: redis_op.server.  Any thread. */
void redis_client_identify(struct redis_client *client);

/* The server that the tracking link has reached, as redis_op.server.  For the hooks. */
uint64_t redis_link_server(const struct redis_client *client);

/* Of which configuration of the sentinels, or of the cluster, that server is: greater, where it has replaced another
 * one.  0: there is no such thing.  For the hooks. */
uint64_t redis_link_epoch(const struct redis_client *client);

/* -- Lanes: base/lanes.h --------------------------------------------------------------------------- */

/* Are there several servers at a time, each with a part of the keys?  Then the link is one to each of them: it is live
 * when the first is, and ALIVE says that something has changed of what is covered, lane by lane. */
bool redis_has_lanes(const struct redis_client *client);

/* The lane of a key, and of an operation that is over.  Only where there are lanes. */
unsigned redis_lane(const struct redis_client *client, const char *key, size_t key_length);
unsigned redis_op_lane(const struct redis_op *op);

struct redis_cover {
    int64_t
        since_ms; /* every change from then on is reported; 0: not all servers of the lane have a link */
    int64_t alive_ms; /* every change up to then has been; less than since_ms: none yet */
    uint64_t server;  /* tells those servers, and what they have, from others; as redis_op.server */
};

/* What is covered now: LANES of them.  For the hooks. */
const struct redis_cover *redis_covers(const struct redis_client *client);

/* Whether there shall be a tracking link, from the next round on, with a heartbeat every beat_ms.  For the
 * tick hook. */
void redis_want_link(struct redis_client *client, bool wanted, int64_t beat_ms);

/* Has the client find out, from the next round on, whether the server answers, if nothing is under way that
 * will tell: so that it is known to be down before anybody asks it something.  For the tick hook. */
void redis_want_probe(struct redis_client *client);

enum redis_state { REDIS_STATE_IDLE, REDIS_STATE_CONNECTING, REDIS_STATE_UP, REDIS_STATE_DOWN };

/* IDLE: nothing was ever asked of it; DOWN: the breaker is open.  why (may be NULL) gets the last
 * error. */
enum redis_state redis_client_state(struct redis_client *client, char *why, size_t why_size);

/* Though it is DOWN, may a REDIS_GET be submitted that is or_stale?  A replica is there. */
bool redis_has_replica(struct redis_client *client);

/* What has been found wrong with what the URL names, as a sentence: "" for nothing. */
void redis_client_trouble(struct redis_client *client, char *text, size_t size);

/* Runs fn(context) on the I/O thread about once every interval_ms, from its start on; used by the tier
 * for tickets that nobody took.  One per process; a second call replaces the first. */
void redis_set_periodic(int64_t interval_ms, void (*fn)(void));

#endif
