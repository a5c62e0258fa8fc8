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

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* In what is quoted, the first bytes of text.  Not a secret of fewer bytes: such a one is in any text. */
static void mask(char *quoted, size_t quoted_length, const char *text, size_t length,
                 const char *secret)
{
    size_t n = strlen(secret);
    const char *at = text, *end = text + length;

    if (n < PIECE_BYTES)
        return;
    while ((at = memmem(at, (size_t)(end - at), secret, n)) != NULL && at < text + quoted_length) {
        memset(quoted + (at - text), '*', least(n, quoted_length - (size_t)(at - text)));
        at += n;
    }
}

void quote_error(const char *text, size_t length, const char *secret, char *out, size_t size)
{
    char quoted[QUOTE_BYTES];
    size_t n = least(length, sizeof(quoted));

    /* Looked for in the bytes as they are, and beyond the end of what is quoted, which may cut it off. */
    memcpy(quoted, text, n);
    mask(quoted, n, text, least(length, QUOTE_BYTES + strlen(secret)), secret);
    copy_printable(quoted, n, out, size);
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
        copy_printable(text, least(length, QUOTE_BYTES), out, size);
}

void quote_sentence(const char *server, const char *reason, char *out, size_t size)
{
    snprintf(out, size, "%.150s: %s", server, reason);
}
