/*
 * The policy on made-up traces, in a cache of 1000 equal objects that are all in one shard: the cases
 * that undo one policy or another.  Each bound is the miss ratio of a simulation of this policy (of
 * least-recently-used, where a test says so) and a margin, half a point unless a test says otherwise.
 * Each prints what it found.
 *
 * Keys are chosen so that they belong to shard 0, the seed of the hash is fixed, and the capacity in
 * this view of the segment is cut to what the objects fill: every run is the same.
 */
#include "memory/index.h"
#include "memory/open.h"
#include "memory/shard.h"

enum { CACHE = 1000, OBJECTS_MAX = 1 << 20, KEY = 16 };

static const double margin = 0.005;

/* -- Numbers that look random ---------------------------------------------------------------------- */

static uint64_t state = 20240607;

static uint64_t random_bits(void) /* splitmix64: Steele, Lea, Flood, OOPSLA 2014 */
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double random_fraction(void)
{
    return (double)(random_bits() >> 11) * 0x1p-53;
}

static uint32_t random_below(uint32_t n)
{
    return (uint32_t)(random_fraction() * n);
}

/* -- The two caches --------------------------------------------------------------------------------- */

struct lru {
    uint32_t previous[OBJECTS_MAX], next[OBJECTS_MAX]; /* a ring through object 0, newest first */
    bool held[OBJECTS_MAX];
    unsigned count;
};

struct run {
    struct memory *m;
    size_t value_length;
    unsigned objects; /* that it holds */
    unsigned requests, misses, lru_misses;
    struct lru *lru;
};

static struct run begin_with(unsigned objects)
{
    struct run r = {.m = open_small(), .lru = calloc(1, sizeof(struct lru)), .objects = objects};
    uint64_t units;

    REQUIRE(r.lru != NULL);
    units = r.m->layout.capacity / objects;
    r.value_length = (units - LAYOUT_HEAD_WORDS) * LAYOUT_UNIT - KEY;
    /* In this view, before anything is stored. */
    r.m->layout.capacity = units * objects;
    r.m->seed = 1;
    for (uint32_t shard = 0; shard < r.m->layout.shards; shard++)
        shard_reset_locked(r.m, shard);
    return r;
}

static struct run begin(void)
{
    return begin_with(CACHE);
}

/* What the trace has seen so far is forgotten, what the caches hold is not. */
static void count_anew(struct run *r)
{
    r->requests = r->misses = r->lru_misses = 0;
}

static double ours(const struct run *r)
{
    return (double)r->misses / r->requests;
}

static double lru(const struct run *r)
{
    return (double)r->lru_misses / r->requests;
}

static void end(struct run *r, const char *what)
{
    printf("# %s: %.4f, least recently used %.4f\n", what, ours(r), lru(r));
    CHECK_INT(r->objects,
              metric(r->m, COUNT_MEMORY_ENTRIES)); /* what the traces suppose it holds */
    free(r->lru);
    memory_close(r->m);
}

static void lru_unlink(struct lru *l, uint32_t object)
{
    l->next[l->previous[object]] = l->next[object];
    l->previous[l->next[object]] = l->previous[object];
}

static bool lru_ask(struct lru *l, uint32_t object, unsigned objects)
{
    bool hit = l->held[object];

    if (hit) {
        lru_unlink(l, object);
    } else if (l->count == objects) {
        uint32_t oldest = l->previous[0];

        lru_unlink(l, oldest);
        l->held[oldest] = false;
    } else {
        l->count++;
    }
    l->held[object] = true;
    l->next[object] = l->next[0];
    l->previous[object] = 0;
    l->previous[l->next[0]] = object;
    l->next[0] = object;
    return hit;
}

/* An object's key: the first of its candidates that belongs to shard 0. */
static void key_of(const struct memory *m, uint32_t object, uint32_t key[KEY / 4])
{
    static uint32_t known[OBJECTS_MAX]; /* the candidate's number, plus one */

    key[0] = object;
    key[1] = key[2] = key[3] = 0;
    if (known[object]) {
        key[1] = known[object] - 1;
        return;
    }
    while (index_place(m, key, KEY).shard != 0)
        key[1]++;
    known[object] = key[1] + 1;
}

