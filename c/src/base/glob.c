#include "base/glob.h"

/* A pattern being read: what one character of text has to be. */
struct piece {
    const char *next; /* the pattern after it */
    bool matches;
};

static bool in_range(unsigned char c, unsigned char from, unsigned char to)
{
    return from <= to ? c >= from && c <= to : c >= to && c <= from;
}

/* A class, from behind its bracket on.  One that is not closed goes to the pattern's end. */
static struct piece match_class(const char *p, const char *end, unsigned char c)
{
    bool negated = p < end && *p == '^', found = false;

    p += negated;
    while (p < end && *p != ']') {
        if (*p == '\\' && end - p >= 2) {
            found |= (unsigned char)p[1] == c;
            p += 2;
        } else if (end - p >= 3 && p[1] == '-') {
            found |= in_range(c, (unsigned char)p[0], (unsigned char)p[2]);
            p += 3;
        } else {
            found |= (unsigned char)*p == c;
            p++;
        }
    }
    return (struct piece){p < end ? p + 1 : p, found != negated};
}

static struct piece match_one(const char *p, const char *end, unsigned char c)
{
    if (*p == '?')
        return (struct piece){p + 1, true};
    if (*p == '[')
        return match_class(p + 1, end, c);
    if (*p == '\\' && end - p >= 2)
        p++;
    return (struct piece){p + 1, (unsigned char)*p == c};
}

/* When a piece does not match, only the last star before it can take one character more: what an earlier
 * one took is made up for by the later. */
bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t text_length)
{
    const char *p = pattern, *end = pattern_length ? pattern + pattern_length : pattern;
    const char *t = text, *text_end = text_length ? text + text_length : text;
    const char *after_star = NULL, *star_text = NULL;

    while (t < text_end) {
        struct piece piece = {p, false};

        if (p < end && *p == '*') {
            after_star = ++p;
            star_text = t;
            continue;
        }
        if (p < end)
            piece = match_one(p, end, (unsigned char)*t);
        if (piece.matches) {
            p = piece.next;
            t++;
        } else if (after_star) {
            p = after_star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

bool glob_is_prefix(const char *pattern, size_t length, size_t *prefix_length)
{
    if (length == 0 || pattern[length - 1] != '*')
        return false;
    for (size_t i = 0; i + 1 < length; i++)
        if (pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '[' || pattern[i] == '\\')
            return false;
    *prefix_length = length - 1;
    return true;
}

size_t glob_escape(const char *literal, size_t length, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        char c = literal[i];

        if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\' || c == '^' || c == '-')
            out[n++] = '\\';
        out[n++] = c;
    }
    return n;
}
