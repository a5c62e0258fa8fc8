/*
 * Sets a key, or gets it: from memory that processes share, or else from Redis.  After `make install`:
 *
 *   cc examples/c-program/keep.c $(pkg-config --cflags --libs tandem) -o keep && ./keep colour blue && ./keep colour
 *
 * (With the library in /usr/local, ldconfig has to be run once.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tandem.h>

/* A server would wait for Redis less: nobody minds here. */
enum { TTL_MS = 60000, PATIENCE_MS = 10000, VALUE_SIZE = 65536 };

static const char *from_environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value ? value : otherwise;
}

/* No call waits for Redis but this: what an operation has queued is waited for, and taken. */
static int finish(tandem_mailbox *mailbox, int status, char *buffer, size_t size,
                  tandem_result *result)
{
    double ticket = result->ticket;

    if (status != TANDEM_PENDING) {
        return status;
    }
    tandem_wait(mailbox, ticket, 2 * PATIENCE_MS);
    return tandem_take(mailbox, ticket, buffer, size, result);
}

static int set(tandem_cache *cache, tandem_mailbox *mailbox, const char *key, const char *value)
{
    tandem_result result = {0};
    int status = tandem_set(cache, key, strlen(key), value, strlen(value), TTL_MS, 0, &result);

    status = finish(mailbox, status, NULL, 0, &result);
    if (status != TANDEM_OK) {
        fprintf(stderr, "keep: %s\n", result.error);
    }
    return status == TANDEM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int get(tandem_cache *cache, tandem_mailbox *mailbox, const char *key)
{
    static char buffer[VALUE_SIZE];
    tandem_result result = {0};
    int status = tandem_get(cache, key, strlen(key), 0, buffer, sizeof(buffer), &result);

    status = finish(mailbox, status, buffer, sizeof(buffer), &result);
    if (status == TANDEM_OK) {
        fwrite(buffer, 1, (size_t)result.length, stdout);
        printf(" (%s)\n", result.tier == TANDEM_TIER_REDIS ? "Redis" : "memory");
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "keep: %s\n",
            status == TANDEM_MISS        ? "no such key"
            : status == TANDEM_TOO_SMALL ? "the value is too large for this program"
            : status == TANDEM_PENDING   ? "no answer in time"
                                         : result.error);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    tandem_options options;
    tandem_cache *cache;
    tandem_mailbox *mailbox;
    char error[256] = "";
    int status;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: keep KEY [VALUE]\n");
        return EXIT_FAILURE;
    }
    tandem_options_init(&options);
    options.name = "keep";
    options.memory_bytes = 8 << 20;
    options.path = from_environment("CACHE_FILE", "/dev/shm/keep.tandem");
    options.redis_url = from_environment("REDIS_URL", "redis://127.0.0.1:6379/0");
    options.connect_timeout_ms = PATIENCE_MS;
    options.timeout_ms = PATIENCE_MS;
    options.mailbox = mailbox = tandem_mailbox_create();
    if (!mailbox || tandem_open(&options, &cache, error, sizeof(error)) != TANDEM_OK) {
        fprintf(stderr, "keep: %s\n", mailbox ? error : "no memory");
        tandem_mailbox_release(mailbox);
        return EXIT_FAILURE;
    }
    status = argc == 3 ? set(cache, mailbox, argv[1], argv[2]) : get(cache, mailbox, argv[1]);
    tandem_close(cache);
    tandem_mailbox_release(mailbox);
    return status;
}
