/*
 * number.h: numbers as text in decimal, as Redis reads and writes them for INCRBYFLOAT, and whatever
 * the program's locale is.  Pure.
 */
#ifndef TANDEM_BASE_NUMBER_H
#define TANDEM_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

enum { NUMBER_BYTES = 48 }; /* for any text made here, its NUL included */

#define NUMBER_LIMIT 9223372036854775808.0L /* 2^63: number_write takes what is nearer to 0 */

/* Reads a text as a number: an optional sign, digits that may have a point before, between or after
 * them, an optional exponent; and nothing else, no space either.  False when it is none, or too large. */
bool number_read(const char *text, size_t length, long double *number);

/* Writes a number: whole ones without a point, others with 17 digits after it at most, and no zeros at
 * the end.  Its length, without the NUL; 0 when it is too large, or none. */
size_t number_write(long double number, char text[NUMBER_BYTES]);

/* The same of a double, and no more places than it takes to read as that double: 0.1 is "0.1". */
size_t number_write_double(double number, char text[NUMBER_BYTES]);

/* What that text says: the number that somebody meant who wrote 0.1. */
long double number_of_double(double number);

#endif
