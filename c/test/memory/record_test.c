#include "memory/record.h"

#include "open.h"

enum { GUARD = 0x5a };

static struct memory *m;

/* A log whose pages lie in no order at all. */
static void scatter(void)
{
    m = open_small();
    for (uint32_t i = 0; i < m->layout.table_length; i++)
        atomic_store(pages_table(m, 0) + i, (uint16_t)((i * 7 + 3) % m->layout.pages));
}

static void fill(unsigned char *bytes, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(seed + i * 37);
}

static uint64_t *word_at(struct pages_place place, uint64_t units)
{
    place.offset += units;
    return (uint64_t *)(void *)pages_run_at(m, &place).words;
}

static void round_trip(uint64_t offset, size_t key_length, size_t value_length, uint32_t flags)
{
    static unsigned char key[64], value[5000], got[5001];
    struct pages_place place = {0, LOG_SMALL, offset};
    struct record in = {.attributes = {.expires_ms = 123456789,
                                       .fresh_until_ms = 987654321,
                                       .epoch = 0xdeadbeef,
                                       .flags = flags},
                        .key_length = key_length,
                        .value_length = value_length,
                        .bucket = 2,
                        .used = 0xabcdef};
    struct record out;

    fill(key, sizeof(key), 1);
    fill(value, sizeof(value), 99);
    in.units = record_units(key_length, value_length, flags, 0) + 3;
    *word_at(place, in.units - 3) = 0x5a5a5a5a5a5a5a5a;
    record_store(m, &place, &in, key, value);
    CHECK(*word_at(place, in.units - 3) == 0x5a5a5a5a5a5a5a5a);

    REQUIRE(record_load(m, &place, &out));
    CHECK_INT(123456789, out.attributes.expires_ms);
    CHECK_INT(flags & MEMORY_FROM_REDIS ? 987654321 : 0, out.attributes.fresh_until_ms);
    CHECK_INT(0xdeadbeef, out.attributes.epoch);
    CHECK_INT(flags, out.attributes.flags);
    CHECK_INT(2, out.bucket);
    CHECK_INT(0xabcdef, out.used);
    CHECK_INT(in.units, out.units);
    CHECK_INT(key_length, out.key_length);
    CHECK_INT(value_length, out.value_length);
    CHECK_INT(RECORD_FOUND, record_read(m, &place, in.units, key, key_length, NULL, 0, &out));
    CHECK_INT(RECORD_OTHER, record_read(m, &place, in.units + 1, key, key_length, NULL, 0, &out));
    key[key_length - 1] ^= 1;
    CHECK_INT(RECORD_OTHER, record_read(m, &place, in.units, key, key_length, NULL, 0, &out));
    key[key_length - 1] ^= 1;
    CHECK_INT(RECORD_OTHER, record_read(m, &place, in.units, key, key_length - 1, NULL, 0, &out));
    if (value_length)
        CHECK_INT(RECORD_SMALL,
                  record_read(m, &place, in.units, key, key_length, got, value_length - 1, &out));
    memset(got, GUARD, sizeof(got));
    CHECK_INT(RECORD_FOUND,
              record_read(m, &place, in.units, key, key_length, got, value_length, &out));
    CHECK_MEM(value, got, value_length);
    CHECK(got[value_length] == GUARD);
    memset(got, GUARD, sizeof(got));
    record_copy_key(m, &place, &out, got, out.key_length);
    CHECK_MEM(key, got, key_length);
    CHECK(got[key_length] == GUARD);

    out.used = 5;
    record_store_used(m, &place, &out);
    REQUIRE(record_load(m, &place, &out));
    CHECK_INT(5, out.used);
    CHECK_INT(in.units, out.units);
}

TEST(every_alignment_round_trips)
{
    scatter();
    for (size_t key = 1; key <= 40; key++)
        for (size_t value = 0; value <= 40; value++)
            round_trip(0, key, value, value % 2 ? MEMORY_FROM_REDIS : 0);
    for (size_t key = 1; key <= 40; key++)
        for (size_t value = LAYOUT_LONG_VALUE - 9; value <= LAYOUT_LONG_VALUE + 9; value++)
            round_trip(0, key, value, value % 2 ? MEMORY_FROM_REDIS : 0);
}

TEST(records_may_lie_across_pages)
{
    uint64_t page;

    scatter();
    page = UINT64_C(1) << m->layout.page_shift;
    for (uint64_t before = 0; before < 12; before++)
        for (size_t key = 1; key < 30; key += 3)
            round_trip(5 * page - before, key, 60, MEMORY_FROM_REDIS);
    round_trip(page - 2, 17, 5000, 0);
    round_trip(3 * page - 1, 16, 4999, MEMORY_CAPPED);
}

CHECK_MAIN()
