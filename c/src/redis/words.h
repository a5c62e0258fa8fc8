/*
 * words.h: commands as Redis reads them: a count of words, then each with its length.
 */
#ifndef TANDEM_REDIS_WORDS_H
#define TANDEM_REDIS_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "redis/bytes.h"

/* How many words, with '*', or bytes, with '$', follow. */
void words_count(struct bytes *to, char mark, size_t n);

/* A word in two parts. */
void words_joined(struct bytes *to, const char *a, size_t a_length, const char *b, size_t b_length);

void words_word(struct bytes *to, const char *word, size_t length);
void words_text(struct bytes *to, const char *text);
void words_integer(struct bytes *to, int64_t n);

#endif
