/*
 * owner.h: processes by number, in words of the segment that say whose something is.
 */
#ifndef TANDEM_MEMORY_OWNER_H
#define TANDEM_MEMORY_OWNER_H

#include <stdbool.h>
#include <stdint.h>

/* This process: its pid, and the namespace in which that says something. */
uint64_t owner_self(void);

/* Is that process certainly gone?  self: owner_self().  In another namespace, or where its number has been
 * given to another process since, it cannot be told. */
bool owner_is_dead(uint64_t owner, uint64_t self);

#endif
