/*
 * redis.c: the room's face: making clients, submitting operations.
 */
#include "redis/redis.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/glob.h"
#include "redis/client.h"
#include "redis/loop.h"
#include "redis/pipeline.h"
#include "redis/quote.h"

enum { DEFAULT_MAX_OPS = 20000, DEFAULT_MAX_BYTES = 64 << 20 };

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct redis_client *all;

void redis_op_free(struct redis_op *op)
{
    if (!op)
        return;
    alloc_free(op->key);
    alloc_free(op->value);
    alloc_free(op->reply);
    alloc_free(op->tags);
    alloc_free(op->list);
    alloc_free(op);
}

/* -- Fork ------------------------------------------------------------------------------------------ */

/* Lock order: all_lock, then each client's, then the loop's, then that of the sockets. */
static void before_fork(void)
{
    pthread_mutex_lock(&all_lock);
    for (struct redis_client *c = all; c; c = c->next_of_all)
        pthread_mutex_lock(&c->lock);
    loop_before_fork();
    conn_before_fork();
}

static void after_fork(void)
{
    conn_after_fork();
    loop_after_fork();
    for (struct redis_client *c = all; c; c = c->next_of_all)
        pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&all_lock);
}

/* The thread that forked is the child's, so the locks are its to open. */
static void in_child(void)
{
    loop_in_child();
    for (struct redis_client *c = all; c; c = c->next_of_all)
        client_after_fork(c);
    resolve_after_fork();
    after_fork();
}

static int watching; /* 0: it is */

static void watch_forks(void)
{
    watching = pthread_atfork(before_fork, after_fork, in_child);
}

/* -- Clients --------------------------------------------------------------------------------------- */

static void leave_all(struct redis_client *client)
{
    struct redis_client **link = &all;

    pthread_mutex_lock(&all_lock);
    while (*link && *link != client)
        link = &(*link)->next_of_all;
    if (*link)
        *link = client->next_of_all;
    pthread_mutex_unlock(&all_lock);
}

void redis_client_over(struct redis_client *client)
{
    leave_all(client);
    client_destroy(client);
}

static bool override(char *field, size_t size, const char *value, const char *what, char *error,
                     size_t error_size)
{
    if (!value)
        return true;
    if (strlen(value) >= size) {
        snprintf(error, error_size, "the %s is longer than %zu bytes", what, size - 1);
        return false;
    }
    snprintf(field, size, "%s", value);
    return true;
}

static bool fill_url(struct url *url, const struct redis_config *config, char *error, size_t size)
{
    return url_parse(config->url, url, error, size) == 0 &&
           override(url->username, sizeof(url->username), config->username, "user name", error,
                    size) &&
           override(url->password, sizeof(url->password), config->password, "password", error,
                    size);
}

/* Certificates are read here and now: by the one who may read them, before nginx's workers change their user. */
static bool fill_tls(struct redis_client *c, const struct redis_config *config, char *error,
                     size_t size)
{
    const struct tls_options *tls = &config->tls;

    if (!c->url.is_secure) {
        if (!tls->ca && !tls->cert && !tls->key && !tls->server_name && !tls->unverified)
            return true;
        snprintf(error, size,
                 "tls is given, but the URL does not begin with rediss:// or rediss+cluster://");
        return false;
    }
    c->tls = secure_prepare(tls, error, size);
    return c->tls != NULL;
}

/* As Redis wants it: one word. */
static bool fill_name(struct redis_client *c, const char *name, char *error, size_t size)
{
    if (!name || !name[0])
        return true;
    for (const char *at = name; *at; at++) {
        if (*at < '!' || *at > '~') {
            snprintf(error, size, "the client name holds a space or a special character");
            return false;
        }
    }
    c->name = alloc_copy(name, strlen(name));
    return c->name != NULL;
}

static bool fill_prefix(struct redis_client *c, const struct redis_config *config)
{
    size_t length = config->prefix_length;

    c->prefix = alloc_copy(config->prefix, length);
    c->prefix_glob = alloc_bytes(2 * length);
    if (!c->prefix || !c->prefix_glob)
        return false;
    c->command_prefix.script = config->tags ? c->script : NULL;
    c->command_prefix.text = c->prefix;
    c->command_prefix.length = length;
    c->command_prefix.glob = c->prefix_glob;
    c->command_prefix.glob_length = glob_escape(c->prefix, length, c->prefix_glob);
    return true;
}

