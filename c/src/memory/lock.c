#include "memory/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

/* What tells such a lock from an ordinary one, in whichever C library, is what may not have changed. */
bool lock_is_sound(const pthread_mutex_t *mutex)
{
    const unsigned char *bytes = (const unsigned char *)mutex;
    union {
        pthread_mutex_t mutex;
        unsigned char bytes[sizeof(pthread_mutex_t)];
    } ordinary, ours;
    bool sound = true;

    memset(&ordinary, 0, sizeof(ordinary));
    memset(&ours, 0, sizeof(ours));
    if (pthread_mutex_init(&ordinary.mutex, NULL) != 0 || lock_init(&ours.mutex) != 0)
        return false;
    for (size_t i = 0; i < sizeof(ours); i++)
        sound = sound && (ours.bytes[i] == ordinary.bytes[i] || ours.bytes[i] == bytes[i]);
    pthread_mutex_destroy(&ordinary.mutex);
    pthread_mutex_destroy(&ours.mutex);
    return sound;
}

/* -- Looking at a lock ----------------------------------------------------------------------------- */

/*
 * Where in a mutex is the word by which the kernel knows its owner?  Each C library has it elsewhere, but for
 * every robust mutex that a thread holds it must tell the kernel where it is, in case the thread dies; so we
 * take one, and ask the kernel what it was told.
 */
static long find_word(void)
{
    pthread_mutex_t sample;
    struct robust_list_head *held = NULL;
    size_t size = 0;
    long at = -1;

    if (lock_init(&sample) != 0)
        return at;
    if (pthread_mutex_lock(&sample) == 0) {
        if (syscall(SYS_get_robust_list, 0, &held, &size) == 0 && held)
            at = (long)((uintptr_t)held->list.next - (uintptr_t)&sample) + held->futex_offset;
        pthread_mutex_unlock(&sample);
    }
    pthread_mutex_destroy(&sample);
    return at >= 0 && at <= (long)(sizeof(sample) - sizeof(uint32_t)) ? at : -1;
}

enum { WORD_UNKNOWN = -1, WORD_UNASKED = -2 };

/* WORD_UNKNOWN under what does not do as the kernel does, such as qemu-user. */
static long word_place(void)
{
    static _Atomic long place = WORD_UNASKED;
    long at = atomic_load_explicit(&place, memory_order_relaxed);

    if (at == WORD_UNASKED) {
        at = find_word();
        atomic_store_explicit(&place, at, memory_order_relaxed);
    }
    return at;
}

enum lock_sight lock_look(const pthread_mutex_t *mutex)
{
    long at = word_place();
    uint32_t word;

    if (at == WORD_UNKNOWN)
        return LOCK_SEEN_HELD;
    word = __atomic_load_n((const uint32_t *)(const void *)((const char *)mutex + at),
                           __ATOMIC_ACQUIRE);
    if (word & FUTEX_TID_MASK)
        return LOCK_SEEN_HELD;
    return word & FUTEX_OWNER_DIED ? LOCK_SEEN_ORPHANED : LOCK_SEEN_FREE;
}

/* -- Taking it ------------------------------------------------------------------------------------- */

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
