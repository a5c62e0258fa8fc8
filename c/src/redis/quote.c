#include "redis/quote.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PIECE_BYTES = 4 }; /* of a secret, in a row, are a part of it and no coincidence */

/* Into size bytes, NUL-terminated. */
static void copy_printable(const char *text, size_t length, char *out, size_t size)
{
    size_t n = 0;

    while (n < length && n + 1 < size) {
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
        n++;
    }
    out[n] = '\0';
}

/* Not a secret of fewer bytes: such a one is in any text. */
static void mask(char *text, const char *secret)
{
    size_t n = strlen(secret);
    char *at = text;

    if (n < PIECE_BYTES)
        return;
    while ((at = strstr(at, secret))) {
        memset(at, '*', n);
        at += n;
    }
}

void quote_error(const char *text, size_t length, const char *secret, char *out, size_t size)
{
    char whole[4 * QUOTE_BYTES];

    /* A secret that is only cut off by the end of the quotation is masked as well. */
    copy_printable(text, length, whole, sizeof(whole));
    mask(whole, secret);
    snprintf(out, size, "%.*s", (int)QUOTE_BYTES, whole);
}

static bool has_piece(const char *text, size_t length, const char *secret)
{
    size_t n = strlen(secret), piece = n < PIECE_BYTES ? n : PIECE_BYTES;

    for (size_t i = 0; n && i + piece <= n; i++) {
        if (memmem(text, length, secret + i, piece))
            return true;
    }
    return false;
}

void quote_auth_error(const char *text, size_t length, const char *secret, char *out, size_t size)
{
    static const char wrong[] = "WRONGPASS ";

    if (length >= sizeof(wrong) - 1 && memcmp(text, wrong, sizeof(wrong) - 1) == 0)
        snprintf(out, size, "%sinvalid username-password pair or user is disabled.", wrong);
    else if (has_piece(text, length, secret))
        snprintf(out, size, "AUTH was refused");
    else
        copy_printable(text, length < QUOTE_BYTES ? length : QUOTE_BYTES, out, size);
}

void quote_sentence(const char *server, const char *reason, char *out, size_t size)
{
    snprintf(out, size, "%.150s: %s", server, reason);
}
