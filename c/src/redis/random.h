/*
 * random.h: bits for jitter; not for secrets.
 */
#ifndef TANDEM_REDIS_RANDOM_H
#define TANDEM_REDIS_RANDOM_H

#include <stdint.h>

uint32_t random_32(void);

#endif
