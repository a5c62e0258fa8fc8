#include "tier/office.h"

#include "tier/request.h"

enum {
    SILENT_MS =
        1000,       /* whoever is not heard of so long loses its place; less if max_stale is less */
    BEAT_MS = 1000, /* heartbeat of a link; less if a quarter of max_stale is less */
    HURRY_MS = 50,  /* the same where somebody waits for it */
    TICK_MS = 250,  /* how often places are looked at */
    YOUNG_MS = 200, /* younger processes take only what nobody else has */
    YOUNG_TICK_MS = 50,
    LEAVE_MS = 1000,  /* how long one waits for a successor */
    NEWBORN_MS = 1000 /* a process that was forked so long ago may yet come to be one */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t office_max_stale(const struct tier *tier)
{
    return atomic_load_explicit(&tier->tracking.max_stale_ms, memory_order_relaxed);
}

int64_t office_beat(const struct tier *tier)
{
    int64_t beat = least(BEAT_MS, office_max_stale(tier) / 4);

    return beat > 1 ? beat : 1;
}

static int64_t silent_ms(const struct tier *tier)
{
    return least(SILENT_MS, office_max_stale(tier));
}

bool office_others_cover(const struct tier *tier, int64_t now_ms)
{
    return memory_others_cover(tier->memory, tier->tracking.owner, now_ms, silent_ms(tier));
}

/* -- Places ---------------------------------------------------------------------------------------- */

static bool other_is_taken(const struct tier *tier, int64_t now_ms)
{
    int place = tier->tracking.place;

    for (int i = 0; i < 2; i++)
        if (i != place && memory_place_taken(tier->memory, i, now_ms, silent_ms(tier)))
            return true;
    return false;
}

static bool is_young(const struct tracking *t, int64_t now_ms)
{
    return now_ms - t->attending_since_ms < YOUNG_MS;
}

static void seek_place(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;

    if (t->place >= 0 &&
        !memory_place_hold(tier->memory, t->place, t->owner, now_ms, silent_ms(tier)))
        t->place = -1;
    if (t->place >= 0 || (is_young(t, now_ms) && other_is_taken(tier, now_ms)))
        return;
    for (int i = 0; i < 2 && t->place < 0; i++)
        if (memory_place_hold(tier->memory, i, t->owner, now_ms, silent_ms(tier)))
            t->place = i;
}

/* No link has been heard for a heartbeat too long.  Whether the server is still there shall be known
 * before the lease is over: then what memory has is served as stale without anybody waiting. */
static void look_after_lease(struct tier *tier, int64_t now_ms)
{
    int64_t lease_ms = memory_lease(tier->memory);

    if (now_ms < lease_ms && now_ms >= lease_ms - office_max_stale(tier) + 2 * office_beat(tier))
        redis_want_probe(tier->client);
}

int64_t office_tick(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;
    int64_t beat_ms = office_beat(tier), tick_ms = least(TICK_MS, silent_ms(tier) / 4 + 1);
    bool wanted;

    if (!t->owner) {
        t->owner = request_draw_owner();
        t->attending_since_ms = t->next_ms = now_ms;
    }
    if (now_ms < t->next_ms)
        return t->next_ms;
    memory_attend(tier->memory, t->owner, now_ms, silent_ms(tier));
    seek_place(tier, now_ms);
    wanted = t->place >= 0 && now_ms >= t->pause_until_ms;
    if (!wanted && t->since_ms)
        tracking_link_is_gone(tier);
    if (t->begun && memory_cover_is_wanted(tier->memory))
        beat_ms = least(beat_ms, HURRY_MS);
    redis_want_link(tier->client, wanted, beat_ms);
    look_after_lease(tier, now_ms);
    if (is_young(t, now_ms) || beat_ms == HURRY_MS)
        tick_ms = least(tick_ms, YOUNG_TICK_MS);
    t->next_ms = now_ms + tick_ms;
    return t->next_ms;
}

/* -- Leaving --------------------------------------------------------------------------------------- */

/* Will somebody have a link?  A process that was forked after this one may be about to, even if it has not
 * been asked for anything yet: after a reload there are such. */
static bool is_expected(const struct tier *tier, int64_t now_ms)
{
    const struct tracking *t = &tier->tracking;
    int64_t born_ms = memory_last_born(tier->memory);

    return memory_others_attend(tier->memory, t->owner, now_ms, silent_ms(tier)) ||
           (born_ms > t->born_ms + YOUNG_TICK_MS && t->leaving_since_ms - born_ms < NEWBORN_MS);
}

static void begin_to_leave(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;

    t->leaving_since_ms = now_ms;
    memory_attend_no_more(tier->memory, t->owner);
    if (t->place < 0)
        return;
    if (t->since_ms)
        memory_leaving(tier->memory, t->owner, t->begun ? t->since_ms : 0, now_ms, silent_ms(tier));
    memory_place_leave(tier->memory, t->place, t->owner);
    t->place = -1;
    redis_want_link(tier->client, t->since_ms != 0, least(office_beat(tier), HURRY_MS));
}

bool office_may_stop(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;

    if (!t->owner)
        return true;
    if (!t->leaving_since_ms)
        begin_to_leave(tier, now_ms);
    if (t->since_ms && now_ms - t->leaving_since_ms < LEAVE_MS && is_expected(tier, now_ms) &&
        !memory_place_covers(tier->memory, t->owner, t->alive_ms ? t->alive_ms : t->since_ms,
                             now_ms, silent_ms(tier))) {
        memory_leaving(tier->memory, t->owner, t->begun ? t->since_ms : 0, now_ms, silent_ms(tier));
        return false;
    }
    memory_left(tier->memory, t->owner);
    return true;
}
