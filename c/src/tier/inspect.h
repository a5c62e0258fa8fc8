/*
 * inspect.h: a segment seen from outside: mapped read-only, with no handle on its cache.
 */
#ifndef TANDEM_TIER_INSPECT_H
#define TANDEM_TIER_INSPECT_H

#include "memory/memory.h"
#include "tandem.h"

struct tandem_segment {
    struct memory *memory;
};

/* These say what the functions of tandem.h say. */
int inspect_open(const char *path, tandem_segment **segment, tandem_description *description,
                 char *error, size_t error_size);
void inspect_close(tandem_segment *segment);
int inspect_peek(tandem_segment *segment, const char *key, size_t key_length, void *buffer,
                 size_t size, tandem_result *result);
bool inspect_verify(tandem_segment *segment, uint32_t shard, tandem_findings *findings);

#endif
