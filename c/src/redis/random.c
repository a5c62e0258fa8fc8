#include "redis/random.h"

#include <sys/random.h>

#include "base/clock.h"

uint32_t random_32(void)
{
    uint32_t n = 0;

    if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
        n = (uint32_t)clock_now_us() * 2654435761u;
    return n;
}
