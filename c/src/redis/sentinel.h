/*
 * sentinel.h: the connection to one of the sentinels: where is the master, and from when on is it another?
 *
 *   SENTINEL GET-MASTER-ADDR-BY-NAME, SENTINEL MASTER (and REPLICAS), SUBSCRIBE +switch-master +promoted-slave ─► answered, and
 *   watched from then on: with a heartbeat (a SUBSCRIBE again); a message, or ten seconds, have it asked once more
 *
 * The sentinel that leads a failover names the new master as soon as it is one (+promoted-slave), and says so to
 * subscribers of +switch-master only when the other replicas follow, which may be minutes later.
 *
 * RESP2: to be asked again, a subscribed connection unsubscribes first.  The I/O thread's alone.
 */
#ifndef TANDEM_REDIS_SENTINEL_H
#define TANDEM_REDIS_SENTINEL_H

#include "redis/address_map.h"
#include "redis/dial.h"

enum sentinel_phase {
    SENTINEL_OFF,
    SENTINEL_DIALLING,
    SENTINEL_ASKING, /* up to the acknowledgement of the subscription behind the question */
    SENTINEL_WATCHING
};

struct sentinel_config {
    const struct url *url; /* with the master's name, and the password, should one be wanted */
    const struct address_map *addresses; /* by which the master is called, or NULL */
    const char *name;                    /* of ours, or NULL */
    uint64_t choice; /* by which one of the replicas is chosen; 0: none is asked for */
    int64_t connect_timeout_ms, timeout_ms;
};

struct sentinel {
    const struct sentinel_config *config;
    enum sentinel_phase phase;
    struct conn conn;
    struct dial dial;
    struct url node;    /* where this sentinel is */
    bool with_password; /* it has asked for it */
    bool switched;      /* a message says that there is another master: to be asked */
    int64_t give_up_ms; /* when an answer is overdue; 0: none is due */
    int64_t next_beat_ms, next_ask_ms;
    struct url master;       /* the answer: host and port */
    struct url_seed replica; /* and one of its replicas; port 0: none that is well */
    uint64_t epoch;          /* of its configuration; 0: not known */
    bool met;                /* what failed is a server, and it has said something */
    char reason[200];        /* of a failure */
};

enum sentinel_event { SENTINEL_NOTHING, SENTINEL_ANSWERED, SENTINEL_FAILED };

/* Begins with another one.  False: it has failed already. */
bool sentinel_begin(struct sentinel *sentinel, const struct url_seed *seed, int64_t now_ms);

/* Asks again, if it is there and has answered. */
void sentinel_ask(struct sentinel *sentinel, int64_t now_ms);

/* One round.  After a failure it is closed. */
enum sentinel_event sentinel_round(struct sentinel *sentinel, uint32_t events, int64_t now_ms);

/* When it wants the next round at the latest, and what to watch for. */
int64_t sentinel_next(const struct sentinel *sentinel);
uint32_t sentinel_events(const struct sentinel *sentinel);

void sentinel_close(struct sentinel *sentinel);

/* As conn_forget. */
void sentinel_after_fork(struct sentinel *sentinel);

#endif
