#include "tier/inspect.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/freshness.h"
#include "tier/result.h"

enum { BEFORE_ALL = 0 }; /* a time at which nothing has expired */

int inspect_open(const char *path, tandem_segment **segment, tandem_description *description,
                 char *error, size_t error_size)
{
    tandem_segment *s = alloc_zeroed(sizeof(*s));
    struct memory_description d;

    if (!s) {
        snprintf(error, error_size, "no memory");
        return TANDEM_ESYS;
    }
    if (memory_attach(path, true, &s->memory, &d, error, error_size) != MEMORY_OK) {
        alloc_free(s);
        return TANDEM_ESYS;
    }
    memset(description, 0, sizeof(*description));
    description->bytes = (double)d.bytes;
    description->slots = memory_slots(s->memory);
    description->shards = memory_metric(s->memory, COUNT_MEMORY_SHARDS);
    description->with_redis = d.with_redis;
    description->with_tags = d.with_tags;
    snprintf(description->name, sizeof(description->name), "%s", d.name);
    snprintf(description->identity, sizeof(description->identity), "%s", d.identity);
    *segment = s;
    return TANDEM_OK;
}

void inspect_close(tandem_segment *segment)
{
    if (!segment)
        return;
    memory_close(segment->memory);
    alloc_free(segment);
}

/* Without the rules of a cache: of what is kept past its TTL, memory does not say how long. */
static void say_ttl(const struct memory_entry *entry, int64_t now_ms, tandem_result *result)
{
    int64_t ms = entry->attributes.expires_ms - now_ms;

    if (entry->attributes.expires_ms)
        result->ttl = ms ? (double)ms / 1000 : -0.001;
}

int inspect_peek(tandem_segment *segment, const char *key, size_t key_length, void *buffer,
                 size_t size, tandem_result *result)
{
    int64_t now_ms = clock_coarse_ms(), lease_ms = memory_lease(segment->memory);
    struct memory_entry entry;
    char nothing;
    int found;

    found = memory_get(segment->memory, key, key_length, BEFORE_ALL, true,
                       buffer ? buffer : &nothing, buffer ? size : 0, &entry);
    if (found == MEMORY_BUSY)
        return result_say(result, TANDEM_EBUSY, "the entry is being written all the time");
    if (found != MEMORY_OK && found != MEMORY_SMALL)
        return TANDEM_MISS;
    result->tier = TANDEM_TIER_MEMORY;
    if (freshness_judge(&entry, lease_ms, now_ms) != FRESHNESS_FRESH ||
        (entry.attributes.expires_ms && now_ms >= entry.attributes.expires_ms))
        result->tier = TANDEM_TIER_STALE;
    say_ttl(&entry, now_ms, result);
    if (entry.attributes.flags & MEMORY_NEGATIVE) {
        result->tier = TANDEM_TIER_NEGATIVE;
        return TANDEM_MISS;
    }
    result->length = (double)entry.length;
    return found == MEMORY_SMALL ? TANDEM_TOO_SMALL : TANDEM_OK;
}

bool inspect_verify(tandem_segment *segment, uint32_t shard, tandem_findings *findings)
{
    struct memory_findings f;
    bool found = memory_verify(segment->memory, shard, clock_now_ms(), &f);

    memset(findings, 0, sizeof(*findings));
    findings->slots = f.slots;
    findings->entries = f.entries;
    findings->expired = f.expired;
    findings->absences = f.absences;
    findings->bytes = f.bytes;
    findings->unsettled = f.unsettled;
    findings->busy_shards = f.busy_shards;
    findings->orphaned_shards = f.orphaned_shards;
    findings->damaged = f.damaged;
    snprintf(findings->first, sizeof(findings->first), "%s", f.first);
    return found;
}
