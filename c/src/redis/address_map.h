/*
 * address_map.h: where servers are that tell others' addresses as they are known among themselves: behind a NAT, in
 * containers.  Each is looked up as it was told, and called where the map says.  Pure.
 *
 *   10.0.0.1:6379=203.0.113.1:7001,10.0.0.2:6379=203.0.113.1:7002,[fd00::3]:6379=redis3.example:6379
 */
#ifndef TANDEM_REDIS_ADDRESS_MAP_H
#define TANDEM_REDIS_ADDRESS_MAP_H

#include "redis/url.h"

enum { ADDRESS_MAP_MOST = 1024 };

struct address_map;

/* NULL with a sentence: the text is none, or there is no memory. */
struct address_map *address_map_create(const char *text, char *error, size_t size);
void address_map_free(struct address_map *map);

/* The address by which this one is to be called: itself, where the map has none.  map may be NULL. */
const struct url_seed *address_map_find(const struct address_map *map, const struct url_seed *told);

#endif
