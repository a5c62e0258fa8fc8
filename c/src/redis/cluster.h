/*
 * cluster.h: a client of a Redis Cluster.  Each of its nodes is a client of one server, as client.h has it: queue,
 * pipeline, connection, breaker and link are its own.  What is submitted to the cluster is routed to the node that has
 * the key's slot; what a node sends elsewhere (MOVED, ASK) comes back and is routed again.  docs/topology.md says how,
 * and why.
 *
 *   redis_submit ─► the client's queue ─► cluster_route.c ─► a node's queue ─► the node's done hook ─► done hook
 *                                              ▲     held, in order     │
 *                                              └──── sent elsewhere ◄───┘
 *
 * The I/O thread's alone.
 */
#ifndef TANDEM_REDIS_CLUSTER_H
#define TANDEM_REDIS_CLUSTER_H

#include "redis/breaker.h"
#include "redis/op_list.h"
#include "redis/slot_map.h"

enum { CLUSTER_NODES = 2 * SLOT_MAP_NODES + 64 }; /* with a replica of each master */

struct cluster;

/* Why a replica is asked. */
enum cluster_replica {
    CLUSTER_MASTER,  /* it is not */
    CLUSTER_INSTEAD, /* its master is away */
    CLUSTER_FIRST    /* it has what its master has */
};

/* How far a master had come. */
struct cluster_sample {
    int64_t ms; /* when it was asked; 0: it has not been */
    int64_t offset;
    uint64_t history; /* as redis_op.history */
};

/* What a master's replica has: cluster_proof.c. */
struct cluster_proof {
    int64_t as_of_ms;                /* all that its master had then; 0: nobody knows */
    int64_t offset;                  /* and how far that was */
    uint64_t server;                 /* if it is still this one */
    struct cluster_sample sample[3]; /* the master's, the latest first */
    bool under_way;
    int64_t next_ms; /* it is not begun again before that */
};

struct cluster_node {
    struct cluster *cluster;
    unsigned number;
    struct redis_client *client;
    unsigned slots;          /* how many it has, by the map */
    int64_t used_ms;         /* when it was last given something */
    bool unheard;            /* it is of the URL, and has not said yet what it knows */
    bool is_replica;         /* to be read from: cluster_replica.c */
    struct url_seed replica; /* a master's; port 0: none is known */

    struct cluster_proof proof; /* a master's: what that one has */

    /* Its tracking link: cluster_cover.c. */
    int64_t since_ms, alive_ms; /* what that covers; since 0: it is not live */
    int64_t check_sent_ms, checked_ms;
    uint64_t told; /* which epoch it knew then */
    bool well;     /* and that the cluster is, it said */
    bool cut_off;  /* though most others did */
    bool checking;
};

struct cluster {
    struct redis_client *client;
    struct cluster_node *node[CLUSTER_NODES]; /* with holes */
    unsigned count;                           /* all are below it */

    /* Slots, and one more for what has none. */
    uint16_t owner[SLOTS]; /* a node's number; SLOT_MAP_NOBODY */
    uint16_t
        mapped[SLOTS]; /* the same by the map alone, before a node has sent something elsewhere */
    uint16_t busy[SLOTS + 1];    /* how many operations are with a node */
    uint16_t with[SLOTS];        /* that node's number */
    uint16_t writing[SLOTS + 1]; /* how many of them may change a key */
    uint16_t held[SLOTS + 1];    /* how many wait here */
    struct op_list returned,     /* sent elsewhere */
        arrived;                 /* behind those, or before there is a map */
    int64_t pause_ms;            /* until then what is held stays */
    int64_t held_ms;             /* when one of those is overdue */

