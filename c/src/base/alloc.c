#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Atomic long fail_in; /* 0: never */

static bool fails_now(void)
{
    if (atomic_load_explicit(&fail_in, memory_order_relaxed) == 0)
        return false;
    return atomic_fetch_sub_explicit(&fail_in, 1, memory_order_relaxed) == 1;
}

void *alloc_bytes(size_t size)
{
    return fails_now() ? NULL : malloc(size ? size : 1);
}

void *alloc_zeroed(size_t size)
{
    return fails_now() ? NULL : calloc(1, size ? size : 1);
}

void *alloc_resize(void *memory, size_t size)
{
    return fails_now() ? NULL : realloc(memory, size ? size : 1);
}

void alloc_free(void *memory)
{
    free(memory);
}

char *alloc_copy(const char *text, size_t length)
{
    char *copy = alloc_bytes(length + 1);

    if (copy) {
        if (length)
            memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

void alloc_fail_nth(long n)
{
    atomic_store_explicit(&fail_in, n, memory_order_relaxed);
}
