#include "memory/layout.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t page_up(uint64_t n)
{
    return (n + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;
}

/* Few enough that a shard holds a few hundred entries and several values of the largest size, enough
 * that two workers seldom meet. */
static uint32_t shards_for(uint64_t bytes)
{
    const uint64_t mib = UINT64_C(1) << 20;

    if (bytes < 4 * mib)
        return 4;
    if (bytes < 32 * mib)
        return 8;
    if (bytes < 256 * mib)
        return 16;
    if (bytes < 2048 * mib)
        return 32;
    if (bytes < 16384 * mib)
        return 64;
    return bytes < 65536 * mib ? 256 : LAYOUT_SHARDS_MAX;
}

/* A 64th of the segment, but never more than 1 MiB unless a 1024th is more than that; and a third of a shard,
 * which matters where there are slots for very small entries. */
static uint64_t value_limit_for(uint64_t bytes, uint64_t shard_bytes)
{
    const uint64_t mib = UINT64_C(1) << 20;
    uint64_t limit = bytes / 64;

    if (limit > mib)
        limit = bytes / 1024 > mib ? bytes / 1024 : mib;
    if (limit > 8 * mib - 8192)
        limit = 8 * mib - 8192; /* a record holds the key too */
    if (limit > shard_bytes / 3 - 8192)
        limit = shard_bytes / 3 - 8192;
    return limit;
}

/* About a thousand pages a shard, so that little is lost where a log begins and ends; none below 1 KiB,
 * so that most records lie within one. */
static uint32_t page_shift_for(uint64_t shard_bytes)
{
    uint32_t shift = 7;

    while (shard_bytes >> shift > 8 * UINT64_C(1400))
        shift++;
    return shift;
}

static uint32_t power_above(uint64_t n)
{
    uint32_t power = 1;

    while (power <= n)
        power *= 2;
    return power;
}

/* A 128th of a small segment, and never more than anybody needs. */
static uint32_t flights_for(uint64_t bytes)
{
    uint64_t n = bytes / 128 / sizeof(struct layout_flight);

    return n < 512 ? (uint32_t)n / LAYOUT_FLIGHT_GROUP * LAYOUT_FLIGHT_GROUP : 512;
}

/* The greatest power of two that is neither more than n nor more than most, which is one. */
static uint32_t power_within(uint64_t n, uint32_t most)
{
    uint32_t power = 1;

    while ((uint64_t)power * 2 <= n && power < most)
        power *= 2;
    return power;
}

/* A 128th of the segment at most: two words for each tag, of which there are fewer than entries. */
static uint32_t tags_for(uint64_t bytes)
{
    return power_within(bytes / 128 / sizeof(uint64_t), UINT32_C(1) << 24);
}

/* A 256th of the segment at most. */
static uint32_t changes_for(uint64_t bytes)
{
    return power_within(bytes / 256 / sizeof(int64_t), UINT32_C(1) << 17);
}

static uint64_t lanes_bytes(const struct layout *l)
{
    return l->lanes ? sizeof(struct layout_lanes) + l->changes * sizeof(int64_t) : 0;
}

/* Bytes of log for each slot.  A record is 20 bytes longer than its key and value, and up to 86 of 100 slots
 * in use hardly any key finds all of its own taken. */
static uint64_t log_per_slot(uint32_t entry_size)
{
    uint64_t size = entry_size ? entry_size : LAYOUT_ENTRY_SIZE;

    if (size < LAYOUT_ENTRY_MIN)
        size = LAYOUT_ENTRY_MIN;
    if (size > LAYOUT_ENTRY_MAX)
        size = LAYOUT_ENTRY_MAX;
    return ((size + 20) * 86 + 50) / 100;
}

static void place_parts(struct layout *l)
{
    uint64_t shards = l->shards;

    l->counters_at = LAYOUT_PAGE;
    l->histograms_at =
        page_up(l->counters_at + LAYOUT_COUNTER_BLOCKS * sizeof(struct layout_counters));
    l->near_at =
        page_up(l->histograms_at + LAYOUT_HISTOGRAM_BLOCKS * sizeof(struct layout_histograms));
    l->flights_at = page_up(l->near_at + LAYOUT_NEAR * sizeof(struct layout_near));
    l->tags_at = page_up(l->flights_at + l->flights * sizeof(struct layout_flight));
    l->lanes_at = page_up(l->tags_at + l->tags * sizeof(uint64_t));
    l->shards_at = page_up(l->lanes_at + lanes_bytes(l));
    l->buckets_at = page_up(l->shards_at + shards * sizeof(struct layout_shard));
    l->ghosts_at = page_up(l->buckets_at + shards * l->buckets * sizeof(struct layout_bucket));
    l->tables_at = page_up(l->ghosts_at + shards * l->ghosts * sizeof(uint32_t));
    l->replays_at = page_up(l->tables_at + shards * layout_table_words(l) * sizeof(uint16_t));
    l->pages_at = page_up(l->replays_at + l->replays * sizeof(struct layout_replay));
}

void layout_compute(uint64_t bytes, const struct layout_wants *wants, struct layout *layout)
{
    uint64_t shard_bytes, page_bytes, slot_bytes, slots;

    memset(layout, 0, sizeof(*layout));
    layout->bytes = bytes;
    layout->shards = shards_for(bytes);
    layout->flights = flights_for(bytes);
    if (wants->tags)
        layout->tags = tags_for(bytes);
    layout->lanes = wants->lanes;
    if (wants->lanes)
        layout->changes = changes_for(bytes);
    if (wants->redis)
        layout->replays = (uint32_t)(bytes / 64 / sizeof(struct layout_replay)) /
                          LAYOUT_REPLAY_GROUP * LAYOUT_REPLAY_GROUP;
    place_parts(layout);
    shard_bytes = (bytes - layout->pages_at) / layout->shards;
    slot_bytes = sizeof(struct layout_bucket) / LAYOUT_SLOTS +
                 LAYOUT_GHOSTS_PER_BUCKET * sizeof(uint32_t) / LAYOUT_SLOTS +
                 log_per_slot(wants->entry_size);
    slots = shard_bytes / slot_bytes;
    if (slots > LAYOUT_SLOTS_MAX / layout->shards)
        slots = LAYOUT_SLOTS_MAX / layout->shards;
    layout->buckets = (uint32_t)(slots / (LAYOUT_SLOTS * LAYOUT_GROUP)) * LAYOUT_GROUP;
    layout->ghosts =
        layout->buckets * LAYOUT_GHOSTS_PER_BUCKET / LAYOUT_GHOST_GROUP * LAYOUT_GHOST_GROUP;
    layout->page_shift = page_shift_for(shard_bytes);
    page_bytes = (uint64_t)LAYOUT_UNIT << layout->page_shift;
    /* The tables take a little of what the pages could have: 6 bytes a page at most. */
    layout->pages = (uint32_t)(shard_bytes / (page_bytes + 6));
    layout->table_length = power_above(layout->pages);
    place_parts(layout);
    layout->pages = (uint32_t)((bytes - layout->pages_at) / layout->shards / page_bytes);
    layout->capacity = (uint64_t)(layout->pages - LAYOUT_PAGES_KEPT) << layout->page_shift;
    layout->value_limit = value_limit_for(bytes, layout->capacity * LAYOUT_UNIT);
}

/* The kernel draws it anew at each boot; expiry times mean nothing in another. */
static void read_boot_id(char *text, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        n = 0;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

#ifdef __GLIBC__
#define LIBC "glibc"
#else
#define LIBC "other"
#endif

void layout_fingerprint(char *text, size_t size)
{
    char boot[48];

    read_boot_id(boot, sizeof(boot));
    snprintf(text, size, "%d:%s%zu:%zu.%zu.%zu.%zu.%d.%zu.%zu:%s", LAYOUT_VERSION, LIBC,
             sizeof(pthread_mutex_t), sizeof(struct layout_header), sizeof(struct layout_shard),
             sizeof(struct layout_bucket), sizeof(struct layout_flight), COUNT_COUNTERS,
             sizeof(struct layout_histograms), sizeof(struct layout_lanes), boot);
}
