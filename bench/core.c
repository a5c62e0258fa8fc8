/*
 * core.c: the memory room by itself, called from C.
 *
 *   core ENTRIES SECONDS [VALUE]     one JSON object: nanoseconds a call; VALUE: bytes, 100
 *
 * The floor that a random get is held against: two loads from memory that depend on each other (the
 * bucket and the record), at random addresses over as many bytes of shared memory, and the copy of the
 * value.  In both, which key is next depends on the value read, so that no two reads overlap.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "memory/memory.h"

enum { KEY = 16, BATCH = 1 << 14 };

static size_t value_bytes = 100;
static size_t record; /* bytes of an entry, about */
static uint64_t state = 1;

static uint64_t random_bits(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint32_t random_below(uint32_t n)
{
    return (uint32_t)((random_bits() >> 32) * n >> 32);
}

static double cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct memory *open_for(uint64_t entries)
{
    struct memory_config config = {
        .name = "core",
        .identity = "core",
        .bytes = (entries * ((record > 120 ? record : 120) + 60) + (8 << 20)) & ~UINT64_C(4095)};
    struct memory *m = NULL;
    char error[256];

    if (memory_open(&config, &m, error, sizeof(error)) != MEMORY_OK) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return m;
}

static void key_of(uint32_t number, char *key)
{
    memset(key, 'k', KEY);
    memcpy(key, &number, sizeof(number));
}

static void put(struct memory *m, uint32_t number, size_t length)
{
    static const struct memory_attributes forever = {0};
    static char value[16384];
    char key[KEY];

    key_of(number, key);
    memcpy(value, &number, sizeof(number));
    if (memory_put(m, key, KEY, value, length, &forever, MEMORY_LOCK_US) != MEMORY_OK)
        exit(1);
}

static char buffer[16384];

static unsigned get(struct memory *m, uint32_t number)
{
    struct memory_entry entry;
    char key[KEY];

    key_of(number, key);
    return memory_get(m, key, KEY, 1, false, buffer, sizeof(buffer), &entry) == MEMORY_OK;
}

/* 0, which only the processor finds out when the value has come. */
static uint32_t of_last_value(void)
{
    uint32_t last;

    memcpy(&last, buffer + value_bytes - sizeof(last), sizeof(last));
    return last & 1;
}

/* Bucket-sized and record-sized steps through as many bytes as the segment has. */
struct floor {
    unsigned char *index, *records;
    uint32_t lines, count;
};

static void *shared(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        exit(1);
    return at;
}

static struct floor floor_for(uint32_t entries)
{
    struct floor f = {NULL, NULL, entries / 3, entries};

    f.index = shared((size_t)f.lines * 64);
    f.records = shared((size_t)entries * record);
    memset(f.records, 2, (size_t)entries * record);
    for (uint32_t i = 0; i < f.lines; i++) {
        uint32_t to = random_below(entries);

        memcpy(f.index + (size_t)i * 64, &to, sizeof(to));
    }
    return f;
}

static unsigned floor_get(const struct floor *f, uint32_t number)
{
    uint32_t to;

    memcpy(&to, f->index + (size_t)(number % f->lines) * 64, sizeof(to));
    memcpy(buffer, f->records + (size_t)to * record + record - value_bytes, value_bytes);
    __asm__ __volatile__("" ::"r"(buffer) : "memory");
    return 1;
}

static double best(double a, double b)
{
    return a == 0 || b < a ? b : a;
}

static void measure_random(struct memory *m, uint32_t entries, double seconds)
{
    struct floor f = floor_for(entries);
    double ours = 0, floor = 0, end = cpu() + seconds;
    unsigned found = 0, calls = 0;

    while (cpu() < end) {
        double start = cpu();

        for (int i = 0; i < BATCH; i++)
            found += floor_get(&f, random_below(entries) + of_last_value());
        floor = best(floor, cpu() - start);
        start = cpu();
        for (int i = 0; i < BATCH; i++)
            found += get(m, random_below(entries) + of_last_value());
        ours = best(ours, cpu() - start);
        calls += 2 * BATCH;
    }
    if (found < calls - calls / 1000) {
        fprintf(stderr, "core: %u of %u found\n", found, calls);
        exit(1);
    }
    printf("\"random_get\":%.1f,\"random_floor\":%.1f,", ours / BATCH * 1e9, floor / BATCH * 1e9);
    munmap(f.index, (size_t)f.lines * 64);
    munmap(f.records, (size_t)entries * record);
}

static void measure_hot(struct memory *m, uint32_t first, size_t length)
{
    double set = 0, read = 0;

    for (int round = 0; round < 30; round++) {
        double start = cpu();

        for (uint32_t i = 0; i < BATCH; i++)
            put(m, first + i % 512, length);
        set = best(set, cpu() - start);
        start = cpu();
        for (uint32_t i = 0; i < BATCH; i++)
            get(m, first + i % 512);
        read = best(read, cpu() - start);
    }
    printf("\"hot_get_%zu\":%.1f,\"hot_set_%zu\":%.1f,", length, read / BATCH * 1e9, length,
           set / BATCH * 1e9);
}

int main(int argc, char **argv)
{
    uint32_t entries = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000;
    double seconds = argc > 2 ? atof(argv[2]) : 3;
    struct memory *m;
    double start;

    if (argc > 3)
        value_bytes = (size_t)atoi(argv[3]);
    record = 24 + KEY + (value_bytes + 7) / 8 * 8;
    m = open_for(entries);
    start = cpu();
    for (uint32_t i = 0; i < entries; i++)
        put(m, i, value_bytes);
    printf("{\"entries\":%" PRIu32 ",\"first_set\":%.1f,", entries,
           (cpu() - start) / entries * 1e9);
    measure_random(m, entries, seconds);
    if (argc <= 3) {
        measure_hot(m, entries, 100);
        measure_hot(m, entries + 512, 1024);
        measure_hot(m, entries + 1024, 10240);
    }
    printf("\"segment_bytes\":%.0f}\n", memory_metric(m, COUNT_MEMORY_SEGMENT));
    return 0;
}
