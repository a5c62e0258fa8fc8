/* Numbers as text. */
#include "base/number.h"

#include "check.h"

static const char *written(long double number)
{
    static char text[NUMBER_BYTES];
    size_t length = number_write(number, text);

    CHECK_INT(length ? strlen(text) : 0, length);
    return length ? text : NULL;
}

/* Read and written again; NULL: it is no number. */
static const char *again(const char *text)
{
    long double number;

    return number_read(text, strlen(text), &number) ? written(number) : NULL;
}

TEST(whole_numbers_stay_what_they_are)
{
    static const char *const same[] = {
        "0", "1", "-1", "10", "9007199254740992", "-9007199254740993", "9223372036854775807",
    };

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        CHECK_STR(same[i], again(same[i]));
    CHECK_STR("7", again("007"));
    CHECK_STR("7", again("+7"));
    CHECK_STR("0", again("-0"));
    CHECK_STR("7", again("7."));
    CHECK_STR("7", again("7.000"));
    CHECK_STR("1000", again("1e3"));
    CHECK_STR("1000", again("1E+3"));
    CHECK_STR("12", again("1200e-2"));
}

TEST(fractions_have_no_zeros_at_the_end_and_no_noise)
{
    CHECK_STR("0.5", again("0.5"));
    CHECK_STR("0.5", again(".5"));
    CHECK_STR("-0.5", again("-0.50"));
    CHECK_STR("3.14159", again("3.14159"));
    CHECK_STR("0.1", again("0.1"));
    CHECK_STR("0.3", written(number_of_double(0.1) + number_of_double(0.2)));
    CHECK_STR("0", again("1e-30"));
    CHECK_STR("0", again("-1e-30"));
    CHECK_STR("1234567890.125", again("1234567890.125"));
}

TEST(what_is_not_a_number_is_not_read)
{
    static const char *const none[] = {
        "",
        "-",
        "+",
        ".",
        "e",
        "e5",
        "1e",
        "1e+",
        "--1",
        "1-",
        " 1",
        "1 ",
        "1,5",
        "abc",
        "0x1",
        "inf",
        "nan",
        "infinity",
        "1.2.3",
        "1e5x",
        "1e+",
        "1e9999",
        "-1e99999999999",
        "1\n",
        "\"1\"",
        "true",
    };
    long double number;

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (!CHECK(!number_read(none[i], strlen(none[i]), &number)))
            printf("%s\n", none[i]);
    CHECK(!number_read("1\0", 2, &number));
    CHECK(number_read("1\0", 1, &number) && number == 1);
    CHECK(number_read("0e9999", 6, &number) && number == 0);
}

TEST(too_large_a_number_is_not_written)
{
    CHECK_STR(NULL, again("9223372036854775808"));
    CHECK_STR(NULL, again("-1e19"));
    CHECK_STR(NULL, again("1e300"));
    CHECK_STR("9223372036854774784", written(9223372036854774784.0L));
}

TEST(rounding_carries_on)
{
    CHECK_STR("1", written(0.999999999999999999L));
    CHECK_STR("-10", written(-9.9999999999999999999L));
    CHECK_STR("0.99999999999999999", written(0.99999999999999999L));
    CHECK_STR("0.00000000000000001", written(0.00000000000000001L));
}

TEST(the_longest_text_fits)
{
    char text[NUMBER_BYTES];

    CHECK(number_write(-4503599627370495.00390625L, text) < NUMBER_BYTES);
    CHECK_STR("-4503599627370495.00390625", text);
    CHECK_INT(1, number_write_double(-2.2250738585072014e-308, text));
    CHECK_STR("0", text);
}

TEST(doubles_are_as_somebody_would_write_them)
{
    static const double numbers[] = {
        0.1, 1.0 / 3, 2.5, -0.7, 123456.789, 1e15 + 0.125, 4503599627370495.5, 0.00001, -99.99};
    char text[NUMBER_BYTES];
    long double number;

    CHECK_INT(0, number_write_double(1e19, text));
    CHECK_INT(3, number_write_double(0.1, text));
    CHECK_STR("0.1", text);
    number_write_double(-0.0, text);
    CHECK_STR("0", text);
    number_write_double(9007199254740992.0, text);
    CHECK_STR("9007199254740992", text);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        CHECK(number_read(text, number_write_double(numbers[i], text), &number));
        CHECK((double)number == numbers[i]);
    }
}

CHECK_MAIN()
