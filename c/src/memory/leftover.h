/*
 * leftover.h: files of processes that were killed.
 *
 * Whoever makes a segment's file, or meets others in one, has a lock on it, which goes with the process
 * whatever becomes of its pid.  So a file that can be locked alone is nobody's.
 */
#ifndef TANDEM_MEMORY_LEFTOVER_H
#define TANDEM_MEMORY_LEFTOVER_H

#include <stdbool.h>

/* Is the file that is open still the one of that name? */
bool leftover_is_named(int fd, const char *path);

/* Removes what was begun in the place of a file (segment.c), and never became it. */
void leftover_remove_begun(const char *path);

/* Removes, in a folder of our own, files in which nobody meets any more, and what was begun in their
 * place. */
void leftover_remove_met(const char *directory);

#endif