    /* The map: cluster_map.c. */
    bool known, wanted, asked, failed;
    unsigned answers, failures; /* of the sentinels, where these tell it: cluster_sentinel.c */
    int64_t give_up_ms;         /* when those that were asked first have had their time */
    bool lenient;               /* all have been passed over: the next who answers is believed */
    uint64_t epoch, hash;       /* of what is known */
    unsigned at, passed;        /* who is asked next, and how many have been, without success */
    unsigned behind_other;      /* where the next attempt begins, if not 0 */
    int64_t ask_ms, again_ms;   /* no sooner, and in any case */
    int64_t changed_ms;         /* when what is known was last another */
    int64_t heard_ms;           /* when a node of this cluster last told of it */
    struct slot_members members;
    bool others_told; /* that the URL names nodes of another one, too */
    struct breaker breaker;
    uint64_t choice; /* by which one of a master's replicas is chosen */
    char reason[200];

    /* What the links of the masters cover: cluster_cover.c. */
    bool covering;       /* one of them is live */
    bool cover_changed;  /* something that follows may be another now */
    bool divided[LANES]; /* its slots are not all one node's */
    struct redis_cover cover[LANES];

    bool soon; /* another round is due at once */
};

/* -- For the client -------------------------------------------------------------------------------- */

/* NULL: no memory. */
struct cluster *cluster_create(struct redis_client *client);
void cluster_after_fork(struct cluster *cluster);

/* Ends the nodes; and frees the rest.  NULL is fine. */
void cluster_end(struct cluster *cluster);
void cluster_free(struct cluster *cluster);

/* Before the rounds of the nodes, and after them: when the next one is due at the latest. */
void cluster_begin_round(struct cluster *cluster, int64_t now_ms);
int64_t cluster_end_round(struct cluster *cluster, int64_t now_ms);

/* As pipeline_forsake_reads. */
void cluster_forsake_reads(struct cluster *cluster, int64_t now_ms);

/* -- Nodes: cluster.c ------------------------------------------------------------------------------ */

/* The node there, which may be new.  NULL: no memory, or there are too many. */
struct cluster_node *cluster_node_at(struct cluster *cluster, const char *host, int port,
                                     int64_t now_ms);

/* The same, as another node tells of it: host "" is that of the one that tells. */
struct cluster_node *cluster_node_told(struct cluster_node *by, const struct url_seed *address,
                                       int64_t now_ms);

/* The same, to be read from, though it may be no master. */
struct cluster_node *cluster_replica_at(struct cluster *cluster, const struct url_seed *address,
                                        int64_t now_ms);

/* Where a node is that another one tells of. */
struct url_seed cluster_address(const struct cluster_node *by, const struct url_seed *told);

/* Queues an operation there.  False: the node is down; the operation's error says why. */
bool cluster_give(struct cluster_node *node, struct redis_op *op, int64_t now_ms);

/* A key (NULL: any of them) has been changed. */
void cluster_invalidate(struct cluster *cluster, const char *key, size_t key_length);

/* An operation of the room's own.  NULL: no memory. */
struct redis_op *cluster_op(enum redis_kind kind, int64_t deadline_ms);

/* Is it one that is asked for what it has? */
static inline bool cluster_is_master(const struct cluster_node *node)
{
    return node && node->slots > 0;
}

/* -- Routing: cluster_route.c ---------------------------------------------------------------------- */

/* Sends it to where it belongs, or holds it. */
void cluster_arrive(struct cluster *cluster, struct redis_op *op, int64_t now_ms);

/* A node has answered, or has failed to. */
void cluster_returned(struct cluster_node *node, struct redis_op *op, int64_t now_ms);

/* The master that has a slot, as far as is known.  NULL: none. */
struct cluster_node *cluster_owner(const struct cluster *cluster, unsigned slot);

/* It is over. */
void cluster_finish(struct cluster *cluster, struct redis_op *op);
void cluster_finish_as(struct cluster *cluster, struct redis_op *op, enum redis_status status,
                       const char *reason);

/* Sends what is held and need not be any longer; ends what is overdue. */
void cluster_release(struct cluster *cluster, int64_t now_ms);

