#include "base/number.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    EXPONENT_MOST = 9999, /* beyond that all is 0 or too large */
    PLACES = 17           /* after the point: what Redis writes */
};

/* -- Reading ------------------------------------------------------------------------------------- */

/* value * 10 ^ exponent.  Digits past the 19th are only counted. */
struct digits {
    uint64_t value;
    long exponent;
    bool any;
};

static size_t read_digits(const char *text, size_t length, size_t at, bool fraction,
                          struct digits *d)
{
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) {
        d->any = true;
        if (d->value <= (UINT64_MAX - 9) / 10) {
            d->value = d->value * 10 + (uint64_t)(text[at] - '0');
            d->exponent -= fraction;
        } else {
            d->exponent += !fraction;
        }
    }
    return at;
}

/* Behind the e.  False: there is no number. */
static bool read_exponent(const char *text, size_t length, size_t *at, struct digits *d)
{
    bool negative = false, any = false;
    long exponent = 0;

    if (*at < length && (text[*at] == '-' || text[*at] == '+'))
        negative = text[(*at)++] == '-';
    for (; *at < length && text[*at] >= '0' && text[*at] <= '9'; (*at)++) {
        any = true;
        if (exponent < EXPONENT_MOST)
            exponent = exponent * 10 + (text[*at] - '0');
    }
    d->exponent += negative ? -exponent : exponent;
    return any;
}

/* Exact for up to 19 digits and 27 places: so many powers of ten are what they are in 64 bits. */
static long double scaled(const struct digits *d)
{
    long double power = 1, base = 10;

    if (d->value == 0)
        return 0;
    for (long n = labs(d->exponent); n > 0; n /= 2) {
        if (n % 2)
            power *= base;
        base *= base;
    }
    return d->exponent < 0 ? (long double)d->value / power : (long double)d->value * power;
}

bool number_read(const char *text, size_t length, long double *number)
{
    struct digits d = {0, 0, false};
    bool negative = false;
    size_t at = 0;

    if (length > 0 && (text[0] == '-' || text[0] == '+'))
        negative = text[at++] == '-';
    at = read_digits(text, length, at, false, &d);
    if (at < length && text[at] == '.')
        at = read_digits(text, length, at + 1, true, &d);
    if (!d.any)
        return false;
    if (at < length && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        if (!read_exponent(text, length, &at, &d))
            return false;
    }
    if (at != length)
        return false;
    *number = scaled(&d);
    if (negative)
        *number = -*number;
    return isfinite(*number);
}

/* -- Writing ------------------------------------------------------------------------------------- */

/* Not by printf, whose point may be a comma. */
static size_t write_whole(uint64_t number, char *text)
{
    char digits[NUMBER_BYTES];
    size_t n = 0, length = 0;

    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (n > 0)
        text[length++] = digits[--n];
    return length;
}

/* Rounded to that many places after the point. */
static size_t write_places(long double number, int places, char *text)
{
    long double size = fabsl(number), power = 1;
    uint64_t whole = (uint64_t)size, fraction;
    size_t length = 0;

    for (int i = 0; i < places; i++)
        power *= 10;
    fraction = (uint64_t)roundl((size - (long double)whole) * power);
    if ((long double)fraction >= power) {
        whole++;
        fraction = 0;
    }
    if (number < 0 && (whole || fraction))
        text[length++] = '-';
    length += write_whole(whole, text + length);
    if (fraction) {
        while (fraction % 10 == 0) {
            fraction /= 10;
            places--;
        }
        text[length++] = '.';
        for (int i = places - 1; i >= 0; i--, fraction /= 10)
            text[length + (size_t)i] = (char)('0' + fraction % 10);
        length += (size_t)places;
    }
    text[length] = '\0';
    return length;
}

size_t number_write(long double number, char text[NUMBER_BYTES])
{
    size_t sign = number < 0, length;

    if (!(number > -NUMBER_LIMIT && number < NUMBER_LIMIT))
        return 0;
    if ((long double)(int64_t)number != number)
        return write_places(number, PLACES, text);
    text[0] = '-';
    length = sign + write_whole((uint64_t)(sign ? -number : number), text + sign);
    text[length] = '\0';
    return length;
}

/* The first that has as few places as can be. */
size_t number_write_double(double number, char text[NUMBER_BYTES])
{
    long double read;

    if (!(number > -(double)NUMBER_LIMIT && number < (double)NUMBER_LIMIT))
        return 0;
    for (int places = 0;; places++) {
        size_t length = write_places(number, places, text);

        if (places == PLACES || (number_read(text, length, &read) && (double)read == number))
            return length;
    }
}

long double number_of_double(double number)
{
    char text[NUMBER_BYTES];
    long double read = number;

    if (number > -1e18 && number < 1e18 && (double)(int64_t)number == number)
        return number;
    number_read(text, number_write_double(number, text), &read);
    return read;
}