/* What one script looks at is in one slot. */
static bool fits_cluster(const struct redis_config *config, char *error, size_t size)
{
    if (!config->tags || slot_is_one(config->prefix, config->prefix_length))
        return true;
    snprintf(error, size,
             "tags: in a cluster a cache with tags has all of its keys in one slot: "
             "its prefix has to have a hash tag, as in \"{name}:\"");
    return false;
}

static bool fill_addresses(struct redis_client *c, const struct redis_config *config, char *error,
                           size_t size)
{
    if (!config->address_map)
        return true;
    if (c->url.seeds == 0) {
        snprintf(error, size,
                 "address_map is given, but the URL is of neither sentinels nor a cluster");
        return false;
    }
    c->addresses = address_map_create(config->address_map, error, size);
    return c->addresses != NULL;
}

static bool fill_topology(struct redis_client *c, const struct redis_config *config, char *error,
                          size_t size)
{
    if (config->replicas && c->url.seeds == 0) {
        snprintf(error, size, "replicas are read from behind sentinels and in a cluster only");
        return false;
    }
    c->replicas = config->tags ? REDIS_REPLICAS_NEVER : config->replicas;
    if (c->url.is_cluster) {
        if (!fits_cluster(config, error, size))
            return false;
        c->cluster = cluster_create(c);
        return c->cluster != NULL;
    }
    if (c->url.seeds == 0)
        return true;
    c->topology = topology_create(&c->url, c->addresses, c->name, config->connect_timeout_ms,
                                  config->timeout_ms);
    c->cluster = c->topology ? cluster_create(c) : NULL;
    if (c->cluster && c->replicas != REDIS_REPLICAS_NEVER)
        c->topology->config.choice = c->cluster->choice | 1;
    return c->cluster != NULL;
}

static void fill_rest(struct redis_client *c, const struct redis_config *config,
                      const struct redis_hooks *hooks)
{
    c->hooks = *hooks;
    c->connect_timeout_ms = config->connect_timeout_ms;
    c->timeout_ms = config->timeout_ms;
    c->max_ops = config->max_ops ? config->max_ops : DEFAULT_MAX_OPS;
    c->max_bytes = config->max_bytes ? config->max_bytes : DEFAULT_MAX_BYTES;
    client_watch_nothing(c);
    c->next_tick_ms = INT64_MAX;
    c->link_config = (struct link_config){.url = &c->url,
                                          .tls = c->tls,
                                          .name = c->name,
                                          .prefix = &c->command_prefix,
                                          .server = c->server,
                                          .hooks = &c->hooks,
                                          .connect_timeout_ms = c->connect_timeout_ms,
                                          .timeout_ms = c->timeout_ms,
                                          .beat_ms = 1000};
    c->link.config = &c->link_config;
    op_list_init(&c->queued);
    pipeline_init(c);
    pthread_mutex_init(&c->lock, NULL);
    url_server(&c->url, c->server, sizeof(c->server));
}

struct redis_client *redis_client_create(const struct redis_config *config,
                                         const struct redis_hooks *hooks, char *error,
                                         size_t error_size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct redis_client *c = alloc_zeroed(sizeof(*c));

    snprintf(error, error_size, "no memory");
    pthread_once(&once, watch_forks);
    if (!c || watching != 0 || !fill_url(&c->url, config, error, error_size) ||
        !fill_tls(c, config, error, error_size) ||
        !fill_name(c, config->client_name, error, error_size) || !fill_prefix(c, config) ||
        !fill_addresses(c, config, error, error_size) ||
        !fill_topology(c, config, error, error_size)) {
        if (c)
            client_free(c);
        return NULL;
    }
    fill_rest(c, config, hooks);
    pthread_mutex_lock(&all_lock);
    c->next_of_all = all;
    all = c;
    pthread_mutex_unlock(&all_lock);
    return c;
}

void redis_client_release(struct redis_client *client)
{
    bool in_loop;

    pthread_mutex_lock(&client->lock);
    client->released = true;
    in_loop = client->in_loop;
    pthread_mutex_unlock(&client->lock);
    /* Where the thread has ended already, the process exits. */
    if (in_loop && !loop_is_over())
        loop_wake();
    else
        redis_client_over(client);
}

const char *redis_client_server(const struct redis_client *client)
{
    return client->server;
}

enum redis_state redis_client_state(struct redis_client *client, char *why, size_t why_size)
{
    enum redis_state state;

