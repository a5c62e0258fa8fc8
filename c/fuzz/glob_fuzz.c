/* Globs: whatever pattern and text, the matcher says what a plain one says that was written another way; what
 * is escaped matches itself alone.  One that went through all ways to match would not end (-timeout). */
#include "fuzz.h"

#include <string.h>

#include "base/glob.h"

enum { LONGEST = 4096 };

/* A place of the pattern: a star, or the bytes that may stand there. */
struct place {
    bool star;
    bool may[256];
};

static struct place places[LONGEST];
static bool reached[LONGEST + 1];

/* The class that begins at p, behind its bracket; where it ends. */
static const uint8_t *read_class(const uint8_t *p, const uint8_t *end, struct place *place)
{
    bool negated = p < end && *p == '^';

    for (p += negated; p < end && *p != ']';) {
        if (*p == '\\' && p + 1 < end) {
            place->may[p[1]] = true;
            p += 2;
        } else if (p + 2 < end && p[1] == '-') {
            for (int c = p[0] < p[2] ? p[0] : p[2]; c <= (p[0] < p[2] ? p[2] : p[0]); c++)
                place->may[c] = true;
            p += 3;
        } else {
            place->may[*p++] = true;
        }
    }
    for (int c = 0; negated && c < 256; c++)
        place->may[c] = !place->may[c];
    return p < end ? p + 1 : p;
}

static size_t read_places(const uint8_t *p, size_t length)
{
    const uint8_t *end = p + length;
    size_t n = 0;

    while (p < end) {
        struct place *place = &places[n++];

        memset(place, 0, sizeof(*place));
        if (*p == '*') {
            place->star = true;
            p++;
        } else if (*p == '?') {
            memset(place->may, true, sizeof(place->may));
            p++;
        } else if (*p == '[') {
            p = read_class(p + 1, end, place);
        } else {
            p += *p == '\\' && p + 1 < end;
            place->may[*p++] = true;
        }
    }
    return n;
}

/* Row by row: after so many places, how much of the text can have been matched. */
static bool plain_match(const uint8_t *pattern, size_t pattern_length, const uint8_t *text,
                        size_t length)
{
    size_t n = read_places(pattern, pattern_length);

    memset(reached, false, length + 1);
    reached[0] = true;
    for (size_t i = 0; i < n; i++) {
        if (places[i].star) {
            for (size_t t = 1; t <= length; t++)
                reached[t] |= reached[t - 1];
        } else {
            for (size_t t = length; t > 0; t--)
                reached[t] = reached[t - 1] && places[i].may[text[t - 1]];
            reached[0] = false;
        }
    }
    return reached[length];
}

static bool match(const uint8_t *pattern, size_t pattern_length, const uint8_t *text, size_t length)
{
    return glob_match((const char *)pattern, pattern_length, (const char *)text, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char escaped[2 * LONGEST];
    struct input in = {data, size < LONGEST ? size : LONGEST};
    size_t pattern_length = input_byte(&in), length, prefix = 0;
    const uint8_t *pattern = in.bytes, *text;

    /* From 128 on: so many 128ths of what there is, for long patterns. */
    if (pattern_length >= 128)
        pattern_length = (pattern_length - 128) * in.left / 128;
    if (pattern_length > in.left)
        pattern_length = in.left;
    text = pattern + pattern_length;
    length = in.left - pattern_length;

    bool matches = match(pattern, pattern_length, text, length);

    HOLDS(matches == plain_match(pattern, pattern_length, text, length));
    if (glob_is_prefix((const char *)pattern, pattern_length, &prefix)) {
        HOLDS(prefix < pattern_length);
        HOLDS(matches == (length >= prefix && memcmp(pattern, text, prefix) == 0));
    }

    size_t escaped_length = glob_escape((const char *)text, length, escaped);

    HOLDS(escaped_length <= 2 * length);
    HOLDS(match((uint8_t *)escaped, escaped_length, text, length));
    HOLDS(match((uint8_t *)escaped, escaped_length, pattern, pattern_length) ==
          (pattern_length == length && memcmp(pattern, text, length) == 0));
    return 0;
}
