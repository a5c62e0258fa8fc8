/*
 * alloc.h: where the library gets its heap memory from, with a hook that lets the n-th request fail,
 * so that tests can walk every out-of-memory path.  Any thread; never waits.
 */
#ifndef TANDEM_BASE_ALLOC_H
#define TANDEM_BASE_ALLOC_H

#include <stddef.h>

/* NULL when there is no memory.  Of size 0: a pointer that may be freed. */
void *alloc_bytes(size_t size);
void *alloc_zeroed(size_t size);
void *alloc_resize(void *memory, size_t size);
void alloc_free(void *memory);

/* A NUL-terminated copy of length bytes. */
char *alloc_copy(const char *text, size_t length);

/* For tests: lets the n-th request from now on fail, once (1: the next; 0: none). */
void alloc_fail_nth(long n);

#endif
