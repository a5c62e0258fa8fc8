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
    return bytes < 16384 * mib ? 64 : 128;
}

/* A 64th of the segment, but never more than 1 MiB unless a 1024th is more than that. */
static uint64_t value_limit_for(uint64_t bytes)
{
    const uint64_t mib = UINT64_C(1) << 20;
    uint64_t limit = bytes / 64;

    if (limit > mib)
        limit = bytes / 1024 > mib ? bytes / 1024 : mib;
    if (limit > 8 * mib - 8192)
        limit = 8 * mib - 8192; /* a record holds the key too */
    return limit;
}

void layout_compute(uint64_t bytes, struct layout *layout)
{
    uint64_t shard_bytes;

    memset(layout, 0, sizeof(*layout));
    layout->bytes = bytes;
    layout->shards = shards_for(bytes);
    layout->counters_at = LAYOUT_PAGE;
    layout->shards_at =
        page_up(layout->counters_at + LAYOUT_COUNTER_BLOCKS * sizeof(struct layout_counters));
    layout->buckets_at =
        page_up(layout->shards_at + layout->shards * sizeof(struct layout_shard));
    shard_bytes = (bytes - layout->buckets_at - LAYOUT_PAGE) / layout->shards;
    layout->buckets =
        (uint32_t)(shard_bytes / (sizeof(struct layout_bucket) + LAYOUT_LOG_PER_BUCKET));
    layout->logs_at = page_up(layout->buckets_at + (uint64_t)layout->shards * layout->buckets *
                                                       sizeof(struct layout_bucket));
    layout->units = (bytes - layout->logs_at) / layout->shards / LAYOUT_UNIT;
    if (layout->units > LAYOUT_OFFSET_UNITS)
        layout->units = LAYOUT_OFFSET_UNITS;
    layout->value_limit = value_limit_for(bytes);
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
    snprintf(text, size, "%d:%s%zu:%zu.%zu.%zu.%d.%d:%s", LAYOUT_VERSION, LIBC,
             sizeof(pthread_mutex_t), sizeof(struct layout_header), sizeof(struct layout_shard),
             sizeof(struct layout_bucket), COUNT_COUNTERS, LAYOUT_LOG_PER_BUCKET, boot);
}
