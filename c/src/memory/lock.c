#include "memory/lock.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

enum { SPINS = 100, NAP_NS = 20000 };

int lock_init(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    int rc = pthread_mutexattr_init(&attributes);

    if (rc)
        return rc;
    rc = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!rc)
        rc = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!rc)
        rc = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return rc;
}

bool lock_is_sound(const pthread_mutex_t *mutex)
{
#ifdef __GLIBC__
    pthread_mutex_t like;
    bool sound;

    if (lock_init(&like) != 0)
        return false;
    sound = mutex->__data.__kind == like.__data.__kind;
    pthread_mutex_destroy(&like);
    return sound;
#else
    (void)mutex;
    return true;
#endif
}

#ifdef __GLIBC__
enum { FUTEX_OWNER_HAS_DIED = 0x40000000 }; /* the kernel's word for it */
#endif

enum lock_sight lock_look(const pthread_mutex_t *mutex)
{
#ifdef __GLIBC__
    int word = __atomic_load_n(&mutex->__data.__lock, __ATOMIC_ACQUIRE);

    if (word & FUTEX_OWNER_HAS_DIED)
        return LOCK_SEEN_ORPHANED;
    return word ? LOCK_SEEN_HELD : LOCK_SEEN_FREE;
#else
    (void)mutex;
    return LOCK_SEEN_HELD;
#endif
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

static enum lock_status try_once(pthread_mutex_t *mutex)
{
    switch (pthread_mutex_trylock(mutex)) {
    case 0:
        return LOCK_HELD;
    case EOWNERDEAD:
        return LOCK_ORPHANED;
    case EBUSY:
    case EAGAIN:
        return LOCK_BUSY;
    default:
        return LOCK_BEYOND_REPAIR;
    }
}

/* pthread_mutex_timedlock would go by the wall clock, which steps, and musl lacks clocklock. */
static enum lock_status wait_for(pthread_mutex_t *mutex, int64_t wait_us)
{
    const struct timespec nap = {0, NAP_NS};
    enum lock_status status = LOCK_BUSY;
    int64_t give_up;

    for (int i = 0; status == LOCK_BUSY && i < SPINS; i++) {
        relax();
        status = try_once(mutex);
    }
    if (status != LOCK_BUSY)
        return status;
    give_up = clock_now_us() + wait_us;
    do {
        nanosleep(&nap, NULL);
        status = try_once(mutex);
    } while (status == LOCK_BUSY && clock_now_us() < give_up);
    return status;
}

enum lock_status lock_acquire(pthread_mutex_t *mutex, int64_t wait_us, int64_t *waited_ns)
{
    enum lock_status status = try_once(mutex);
    int64_t began_ns;

    *waited_ns = 0;
    if (status != LOCK_BUSY)
        return status;
    began_ns = clock_now_ns();
    status = wait_for(mutex, wait_us);
    *waited_ns = clock_now_ns() - began_ns;
    if (*waited_ns <= 0)
        *waited_ns = 1;
    return status;
}

void lock_mended(pthread_mutex_t *mutex)
{
    pthread_mutex_consistent(mutex);
}

void lock_release(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
}