/* Objects are numbered from 1. */
static void ask(struct run *r, uint32_t object)
{
    static unsigned char buffer[4096];
    struct memory_entry entry;
    uint32_t key[KEY / 4];

    REQUIRE(object > 0 && object < OBJECTS_MAX);
    key_of(r->m, object, key);
    r->requests++;
    r->lru_misses += !lru_ask(r->lru, object, r->objects);
    if (memory_get(r->m, key, KEY, 1, false, buffer, sizeof(buffer), &entry) == MEMORY_OK) {
        CHECK_MEM(&object, buffer, sizeof(object));
        return;
    }
    r->misses++;
    memset(buffer, 0, r->value_length);
    memcpy(buffer, &object, sizeof(object));
    CHECK_INT(MEMORY_OK,
              memory_put(r->m, key, KEY, buffer, r->value_length, &forever, MEMORY_LOCK_US));
}

/* -- What is asked for ------------------------------------------------------------------------------ */

static void ask_loop(struct run *r, uint32_t first, uint32_t length, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++)
        ask(r, first + i % length);
}

/* Half of the objects are asked for again, so many requests after the first. */
static void ask_half_twice(struct run *r, uint32_t gap, unsigned requests)
{
    uint32_t *due = calloc(gap, sizeof(*due)), next = 1;

    REQUIRE(due != NULL);
    for (unsigned i = 0; i < requests; i++) {
        uint32_t object = due[i % gap];

        due[i % gap] = 0;
        if (object == 0) {
            object = next++;
            if (random_bits() & 1)
                due[i % gap] = object;
        }
        ask(r, object);
    }
    free(due);
}

