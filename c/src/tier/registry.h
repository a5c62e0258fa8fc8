/*
 * registry.h: the tiers of this process.  A configuration that is loaded anew finds the ones that are
 * in use here, so a reload keeps its segment and its connection.
 */
#ifndef TANDEM_TIER_REGISTRY_H
#define TANDEM_TIER_REGISTRY_H

#include <stddef.h>

#include "tier/tier.h"

struct registry_config {
    struct memory_config memory; /* its identity is made here */
    struct redis_config redis;   /* url NULL: memory only */
    const char *codec;
};

/* The tier of this identity and connection, made if need be; to be given back with registry_leave.
 * TANDEM_OK; TANDEM_EINVAL (the URL) or TANDEM_ESYS with a sentence in error. */
int registry_join(const struct registry_config *config, struct tier **tier, char *error,
                  size_t error_size);

/* A tier of its own on the segment in a file that others have made.  TANDEM_EINVAL also when that belongs to a
 * cache with another Redis. */
int registry_attach(const char *path, const struct registry_config *config, struct tier **tier,
                    char *error, size_t error_size);

/* Does not wait: what is under way still ends, and the last of it frees the tier. */
void registry_leave(struct tier *tier);

/* For process.c. */
void registry_after_fork(void);

#endif
