#include "memory/fault.h"

#ifdef TANDEM_FAULTS

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static enum fault_point armed = FAULT_COUNT;
static unsigned until;
static int signal_to_send;
static unsigned *counted;

void fault_arm(enum fault_point point, unsigned n, int signal_number)
{
    armed = point;
    until = n;
    signal_to_send = signal_number;
}

void fault_count(unsigned counts[FAULT_COUNT])
{
    counted = counts;
}

void fault_reached(enum fault_point point)
{
    if (counted)
        counted[point]++;
    if (point != armed || --until != 0)
        return;
    armed = FAULT_COUNT;
    kill(getpid(), signal_to_send);
}

#endif
