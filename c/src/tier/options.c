#include "tier/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 63,
    CODEC_MAX_BYTES = 63,
    RENDEZVOUS_MAX_BYTES = 63,
    PREFIX_MAX_BYTES = 512,
    ADDRESS_MAP_MAX_BYTES = 1 << 19,
    PATH_MAX_BYTES = 1023,
    TEXT_MAX_BYTES = 4096,
    MEMORY_MIN_BYTES = 1 << 20,
    ENTRY_SIZE_MAX = 8 << 20
};

#define MEMORY_MAX_BYTES (UINT64_C(256) << 30) /* slots are counted by 32 bits */

#define WORD_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
#define DEFAULT_CODEC "string"

void options_init(tandem_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
    options->tracking = 1;
    options->memory_bytes = 64 << 20;
    options->memory_ttl_ms = 3600000;
    options->max_stale_ms = 2000;
    options->connect_timeout_ms = 500;
    options->timeout_ms = 250;
}

/* Where a sentence goes. */
struct complaint {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static int complain(const struct complaint *c,
                                                          const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(c->text, c->size, format, arguments);
    va_end(arguments);
    return TANDEM_EINVAL;
}

/* 1..max bytes of the harmless sort, and no name of a folder. */
static int check_word(const char *option, const char *word, size_t max, const struct complaint *c)
{
    size_t good = strspn(word, WORD_BYTES);

    if (!word[0])
        return complain(c, "%s: is empty", option);
    if (word[good])
        return complain(c, "%s: byte %zu is 0x%02x, and only A-Z a-z 0-9 _ . - are allowed", option,
                        good + 1, (unsigned)(unsigned char)word[good]);
    if (good > max)
        return complain(c, "%s: has %zu bytes, at most %zu are allowed", option, good, max);
    return TANDEM_OK;
}

static int check_text(const char *option, const char *text, size_t max, const struct complaint *c)
{
    size_t length = text ? strlen(text) : 1;

    if (length == 0)
        return complain(c, "%s: is empty", option);
    if (length > max)
        return complain(c, "%s: has %zu bytes, at most %zu are allowed", option, length, max);
    return TANDEM_OK;
}

static int check_number(const char *option, int64_t value, int64_t least, int64_t most,
                        const struct complaint *c)
{
    if (value >= least && value <= most)
        return TANDEM_OK;
    return complain(c, "%s: is %lld, and must be from %lld to %lld", option, (long long)value,
                    (long long)least, (long long)most);
}

static int check_numbers(const tandem_options *o, const struct complaint *c)
{
    int status = TANDEM_OK;

    if (o->memory_bytes < MEMORY_MIN_BYTES || o->memory_bytes > MEMORY_MAX_BYTES)
        return complain(c, "memory_bytes: is %llu, and must be from %d to %llu",
                        (unsigned long long)o->memory_bytes, MEMORY_MIN_BYTES,
                        (unsigned long long)MEMORY_MAX_BYTES);
    if (!status)
        status = check_number("memory_ttl_ms", o->memory_ttl_ms, 1, OPTIONS_TTL_MAX_MS, c);
    if (!status)
        status = check_number("stale_ttl_ms", o->stale_ttl_ms, 0, OPTIONS_TTL_MAX_MS, c);
    if (!status)
        status = check_number("max_stale_ms", o->max_stale_ms, 0, OPTIONS_TTL_MAX_MS, c);
    if (!status)
        status =
            check_number("connect_timeout_ms", o->connect_timeout_ms, 1, OPTIONS_TIMEOUT_MAX_MS, c);
    if (!status)
        status = check_number("timeout_ms", o->timeout_ms, 1, OPTIONS_TIMEOUT_MAX_MS, c);
    if (!status)
        status = check_number("tracking", o->tracking, 0, 1, c);
    if (!status)
        status = check_number("fail", o->fail, 0, 1, c);
    if (!status)
        status = check_number("write_behind", o->write_behind, 0, 1, c);
    if (!status)
        status = check_number("replay_delete", o->replay_delete, 0, 1, c);
    if (!status)
        status = check_number("tags", o->tags, 0, 1, c);
    if (!status)
        status = check_number("redis_replicas", o->redis_replicas, 0, REDIS_REPLICAS_PREFER, c);
    if (!status)
        status = check_number("entry_size", o->entry_size, 0, ENTRY_SIZE_MAX, c);
    return status;
}

static int check_tls(const tandem_options *o, const struct complaint *c)
{
    int status = check_number("redis_tls_unverified", o->redis_tls_unverified, 0, 1, c);

    if (!status)
        status = check_text("redis_tls_ca", o->redis_tls_ca, PATH_MAX_BYTES, c);
    if (!status)
        status = check_text("redis_tls_cert", o->redis_tls_cert, PATH_MAX_BYTES, c);
    if (!status)
        status = check_text("redis_tls_key", o->redis_tls_key, PATH_MAX_BYTES, c);
    if (!status)
        status = check_text("redis_tls_server_name", o->redis_tls_server_name, PATH_MAX_BYTES, c);
    return status;
}

static int check_redis(const tandem_options *o, const struct complaint *c)
{
    int status;

    if (!o->redis_url) {
        if (o->redis_username)
            return complain(c, "redis_username: is given without redis_url");
        if (o->redis_password)
            return complain(c, "redis_password: is given without redis_url");
        if (o->redis_client_name)
            return complain(c, "redis_client_name: is given without redis_url");
        if (o->redis_tls_ca || o->redis_tls_cert || o->redis_tls_key || o->redis_tls_server_name ||
            o->redis_tls_unverified)
            return complain(c, "redis_tls: is given without redis_url");
        if (o->redis_address_map)
            return complain(c, "redis_address_map: is given without redis_url");
        return TANDEM_OK;
    }
    status = check_text("redis_url", o->redis_url, TEXT_MAX_BYTES, c);
    if (!status && o->redis_username)
        status = check_text("redis_username", o->redis_username, TEXT_MAX_BYTES, c);
    if (!status && o->redis_password && strlen(o->redis_password) > TEXT_MAX_BYTES)
        status = complain(c, "redis_password: has more than %d bytes", TEXT_MAX_BYTES);
    if (!status && o->redis_client_name)
        status = check_text("redis_client_name", o->redis_client_name, TEXT_MAX_BYTES, c);
    if (!status)
        status = check_text("redis_address_map", o->redis_address_map, ADDRESS_MAP_MAX_BYTES, c);
    if (!status && o->redis_replicas == REDIS_REPLICAS_FALLBACK && o->fail)
        status = complain(c, "redis_replicas: what is stale is no answer where fail is 1");
    if (!status && o->redis_replicas == REDIS_REPLICAS_PREFER && (!o->tracking || !o->max_stale_ms))
        status = complain(c, "redis_replicas: 2 needs tracking, and max_stale_ms above 0");
    if (!status)
        status = check_tls(o, c);
    if (!status && o->prefix && o->prefix_length > PREFIX_MAX_BYTES)
        status = complain(c, "prefix: has %zu bytes, at most %d are allowed", o->prefix_length,
                          PREFIX_MAX_BYTES);
    return status;
}

int options_check(const tandem_options *o, char *error, size_t error_size)
{
    const struct complaint c = {error, error_size};
    int status;

    if (o->struct_size != sizeof(*o))
        return complain(&c,
                        "struct_size: is %u, this library's is %zu: call tandem_options_init "
                        "of the same version first",
                        o->struct_size, sizeof(*o));
    if (!o->name)
        return complain(&c, "name: is missing");
    status = check_word("name", o->name, NAME_MAX_BYTES, &c);
    if (!status)
        status = check_text("path", o->path, PATH_MAX_BYTES, &c);
    if (!status && o->rendezvous)
        status = check_word("rendezvous", o->rendezvous, RENDEZVOUS_MAX_BYTES, &c);
    if (!status)
        status = check_text("runtime_dir", o->runtime_dir, PATH_MAX_BYTES, &c);
    if (!status)
        status = check_text("codec", o->codec, CODEC_MAX_BYTES, &c);
    if (!status)
        status = check_numbers(o, &c);
    return status ? status : check_redis(o, &c);
}

void options_configure(const tandem_options *o, char *prefix_buffer, struct registry_config *config)
{
    memset(config, 0, sizeof(*config));
    config->codec = o->codec ? o->codec : DEFAULT_CODEC;
    config->memory.name = o->name;
    config->memory.bytes = o->memory_bytes;
    config->memory.with_tags = o->tags != 0;
    config->memory.entry_size = (uint32_t)o->entry_size;
    config->memory.path = o->path;
    config->memory.rendezvous = o->rendezvous;
    config->memory.runtime_dir = o->runtime_dir;
    config->redis.tags = o->tags != 0;
    config->redis.url = o->redis_url;
    config->redis.username = o->redis_username;
    config->redis.password = o->redis_password;
    config->redis.client_name = o->redis_client_name;
    config->redis.tls.ca = o->redis_tls_ca;
    config->redis.tls.cert = o->redis_tls_cert;
    config->redis.tls.key = o->redis_tls_key;
    config->redis.tls.server_name = o->redis_tls_server_name;
    config->redis.tls.unverified = o->redis_tls_unverified != 0;
    config->redis.address_map = o->redis_address_map;
    config->redis.replicas = (enum redis_replicas)o->redis_replicas;
    config->redis.connect_timeout_ms = o->connect_timeout_ms;
    config->redis.timeout_ms = o->timeout_ms;
    config->redis.prefix = o->prefix;
    config->redis.prefix_length = o->prefix_length;
    if (!o->prefix) {
        config->redis.prefix = prefix_buffer;
        config->redis.prefix_length =
            (size_t)snprintf(prefix_buffer, NAME_MAX_BYTES + 2, "%s:", o->name);
    }
}
