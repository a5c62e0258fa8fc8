#include "memory/record.h"

#include "check.h"
#include "memory/layout.h"

enum { WORDS = 64, GUARD = 0x5a };

static void fill(unsigned char *bytes, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(seed + i * 37);
}

static void round_trip(size_t key_length, size_t value_length, uint32_t flags)
{
    unsigned char key[64], value[200], got[201];
    _Atomic uint64_t words[WORDS];
    struct record in = {{123456789, 987654321, 0xdeadbeef, flags}, key_length, value_length, 77, 0};
    struct record out;

    fill(key, sizeof(key), 1);
    fill(value, sizeof(value), 99);
    memset((void *)words, GUARD, sizeof(words));
    in.units = record_units(key_length, value_length, flags);
    record_store(words, &in, key, value);
    CHECK(((unsigned char *)words)[in.units * 8] == GUARD);

    REQUIRE(record_load(words, in.units, &out));
    CHECK_INT(123456789, out.attributes.expires_ms);
    CHECK_INT(flags & MEMORY_FROM_REDIS ? 987654321 : 0, out.attributes.fresh_until_ms);
    CHECK_INT(0xdeadbeef, out.attributes.epoch);
    CHECK_INT(flags, out.attributes.flags);
    CHECK_INT(77, out.slot);
    CHECK_INT(key_length, out.key_length);
    CHECK_INT(value_length, out.value_length);
    CHECK(record_has_key(words, &out, key, key_length));
    if (key_length) {
        key[key_length - 1] ^= 1;
        CHECK(!record_has_key(words, &out, key, key_length));
        key[key_length - 1] ^= 1;
        CHECK(!record_has_key(words, &out, key, key_length - 1));
    }
    memset(got, GUARD, sizeof(got));
    record_copy_value(words, &out, got);
    CHECK_MEM(value, got, value_length);
    CHECK(got[value_length] == GUARD);
    memset(got, GUARD, sizeof(got));
    record_copy_key(words, &out, got);
    CHECK_MEM(key, got, key_length);
    CHECK(got[key_length] == GUARD);
}

TEST(every_alignment_round_trips)
{
    for (size_t key = 1; key <= 40; key++)
        for (size_t value = 0; value <= 40; value++)
            round_trip(key, value, value % 2 ? MEMORY_FROM_REDIS : 0);
    round_trip(64, 200, MEMORY_FROM_REDIS | MEMORY_CAPPED);
}

TEST(lengths_that_do_not_fit_are_refused)
{
    _Atomic uint64_t words[WORDS];
    struct record in = {{0}, 10, 100, 0, record_units(10, 100, 0)}, out;

    record_store(words, &in, "0123456789", (char[100]){0});
    CHECK(record_load(words, in.units, &out));
    CHECK(!record_load(words, in.units - 1, &out));
    CHECK(!record_load(words, in.units + 1, &out));
    CHECK(!record_load(words, 2, &out));
    memset((void *)words, 0xff, sizeof(words));
    CHECK(!record_load(words, in.units, &out));
}

TEST(moving_down_may_overlap)
{
    _Atomic uint64_t words[WORDS];
    unsigned char value[200], got[200];
    struct record in = {{0}, 3, 200, 5, record_units(3, 200, 0)}, out;

    fill(value, sizeof(value), 7);
    record_store(words + 9, &in, "key", value);
    record_move(words + 2, words + 9, in.units);
    REQUIRE(record_load(words + 2, in.units, &out));
    record_copy_value(words + 2, &out, got);
    CHECK_MEM(value, got, sizeof(value));
}

CHECK_MAIN()
