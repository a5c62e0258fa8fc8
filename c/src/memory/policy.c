#include "memory/policy.h"

#include "memory/fault.h"
#include "memory/ghosts.h"
#include "memory/index.h"
#include "memory/vlog.h"

/* What one hold of the lock may do: about 50 us of work. */
enum { STEP_DROPS = 256, STEP_TURNS = 32, TEST_TURNS = 16, STEP_MOVED_UNITS = 8192 };
enum { CREDIT_MAX = 2, CREDIT_BITS = 3, JUDGED = 4 }; /* bits of a slot's policy byte */
enum { USELESS_MANY = 256, SPILL_TIMES = 4 };

struct budget {
    int drops, turns;
    uint64_t moved_units;
    int *patience; /* the write's */
};

/* -- Small helpers -------------------------------------------------------------------------------- */

static _Atomic uint8_t *mark_of(const struct memory *m, uint32_t slot)
{
    return view_bucket(m, slot)->mark + slot % LAYOUT_SLOTS;
}

static uint8_t *state_of(const struct memory *m, uint32_t slot)
{
    return view_bucket(m, slot)->policy + slot % LAYOUT_SLOTS;
}

static bool take_mark(const struct memory *m, uint32_t slot)
{
    _Atomic uint8_t *mark = mark_of(m, slot);

    if (!atomic_load_explicit(mark, memory_order_relaxed))
        return false;
    atomic_store_explicit(mark, 0, memory_order_relaxed);
    FAULT_POINT(MARK_TAKEN);
    return true;
}

/* A hold has done what it may do, and the entry at a tail was read since it last was there: is it to be spared
 * in another hold, rather than dropped in this one? */
static bool is_spared(const struct memory *m, uint32_t slot, const struct budget *budget)
{
    if (*budget->patience <= 0 || !atomic_load_explicit(mark_of(m, slot), memory_order_relaxed))
        return false;
    *budget->patience -= STEP_TURNS;
    return true;
}

/* A record has 24 bits for a time: steps of which four shards' worth fit 20 bits. */
static uint64_t used_step(const struct memory *m)
{
    return (m->layout.capacity >> 18) + 1;
}

static uint64_t clock_of(const struct layout_shard *s)
{
    return vlog_head(s, LOG_SMALL);
}

static uint64_t idle_time(const struct memory *m, const struct layout_shard *s, uint32_t used)
{
    return ((clock_of(s) / used_step(m) - used) & 0xffffff) * used_step(m);
}

static uint64_t main_share(const struct memory *m, const struct layout_shard *s)
{
    return m->layout.capacity - s->small_share;
}

static bool main_has_room(const struct memory *m, const struct layout_shard *s, uint64_t units)
{
    return vlog_used(s, LOG_MAIN) + units <= main_share(m, s);
}

void policy_touch(const struct memory *m, uint32_t slot)
{
    _Atomic uint8_t *mark = mark_of(m, slot);

    if (!atomic_load_explicit(mark, memory_order_relaxed))
        atomic_store_explicit(mark, 1, memory_order_relaxed);
}

uint32_t policy_used_now_locked(const struct memory *m, uint32_t shard)
{
    return (uint32_t)(clock_of(view_shard(m, shard)) / used_step(m)) & 0xffffff;
}

void policy_new_slot_locked(struct memory *m, uint32_t slot)
{
    *state_of(m, slot) = 0;
    atomic_store_explicit(mark_of(m, slot), 0, memory_order_relaxed);
}

void policy_reset_locked(struct memory *m, uint32_t shard)
{
    struct layout_shard *s = view_shard(m, shard);

    s->small_share = m->layout.capacity / 20;
    s->judged = s->small_stay = s->main_gone = 0;
    s->ghosts_swept = 0;
    s->useless = 0;
}

/* -- Evicting ------------------------------------------------------------------------------------- */

