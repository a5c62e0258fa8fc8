/* When processes that share a segment try a Redis that is away: one at a time, ever more seldom. */
#include "memory/open.h"

enum { LONG_AGO = 1, FROM = 100000 };

TEST(the_first_may_try_and_the_others_wait)
{
    struct memory *m = open_small();
    int64_t next;

    CHECK_INT(FROM, memory_probe_try(m, FROM, 0));
    next = memory_probe_try(m, FROM, 0);
    CHECK(next >= FROM + 50 && next <= FROM + 100);
    CHECK_INT(next, memory_probe_try(m, next - 1, 0));
    CHECK_INT(next, memory_probe_try(m, next, 0));
    CHECK(memory_probe_try(m, next, 0) > next);
    memory_close(m);
}

/* Many that would all try every millisecond, for a minute. */
TEST(pauses_grow_to_a_second_and_a_half_however_many_there_are)
{
    struct memory *m = open_small();
    int64_t last = 0, longest = 0;
    int tries = 0;
    uint32_t random = 1;

    for (int64_t now = FROM; now < FROM + 60000; now++)
        for (int process = 0; process < 16; process++) {
            random = random * 1664525 + 1013904223;
            if (memory_probe_try(m, now, random >> 8) > now)
                continue;
            tries++;
            if (last && now - last > longest)
                longest = now - last;
            last = now;
        }
    CHECK(longest <= 1500 && longest > 1000);
    CHECK(tries >= 40 && tries <= 5 + 60000 / 750);
    memory_close(m);
}

TEST(after_a_while_an_outage_is_a_new_one)
{
    struct memory *m = open_small();
    int64_t now = FROM;

    for (int i = 0; i < 20; i++)
        now = memory_probe_try(m, memory_probe_try(m, now, 0), 0);
    now += 5000;
    CHECK_INT(now, memory_probe_try(m, now, 0));
    CHECK(memory_probe_try(m, now, 0) <= now + 100);
    memory_close(m);
}

TEST(a_time_that_cannot_be_is_not_waited_for)
{
    struct memory *m = open_small();

    CHECK_INT(FROM, memory_probe_try(m, FROM, 0));
    CHECK_INT(LONG_AGO, memory_probe_try(m, LONG_AGO, 0));
    memory_close(m);
}

TEST(who_has_got_through_says_so)
{
    struct memory *m = open_small();

    CHECK(!memory_probe_reached(m, LONG_AGO));
    memory_probe_reach(m, FROM);
    CHECK(memory_probe_reached(m, FROM - 1));
    CHECK(!memory_probe_reached(m, FROM)); /* it may have been before that */
    memory_close(m);
}

CHECK_MAIN()
