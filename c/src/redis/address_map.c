#include "redis/address_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

struct pair {
    struct url_seed told, there;
};

struct address_map {
    size_t count;
    struct pair pair[]; /* in the order of what is told */
};

static int compare(const void *a, const void *b)
{
    const struct url_seed *x = a, *y = b;

    return x->port != y->port ? x->port - y->port : strcasecmp(x->host, y->host);
}

static size_t count_of(const char *text)
{
    size_t count = 1;

    while ((text = strchr(text, ','))) {
        text++;
        count++;
    }
    return count;
}

/* The pair that text begins with.  NULL: that is none; or else what is behind it. */
static const char *take_pair(const char *text, struct pair *pair)
{
    size_t length = strcspn(text, ",");
    const char *equals = memchr(text, '=', length);

    if (!equals || !url_take_node(text, (size_t)(equals - text), &pair->told) ||
        !url_take_node(equals + 1, (size_t)(text + length - equals - 1), &pair->there))
        return NULL;
    return text + length;
}

static bool fill(struct address_map *map, const char *text, char *error, size_t size)
{
    for (size_t i = 0; i < map->count; i++) {
        text = take_pair(text, map->pair + i);
        if (!text) {
            snprintf(error, size,
                     "address_map: pair %zu is not like 10.0.0.1:6379=203.0.113.1:7001", i + 1);
            return false;
        }
        text += *text == ',';
    }
    qsort(map->pair, map->count, sizeof(map->pair[0]), compare);
    for (size_t i = 1; i < map->count; i++)
        if (compare(map->pair + i - 1, map->pair + i) == 0) {
            snprintf(error, size, "address_map: %.60s:%d is there twice", map->pair[i].told.host,
                     map->pair[i].told.port);
            return false;
        }
    return true;
}

struct address_map *address_map_create(const char *text, char *error, size_t size)
{
    size_t count = count_of(text);
    struct address_map *map;

    if (count > ADDRESS_MAP_MOST) {
        snprintf(error, size, "address_map: there are more than %d addresses", ADDRESS_MAP_MOST);
        return NULL;
    }
    map = alloc_zeroed(sizeof(*map) + count * sizeof(map->pair[0]));
    if (!map) {
        snprintf(error, size, "no memory");
        return NULL;
    }
    map->count = count;
    if (fill(map, text, error, size))
        return map;
    address_map_free(map);
    return NULL;
}

void address_map_free(struct address_map *map)
{
    alloc_free(map);
}

const struct url_seed *address_map_find(const struct address_map *map, const struct url_seed *told)
{
    const struct pair *pair =
        map ? bsearch(told, map->pair, map->count, sizeof(map->pair[0]), compare) : NULL;

    return pair ? &pair->there : told;
}
