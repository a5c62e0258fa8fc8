/* One loader at a time for each key, in one process and in several. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/cache.h"
#include "support/server.h"

enum { KEEP_MS = 60000, PATIENCE_MS = 30000 };

static tandem_options o;
static tandem_cache *c;

static void begin(const char *url)
{
    o = options_for("flights", url);
    o.timeout_ms = 10000;
    c = open_with(&o);
}

static int fly(const char *key, int flags)
{
    return tandem_flight_begin(c, key, strlen(key), flags, KEEP_MS, PATIENCE_MS, &said);
}

static double begun(const char *key)
{
    REQUIRE(fly(key, 0) == TANDEM_OK);
    return said.ticket;
}

static double joined(const char *key)
{
    REQUIRE(fly(key, 0) == TANDEM_PENDING);
    return said.ticket;
}

static void ended(double flight, int outcome, const char *error)
{
    tandem_flight_end(c, flight, outcome, error, error ? strlen(error) : 0);
}

/* What a wait came to: TANDEM_FLIGHT_*, or an error. */
static int outcome_of(double ticket)
{
    int status;

    if (tandem_wait(o.mailbox, ticket, PATIENCE_MS) != TANDEM_OK)
        return TANDEM_ELOST;
    status = tandem_take(o.mailbox, ticket, value, sizeof(value), &said);
    return status == TANDEM_OK ? (int)said.count : status;
}

static int store(double flight, const char *text, int flags)
{
    return finish(&o, tandem_flight_store(c, flight, text, strlen(text), 0, NULL, 0, flags, &said));
}

TEST(others_are_told_what_it_came_to)
{
    double flight, first, second;

    begin(NULL);
    flight = begun("key");
    first = joined("key");
    second = joined("key");
    begun("another key");
    CHECK_INT(TANDEM_OK, store(flight, "loaded", 0));
    CHECK_INT(TANDEM_TIER_LOADER, said.tier);
    CHECK_INT(TANDEM_PENDING, tandem_take(o.mailbox, first, value, sizeof(value), &said));
    ended(flight, TANDEM_FLIGHT_STORED, NULL);
    CHECK_INT(TANDEM_FLIGHT_STORED, outcome_of(first));
    CHECK_INT(TANDEM_FLIGHT_STORED, outcome_of(second));
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("loaded", value);
    CHECK_INT(TANDEM_MORE, fly("key", 0));
    CHECK_INT(TANDEM_OK, fly("key", TANDEM_NOWAIT)); /* a refresh, before its time */
    close_all(c, &o);
}

TEST(an_error_is_everybodys)
{
    double flight, waits[100];

    begin(NULL);
    flight = begun("key");
    for (int i = 0; i < 100; i++)
        waits[i] = joined("key");
    ended(flight, TANDEM_FLIGHT_FAILED, "no such luck");
    for (int i = 0; i < 100; i++) {
        CHECK_INT(TANDEM_FLIGHT_FAILED, outcome_of(waits[i]));
        value[(size_t)said.length] = '\0';
        CHECK_STR("no such luck", value);
    }
    ended(flight, TANDEM_FLIGHT_FAILED, "again");
    begun("key");
    close_all(c, &o);
}

