/*
 * open.h: segments for the tests of this room.
 */
#ifndef TANDEM_TEST_MEMORY_OPEN_H
#define TANDEM_TEST_MEMORY_OPEN_H

#include "base/clock.h"
#include "check.h"
#include "memory/memory.h"

CHECK_UNUSED struct memory *open_config(const struct memory_config *config)
{
    struct memory *m = NULL;
    char error[256] = "";

    if (memory_open(config, &m, error, sizeof(error)) != MEMORY_OK)
        printf("%s\n", error);
    REQUIRE(m != NULL);
    return m;
}

CHECK_UNUSED struct memory *open_bytes(uint64_t bytes)
{
    struct memory_config config = {.name = "test", .identity = "test", .bytes = bytes};

    return open_config(&config);
}

CHECK_UNUSED struct memory *open_tagged(uint64_t bytes)
{
    struct memory_config config = {
        .name = "test", .identity = "tagged", .bytes = bytes, .with_tags = true};

    return open_config(&config);
}

CHECK_UNUSED struct memory *open_small(void)
{
    return open_bytes(1 << 20);
}

static const struct memory_attributes forever = {0};

CHECK_UNUSED int put(struct memory *m, const char *key, const char *value)
{
    return memory_put(m, key, strlen(key), value, strlen(value), &forever, MEMORY_LOCK_US);
}

CHECK_UNUSED int put_for(struct memory *m, const char *key, const char *value, int64_t ttl_ms)
{
    struct memory_attributes a = {.expires_ms = clock_now_ms() + ttl_ms};

    return memory_put(m, key, strlen(key), value, strlen(value), &a, MEMORY_LOCK_US);
}

/* The value, NUL-terminated, or NULL. */
CHECK_UNUSED const char *get(struct memory *m, const char *key)
{
    static _Thread_local char buffer[65536];
    struct memory_entry entry;
    int rc =
        memory_get(m, key, strlen(key), clock_now_ms(), false, buffer, sizeof(buffer) - 1, &entry);

    if (rc != MEMORY_OK)
        return NULL;
    buffer[entry.length] = '\0';
    return buffer;
}

CHECK_UNUSED double metric(struct memory *m, int i)
{
    return memory_metric(m, i);
}

#endif
