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
