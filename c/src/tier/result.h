/*
 * result.h: filling in what an operation says beside its status.
 */
#ifndef TANDEM_TIER_RESULT_H
#define TANDEM_TIER_RESULT_H

#include <stdarg.h>

#include "tandem.h"

struct memory;

/* As if nothing had been said yet. */
static inline void result_clear(tandem_result *result)
{
    result->ticket = result->length = result->ttl = result->count = 0;
    result->tier = TANDEM_TIER_NONE;
    result->fresh_until = 0;
    result->version = result->slot = result->epoch = result->error_length = 0;
    result->error[0] = '\0';
}

/* Puts a sentence into error, cut where it does not fit.  Returns status. */
__attribute__((format(printf, 3, 4))) int result_say(tandem_result *result, int status,
                                                     const char *format, ...);

/* TANDEM_EBUSY, and the sentence for it. */
int result_busy(tandem_result *result);

/* What MEMORY_* is to a caller for whom memory is all that there is; value_length: of what was to be stored. */
int result_of_memory(const struct memory *memory, int memory_status, size_t value_length,
                     tandem_result *result);

#endif
