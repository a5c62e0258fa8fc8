#include "tier/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "tier/identity.h"
#include "tier/process.h"

static struct tier *tiers; /* process lock */

/* -- What tells connections apart ---------------------------------------------------------------- */

/* The settings that a client is made with, one after the other, to be hashed.  Two clients with equal
 * settings can serve each other's callers. */
struct settings {
    unsigned char *bytes;
    size_t length, size;
};

static void add(struct settings *s, const void *field, size_t length)
{
    uint64_t n = field ? length : UINT64_MAX;

    if (s->bytes) {
        memcpy(s->bytes + s->length, &n, sizeof(n));
        if (field && length)
            memcpy(s->bytes + s->length + sizeof(n), field, length);
    }
    s->length += sizeof(n) + (field ? length : 0);
}

static void add_text(struct settings *s, const char *text)
{
    add(s, text, text ? strlen(text) : 0);
}

/* Not what is in the file, but enough to tell when another has taken its place: a reload of nginx then
 * has new connections made with what is there now. */
static void add_file(struct settings *s, const char *path)
{
    struct stat file;

    add_text(s, path);
    if (!path || stat(path, &file) != 0)
        return;
    add(s, &file.st_dev, sizeof(file.st_dev));
    add(s, &file.st_ino, sizeof(file.st_ino));
    add(s, &file.st_size, sizeof(file.st_size));
    add(s, &file.st_mtim, sizeof(file.st_mtim));
}

static void add_all(struct settings *s, const struct redis_config *config)
{
    add_text(s, config->url);
    add_text(s, config->username);
    add_text(s, config->password);
    add_text(s, config->client_name);
    add_file(s, config->tls.ca);
    add_file(s, config->tls.cert);
    add_file(s, config->tls.key);
    add_text(s, config->tls.server_name);
    add_text(s, config->address_map);
    add(s, &config->tls.unverified, sizeof(config->tls.unverified));
    add(s, config->prefix, config->prefix_length);
    add(s, &config->connect_timeout_ms, sizeof(config->connect_timeout_ms));
    add(s, &config->timeout_ms, sizeof(config->timeout_ms));
    add(s, &config->max_ops, sizeof(config->max_ops));
    add(s, &config->max_bytes, sizeof(config->max_bytes));
    add(s, &config->tags, sizeof(config->tags));
    add(s, &config->replicas, sizeof(config->replicas));
}

/* Two hashes of all settings, so that secrets need not be kept.  False: no memory. */
static bool hash_settings(const struct redis_config *config, uint64_t hash[2])
{
    struct settings s = {NULL, 0, 0};

    add_all(&s, config);
    s.size = s.length;
    s.length = 0;
    s.bytes = alloc_bytes(s.size);
    if (!s.bytes)
        return false;
    add_all(&s, config);
    hash[0] = hash_bytes(s.bytes, s.size, UINT64_C(0x74616e64656d));
    hash[1] = hash_bytes(s.bytes, s.size, ~hash[0]);
    explicit_bzero(s.bytes, s.size);
    alloc_free(s.bytes);
    return true;
}

/* -- Tiers --------------------------------------------------------------------------------------- */

static void discard(struct tier *tier)
{
    if (tier->client)
        redis_client_release(tier->client); /* tier_gone frees it */
    else
        tier_free(tier);
}

/* A tier with identity and client, without memory yet. */
static int make(const struct registry_config *config, struct tier **made, char *error,
                size_t error_size)
{
    struct tier *tier = alloc_zeroed(sizeof(*tier));
    struct redis_hooks hooks = {
        .context = tier,
        .done = tier_done,
        .count = tier_count,
        .took = tier_took,
        .invalidate = tracking_invalidate,
        .link = tracking_link,
        .moved = lanes_moved,
        .changed = lanes_changed,
        .unchanged = lanes_unchanged,
        .tick = tier_tick,
        .may_try = tier_may_try,
        .may_stop = tracking_may_stop,
        .gone = tier_gone,
    };
    struct identity identity = {
        .name = config->memory.name,
        .memory_bytes = config->memory.bytes,
        .path = config->memory.path,
        .prefix = config->redis.prefix,
        .prefix_length = config->redis.url ? config->redis.prefix_length : 0,
        .codec = config->codec,
        .tags = config->memory.with_tags,
        .entry_size = config->memory.entry_size,
    };

    snprintf(error, error_size, "no memory");
    if (!tier)
        return TANDEM_ESYS;
    tier->tags = config->memory.with_tags;
    tracking_init(&tier->tracking);
    flights_init(&tier->flights);
    if (config->redis.url) {
        if (!hash_settings(&config->redis, tier->connection)) {
            discard(tier);
            return TANDEM_ESYS;
        }
        tier->client = redis_client_create(&config->redis, &hooks, error, error_size);
        if (!tier->client) {
            discard(tier);
            return TANDEM_EINVAL;
        }
        identity.server = redis_client_server(tier->client);
    }
    tier->identity = identity_text(&identity);
    if (!tier->identity || !lanes_create(tier, &tier->lanes)) {
        snprintf(error, error_size, "no memory");
        discard(tier);
        return TANDEM_ESYS;
    }
    *made = tier;
    return TANDEM_OK;
}

