#include "tier/freshness.h"

#include "check.h"

/* memory_ttl 10 s, max_stale 2 s. */
static const struct freshness_rules tracked = {10000, 0, 2000, 500, true};
static const struct freshness_rules untracked = {10000, 0, 2000, 500, false};

static struct memory_entry entry_of(struct memory_attributes attributes, bool epoch_holds)
{
    struct memory_entry entry = {.attributes = attributes, .epoch_holds = epoch_holds};

    return entry;
}

static enum freshness judge(struct memory_attributes attributes, int64_t now_ms)
{
    struct memory_entry entry = entry_of(attributes, true);

    return freshness_judge(&entry, 0, now_ms);
}

TEST(a_key_with_a_short_ttl_keeps_it)
{
    struct memory_attributes a = freshness_attributes(&tracked, 1000, 1500, false);

    CHECK_INT(2500, a.expires_ms);
    CHECK_INT(2500, a.fresh_until_ms);
    CHECK_INT(MEMORY_FROM_REDIS, a.flags);
}

TEST(a_ttl_longer_than_max_stale_is_fresh_for_max_stale)
{
    struct memory_attributes a = freshness_attributes(&tracked, 1000, 5000, false);

    CHECK_INT(6000, a.expires_ms);
    CHECK_INT(3000, a.fresh_until_ms);
    CHECK_INT(MEMORY_FROM_REDIS, a.flags);
}

TEST(a_ttl_of_exactly_memory_ttl_is_not_capped)
{
    struct memory_attributes a = freshness_attributes(&tracked, 1000, 10000, false);

    CHECK_INT(11000, a.expires_ms);
    CHECK_INT(MEMORY_FROM_REDIS, a.flags);
    a = freshness_attributes(&tracked, 1000, 10001, false);
    CHECK_INT(11000, a.expires_ms);
    CHECK_INT(MEMORY_FROM_REDIS | MEMORY_CAPPED, a.flags);
}

TEST(a_key_without_expiry_is_capped_by_memory_ttl)
{
    struct memory_attributes a = freshness_attributes(&tracked, 1000, -1, false);

    CHECK_INT(11000, a.expires_ms);
    CHECK_INT(3000, a.fresh_until_ms);
    CHECK_INT(MEMORY_FROM_REDIS | MEMORY_CAPPED, a.flags);
}

TEST(without_tracking_an_entry_is_fresh_for_memory_ttl)
{
    struct memory_attributes a = freshness_attributes(&untracked, 1000, -1, false);

    CHECK_INT(11000, a.expires_ms);
    CHECK_INT(11000, a.fresh_until_ms);
    a = freshness_attributes(&untracked, 1000, 7000, false);
    CHECK_INT(8000, a.expires_ms);
    CHECK_INT(8000, a.fresh_until_ms);
}

TEST(max_stale_beyond_memory_ttl_does_not_lengthen_anything)
{
    const struct freshness_rules rules = {1000, 0, 50000, 500, true};
    struct memory_attributes a = freshness_attributes(&rules, 1000, -1, false);

    CHECK_INT(2000, a.expires_ms);
    CHECK_INT(2000, a.fresh_until_ms);
}

TEST(max_stale_zero_is_never_fresh)
{
    const struct freshness_rules rules = {10000, 0, 0, 500, true};
    struct memory_attributes a = freshness_attributes(&rules, 1000, 5000, false);

    CHECK_INT(FRESHNESS_STALE, judge(a, 1000));
    CHECK_INT(FRESHNESS_STALE, judge(a, 5999));
    CHECK_INT(FRESHNESS_GONE, judge(a, 6000));
}

/* PTTL answers 0 in a key's last millisecond; that is not "for ever". */
TEST(a_ttl_of_zero_is_over_at_once)
{
    struct memory_attributes a = freshness_attributes(&tracked, 1000, 0, false);

    CHECK_INT(1000, a.expires_ms);
    CHECK_INT(FRESHNESS_GONE, judge(a, 1000));
    CHECK_INT(0, a.flags & MEMORY_CAPPED);
}

