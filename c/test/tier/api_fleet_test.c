/* One loader for all hosts: two hosts (two segments) and a real Redis. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/hosts.h"

enum { LONG = 100000, ROUNDS = 9 };

static double flight(tandem_cache *c, const char *key)
{
    CHECK_INT(TANDEM_OK, tandem_flight_begin(c, key, strlen(key), 0, LONG, 0, &said));
    return said.ticket;
}

/* TANDEM_FLEET_*, or an error. */
static int lock_for(tandem_cache *c, const tandem_options *o, double number, double keep_ms,
                    double enough_ms)
{
    int status = finish(o, tandem_fleet_lock(c, number, keep_ms, enough_ms, 0, &said));

    return status == TANDEM_OK ? (int)said.count : status;
}

static int lock(tandem_cache *c, const tandem_options *o, double number)
{
    return lock_for(c, o, number, LONG, 0);
}

/* A flight on each host, and the first has the lock. */
static void compete(double *one, double *two)
{
    *one = flight(c1, "key");
    *two = flight(c2, "key");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, *one));
    CHECK_INT(TANDEM_FLEET_HELD, lock(c2, &o2, *two));
}

static int wait_for(tandem_cache *c, const tandem_options *o, double number, double ms)
{
    return finish(o, tandem_fleet_wait(c, number, ms, &said));
}

static void fail(tandem_cache *c, double number, const char *error)
{
    tandem_flight_end(c, number, TANDEM_FLIGHT_FAILED, error, strlen(error));
}

static const char *lock_key(void)
{
    return server_command(server, "GET t:#tandem:lock:key");
}

static void store(tandem_cache *c, const tandem_options *o, double number, const char *text)
{
    CHECK_INT(TANDEM_OK, finish(o, tandem_flight_store(c, number, text, strlen(text), LONG, NULL, 0,
                                                       0, &said)));
    tandem_flight_end(c, number, TANDEM_FLIGHT_STORED, NULL, 0);
}

TEST(one_host_has_it_until_its_flight_ends)
{
    double one, two;

    begin(true);
    compete(&one, &two);
    CHECK(said.ttl > 50 && said.ttl <= 100.01);
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, one)); /* one that asks again has it still */
    store(c1, &o1, one, "value");
    AWAIT(strcmp(lock_key(), "(nil)") == 0);
    CHECK_INT(TANDEM_FLEET_ANSWERED, lock(c2, &o2, two));
    CHECK_INT(TANDEM_OK, get(c2, &o2, "key"));
    CHECK_STR("value", value);
    tandem_flight_end(c2, two, TANDEM_FLIGHT_STORED, NULL, 0);
    CHECK_INT(1, metric(c1, "fetch", "loads"));
    CHECK_INT(0, metric(c2, "fetch", "loads"));
    CHECK_INT(1, metric(c2, "fetch", "fleet_taken"));
    CHECK_INT(1, metric(c2, "fetch", "fleet_waits"));
    CHECK_INT(2, metric(c1, "fetch", "fleet_locks"));
    end();
}

TEST(what_is_no_value_in_redis_is_told_to_those_who_wait)
{
    static const int outcomes[] = {TANDEM_FLIGHT_FAILED, TANDEM_FLIGHT_ABSENT,
                                   TANDEM_FLIGHT_UNKEPT};
    double one, two;

    begin(true);
    for (int i = 0; i < 3; i++) {
        compete(&one, &two);
        tandem_flight_end(c1, one, outcomes[i], "why", 3);
        while (lock(c2, &o2, two) == TANDEM_FLEET_HELD)
            server_nap();
        CHECK_INT(TANDEM_FLEET_LEFT, said.count);
        CHECK_INT('0' + outcomes[i], value[0]);
        CHECK_STR("why", value + 1);
        /* Nobody else: neither who comes later nor who has been told. */
        one = flight(c1, "key");
        CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, one));
        CHECK_INT(TANDEM_FLEET_HELD, lock(c2, &o2, two));
        tandem_flight_end(c1, one, TANDEM_FLIGHT_GONE, NULL, 0);
        tandem_flight_end(c2, two, TANDEM_FLIGHT_GONE, NULL, 0);
        AWAIT(strcmp(lock_key(), "(nil)") == 0);
    }
    end();
}

/* Long errors are cut, and bytes are bytes. */
TEST(a_message_may_be_anything)
{
    char error[1000];
    double one, two;

    begin(false);
    memset(error, 0, sizeof(error));
    compete(&one, &two);
    tandem_flight_end(c1, one, TANDEM_FLIGHT_FAILED, error, sizeof(error));
    while (lock(c2, &o2, two) == TANDEM_FLEET_HELD)
        server_nap();
    CHECK_INT(TANDEM_FLEET_LEFT, said.count);
    CHECK(said.length > 100 && said.length < 300);
    CHECK_MEM(error, value + 1, (size_t)said.length - 1);
    tandem_flight_end(c2, two, TANDEM_FLIGHT_GONE, NULL, 0);
    end();
}

