#include "tier/result.h"

#include <stdio.h>

#include "memory/memory.h"

int result_say(tandem_result *result, int status, const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(result->error, sizeof(result->error), format, arguments);
    va_end(arguments);
    if (n < 0)
        n = 0;
    if (n >= (int)sizeof(result->error))
        n = (int)sizeof(result->error) - 1;
    result->error_length = (uint32_t)n;
    return status;
}

int result_busy(tandem_result *result)
{
    return result_say(result, TANDEM_EBUSY,
                      "busy: a lock of the shared memory was not to be had in %d ms",
                      MEMORY_LOCK_US / 1000);
}

int result_of_memory(const struct memory *memory, int memory_status, size_t value_length,
                     tandem_result *result)
{
    switch (memory_status) {
    case MEMORY_OK:
        return TANDEM_OK;
    case MEMORY_NOT_A_NUMBER:
        return TANDEM_NOT_A_NUMBER;
    case MEMORY_OUT_OF_RANGE:
        return result_say(result, TANDEM_EINVAL, "the sum would be out of range");
    case MEMORY_BUSY:
        return result_busy(result);
    case MEMORY_TOO_BIG:
        return result_say(result, TANDEM_ETOOBIG, "value too large: %zu bytes, at most %zu",
                          value_length, memory_value_limit(memory));
    default: /* there is one, or none, or it has changed */
        return TANDEM_MISS;
    }
}
