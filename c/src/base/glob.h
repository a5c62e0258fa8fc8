/*
 * glob.h: Redis's glob patterns (*, ?, [a-z], [^a], backslash), so that a pattern selects the same
 * keys in memory as SCAN MATCH does in Redis.
 */
#ifndef TANDEM_BASE_GLOB_H
#define TANDEM_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Does the pattern match the whole text?  Takes time proportional to the product of both lengths at
 * worst, whatever the pattern. */
bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t text_length);

/* How many literal characters a pattern has that is these and a star, "user:*": whoever begins with them matches.
 * False: it is of another kind (one with a backslash is, too). */
bool glob_is_prefix(const char *pattern, size_t length, size_t *prefix_length);

/* Writes literal to out with the characters that mean something in a glob escaped, so that it
 * matches itself only.  out must hold 2 * length bytes.  Returns the bytes written. */
size_t glob_escape(const char *literal, size_t length, char *out);

#endif
