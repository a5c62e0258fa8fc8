/* Slots: numbers that a real server (CLUSTER KEYSLOT of Redis 7.0) gave. */
#include "redis/slot.h"

#include <string.h>

#include "check.h"

static const struct {
    const char *key;
    unsigned slot;
} known[] = {
    {"123456789", 12739},
    {"foo", 12182},
    {"bar", 5061},
    {"hello", 866},
    {"", 0},
    {"{user1000}.following", 3443},
    {"{user1000}.followers", 3443},
    {"user1000", 3443},
    {"foo{}{bar}", 8363},
    {"foo{{bar}}zap", 4015},
    {"foo{bar}{zap}", 5061},
    {"{", 4092},
    {"}", 12090},
    {"{}", 15257},
    {"{a", 10276},
    {"a}", 5921},
    {"}{a}", 15495},
    {"{a}}", 15495},
    {"{}{a}", 13650},
    {"tandem:key:1", 1586},
    {"\xc3\xa9\xe4\xb8\xad", 2937},
};

TEST(known_slots)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        CHECK_INT(known[i].slot, slot_of("", 0, known[i].key, strlen(known[i].key)));
}

TEST(a_prefix_is_a_part_of_the_key_wherever_it_ends)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const char *key = known[i].key;
        size_t length = strlen(key);

        for (size_t n = 0; n <= length; n++)
            CHECK_INT(known[i].slot, slot_of(key, n, key + n, length - n));
    }
}

TEST(bytes_of_any_value)
{
    char bytes[256];

    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    CHECK(slot_of("", 0, bytes, sizeof(bytes)) < SLOTS);
    CHECK_INT(slot_of(bytes, 100, bytes + 100, 156), slot_of("", 0, bytes, sizeof(bytes)));
    CHECK(slot_of("", 0, "a\0b", 3) != slot_of("", 0, "a", 1));
}

TEST(prefixes_that_have_all_keys_in_one_slot)
{
    CHECK(slot_is_one("{a}:", 4));
    CHECK(slot_is_one("x{ab}y{c", 8));
    CHECK(!slot_is_one("", 0));
    CHECK(!slot_is_one("a:", 2));
    CHECK(!slot_is_one("{}:", 3));
    CHECK(!slot_is_one("{a", 2));
    CHECK(!slot_is_one("a}", 2));
    CHECK(!slot_is_one("}{", 2));
    CHECK(!slot_is_one("{}{a}", 5)); /* only the first pair counts */
}

TEST(slots_side_by_side_are_in_one_lane_and_each_lane_has_as_many)
{
    unsigned count[LANES] = {0};

    for (unsigned slot = 0; slot < SLOTS; slot++) {
        REQUIRE(slot_lane(slot) < LANES);
        count[slot_lane(slot)]++;
        if (slot % SLOTS_OF_LANE)
            CHECK_INT(slot_lane(slot - 1), slot_lane(slot));
    }
    for (unsigned lane = 0; lane < LANES; lane++)
        CHECK_INT(SLOTS_OF_LANE, count[lane]);
}

CHECK_MAIN()