/* Takes the record at a log's tail away, leaving a ghost if it was evicted alive. */
static void drop(struct memory *m, uint32_t shard, const struct vlog_record *tail, bool existed)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t now[LOGS] = {clock_of(s), s->main_gone + tail->record.units};

    if (tail->live && existed) {
        ghosts_put_locked(m, &tail->key, tail->place.log, now);
        FAULT_POINT(GHOST_PUT);
        if (tail->place.log == LOG_SMALL)
            s->small_stay = clock_of(s) - tail->place.offset;
        else
            s->main_gone += tail->record.units;
    }
    if (tail->live) {
        shard_forget_locked(m, tail->slot);
        shard_count_locked(m, shard, existed ? SHARD_EVICTIONS : SHARD_EXPIRED);
    }
    vlog_drop_locked(m, shard, tail);
    vlog_prefetch(m, shard, tail->place.log, vlog_tail(s, tail->place.log));
}

/* Looks at a log's tail; what does not exist any more there goes at once.  POLICY_ROOM: tail is a live
 * entry; POLICY_MORE: the log is empty, or the budget is spent. */
static enum policy_status look_at_tail(struct memory *m, uint32_t shard, uint32_t log,
                                       int64_t now_ms, struct budget *budget,
                                       struct vlog_record *tail)
{
    const struct layout_shard *s = view_shard(m, shard);

    while (vlog_used(s, log)) {
        if (!vlog_look_locked(m, shard, log, vlog_tail(s, log), tail))
            return POLICY_DAMAGED;
        if (tail->live && shard_exists(m, &tail->record, now_ms))
            return POLICY_ROOM;
        if (budget->drops-- <= 0)
            return POLICY_MORE;
        drop(m, shard, tail, false);
    }
    return POLICY_MORE;
}

/* Does the entry at Main's tail deserve another round?  Takes its mark or one of its credits. */
static bool deserves_another_round(struct memory *m, struct layout_shard *s,
                                   struct vlog_record *tail)
{
    uint8_t *state = state_of(m, tail->slot), credit = *state & CREDIT_BITS;
    bool judged = (*state & JUDGED) != 0;

    *state |= JUDGED;
    if (take_mark(m, tail->slot)) {
        s->useless = 0;
        *state = (uint8_t)((*state & ~CREDIT_BITS) | (credit < CREDIT_MAX ? credit + 1 : credit));
        tail->record.used = (uint32_t)(clock_of(s) / used_step(m)) & 0xffffff;
        record_store_used(m, &tail->place, &tail->record);
        return true;
    }
    if (!judged)
        s->useless++;
    if (credit == 0)
        return false;
    *state = (uint8_t)((*state & ~CREDIT_BITS) | (credit - 1));
    return true;
}

/* Brings an entry to Main's tail that is to go next.  POLICY_MORE: the log is empty, or the turns or the
 * budget are spent; then tail is the entry there if there is one, which live tells. */
static enum policy_status find_main_victim(struct memory *m, uint32_t shard, int turns,
                                           int64_t now_ms, struct budget *budget,
                                           struct vlog_record *tail)
{
    struct layout_shard *s = view_shard(m, shard);

    tail->live = false;
    for (;;) {
        enum policy_status status = look_at_tail(m, shard, LOG_MAIN, now_ms, budget, tail);

        if (status != POLICY_ROOM)
            return status;
        if (turns-- == 0 || budget->moved_units > STEP_MOVED_UNITS)
            return POLICY_MORE;
        if (!deserves_another_round(m, s, tail))
            return POLICY_ROOM;
        budget->moved_units += tail->record.units;
        if (!vlog_move_locked(m, shard, tail, LOG_MAIN))
            return POLICY_DAMAGED;
    }
}

/* -- A new key ------------------------------------------------------------------------------------ */

/* Moves the split by what the ghost says of it: bounded, and by the size of what came back. */
static void adapt(const struct memory *m, struct layout_shard *s, uint32_t log, uint64_t age,
                  uint64_t reuse, uint64_t units)
{
    uint64_t capacity = m->layout.capacity;
    uint64_t least = capacity / 50, most = capacity / 10 * 9;

    if (log == LOG_SMALL && (age < capacity / 8 || (s->useless > USELESS_MANY && reuse < capacity)))
        s->small_share += units;
    if (log == LOG_MAIN && age < capacity / 10)
        s->small_share -= units < s->small_share ? units : s->small_share;
    if (s->small_share < least)
        s->small_share = least;
    if (s->small_share > most)
        s->small_share = most;
}