    pthread_mutex_lock(&client->lock);
    state = client->state;
    if (why)
        snprintf(why, why_size, "%s", client->why);
    pthread_mutex_unlock(&client->lock);
    return state;
}

bool redis_has_replica(struct redis_client *client)
{
    bool has_replica;

    pthread_mutex_lock(&client->lock);
    has_replica = client->has_replica;
    pthread_mutex_unlock(&client->lock);
    return has_replica;
}

void redis_client_trouble(struct redis_client *client, char *text, size_t size)
{
    pthread_mutex_lock(&client->lock);
    snprintf(text, size, "%s", client->trouble);
    pthread_mutex_unlock(&client->lock);
}

/* -- Operations ------------------------------------------------------------------------------------ */

static bool join_loop_locked(struct redis_client *c, char *reason, size_t size)
{
    if (!c->in_loop)
        c->in_loop = loop_add(c, reason, size);
    return c->in_loop;
}

int redis_client_attend(struct redis_client *client)
{
    char reason[120];
    bool joined;

    pthread_mutex_lock(&client->lock);
    joined = join_loop_locked(client, reason, sizeof(reason));
    pthread_mutex_unlock(&client->lock);
    if (joined)
        loop_wake();
    return joined ? 0 : -1;
}

void redis_client_identify(struct redis_client *client)
{
    atomic_store_explicit(&client->identify, true, memory_order_relaxed);
}

uint64_t redis_link_server(const struct redis_client *client)
{
    return client->link.server;
}

bool redis_has_lanes(const struct redis_client *client)
{
    return client->cluster != NULL;
}

unsigned redis_lane(const struct redis_client *client, const char *key, size_t key_length)
{
    const struct command_prefix *prefix = &client->command_prefix;

    return slot_lane(slot_of(prefix->text, prefix->length, key, key_length));
}

unsigned redis_op_lane(const struct redis_op *op)
{
    return slot_lane(op->slot);
}

const struct redis_cover *redis_covers(const struct redis_client *client)
{
    return client->cluster->cover;
}

uint64_t redis_link_epoch(const struct redis_client *client)
{
    return client->cluster ? client->cluster->epoch + 1 : 0;
}

void redis_want_link(struct redis_client *client, bool wanted, int64_t beat_ms)
{
    client->link_wanted = wanted;
    client->link_config.beat_ms = beat_ms;
}

void redis_want_probe(struct redis_client *client)
{
    client->probe_wanted = true;
}

static enum redis_submit admit_locked(struct redis_client *c, struct redis_op *op, size_t bytes)
{
    char reason[120];

    if (c->state == REDIS_STATE_DOWN && !(c->has_replica && op->or_stale)) {
        snprintf(op->error, sizeof(op->error), "%s", c->why);
        return REDIS_DOWN;
    }
    if (c->ops >= c->max_ops || (c->ops && c->bytes + bytes > c->max_bytes)) {
        snprintf(reason, sizeof(reason), "%zu operations of %zu bytes are queued already", c->ops,
                 c->bytes);
        quote_sentence(c->server, reason, op->error, sizeof(op->error));
        return REDIS_QUEUE_FULL;
    }
    if (loop_is_stopping()) {
        quote_sentence(c->server, "the process exits", op->error, sizeof(op->error));
        return REDIS_NO_THREAD;
    }
    if (!join_loop_locked(c, reason, sizeof(reason))) {
        quote_sentence(c->server, reason, op->error, sizeof(op->error));
        return REDIS_NO_THREAD;
    }
    return REDIS_ACCEPTED;
}

enum redis_submit redis_submit(struct redis_client *client, struct redis_op *op, bool cork)
{
    size_t bytes = pipeline_op_bytes(op);
    enum redis_submit rc;

    redis_op_begin(op);
    pthread_mutex_lock(&client->lock);
    rc = admit_locked(client, op, bytes);
    if (rc == REDIS_ACCEPTED) {
        client->ops++;
        client->bytes += bytes;
        op_list_append(&client->queued, op);
    }
    pthread_mutex_unlock(&client->lock);
    if (rc == REDIS_ACCEPTED && !cork)
        loop_wake();
    return rc;
}

void redis_uncork(struct redis_client *client)
{
    bool in_loop;

    pthread_mutex_lock(&client->lock);
    in_loop = client->in_loop;
    pthread_mutex_unlock(&client->lock);
    if (in_loop)
        loop_wake();
}

void redis_set_periodic(int64_t interval_ms, void (*fn)(void))
{
    loop_set_periodic(interval_ms, fn);
}