/* A number below n, by the sums of the weights of those up to each. */
static uint32_t draw(const double *sums, uint32_t n)
{
    double wanted = random_fraction() * sums[n - 1];
    uint32_t low = 0, high = n - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (sums[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* One request in ten is for a new object; the others for one whose distance on the stack of recent ones
 * is drawn from an exponential distribution. */
static void ask_recent(struct run *r, uint32_t first, double mean, unsigned requests)
{
    enum { STACK = 8 * CACHE };
    static uint32_t stack[STACK];
    static double sums[STACK];
    uint32_t depth = 0, next = first;
    double weight = 1;

    for (uint32_t i = 0; i < STACK; i++) {
        sums[i] = (i ? sums[i - 1] : 0) + weight;
        weight *= 1 - 1 / mean;
    }
    for (unsigned i = 0; i < requests; i++) {
        uint32_t at = draw(sums, STACK), object;

        if (at >= depth || random_below(10) == 0) {
            object = next++;
            at = depth < STACK ? depth++ : STACK - 1;
        } else {
            object = stack[at];
        }
        memmove(stack + 1, stack, at * sizeof(*stack));
        stack[0] = object;
        ask(r, object);
    }
}

/* Zipf's law with exponent 1 over ten times what the cache holds. */
enum { ZIPF_OBJECTS = 10 * CACHE };

static uint32_t draw_zipf(void)
{
    static double sums[ZIPF_OBJECTS];

    if (sums[0] == 0) {
        for (uint32_t i = 0; i < ZIPF_OBJECTS; i++)
            sums[i] = (i ? sums[i - 1] : 0) + 1.0 / (i + 1);
    }
    return draw(sums, ZIPF_OBJECTS);
}

static void ask_zipf(struct run *r, uint32_t first, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++)
        ask(r, first + draw_zipf());
}

/* -- Loops: the optimum is what does not fit, and what passes through Small takes its share -------- */

static void check_loop(double length, double bound)
{
    struct run r = begin();
    char what[64];

    ask_loop(&r, 1, (uint32_t)(length * CACHE), 400000);
    snprintf(what, sizeof(what), "loop over %.2f of the cache", length);
    CHECK(ours(&r) <= bound + margin);
    CHECK(lru(&r) == 1);
    end(&r, what);
}

TEST(a_loop_just_too_long)
{
    check_loop(1.02, 0.0560);
}

TEST(a_loop_half_too_long)
{
    check_loop(1.5, 0.3698);
}

TEST(a_loop_three_times_too_long)
{
    check_loop(3, 0.6865);
}

TEST(a_loop_ten_times_too_long)
{
    check_loop(10, 0.9082);
}

/* Large values leave room for many times more ghosts than there are objects: those too old to tell their
 * age must not pass for young ones. */
TEST(a_loop_of_large_objects)
{
    struct run r = begin_with(100);

    ask_loop(&r, 1, 1200, 200000);
    CHECK(ours(&r) <= 1 - 0.95 / 12 + margin);
    end(&r, "loop over 12 times the cache, objects of 2 KB");
}

/* -- Asked for twice: where policies with a small queue for newcomers find nothing ------------------ */

static void check_twice(uint32_t gap, double bound)
{
    struct run r = begin();
    char what[64];

    ask_half_twice(&r, gap, 900000);
    snprintf(what, sizeof(what), "half of the objects again after %u requests", gap);
    CHECK(ours(&r) <= bound + margin);
    end(&r, what);
}

TEST(asked_twice_at_once)
{
    check_twice(30, 0.6667);
}

TEST(asked_twice_after_a_third_of_the_cache)
{
    check_twice(300, 0.670);
}

TEST(asked_twice_after_two_thirds_of_the_cache)
{
    check_twice(600, 0.671);
}

TEST(asked_twice_when_nearly_forgotten)
{
    check_twice(900, 0.672);
}

/* -- What recency serves well: two or three points are what the rest costs --------------------------- */

static void check_recent(double mean, double more)
{
    struct run r = begin();
    char what[64];

    ask_recent(&r, 1, mean * CACHE, 400000);
    snprintf(what, sizeof(what), "recently used, at %.1f of the cache", mean);
    CHECK(ours(&r) <= lru(&r) + more + margin);
    end(&r, what);
}

TEST(recently_used)
{
    check_recent(0.3, 0.1470 - 0.1297);
}

TEST(less_recently_used)
{
    check_recent(0.7, 0.3346 - 0.3050);
}

/* -- Popularity, and what disturbs it --------------------------------------------------------------- */

TEST(popular_objects_that_change)
{
    struct run r = begin();

    for (uint32_t i = 0; i < 10; i++)
        ask_zipf(&r, 1 + i * ZIPF_OBJECTS, 50000);
    CHECK(ours(&r) <= lru(&r) - (0.3482 - 0.3121) + margin);
    end(&r, "Zipf, other objects every 50000 requests");
}

TEST(popular_objects_and_scans)
{
    struct run r = begin();

    for (uint32_t i = 0; i < 60; i++) {
        ask_zipf(&r, 1, 8000);
        ask_loop(&r, 1 + ZIPF_OBJECTS + i * 2 * CACHE, 2 * CACHE, 2 * CACHE);
    }
    CHECK(ours(&r) <= lru(&r) - (0.5020 - 0.4241) + margin);
    end(&r, "Zipf with scans of twice the cache");
}

TEST(uniform)
{
    struct run r = begin();

    for (unsigned i = 0; i < 400000; i++)
        ask(&r, 1 + random_below(5 * CACHE));
    CHECK(ours(&r) <= 0.7997 + margin);
    CHECK(ours(&r) >= 0.79); /* or it holds more than we think */
    end(&r, "uniform over five times the cache");
}

/* The weak spot: newcomers asked for neither soon nor often are missed twice each.  The bounds are what
 * was measured, and are here to be lowered. */
static void check_drift(unsigned requests_per_step, uint32_t width, double more)
{
    struct run r = begin();
    char what[64];

    for (unsigned i = 0; i < 600000; i++)
        ask(&r, 1 + i / requests_per_step + random_below(width));
    snprintf(what, sizeof(what), "a working set of %u that drifts, a step in %u requests", width,
             requests_per_step);
    CHECK(ours(&r) <= lru(&r) + more + margin);
    end(&r, what);
}

TEST(a_working_set_that_drifts)
{
    check_drift(6, CACHE * 8 / 10, 0.0539);
}

TEST(a_working_set_that_drifts_slowly)
{
    check_drift(60, CACHE * 8 / 10, 0.0100);
}

TEST(a_small_working_set_that_drifts)
{
    check_drift(6, CACHE / 3, 0.0);
}

/* -- What was kept in one phase must not stand in the way of the next -------------------------------- */

TEST(popular_objects_after_a_loop)
{
    struct run r = begin();

    ask_loop(&r, 1, 2 * CACHE, 200000);
    CHECK(ours(&r) <= 0.55);
    count_anew(&r);
    ask_zipf(&r, 1 + 2 * CACHE, 200000);
    CHECK(ours(&r) <= lru(&r) - 0.02);
    end(&r, "Zipf after a loop");
}

TEST(recently_used_after_a_loop)
{
    struct run r = begin();

    ask_loop(&r, 1, 2 * CACHE, 200000);
    CHECK(ours(&r) <= 0.55);
    count_anew(&r);
    ask_recent(&r, 1 + 2 * CACHE, 0.3 * CACHE, 200000);
    CHECK(ours(&r) <= lru(&r) + 0.0173 + 2 * margin); /* the change of phase costs once */
    end(&r, "recently used after a loop");
}

CHECK_MAIN()