uint32_t policy_choose_locked(struct memory *m, const struct memory_place *place, uint64_t units,
                              int64_t now_ms)
{
    struct layout_shard *s = view_shard(m, place->shard);
    const uint64_t now[LOGS] = {clock_of(s), s->main_gone};
    int none = 0;
    struct budget budget = {STEP_DROPS, 0, 0, &none};
    enum policy_status status;
    struct vlog_record tail;
    uint64_t age, reuse;
    uint32_t log;

    if (!ghosts_take_locked(m, place, now, &log, &age))
        return LOG_SMALL;
    FAULT_POINT(GHOST_TAKEN);
    reuse = age + s->small_stay;
    adapt(m, s, log, age, reuse, units);
    if (log != LOG_SMALL)
        return LOG_SMALL;
    if (main_has_room(m, s, units))
        return LOG_MAIN;
    status = find_main_victim(m, place->shard, TEST_TURNS, now_ms, &budget, &tail);
    if (status == POLICY_DAMAGED)
        return LOGS;
    if (status == POLICY_MORE)
        return LOG_SMALL;
    return reuse < idle_time(m, s, tail.record.used) ? LOG_MAIN : LOG_SMALL;
}

/* -- Room ----------------------------------------------------------------------------------------- */

static enum policy_status shrink_main(struct memory *m, uint32_t shard, int64_t now_ms,
                                      struct budget *budget)
{
    struct vlog_record tail;
    enum policy_status status = find_main_victim(m, shard, budget->turns, now_ms, budget, &tail);

    if (status == POLICY_DAMAGED)
        return status;
    if (tail.live && status == POLICY_MORE && is_spared(m, tail.slot, budget))
        return POLICY_MORE;
    if (tail.live && (status == POLICY_ROOM || budget->drops > 0)) {
        budget->drops--;
        drop(m, shard, &tail, true); /* whatever its marks, when patience is spent */
    }
    return POLICY_ROOM;
}

/* Small's tail, whose mark, if it had one, is taken. */
static enum policy_status move_to_main(struct memory *m, uint32_t shard, struct vlog_record *tail,
                                       struct budget *budget)
{
    tail->record.used = policy_used_now_locked(m, shard);
    record_store_used(m, &tail->place, &tail->record);
    *state_of(m, tail->slot) = 0;
    budget->moved_units += tail->record.units;
    return vlog_move_locked(m, shard, tail, LOG_MAIN) ? POLICY_ROOM : POLICY_DAMAGED;
}

static enum policy_status shrink_small(struct memory *m, uint32_t shard, int64_t now_ms,
                                       struct budget *budget)
{
    struct layout_shard *s = view_shard(m, shard);
    struct vlog_record tail;
    enum policy_status status = look_at_tail(m, shard, LOG_SMALL, now_ms, budget, &tail);

    if (status == POLICY_DAMAGED || !vlog_used(s, LOG_SMALL) || status == POLICY_MORE)
        return status == POLICY_DAMAGED ? status : POLICY_ROOM;
    budget->drops--;
    if (budget->moved_units <= STEP_MOVED_UNITS &&
        (take_mark(m, tail.slot) || main_has_room(m, s, tail.record.units)))
        return move_to_main(m, shard, &tail, budget);
    if (budget->moved_units > STEP_MOVED_UNITS && is_spared(m, tail.slot, budget))
        return POLICY_MORE;
    drop(m, shard, &tail, true);
    return POLICY_ROOM;
}

/* Keeps Small at its share while Main has room: entries come to Main in their turn, each at its time,
 * and not all at once when the shard is full.  For each unit that comes a few may go. */
static enum policy_status spill_small(struct memory *m, uint32_t shard, uint64_t units,
                                      int64_t now_ms, struct budget *budget)
{
    struct layout_shard *s = view_shard(m, shard);

    while (vlog_used(s, LOG_SMALL) + units > s->small_share &&
           budget->moved_units < SPILL_TIMES * units && budget->moved_units <= STEP_MOVED_UNITS) {
        struct vlog_record tail;
        enum policy_status status = look_at_tail(m, shard, LOG_SMALL, now_ms, budget, &tail);

        if (status != POLICY_ROOM)
            return status == POLICY_DAMAGED ? status : POLICY_ROOM;
        if (!main_has_room(m, s, tail.record.units))
            break;
        take_mark(m, tail.slot);
        status = move_to_main(m, shard, &tail, budget);
        if (status != POLICY_ROOM)
            return status;
    }
    return POLICY_ROOM;
}