TEST(a_refresh_joins_nobody)
{
    double flight;

    begin(NULL);
    flight = begun("key");
    CHECK_INT(TANDEM_MISS, fly("key", TANDEM_NOWAIT));
    ended(flight, TANDEM_FLIGHT_GONE, NULL);
    CHECK_INT(TANDEM_OK, fly("key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, fly("key", TANDEM_ALONE));
    close_all(c, &o);
}

TEST(who_waits_too_long_is_told_so)
{
    double ticket;

    begin(NULL);
    begun("key");
    REQUIRE(tandem_flight_begin(c, "key", 3, 0, KEEP_MS, 30, &said) == TANDEM_PENDING);
    ticket = said.ticket;
    CHECK_INT(TANDEM_ETIMEOUT, outcome_of(ticket));
    close_all(c, &o);
}

TEST(who_keeps_it_too_long_loses_it)
{
    double slow, wait;

    begin(NULL);
    REQUIRE(tandem_flight_begin(c, "key", 3, 0, 100, PATIENCE_MS, &said) == TANDEM_OK);
    slow = said.ticket;
    wait = joined("key");
    CHECK_INT(TANDEM_FLIGHT_GONE, outcome_of(wait));
    begun("key");
    ended(slow, TANDEM_FLIGHT_STORED, NULL);
    wait = joined("key"); /* the later one goes on */
    CHECK_INT(TANDEM_PENDING, tandem_take(o.mailbox, wait, value, sizeof(value), &said));
    close_all(c, &o);
}

TEST(what_was_written_meanwhile_is_not_overwritten)
{
    double flight;

    begin(NULL);
    flight = begun("key");
    CHECK_INT(TANDEM_OK, set(c, &o, "key", "newer", 0));
    CHECK_INT(TANDEM_MISS, store(flight, "loaded", 0));
    CHECK_INT(TANDEM_MISS, tandem_flight_absent(c, flight, 1000, NULL, 0, &said));
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("newer", value);
    ended(flight, TANDEM_FLIGHT_GONE, NULL);

    flight = begun("gone");
    CHECK_INT(TANDEM_MISS, del(c, &o, "gone"));
    CHECK_INT(TANDEM_MISS, store(flight, "loaded", 0));
    CHECK_INT(TANDEM_MISS, store(12345, "loaded", 0));
    CHECK_INT(TANDEM_MISS, get(c, &o, "gone"));
    close_all(c, &o);
}

TEST(a_closed_handle_ends_its_flights)
{
    tandem_cache *other;
    double wait;

    begin(NULL);
    other = open_with(&o);
    REQUIRE(tandem_flight_begin(other, "key", 3, 0, KEEP_MS, 0, &said) == TANDEM_OK);
    wait = joined("key");
    tandem_close(other);
    CHECK_INT(TANDEM_FLIGHT_GONE, outcome_of(wait));
    close_all(c, &o);
}

TEST(flights_take_no_room_from_values)
{
    double entries;
    char key[16];

    begin(NULL);
    for (int i = 0; metric(c, "memory", "evictions") == 0; i++) {
        snprintf(key, sizeof(key), "value-%d", i);
        REQUIRE(set(c, &o, key, "of some length or other", 0) == TANDEM_OK);
    }
    entries = metric(c, "memory", "entries");
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "flight-%d", i);
        fly(key, 0);
    }
    CHECK(entries > 1000);
    CHECK(entries == metric(c, "memory", "entries"));
    close_all(c, &o);
}

TEST(a_full_table_is_no_obstacle)
{
    char key[16];
    int full = 0;

    begin(NULL);
    for (int i = 0; i < 2000; i++) {
        int status;

        snprintf(key, sizeof(key), "key-%d", i);
        status = fly(key, 0);
        REQUIRE(status == TANDEM_OK || status == TANDEM_EFULL);
        full += status == TANDEM_EFULL;
        CHECK_INT(TANDEM_OK, store(said.ticket, key, 0));
        CHECK_INT(TANDEM_OK, get(c, &o, key));
    }
    CHECK(full > 0);
    close_all(c, &o);
}

/* -- Several processes ----------------------------------------------------------------------------- */

struct note {
    _Atomic int step;
    _Atomic int64_t at_us;
};

static struct note *note;