/* One with the same identity and connection, one handle more. */
static struct tier *join_locked(const struct tier *like)
{
    for (struct tier *t = tiers; t; t = t->next) {
        if (!t->attached && strcmp(t->identity, like->identity) == 0 &&
            !t->client == !like->client && t->connection[0] == like->connection[0] &&
            t->connection[1] == like->connection[1]) {
            t->handles++;
            return t;
        }
    }
    return NULL;
}

static struct tier *join(const struct tier *like)
{
    struct tier *found;

    process_lock();
    found = join_locked(like);
    process_unlock();
    return found;
}

/* Unless somebody has been quicker meanwhile. */
static struct tier *join_or_enter(struct tier *tier)
{
    struct tier *found;

    process_lock();
    found = join_locked(tier);
    if (!found) {
        tier->handles = 1;
        tier->next = tiers;
        tiers = tier;
    }
    process_unlock();
    return found ? found : tier;
}

static void start_sweeping(void)
{
    redis_set_periodic(MAILBOX_SWEEP_MS, mailbox_sweep);
}

static void sweep_from_now_on(void)
{
    static pthread_once_t sweeping = PTHREAD_ONCE_INIT;

    pthread_once(&sweeping, start_sweeping);
}

int registry_join(const struct registry_config *config, struct tier **joined, char *error,
                  size_t error_size)
{
    struct memory_config memory = config->memory;
    struct tier *mine;
    int status = TANDEM_ESYS;

    if (!process_watch_forks()) {
        snprintf(error, error_size, "no memory");
        return status;
    }
    status = make(config, &mine, error, error_size);
    if (status)
        return status;
    *joined = join(mine);
    if (!*joined) {
        memory.identity = mine->identity;
        memory.with_redis = mine->client != NULL;
        memory.with_lanes = mine->lanes != NULL;
        if (memory_open(&memory, &mine->memory, error, error_size) != MEMORY_OK) {
            discard(mine);
            return TANDEM_ESYS;
        }
        if (mine->client)
            sweep_from_now_on();
        *joined = join_or_enter(mine);
    }
    if (*joined != mine)
        discard(mine);
    return TANDEM_OK;
}

/* Its memory is the segment in the file; its identity becomes what that says. */
static int attach(struct tier *tier, const char *path, const struct registry_config *config,
                  char *error, size_t error_size)
{
    const struct identity theirs = {
        .server = tier->client ? redis_client_server(tier->client) : NULL,
        .prefix = config->redis.prefix,
        .prefix_length = config->redis.prefix_length,
    };
    struct memory_description d;

    if (memory_attach(path, false, &tier->memory, &d, error, error_size) != MEMORY_OK)
        return TANDEM_ESYS;
    if (tier->client &&
        (!identity_has_redis(d.identity, &theirs) || d.with_lanes != (tier->lanes != NULL))) {
        snprintf(error, error_size, "the cache of %s has another Redis or prefix than %s: it is %s",
                 path, theirs.server, d.identity);
        return TANDEM_EINVAL;
    }
    if (tier->tags != d.with_tags) {
        snprintf(error, error_size, "the values of the cache of %s have %s", path,
                 d.with_tags ? "tags: the option is missing" : "no tags");
        return TANDEM_EINVAL;
    }
    alloc_free(tier->identity);
    tier->identity = alloc_copy(d.identity, strlen(d.identity));
    if (tier->identity)
        return TANDEM_OK;
    snprintf(error, error_size, "no memory");
    return TANDEM_ESYS;
}

int registry_attach(const char *path, const struct registry_config *config, struct tier **attached,
                    char *error, size_t error_size)
{
    struct tier *tier;
    int status = TANDEM_ESYS;

    if (!process_watch_forks()) {
        snprintf(error, error_size, "no memory");
        return status;
    }
    status = make(config, &tier, error, error_size);
    if (status)
        return status;
    status = attach(tier, path, config, error, error_size);
    if (status) {
        discard(tier);
        return status;
    }
    if (tier->client)
        sweep_from_now_on();
    tier->attached = true;
    tier->handles = 1;
    process_lock();
    tier->next = tiers;
    tiers = tier;
    process_unlock();
    *attached = tier;
    return TANDEM_OK;
}

void registry_leave(struct tier *tier)
{
    struct tier **link = &tiers;
    bool last;

    process_lock();
    last = --tier->handles == 0;
    if (last) {
        while (*link != tier)
            link = &(*link)->next;
        *link = tier->next;
    }
    process_unlock();
    if (last) {
        flights_stop(tier);
        discard(tier);
    }
}

void registry_after_fork(void)
{
    for (struct tier *t = tiers; t; t = t->next) {
        behind_forget(&t->behind);
        tracking_after_fork(t);
        replay_after_fork(t);
        flights_after_fork(t);
    }
}
