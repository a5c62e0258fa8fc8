#include "redis/bytes.h"

#include <string.h>

#include "base/alloc.h"

enum { LEAST_BYTES = 256, KEPT_BYTES = 256 << 10 };

static bool make_room(struct bytes *b, size_t more)
{
    size_t capacity = b->capacity ? b->capacity : LEAST_BYTES;
    char *data;

    if (more <= b->capacity - b->length)
        return true;
    while (capacity - b->length < more)
        capacity *= 2;
    data = alloc_resize(b->data, capacity);
    if (!data)
        return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

void bytes_add(struct bytes *b, const void *data, size_t length)
{
    if (!length || b->failed)
        return;
    if (!make_room(b, length)) {
        b->failed = true;
        return;
    }
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

void bytes_clear(struct bytes *b)
{
    if (b->capacity > KEPT_BYTES)
        bytes_free(b);
    b->length = 0;
    b->failed = false;
}

void bytes_free(struct bytes *b)
{
    if (b->data)
        explicit_bzero(b->data, b->length);
    alloc_free(b->data);
    *b = (struct bytes){0};
}
