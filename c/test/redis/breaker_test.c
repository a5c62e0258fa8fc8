#include "check.h"
#include "redis/breaker.h"

TEST(is_closed_until_something_fails)
{
    struct breaker b = {0};

    CHECK(!b.open);
    breaker_success(&b);
    CHECK(!b.open);
    breaker_failure(&b, 1000, 0);
    CHECK(b.open);
    breaker_success(&b);
    CHECK(!b.open);
}

TEST(waits_twice_as_long_each_time_up_to_a_second_and_a_half)
{
    static const int64_t wait[] = {50, 100, 200, 400, 800, 1500, 1500, 1500};
    struct breaker least = {0}, most = {0};

    for (int i = 0; i < 8; i++) {
        uint32_t all = (uint32_t)(wait[i] / 2); /* the most that is added to the half */

        breaker_failure(&least, 7000, 0);
        breaker_failure(&most, 7000, all);
        CHECK_INT(7000 + wait[i] / 2, least.retry_at_ms);
        CHECK_INT(7000 + wait[i], most.retry_at_ms);
    }
}

TEST(chance_spreads_the_tries_over_half_the_wait)
{
    for (uint32_t random = 0; random < 100000; random += 7) {
        struct breaker b = {0};

        breaker_failure(&b, 0, random * 2654435761u);
        CHECK(b.retry_at_ms >= 25 && b.retry_at_ms <= 50);
    }
}

TEST(begins_anew_after_a_success)
{
    struct breaker b = {0};

    for (int i = 0; i < 1000; i++)
        breaker_failure(&b, 0, UINT32_MAX);
    CHECK(b.retry_at_ms >= 750 && b.retry_at_ms <= 1500);
    breaker_success(&b);
    breaker_failure(&b, 0, UINT32_MAX);
    CHECK(b.retry_at_ms <= 50);
}

TEST(what_fails_on_trial_is_waited_for_longer)
{
    struct breaker b = {0};

    breaker_failure(&b, 0, 0);
    CHECK_INT(25, b.retry_at_ms);
    breaker_try(&b);
    CHECK(!b.open);
    breaker_failure(&b, 0, 0);
    CHECK(b.open);
    CHECK_INT(50, b.retry_at_ms);
    breaker_try(&b);
    breaker_success(&b);
    breaker_failure(&b, 0, 0);
    CHECK_INT(25, b.retry_at_ms);
}

CHECK_MAIN()
