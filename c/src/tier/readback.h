/*
 * readback.h: own writes, read back.
 *
 * A write of this host was stored provisionally, because its own message may come before or after its
 * acknowledgement.  A moment later the key is asked for on the same connection, so after the write: what
 * the answer says, if nothing happened meanwhile, is stored for good.  The I/O thread's alone.
 */
#ifndef TANDEM_TIER_READBACK_H
#define TANDEM_TIER_READBACK_H

#include "tier/freshness.h"

struct tier;
struct request;
struct readback_write;

struct readback {
    struct readback_write *first, **end;
    unsigned count;
};

void readback_init(struct readback *readback);

/* Forgets what was to be read back. */
void readback_clear(struct readback *readback);

/* A write of this key was stored provisionally: it is to be read back soon. */
void readback_later(struct tier *tier, const char *key, size_t key_length,
                    const struct freshness_rules *rules);

/* Asks for what is due.  When the next is (INT64_MAX: none). */
int64_t readback_tick(struct tier *tier, int64_t now_ms);

/* The answer. */
void readback_done(struct tier *tier, struct request *request);

#endif
