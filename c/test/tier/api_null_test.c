/* NULL, where a caller should have given something: refused in a sentence, or nothing is done. */
#include "support/cache.h"

#define CHECK_REFUSED(words, call)                \
    do {                                          \
        said.error[0] = '\0';                     \
        CHECK_INT(TANDEM_EINVAL, call);           \
        CHECK(strstr(said.error, words) != NULL); \
    } while (0)

TEST(no_cache)
{
    double cursor = 0;
    uint8_t times[1] = {7};
    tandem_item item = {.key = "k", .key_length = 1};

    CHECK_REFUSED("cache is NULL", tandem_get(NULL, "k", 1, 0, NULL, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_exists(NULL, "k", 1, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_ttl(NULL, "k", 1, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_set(NULL, "k", 1, "v", 1, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_set_tagged(NULL, "k", 1, "v", 1, 0, "\1t", 2, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_set_many(NULL, &item, 1, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_delete_many(NULL, &item, 1, &said));
    CHECK_REFUSED("cache is NULL", tandem_invalidate_tag(NULL, "t", 1, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_delete(NULL, "k", 1, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_peek(NULL, "k", 1, 0, NULL, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_add(NULL, "k", 1, "v", 1, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_replace(NULL, "k", 1, "v", 1, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_incr(NULL, "k", 1, 1, 0, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_expire(NULL, "k", 1, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_keys(NULL, &cursor, NULL, 0, value, 9, &said));
    CHECK_REFUSED("cache is NULL", tandem_remove(NULL, &cursor, NULL, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_cleanup(NULL, &cursor, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_scan(NULL, "0", 1, NULL, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_scan_unlink(NULL, "0", 1, NULL, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_flight_begin(NULL, "k", 1, 0, 1, 1, &said));
    CHECK_REFUSED("cache is NULL", tandem_flight_store(NULL, 1, "v", 1, 0, NULL, 0, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_flight_absent(NULL, 1, 1, NULL, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_fleet_lock(NULL, 1, 1, 1, 0, &said));
    CHECK_REFUSED("cache is NULL", tandem_fleet_wait(NULL, 1, 1, &said));
    CHECK_REFUSED("cache is NULL", tandem_is_untold(NULL, "k", 1, &said));
    tandem_flight_restart(NULL, 1);
    tandem_count_refreshes(NULL, 1);
    tandem_flight_end(NULL, 1, TANDEM_FLIGHT_GONE, NULL, 0);
    tandem_close(NULL);
    tandem_mailbox_release(NULL);
    CHECK_INT(0, tandem_slots(NULL));
    CHECK_INT(0, tandem_untold(NULL));
    CHECK_INT(TANDEM_MISS, tandem_slot(NULL, 0, value, &said));
    tandem_marks_take(NULL, 0, 1, times);
    tandem_marks_give(NULL, 0, 1, times);
    CHECK_INT(7, times[0]);
}

TEST(no_key_value_or_cursor)
{
    tandem_options o = options_for("null", NULL);
    tandem_cache *c;
    double cursor = 0;

    o.tags = 1;
    c = open_with(&o);
    CHECK_REFUSED("empty", tandem_get(c, NULL, 1, 0, NULL, 0, &said));
    CHECK_REFUSED("value is missing", tandem_set(c, "k", 1, NULL, 1, 0, 0, &said));
    CHECK_REFUSED("tags must be", tandem_set_tagged(c, "k", 1, "v", 1, 0, NULL, 2, 0, &said));
    CHECK_REFUSED("tag has 0 bytes", tandem_invalidate_tag(c, NULL, 1, 0, &said));
    CHECK_REFUSED("items", tandem_set_many(c, NULL, 1, 0, &said));
    CHECK_INT(TANDEM_OK, tandem_set_many(c, NULL, 0, 0, &said));
    CHECK_REFUSED("cursor", tandem_keys(c, NULL, NULL, 0, value, 9, &said));
    CHECK_REFUSED("cursor", tandem_remove(c, NULL, NULL, 0, &said));
    CHECK_REFUSED("cursor", tandem_cleanup(c, NULL, 0, &said));
    CHECK_REFUSED("pattern is missing", tandem_keys(c, &cursor, NULL, 1, value, 9, &said));
    CHECK_REFUSED("no Redis", tandem_scan(c, NULL, 1, NULL, 0, 0, &said));
    CHECK_REFUSED("value is missing", tandem_flight_store(c, 1, NULL, 1, 0, NULL, 0, 0, &said));
    tandem_marks_take(c, 0, 1, NULL);
    tandem_marks_give(c, 0, 1, NULL);
    CHECK_INT(TANDEM_MISS, tandem_slot(c, 0, NULL, &said));
    close_all(c, &o);
}

TEST(no_segment_and_no_path)
{
    tandem_options o = options_for("null", NULL);
    tandem_description description;
    tandem_findings findings;
    tandem_segment *segment = NULL;
    tandem_cache *c = NULL;
    double cursor = 0, sum, counts[64];
    char error[256] = "";

    CHECK_INT(TANDEM_EINVAL, tandem_segment_open(NULL, &segment, &description, error, 256));
    CHECK_STR("the path is missing", error);
    CHECK_INT(TANDEM_EINVAL, tandem_segment_open("", &segment, &description, error, 256));
    CHECK_INT(TANDEM_EINVAL, tandem_attach(NULL, &o, &c, error, 256));
    CHECK_STR("the path is missing", error);
    CHECK(!segment && !c);
    CHECK_REFUSED("segment is NULL", tandem_segment_peek(NULL, "k", 1, NULL, 0, &said));
    CHECK_REFUSED("segment", tandem_segment_keys(NULL, &cursor, NULL, 0, value, 9, &said));
    CHECK_INT(TANDEM_MISS, tandem_segment_slot(NULL, 0, value, &said));
    CHECK_INT(TANDEM_MISS, tandem_segment_verify(NULL, 0, &findings));
    CHECK_INT(0, tandem_segment_value(NULL, 0));
    CHECK_INT(TANDEM_EINVAL, tandem_segment_buckets(NULL, 0, counts, 64, &sum));
    tandem_segment_close(NULL);
    tandem_mailbox_release(o.mailbox);
}

CHECK_MAIN()