/* Without a word from Redis a wait lasts for a second. */
TEST(a_waiting_host_is_woken_by_redis)
{
    int quick = 0;

    begin(true);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t began_us;
        double one, two;

        compete(&one, &two);
        began_us = clock_now_us();
        tandem_flight_end(c1, one, TANDEM_FLIGHT_GONE, NULL, 0);
        do
            CHECK_INT(TANDEM_OK, wait_for(c2, &o2, two, LONG));
        while (lock(c2, &o2, two) == TANDEM_FLEET_HELD);
        quick += clock_now_us() - began_us < 500000;
        CHECK_INT(TANDEM_FLEET_TAKEN, said.count);
        tandem_flight_end(c2, two, TANDEM_FLIGHT_GONE, NULL, 0);
        AWAIT(strcmp(lock_key(), "(nil)") == 0);
    }
    CHECK(quick > ROUNDS / 2);
    end();
}

TEST(a_wait_ends_by_itself_with_a_link_and_without)
{
    for (int tracking = 0; tracking < 2; tracking++) {
        int64_t began_ms;
        double one, two;

        begin(tracking);
        compete(&one, &two);
        began_ms = clock_now_ms();
        while (clock_now_ms() < began_ms + 90) { /* its own message may be among those that come */
            CHECK_INT(TANDEM_OK, wait_for(c2, &o2, two, LONG));
            CHECK_INT(TANDEM_FLEET_HELD, lock(c2, &o2, two));
        }
        CHECK(clock_now_ms() < began_ms + 10000);
        CHECK_INT(TANDEM_ETIMEOUT, wait_for(c2, &o2, two, 5));
        end();
    }
}

TEST(only_what_lives_long_enough_is_an_answer)
{
    double number;

    begin(false);
    server_command(server, "SET t:key value PX 50000");
    number = flight(c1, "key");
    CHECK_INT(TANDEM_FLEET_ANSWERED, lock_for(c1, &o1, number, LONG, 0));
    CHECK_INT(TANDEM_FLEET_ANSWERED, lock_for(c1, &o1, number, LONG, 10000));
    CHECK_INT(TANDEM_FLEET_TAKEN, lock_for(c1, &o1, number, LONG, 60000));
    CHECK_INT(TANDEM_FLEET_TAKEN, lock_for(c1, &o1, number, LONG, -1));
    server_command(server, "PERSIST t:key");
    CHECK_INT(TANDEM_FLEET_ANSWERED, lock_for(c1, &o1, number, LONG, 60000));
    CHECK_INT(TANDEM_FLEET_TAKEN, lock_for(c1, &o1, number, LONG, -1));
    server_command(server, "DEL t:key");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, number));
    tandem_flight_end(c1, number, TANDEM_FLIGHT_GONE, NULL, 0);
    end();
}

TEST(nobody_gives_up_what_another_has_got)
{
    double one, two;

    begin(false);
    one = flight(c1, "key");
    two = flight(c2, "key");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock_for(c1, &o1, one, 20, 0));
    while (lock(c2, &o2, two) == TANDEM_FLEET_HELD) /* it expires */
        server_nap();
    CHECK_INT(TANDEM_FLEET_TAKEN, said.count);
    fail(c1, one, "late");
    get(c1, &o1, "behind it");
    CHECK_INT('h', lock_key()[0]);
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c2, &o2, two));
    tandem_flight_end(c2, two, TANDEM_FLIGHT_GONE, NULL, 0);
    get(c2, &o2, "behind it");
    CHECK_STR("(nil)", lock_key());
    end();
}

/* Whoever did not wait for the answer, and who closes the cache. */
TEST(whatever_ends_a_flight_gives_up_the_lock)
{
    double number;

    begin(false);
    number = flight(c1, "key");
    CHECK_INT(TANDEM_PENDING, tandem_fleet_lock(c1, number, LONG, 0, 0, &said));
    tandem_abandon(o1.mailbox, said.ticket);
    tandem_flight_end(c1, number, TANDEM_FLIGHT_GONE, NULL, 0);
    get(c1, &o1, "behind it");
    CHECK_STR("(nil)", lock_key());
    number = flight(c1, "key");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, number));
    tandem_close(c1);
    AWAIT(strcmp(lock_key(), "(nil)") == 0);
    c1 = open_with(&o1);
    end();
}

