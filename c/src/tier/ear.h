/*
 * ear.h: calls that wait for a flight.  Private to the tier room.
 */
#ifndef TANDEM_TIER_EAR_H
#define TANDEM_TIER_EAR_H

#include "tier/tier.h"

/* Lets a call wait for a flight, which must be awaited (memory_flight_begin), until deadline_ms.  Its
 * outcome goes to slip, which is used up: also when it is there already.  False: no memory, or no thread to
 * be had; the slip is left alone. */
bool ear_wait(struct tier *tier, const struct memory_flight *flight, int64_t deadline_ms,
              struct mailbox_slip *slip);

/* Tells those of this process who wait for flights that have ended.  is_alive: the owners of the others are
 * looked for, too. */
void ear_look(struct tier *tier, bool is_alive);

/* The ear has ended: so has all waiting. */
void ear_drop_all(struct tier *tier);

#endif
