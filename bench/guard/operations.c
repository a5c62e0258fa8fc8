/*
 * operations.c: single operations of the public interface, for callgrind to count.
 *
 *   operations [SOCKET]     a Redis that listens there; without one only operations of memory
 *
 * Callgrind counts inside functions named op_* and nowhere else, and writes down what it has when one returns
 * (bench/guard/main.lua says so on its command line).  So each of them does one operation CALLS times and
 * nothing else; what has to be there before is made outside.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem.h"

enum { CALLS = 2000, KEY = 16, VALUE = 100, MANY = 20 };

static struct {
    char there[CALLS][KEY + 1], absent[CALLS][KEY + 1], other[CALLS][KEY + 1];
} keys;
static char value[VALUE], buffer[4096];
static double tickets[CALLS];
static tandem_cache *cache;
static tandem_mailbox *mailbox;
static tandem_result result;

static void require(int expected, int status, const char *what)
{
    if (status == expected)
        return;
    fprintf(stderr, "operations: %s answers %d instead of %d: %s\n", what, status, expected,
            result.error);
    exit(1);
}

/* A function that does an operation with each of the keys, and requires what it answers. */
#define OPERATION(name, expected, call)                   \
    __attribute__((noinline)) static void op_##name(void) \
    {                                                     \
        for (int i = 0; i < CALLS; i++)                   \
            require(expected, call, #name);               \
    }

OPERATION(get_hit, TANDEM_OK,
          tandem_get(cache, keys.there[i], KEY, 0, buffer, sizeof(buffer), &result))
OPERATION(get_miss, TANDEM_MISS,
          tandem_get(cache, keys.absent[i], KEY, 0, buffer, sizeof(buffer), &result))
OPERATION(exists, TANDEM_OK, tandem_exists(cache, keys.there[i], KEY, 0, &result))
OPERATION(set_new, TANDEM_OK,
          tandem_set(cache, keys.there[i], KEY, value, VALUE, 60000, 0, &result))
OPERATION(set_over, TANDEM_OK,
          tandem_set(cache, keys.there[i], KEY, value, VALUE, 60000, 0, &result))
OPERATION(set_evicting, TANDEM_OK,
          tandem_set(cache, keys.other[i], KEY, value, VALUE, 0, 0, &result))
OPERATION(delete, TANDEM_OK, tandem_delete(cache, keys.there[i], KEY, 0, &result))
OPERATION(add, TANDEM_OK, tandem_add(cache, keys.there[i], KEY, value, VALUE, 0, 0, &result))
OPERATION(expire, TANDEM_OK, tandem_expire(cache, keys.there[i], KEY, 60000, 0, &result))
OPERATION(incr, TANDEM_OK,
          tandem_incr(cache, keys.other[i % 200], KEY, 1, 0, 0, TANDEM_INIT, &result))

/* Of hits in the near table, the part that is C. */
static tandem_near_entry near_entries[CALLS];
static tandem_near near = {.entries = near_entries};

OPERATION(near_hit, 1, tandem_near_hit(&near, (uint32_t)i))

static void fill_near(void)
{
    require(TANDEM_OK, tandem_near_attach(cache, &near), "tandem_near_attach");
    for (int i = 0; i < CALLS; i++) {
        require(TANDEM_OK,
                tandem_get(cache, keys.there[i], KEY, 0, buffer, sizeof(buffer), &result),
                "a get for the near table");
        near_entries[i] = (tandem_near_entry){.fresh_until = result.fresh_until,
                                              .slot = result.slot,
                                              .version = result.version,
                                              .epoch = result.epoch};
    }
}

static int fly(const char *key)
{
    int status = tandem_flight_begin(cache, key, KEY, 0, 1000, 0, &result);

    tandem_flight_end(cache, result.ticket, TANDEM_FLIGHT_GONE, NULL, 0);
    return status;
}

OPERATION(flight, TANDEM_OK, fly(keys.absent[i]))

/* Here a call is one key. */
static tandem_item items[MANY];

static int set_many(int from)
{
    for (int i = 0; i < MANY; i++)
        items[i] = (tandem_item){
            .key = keys.there[from + i], .key_length = KEY, .value = value, .value_length = VALUE};
    return tandem_set_many(cache, items, MANY, 0, &result);
}

__attribute__((noinline)) static void op_set_many(void)
{
    for (int from = 0; from < CALLS; from += MANY)
        require(TANDEM_OK, set_many(from), "set_many");
}

/* Here, too. */
__attribute__((noinline)) static void op_keys(void)
{
    double cursor = 0;
    int status;

    do {
        status = tandem_keys(cache, &cursor, "k*", 2, buffer, sizeof(buffer), &result);
    } while (status == TANDEM_MORE);
    require(TANDEM_OK, status, "keys");
}

/* What the thread of the caller does for a get that Redis answers: to queue it, without a wake-up of the I/O
 * thread, which depends on what that is doing, and to take what has come. */
__attribute__((noinline)) static void op_redis_queue(void)
{
    for (int i = 0; i < CALLS; i++) {
        require(
            TANDEM_PENDING,
            tandem_get(cache, keys.absent[i], KEY, TANDEM_CORK, buffer, sizeof(buffer), &result),
            "a get from Redis");
        tickets[i] = result.ticket;
    }
}

OPERATION(redis_take, TANDEM_MISS,
          tandem_take(mailbox, tickets[i], buffer, sizeof(buffer), &result))

static void open_cache(const char *name, const char *url)
{
    tandem_options options;
    char error[256] = "";

    mailbox = tandem_mailbox_create();
    tandem_options_init(&options);
    options.name = name;
    options.memory_bytes = 8 << 20;
    options.redis_url = url;
    options.tracking = 0;
    options.timeout_ms = 60000;
    options.connect_timeout_ms = 60000;
    options.mailbox = mailbox;
    if (tandem_open(&options, &cache, error, sizeof(error)) != TANDEM_OK) {
        fprintf(stderr, "operations: %s\n", error);
        exit(1);
    }
}

static void close_cache(void)
{
    tandem_close(cache);
    tandem_mailbox_release(mailbox);
}

static void in_memory(void)
{
    open_cache("operations", NULL);
    op_set_new();
    op_set_over();
    op_get_hit();
    op_get_miss();
    op_exists();
    op_expire();
    fill_near();
    op_near_hit();
    op_flight();
    op_keys();
    op_set_many();
    op_delete();
    op_add();
    op_incr();
    for (int round = 0; round < 40; round++) /* fills it */
        for (int i = 0; i < CALLS; i++) {
            char key[KEY + 1];

            snprintf(key, sizeof(key), "f%05d.%09d", round, i);
            require(TANDEM_OK, tandem_set(cache, key, KEY, value, VALUE, 0, 0, &result), "a set");
        }
    op_set_evicting();
    close_cache();
}

static void with_redis(const char *url)
{
    open_cache("operations-redis", url);
    require(TANDEM_PENDING, tandem_get(cache, "first", 5, 0, buffer, sizeof(buffer), &result),
            "a first get");
    require(TANDEM_OK, tandem_wait(mailbox, result.ticket, 60000), "its answer");
    require(TANDEM_MISS, tandem_take(mailbox, result.ticket, buffer, sizeof(buffer), &result),
            "its outcome");
    op_redis_queue();
    tandem_uncork(cache);
    for (int i = 0; i < CALLS; i++)
        require(TANDEM_OK, tandem_wait(mailbox, tickets[i], 60000), "an answer");
    op_redis_take();
    close_cache();
}

int main(int argc, char **argv)
{
    char url[256];

    for (int i = 0; i < CALLS; i++) {
        snprintf(keys.there[i], KEY + 1, "k%015d", i);
        snprintf(keys.absent[i], KEY + 1, "a%015d", i);
        snprintf(keys.other[i], KEY + 1, "o%015d", i);
    }
    memset(value, 'v', sizeof(value));
    in_memory();
    if (argc > 1) {
        snprintf(url, sizeof(url), "unix://%s", argv[1]);
        with_redis(url);
    }
    printf("%d\n", CALLS);
    return 0;
}