/* Ends all that is held, unsent. */
void cluster_reject(struct cluster *cluster, const char *reason);

/* -- Replicas: cluster_replica.c, cluster_proof.c -------------------------------------------------- */

/* What a master is to be asked is asked of its replica, if that has what it takes: true. */
bool cluster_prefer_replica(struct cluster_node *master, struct redis_op *op, int64_t now_ms);

/* What a master that is away was to be asked is asked of its replica, if that will do: true. */
bool cluster_ask_replica(struct cluster_node *master, struct redis_op *op, int64_t now_ms);

void cluster_replica_answered(struct cluster_node *node, struct redis_op *op, int64_t now_ms);

/* Something that it takes to read from replicas has been refused: if that is for good the user is to know. */
void cluster_replica_refused(struct cluster *cluster, const struct redis_op *op);

/* It is found out what a master's replica has, if that has not been done of late. */
void cluster_proof_want(struct cluster_node *master, int64_t now_ms);

/* What is known of that does not hold any more; nor is it to be found out for a while. */
void cluster_proof_end(struct cluster_node *master);
void cluster_proof_shun(struct cluster_node *master, int64_t now_ms);

/* A master has said how far it is, or its replica. */
void cluster_proof_told(struct cluster_node *node, const struct redis_op *op, int64_t now_ms);

/* -- Walks: cluster_walk.c ------------------------------------------------------------------------- */

/* A page of keys: of the node that its cursor names.  The last three digits of a cursor are the node's number. */
void cluster_walk(struct cluster *cluster, struct redis_op *op, int64_t now_ms);

/* A node has answered with a page, or failed to. */
void cluster_walk_page(struct cluster_node *node, struct redis_op *op, int64_t now_ms);

/* One of a page's keys has been unlinked, or not. */
void cluster_walk_unlinked(struct cluster *cluster, struct redis_op *op);

/* -- Which cluster it is: cluster_other.c ---------------------------------------------------------- */

/* Is what this node tells the map of another cluster, which is not to be taken?  Then reason says so.  last: all others
 * have been asked, and none knows more. */
bool cluster_is_other(struct cluster_node *node, const struct slot_map *map, bool last,
                      int64_t now_ms, char *reason, size_t size);

/* -- The map: cluster_map.c ------------------------------------------------------------------------ */

void cluster_map_round(struct cluster *cluster, int64_t now_ms);
void cluster_map_answered(struct cluster_node *node, struct redis_op *op, int64_t now_ms);

/* This is the map from now on; number: of each of its nodes, ours. */
void cluster_map_take(struct cluster *cluster, const struct slot_map *map, const uint16_t *number,
                      int64_t now_ms);

/* Nobody tells it. */
void cluster_map_fail(struct cluster *cluster, const char *reason, int64_t now_ms);

/* This is a master's replica from now on; port 0: it has none. */
void cluster_map_replica(struct cluster_node *master, const struct url_seed *replica);

/* The same as sentinels tell it: cluster_sentinel.c. */
void cluster_sentinel_ask(struct cluster *cluster, int64_t now_ms);
void cluster_sentinel_round(struct cluster *cluster, uint32_t events, int64_t now_ms);

/* -- Coherence: cluster_cover.c -------------------------------------------------------------------- */

void cluster_cover_link(struct cluster_node *node, enum redis_link_event event, int64_t at_ms,
                        const char *why);
void cluster_cover_round(struct cluster *cluster, int64_t now_ms);
void cluster_cover_checked(struct cluster_node *node, const struct redis_op *op);

/* This is the map from now on. */
void cluster_cover_map(struct cluster *cluster, const struct slot_map *map, const uint16_t *number);

/* What redis_op.server is to be for an answer of this node about that slot. */
uint64_t cluster_cover_server(struct cluster_node *node, unsigned slot, uint64_t server);

#endif