/* Turns Main over to get at what is dead in it: entries keep their order, marks and times. */
static enum policy_status sweep_main(struct memory *m, uint32_t shard, int64_t now_ms,
                                     struct budget *budget)
{
    struct vlog_record tail;
    enum policy_status status = look_at_tail(m, shard, LOG_MAIN, now_ms, budget, &tail);

    if (status != POLICY_ROOM)
        return status == POLICY_DAMAGED ? status : POLICY_ROOM;
    budget->drops--;
    budget->moved_units += tail.record.units;
    return vlog_move_locked(m, shard, &tail, LOG_MAIN) ? POLICY_ROOM : POLICY_DAMAGED;
}

/* So much of Main is dead (deleted, replaced, expired) that turning it over is worth the copying. */
static bool main_needs_sweep(const struct memory *m, const struct layout_shard *s)
{
    return vlog_dead(s, LOG_MAIN) > m->layout.capacity / 8;
}

/* Marks set while an entry was in the newest quarter of Small are one request's echo: they are cleared
 * when it leaves that quarter. */
static void judge(struct memory *m, uint32_t shard)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t newest = s->small_share / 4, head = vlog_head(s, LOG_SMALL);
    struct vlog_record found;

    if (s->judged < vlog_tail(s, LOG_SMALL))
        s->judged = vlog_tail(s, LOG_SMALL);
    for (int i = 0; i < STEP_DROPS && s->judged + newest < head; i++) {
        if (!vlog_look_locked(m, shard, LOG_SMALL, s->judged, &found))
            return; /* whoever takes the tail will find out */
        if (found.live)
            take_mark(m, found.slot);
        s->judged += found.record.units;
        vlog_prefetch(m, shard, LOG_SMALL, s->judged);
    }
}

enum policy_status policy_make_room_locked(struct memory *m, uint32_t shard, uint32_t log,
                                           uint64_t units, int64_t now_ms, int *patience,
                                           struct pages_place *place)
{
    struct layout_shard *s = view_shard(m, shard);
    struct budget budget = {STEP_DROPS, STEP_TURNS, 0, patience};
    uint64_t to_main = log == LOG_MAIN ? units : 0, now[LOGS];

    if (log == LOGS ||
        (log == LOG_SMALL && spill_small(m, shard, units, now_ms, &budget) != POLICY_ROOM))
        return POLICY_DAMAGED;
    while (!vlog_has_room_locked(m, shard, units)) {
        enum policy_status status;

        if (budget.drops <= 0)
            return POLICY_MORE;
        if (main_needs_sweep(m, s) && budget.moved_units <= STEP_MOVED_UNITS)
            status = sweep_main(m, shard, now_ms, &budget);
        else if (vlog_used(s, LOG_SMALL) == 0 || !main_has_room(m, s, to_main))
            status = shrink_main(m, shard, now_ms, &budget);
        else
            status = shrink_small(m, shard, now_ms, &budget);
        if (status != POLICY_ROOM)
            return status;
    }
    now[LOG_SMALL] = clock_of(s);
    now[LOG_MAIN] = s->main_gone;
    ghosts_sweep_locked(m, shard, vlog_head(s, LOG_SMALL) + vlog_head(s, LOG_MAIN), units, now);
    if (!vlog_append_locked(m, shard, log, units, place))
        return POLICY_DAMAGED;
    judge(m, shard);
    return POLICY_ROOM;
}

/* One in Small where there is one: its bytes are soon free, those in Main stay dead for long. */
uint32_t policy_victim_locked(const struct memory *m, const struct memory_place *place,
                              int64_t now_ms)
{
    uint32_t best = place->slot[0], best_score = 0;

    for (int g = 0; g < 2; g++) {
        for (uint32_t slot = place->slot[g]; slot < place->slot[g] + VIEW_GROUP_SLOTS; slot++) {
            struct index_word w = index_word_load(m, slot);
            struct record record;
            uint32_t score;

            if (!index_record(m, &w, &record) || !shard_exists(m, &record, now_ms))
                return slot;
            score = (w.place.log == LOG_SMALL ? 2u : 0u) +
                    !atomic_load_explicit(mark_of(m, slot), memory_order_relaxed);
            if (score > best_score) {
                best = slot;
                best_score = score;
            }
        }
    }
    return best;
}
