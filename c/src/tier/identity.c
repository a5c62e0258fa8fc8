#include "tier/identity.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* A text being put together where there is room for all of it. */
struct text {
    char *bytes;
    size_t length;
};

static void add(struct text *text, const char *word)
{
    size_t n = strlen(word);

    memcpy(text->bytes + text->length, word, n + 1);
    text->length += n;
}

/* In quotes, with \xNN for what cannot be shown or would end them. */
static void add_quoted(struct text *text, const char *bytes, size_t length)
{
    char escape[8];

    add(text, "\"");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
            snprintf(escape, sizeof(escape), "%c", c);
        else
            snprintf(escape, sizeof(escape), "\\x%02x", c);
        add(text, escape);
    }
    add(text, "\"");
}

static void add_field(struct text *text, const char *label, const char *value)
{
    if (!value)
        return;
    add(text, label);
    add_quoted(text, value, strlen(value));
}

static void add_redis(struct text *text, const struct identity *id)
{
    if (!id->server)
        return;
    add_field(text, " server=", id->server);
    add(text, " prefix=");
    add_quoted(text, id->prefix, id->prefix_length);
}

static size_t room_for(const char *value)
{
    return value ? 4 * strlen(value) : 0;
}

char *identity_text(const struct identity *id)
{
    size_t size = 128 + room_for(id->name) + room_for(id->path) + room_for(id->server) +
                  4 * id->prefix_length + room_for(id->codec);
    struct text text = {alloc_bytes(size), 0};
    char number[48];

    if (!text.bytes)
        return NULL;
    add_field(&text, "", id->name);
    snprintf(number, sizeof(number), " memory=%llu", (unsigned long long)id->memory_bytes);
    add(&text, number);
    add_field(&text, " path=", id->path);
    add_redis(&text, id);
    add_field(&text, " codec=", id->codec);
    if (id->tags)
        add(&text, " tags");
    if (id->entry_size) {
        snprintf(number, sizeof(number), " entry_size=%u", id->entry_size);
        add(&text, number);
    }
    return text.bytes;
}

/* No other field can have these words in it: what is in quotes has no quotes. */
bool identity_has_redis(const char *text, const struct identity *id)
{
    struct text part = {alloc_bytes(64 + room_for(id->server) + 4 * id->prefix_length), 0};
    bool has;

    if (!part.bytes)
        return false;
    part.bytes[0] = '\0';
    add_redis(&part, id);
    has = part.length > 0 && strstr(text, part.bytes) != NULL;
    alloc_free(part.bytes);
    return has;
}
