#include "redis/words.h"

#include <stdio.h>
#include <string.h>

/* "*3\r\n", "$5\r\n": how many words, or bytes, follow.  (Six of a read: printf was 2 % of it.) */
void words_count(struct bytes *to, char mark, size_t n)
{
    char text[32], *at = text + sizeof(text);

    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    *--at = mark;
    bytes_add(to, at, (size_t)(text + sizeof(text) - at));
}

/* A word in two parts. */
void words_joined(struct bytes *to, const char *a, size_t a_length, const char *b, size_t b_length)
{
    words_count(to, '$', a_length + b_length);
    bytes_add(to, a, a_length);
    bytes_add(to, b, b_length);
    bytes_add(to, "\r\n", 2);
}

void words_word(struct bytes *to, const char *word, size_t length)
{
    words_joined(to, word, length, NULL, 0);
}

void words_text(struct bytes *to, const char *text)
{
    words_word(to, text, strlen(text));
}

void words_integer(struct bytes *to, int64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)n);
    words_text(to, text);
}
