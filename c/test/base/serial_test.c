#include "base/serial.h"
#include "check.h"

static bool sound(const char *bytes, size_t length)
{
    /* From memory of its own, so that a sanitizer sees what is read beyond. */
    char *copy = calloc(1, length ? length : 1);
    bool answer;

    memcpy(copy, bytes, length);
    answer = serial_is_sound(copy, length);
    free(copy);
    return answer;
}

#define SOUND(bytes) sound(bytes, sizeof(bytes) - 1)

TEST(what_encode_writes_is_sound)
{
    CHECK(SOUND("\0"));
    CHECK(SOUND("\6\1\0\0\0"));
    CHECK(SOUND("\7........"));
    CHECK(SOUND("\x25hello"));
    CHECK(SOUND("\x08"));         /* {} */
    CHECK(SOUND("\x0c\4\1\1\1")); /* { true, true, true } as LuaJIT writes it: false, ... */
    CHECK(SOUND("\x0a\2\1\2"));   /* [0] and [1] */
    CHECK(SOUND("\x09\1\x21k\x09\1\x21k\x08")); /* { k = { k = {} } } */
    CHECK(SOUND("\x0d\2\1\1\x21k\2"));          /* { false, k = true } */
    CHECK(SOUND("\x12................"));
}

TEST(what_is_not_there_is_not_sound)
{
    CHECK(!SOUND(""));
    CHECK(!SOUND("\6\1"));
    CHECK(!SOUND("\x25hell"));
    CHECK(!SOUND("\xe0"));
    CHECK(!SOUND("\xff\1\1"));
    CHECK(!SOUND("\x0c\4\1\1"));
    CHECK(!SOUND("\x0a\xff\xff\xff\xff\xff\1"));
    CHECK(!SOUND("\x09\xff\xff\xff\xff\xff\1"));
    CHECK(!SOUND("\x0d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"));
    CHECK(!SOUND("\x0a\6\x0a\5\x0a\4\x0a\3\1\1\1")); /* each of them fits, all together do not */
}

TEST(what_encode_does_not_write_is_not_sound)
{
    CHECK(!SOUND("\4...."));
    CHECK(!SOUND("\5........"));
    CHECK(!SOUND("\x0e\1\x08"));
    CHECK(!SOUND("\x0f\1"));
    CHECK(!SOUND("\x13"));
    CHECK(!SOUND("\x1f"));
    CHECK(!SOUND("\1\1"));
}

TEST(tables_in_tables_are_sound_as_deep_as_encode_makes_them)
{
    char bytes[2 * 102 + 1];

    for (int i = 0; i < 102; i++)
        memcpy(bytes + 2 * i, "\x0c\2", 2);
    bytes[2 * 99] = '\x08'; /* 100 tables */
    CHECK(sound(bytes, 2 * 99 + 1));
    memcpy(bytes + 2 * 99, "\x0c\2\x08", 3);
    CHECK(!sound(bytes, 2 * 100 + 1));
}

CHECK_MAIN()
