/*
 * segment.h: making, mapping and recognising segments.
 *
 * A segment is anonymous, inherited by fork, or a file.  A file is written whole under another name and
 * then linked to its own, so that nobody ever sees half of one, and is never truncated or initialised
 * again.  What to do with a file that is there:
 *
 *   not one of ours, or cut short           refused
 *   of another cache                        refused, naming it
 *   of another boot, build or size rules    replaced: nobody can use it any more; those who still do
 *                                           keep the old one, which is marked superseded
 *   else                                    attached to
 */
#ifndef TANDEM_MEMORY_SEGMENT_H
#define TANDEM_MEMORY_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/layout.h"

struct segment_config {
    const char *name;
    const char *identity;
    uint64_t bytes;
    struct layout_wants wants;
};

/* Each returns the mapping, or NULL with a sentence in error. */
struct layout_header *segment_make(const struct segment_config *config, char *error,
                                   size_t error_size);
struct layout_header *segment_meet(const struct segment_config *config, const char *path,
                                   char *error, size_t error_size);

/* The segment in a file that somebody else has made, for whatever cache, if it is of this boot, build and
 * size rules.  Nothing in it is believed but what has been checked; description says what that is. */
struct memory_description;
struct layout_header *segment_find(const char *path, bool read_only,
                                   struct memory_description *description, char *error,
                                   size_t error_size);

void segment_unmap(struct layout_header *header, uint64_t bytes);

#endif
