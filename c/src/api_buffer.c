#include "base/serial.h"
#include "tandem.h"

int tandem_buffer_is_sound(const char *bytes, size_t length)
{
    return serial_is_sound(bytes, length) ? TANDEM_OK : TANDEM_MISS;
}