static void notes(void)
{
    note = mmap(NULL, sizeof(*note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(note != MAP_FAILED);
}

static void await_step(int step)
{
    int64_t end_us = clock_now_us() + PATIENCE_MS * 1000;

    while (note->step < step && clock_now_us() < end_us)
        server_nap();
    REQUIRE(note->step >= step);
}

/* A child that owns the flight of "key", and ends it when told to. */
static pid_t owner(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        double flight = begun("key");

        note->step = 1;
        await_step(2);
        store(flight, "the child's", 0);
        note->at_us = clock_now_us();
        ended(flight, TANDEM_FLIGHT_STORED, NULL);
        note->step = 3;
        _exit(0);
    }
    await_step(1);
    return pid;
}

TEST(another_process_is_told)
{
    double wait;
    pid_t pid;
    int status;

    begin(NULL);
    notes();
    pid = owner();
    wait = joined("key");
    note->step = 2;
    CHECK_INT(TANDEM_FLIGHT_STORED, outcome_of(wait));
    printf("# told after %lld us\n", (long long)(clock_now_us() - note->at_us));
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("the child's", value);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close_all(c, &o);
}

TEST(a_dead_owner_is_noticed)
{
    double wait;
    pid_t pid;

    begin(NULL);
    notes();
    pid = owner();
    wait = joined("key");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_INT(TANDEM_FLIGHT_GONE, outcome_of(wait));
    begun("key");
    close_all(c, &o);
}

TEST(a_dead_owner_is_in_nobodys_way)
{
    pid_t pid;

    begin(NULL);
    notes();
    pid = owner();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    begun("key");
    close_all(c, &o);
}

/* -- Killed and stopped ---------------------------------------------------------------------------- */

enum { CHILDREN = 6, KEYS = 12, HAMMER_MS = 3000 };

static struct hammer {
    _Atomic pid_t owner[KEYS];
    _Atomic bool over;
    _Atomic unsigned flights, joined, told, two_owners, untold, errors;
} * hammer;

static void own_for_a_while(double flight, int key)
{
    pid_t self = getpid(), before = atomic_exchange(hammer->owner + key, self);

    if (before && before != self && kill(before, 0) == 0)
        hammer->two_owners++;
    hammer->flights++;
    if (hammer->flights % 3 == 0)
        server_nap();
    atomic_compare_exchange_strong(hammer->owner + key, &self, 0);
    ended(flight, TANDEM_FLIGHT_UNKEPT, NULL);
}

static void fly_until_told(void)
{
    char key[16];

    for (unsigned n = (unsigned)getpid(); !hammer->over; n = n * 1103515245 + 12345) {
        int which = (int)(n >> 16) % KEYS;
        double ticket;

        snprintf(key, sizeof(key), "key-%d", which);
        switch (fly(key, 0)) {
        case TANDEM_OK:
            own_for_a_while(said.ticket, which);
            break;
        case TANDEM_PENDING:
            ticket = said.ticket;
            hammer->joined++;
            if (outcome_of(ticket) >= 0)
                hammer->told++;
            else
                hammer->untold++;
            break;
        case TANDEM_EBUSY: /* somebody died with the lock, or was stopped */
            ended(said.ticket, TANDEM_FLIGHT_GONE, NULL);
            break;
        default:
            hammer->errors++;
        }
    }
    _exit(0);
}

static pid_t fly_child(void)
{
    pid_t pid = fork();

    if (pid == 0)
        fly_until_told();
    REQUIRE(pid > 0);
    return pid;
}

TEST(one_owner_at_a_time_and_nobody_waits_in_vain_though_owners_are_killed)
{
    pid_t children[CHILDREN];
    unsigned kills = 0;

    hammer = mmap(NULL, sizeof(*hammer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(hammer != MAP_FAILED);
    check_timeout(120);
    begin(NULL);
    for (int i = 0; i < CHILDREN; i++)
        children[i] = fly_child();
    for (int64_t end_ms = clock_now_ms() + HAMMER_MS; clock_now_ms() < end_ms; kills++) {
        pid_t *victim = children + kills % CHILDREN;

        for (int i = 0; i < 10; i++)
            server_nap();
        if (kills % 5 == 0) {
            kill(*victim, SIGSTOP);
            for (int i = 0; i < 20; i++)
                server_nap();
            kill(*victim, SIGCONT);
            continue;
        }
        kill(*victim, SIGKILL);
        waitpid(*victim, NULL, 0);
        *victim = fly_child();
    }
    hammer->over = true;
    for (int i = 0; i < CHILDREN; i++)
        waitpid(children[i], NULL, 0);
    printf("# %u kills and stops, %u flights, %u waits\n", kills, hammer->flights, hammer->joined);
    CHECK(kills > 10 && hammer->flights > 100 && hammer->joined > 100);
    CHECK_INT(0, hammer->two_owners);
    CHECK_INT(0, hammer->untold);
    CHECK_INT(0, hammer->errors);
    close_all(c, &o);
}

/* The parent's thread, flights and waits are not the child's. */
TEST(a_child_begins_anew)
{
    double flight, wait;
    int status;
    pid_t pid;

    begin(NULL);
    flight = begun("key");
    wait = joined("key");
    pid = fork();
    if (pid == 0) {
        ended(flight, TANDEM_FLIGHT_STORED, NULL);
        if (fly("key", 0) != TANDEM_PENDING ||
            tandem_wait(o.mailbox, said.ticket, 50) != TANDEM_PENDING)
            _exit(1);
        close_all(c, &o);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ended(flight, TANDEM_FLIGHT_ABSENT, NULL);
    CHECK_INT(TANDEM_FLIGHT_ABSENT, outcome_of(wait));
    close_all(c, &o);
}

/* -- With Redis ------------------------------------------------------------------------------------ */

TEST(what_is_loaded_is_in_both_tiers)
{
    struct server *server = server_start(NULL);
    double flight;

    begin(server->url);
    CHECK_INT(TANDEM_MISS, get(c, &o, "key"));
    flight = begun("key");
    CHECK_INT(TANDEM_OK, store(flight, "loaded", TANDEM_FIRST));
    CHECK_INT(TANDEM_TIER_LOADER, said.tier);
    ended(flight, TANDEM_FLIGHT_STORED, NULL);
    CHECK_STR("loaded", server_command(server, "GET flights:key"));
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_STR("loaded", value);
    close_all(c, &o);
    server_stop(server);
}

TEST(who_comes_second_takes_what_redis_has)
{
    struct server *server = server_start(NULL);
    double flight;

    begin(server->url);
    CHECK_INT(TANDEM_MISS, get(c, &o, "key"));
    flight = begun("key");
    server_command(server, "SET flights:key theirs");
    CHECK_INT(TANDEM_MISS, store(flight, "loaded", TANDEM_FIRST));
    CHECK_INT(TANDEM_TIER_REDIS, said.tier);
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("theirs", value);
    CHECK_STR("theirs", server_command(server, "GET flights:key"));
    ended(flight, TANDEM_FLIGHT_STORED, NULL);
    close_all(c, &o);
    server_stop(server);
}

CHECK_MAIN()
