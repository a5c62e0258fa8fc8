/*
 * topology.h: which one is the master that the sentinels of a URL name, and a replica of it.  docs/topology.md says how,
 * and why.
 *
 * Whoever has asked (topology_ask) waits until there is an answer or a failure more.  From then on one of the
 * sentinels is watched, and when it names another master there is another answer.  The I/O thread's.
 */
#ifndef TANDEM_REDIS_TOPOLOGY_H
#define TANDEM_REDIS_TOPOLOGY_H

#include "redis/breaker.h"
#include "redis/sentinel.h"

struct topology {
    struct sentinel_config config;
    struct sentinel sentinel;
    bool active;             /* somebody has asked */
    struct url master;       /* host and port of the last good answer; no host: none yet */
    struct url_seed replica; /* one of that one's; port 0: none is known */
    uint64_t epoch;          /* of the configuration that it is from */
    unsigned answers;        /* good ones */
    unsigned failures;       /* of all sentinels, one after the other */
    int at;                  /* which sentinel it is */
    int passed,
        behind; /* how many have been passed over, and are behind, since the last good answer */
    struct breaker breaker;
    bool resting;
    bool met;         /* reason is of one that is there */
    char reason[200]; /* of a failure */
};

/* NULL: no memory.  url, addresses (where there are any) and name are kept. */
struct topology *topology_create(const struct url *url, const struct address_map *addresses,
                                 const char *name, int64_t connect_timeout_ms, int64_t timeout_ms);

/* Closes and frees.  NULL is fine. */
void topology_free(struct topology *topology);

/* In a child: what was known is known, and is to be asked anew. */
void topology_after_fork(struct topology *topology);

/* Has the sentinels asked, unless they are at this moment. */
void topology_ask(struct topology *topology, int64_t now_ms);

/* One round. */
void topology_round(struct topology *topology, uint32_t events, int64_t now_ms);

/* When it wants the next round at the latest. */
int64_t topology_next(const struct topology *topology);

/* The answer to ROLE: of a master?  If not, why says what it is. */
bool topology_is_master(const redisReply *reply, char *why, size_t size);

#endif
