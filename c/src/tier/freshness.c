#include "tier/freshness.h"

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A time of 0 means "never" to memory; a clock that tests have moved might say it. */
static int64_t not_never(int64_t time_ms)
{
    return time_ms > 0 ? time_ms : 1;
}

int64_t freshness_kept_ms(const struct freshness_rules *rules, int64_t ttl_ms)
{
    return ttl_ms > 0 ? ttl_ms + rules->stale_ttl_ms : 0;
}

int64_t freshness_left(const struct freshness_rules *rules, const struct memory_attributes *a,
                       int64_t now_ms)
{
    if (!a->expires_ms || (a->flags & MEMORY_CAPPED))
        return INT64_MAX;
    return a->expires_ms - now_ms - (a->flags & MEMORY_NEGATIVE ? 0 : rules->stale_ttl_ms);
}

struct memory_attributes freshness_attributes(const struct freshness_rules *rules, int64_t sent_ms,
                                              int64_t ttl_ms, bool leased)
{
    bool bounded = rules->tracking && !leased;
    int64_t fresh_ms = bounded ? rules->max_stale_ms : rules->memory_ttl_ms;
    struct memory_attributes a = {.flags = MEMORY_FROM_REDIS};

    if (rules->tracking && leased)
        a.flags |= MEMORY_LEASED;
    if (ttl_ms < 0 || ttl_ms - rules->stale_ttl_ms > rules->memory_ttl_ms) {
        a.flags |= MEMORY_CAPPED;
        a.expires_ms = not_never(sent_ms + rules->memory_ttl_ms);
        a.fresh_until_ms = not_never(sent_ms + earlier(rules->memory_ttl_ms, fresh_ms));
    } else {
        a.expires_ms = not_never(sent_ms + ttl_ms);
        a.fresh_until_ms = not_never(sent_ms + earlier(ttl_ms - rules->stale_ttl_ms, fresh_ms));
    }
    return a;
}

struct memory_attributes freshness_provisional(const struct freshness_rules *rules, int64_t sent_ms,
                                               int64_t ttl_ms, bool leased, int64_t provisional_ms)
{
    struct memory_attributes a = freshness_attributes(rules, sent_ms, ttl_ms, leased);

    a.flags |= MEMORY_PROVISIONAL;
    a.fresh_until_ms = earlier(a.fresh_until_ms, not_never(sent_ms + provisional_ms));
    return a;
}

struct memory_attributes freshness_memory_only(int64_t now_ms, int64_t ttl_ms)
{
    struct memory_attributes a = {.expires_ms = ttl_ms > 0 ? not_never(now_ms + ttl_ms) : 0};

    return a;
}

enum freshness freshness_judge(const struct memory_entry *entry, int64_t lease_ms, int64_t now_ms)
{
    const struct memory_attributes *a = &entry->attributes;

    if (a->expires_ms && now_ms >= a->expires_ms)
        return FRESHNESS_GONE;
    if (!(a->flags & MEMORY_FROM_REDIS))
        return FRESHNESS_FRESH;
    if (a->fresh_until_ms && now_ms >= a->fresh_until_ms)
        return FRESHNESS_STALE;
    if ((a->flags & MEMORY_LEASED) && now_ms >= lease_ms)
        return FRESHNESS_STALE;
    return entry->epoch_holds ? FRESHNESS_FRESH : FRESHNESS_STALE;
}
