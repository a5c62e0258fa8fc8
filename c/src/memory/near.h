/*
 * near.h: near hits over all processes.  What near tables need is in memory.h.
 */
#ifndef TANDEM_MEMORY_NEAR_H
#define TANDEM_MEMORY_NEAR_H

struct memory;

double near_hits(const struct memory *m);

#endif