TEST(fresh_then_stale_then_gone_each_from_its_millisecond_on)
{
    struct memory_attributes a = freshness_attributes(&tracked, 1000, 5000, false);

    CHECK_INT(FRESHNESS_FRESH, judge(a, 1000));
    CHECK_INT(FRESHNESS_FRESH, judge(a, 2999));
    CHECK_INT(FRESHNESS_STALE, judge(a, 3000));
    CHECK_INT(FRESHNESS_STALE, judge(a, 5999));
    CHECK_INT(FRESHNESS_GONE, judge(a, 6000));
}

TEST(an_older_epoch_is_stale_but_not_gone)
{
    struct memory_entry entry = entry_of(freshness_attributes(&tracked, 1000, 5000, false), false);

    CHECK_INT(FRESHNESS_STALE, freshness_judge(&entry, 0, 1001));
    CHECK_INT(FRESHNESS_GONE, freshness_judge(&entry, 0, 6000));
}

TEST(an_entry_of_memory_alone_has_no_freshness_and_no_epoch)
{
    struct memory_entry entry = entry_of(freshness_memory_only(1000, 500), false);

    CHECK_INT(0, entry.attributes.flags);
    CHECK_INT(FRESHNESS_FRESH, freshness_judge(&entry, 0, 1499));
    CHECK_INT(FRESHNESS_GONE, freshness_judge(&entry, 0, 1500));
    entry = entry_of(freshness_memory_only(1000, 0), false);
    CHECK_INT(0, entry.attributes.expires_ms);
    CHECK_INT(FRESHNESS_FRESH, freshness_judge(&entry, 0, INT64_MAX));
}

/* Tests may move the clock below zero; 0 must not come out, for that means "never". */
TEST(no_sum_of_times_turns_into_never)
{
    struct memory_attributes a = freshness_attributes(&tracked, -1500, 1500, false);

    CHECK_INT(1, a.expires_ms);
    CHECK_INT(1, a.fresh_until_ms);
    a = freshness_memory_only(-500, 500);
    CHECK_INT(1, a.expires_ms);
}

TEST(with_a_link_an_entry_is_fresh_while_the_lease_runs)
{
    struct memory_attributes a = freshness_attributes(&tracked, 1000, -1, true);
    struct memory_entry entry = {.attributes = a, .epoch_holds = true};

    CHECK_INT(MEMORY_FROM_REDIS | MEMORY_CAPPED | MEMORY_LEASED, a.flags);
    CHECK_INT(11000, a.fresh_until_ms);
    CHECK_INT(FRESHNESS_FRESH, freshness_judge(&entry, 5000, 4999));
    CHECK_INT(FRESHNESS_STALE, freshness_judge(&entry, 5000, 5000));
    CHECK_INT(FRESHNESS_STALE, freshness_judge(&entry, 0, 1001));
    CHECK_INT(FRESHNESS_GONE, freshness_judge(&entry, 90000, 11000));
    entry.epoch_holds = false;
    CHECK_INT(FRESHNESS_STALE, freshness_judge(&entry, 5000, 1001));
}

TEST(a_provisional_write_is_fresh_for_its_time_or_its_ttl)
{
    struct memory_attributes a = freshness_provisional(&tracked, 1000, -1, true, 500);

    CHECK_INT(MEMORY_FROM_REDIS | MEMORY_CAPPED | MEMORY_LEASED | MEMORY_PROVISIONAL, a.flags);
    CHECK_INT(11000, a.expires_ms);
    CHECK_INT(1500, a.fresh_until_ms);
    a = freshness_provisional(&tracked, 1000, 300, true, 500);
    CHECK_INT(MEMORY_FROM_REDIS | MEMORY_LEASED | MEMORY_PROVISIONAL, a.flags);
    CHECK_INT(1300, a.expires_ms);
    CHECK_INT(1300, a.fresh_until_ms);
}

CHECK_MAIN()
