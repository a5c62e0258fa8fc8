/*
 * serial.h: may bytes be given to LuaJIT's string.buffer.decode?  It believes the lengths that they say,
 * makes tables of four milliards of slots, and goes as deep as they do, until the stack is over.
 */
#ifndef TANDEM_BASE_SERIAL_H
#define TANDEM_BASE_SERIAL_H

#include <stdbool.h>
#include <stddef.h>

/* Is what the tables in there say that they hold there, none deeper than encode makes them, and all of kinds
 * that encode writes without dictionaries?  What else may be wrong, decode says.  Takes time proportional to
 * length. */
bool serial_is_sound(const void *bytes, size_t length);

#endif
