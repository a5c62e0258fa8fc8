#include "redis/breaker.h"

enum { FIRST_MS = 50, MOST_MS = 1500 };

void breaker_try(struct breaker *breaker)
{
    breaker->open = false;
}

void breaker_success(struct breaker *breaker)
{
    *breaker = (struct breaker){0};
}

void breaker_failure(struct breaker *breaker, int64_t now_ms, uint32_t random)
{
    int64_t wait = MOST_MS;

    if (breaker->failures < 5)
        wait = FIRST_MS << breaker->failures;
    breaker->open = true;
    breaker->failures++;
    breaker->retry_at_ms = now_ms + wait / 2 + random % (wait / 2 + 1);
}
