#include "tier/process.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tier/bell.h"
#include "tier/core.h"
#include "tier/registry.h"

static pthread_mutex_t lists = PTHREAD_MUTEX_INITIALIZER;
_Atomic unsigned process_forks = 1;
static bool watching;

void process_lock(void)
{
    pthread_mutex_lock(&lists);
}

bool process_try_lock(void)
{
    return pthread_mutex_trylock(&lists) == 0;
}

void process_unlock(void)
{
    pthread_mutex_unlock(&lists);
}

static void in_child(void)
{
    atomic_fetch_add_explicit(&process_forks, 1, memory_order_relaxed);
    bell_after_fork();
    core_after_fork();
    registry_after_fork();
    process_unlock();
}

bool process_watch_forks(void)
{
    bool done;

    process_lock();
    if (!watching)
        watching = pthread_atfork(process_lock, process_unlock, in_child) == 0;
    done = watching;
    process_unlock();
    return done;
}