TEST(the_lock_of_a_killed_process_expires)
{
    double number;
    pid_t pid;
    int status;

    begin(false);
    pid = fork();
    if (pid == 0) {
        tandem_options o = host_options("host3");
        tandem_cache *c = open_with(&o);

        number = flight(c, "key");
        _exit(lock_for(c, &o, number, 300, 0) == TANDEM_FLEET_TAKEN ? 0 : 1);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK_INT(0, status);
    number = flight(c1, "key");
    while (lock(c1, &o1, number) == TANDEM_FLEET_HELD)
        CHECK_INT(TANDEM_OK, wait_for(c1, &o1, number, LONG));
    CHECK_INT(TANDEM_FLEET_TAKEN, said.count);
    tandem_flight_end(c1, number, TANDEM_FLIGHT_GONE, NULL, 0);
    end();
}

TEST(what_others_put_in_its_place_does_no_harm)
{
    double number;

    begin(false);
    number = flight(c1, "key");
    server_command(server, "SET t:#tandem:lock:key junk");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, number));
    server_command(server, "SET t:#tandem:lock:key h");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, number));
    server_command(server, "SET t:#tandem:lock:key h0123456789abcdef0");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c1, &o1, number));
    server_command(server, "SET t:#tandem:lock:key h0123456789abcdef");
    CHECK_INT(TANDEM_FLEET_HELD, lock(c1, &o1, number));
    CHECK(said.ttl < 0); /* for ever */
    server_command(server, "SET t:#tandem:lock:key e0123456789abcdef");
    CHECK_INT(TANDEM_EPROTO, lock(c1, &o1, number));
    server_command(server, "SET t:#tandem:lock:key e0123456789abcdef1why");
    CHECK_INT(TANDEM_EPROTO, lock(c1, &o1, number));
    server_command(server, "SET t:#tandem:lock:key e0123456789abcdef4why");
    CHECK_INT(TANDEM_FLEET_LEFT, lock(c1, &o1, number));
    CHECK_STR("4why", value);
    server_command(server, "DEL t:#tandem:lock:key");
    server_command(server, "RPUSH t:#tandem:lock:key a");
    CHECK_INT(TANDEM_EREDIS, lock(c1, &o1, number));
    tandem_flight_end(c1, number, TANDEM_FLIGHT_GONE, NULL, 0);
    end();
}

/* What was set or deleted while it waited is known to the loader, which only begins then. */
TEST(a_flight_holds_to_what_was_when_it_was_restarted)
{
    double one, two;

    begin(true);
    compete(&one, &two);
    CHECK_INT(TANDEM_OK, set(c2, &o2, "key", "set", LONG));
    CHECK_INT(TANDEM_OK, del(c2, &o2, "key"));
    tandem_flight_end(c1, one, TANDEM_FLIGHT_GONE, NULL, 0);
    get(c1, &o1, "behind it");
    CHECK_INT(TANDEM_FLEET_TAKEN, lock(c2, &o2, two));
    AWAIT(metric(c2, "tracking", "invalidations") > 0);
    CHECK_INT(TANDEM_MISS,
              finish(&o2, tandem_flight_store(c2, two, "made", 4, LONG, NULL, 0, 0, &said)));
    while (tandem_flight_restart(c2, two),
           lock(c2, &o2, two) == TANDEM_FLEET_TAKEN &&
               finish(&o2, tandem_flight_store(c2, two, "made", 4, LONG, NULL, 0, 0, &said)) ==
                   TANDEM_MISS)
        server_nap(); /* the messages of both come late */
    CHECK_STR("made", server_command(server, "GET t:key"));
    tandem_flight_end(c2, two, TANDEM_FLIGHT_STORED, NULL, 0);
    end();
}

TEST(without_a_redis_and_without_a_flight)
{
    tandem_options o = options_for("alone", NULL);
    tandem_cache *c = open_with(&o);
    double number = flight(c, "key");

    CHECK_INT(TANDEM_EINVAL, tandem_fleet_lock(c, number, LONG, 0, 0, &said));
    CHECK_STR("there is no Redis to have a lock of", said.error);
    CHECK_INT(TANDEM_EBUSY, tandem_fleet_wait(c, number, LONG, &said));
    tandem_flight_end(c, number, TANDEM_FLIGHT_GONE, NULL, 0);
    close_all(c, &o);
    begin(false);
    number = flight(c1, "key");
    CHECK_INT(TANDEM_ELOST, tandem_fleet_lock(c1, number + 1, LONG, 0, 0, &said));
    CHECK_INT(TANDEM_ELOST, tandem_fleet_wait(c1, number + 1, LONG, &said));
    CHECK_INT(TANDEM_EBUSY, tandem_fleet_wait(c1, number, LONG, &said)); /* it has not asked */
    CHECK_INT(TANDEM_EINVAL, tandem_fleet_lock(c1, number, 0, 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_fleet_lock(c1, number, LONG, -2, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_fleet_lock(NULL, number, LONG, 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_fleet_wait(c1, number, -1, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_fleet_wait(NULL, number, 1, &said));
    server_kill(server);
    while (lock(c1, &o1, number) != TANDEM_ECONN)
        server_nap();
    tandem_flight_end(c1, number, TANDEM_FLIGHT_GONE, NULL, 0);
    end();
}

CHECK_MAIN()
