/*
 * near.h: what a handle lends to its caller's near table.
 */
#ifndef TANDEM_TIER_NEAR_H
#define TANDEM_TIER_NEAR_H

#include "tandem.h"

/* Gives the handle's counter back, if this process has claimed it. */
void near_leave(tandem_cache *cache);

#endif
