#include "tier/mailbox.h"

#include <pthread.h>
#include <sched.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "check.h"

enum { FOREVER = 1 << 30 };

static const int owner_a = 1, owner_b = 2;

static struct mailbox_slip open_ticket(tandem_mailbox *m)
{
    struct mailbox_slip slip = {NULL, 0};

    REQUIRE(mailbox_open(m, &owner_a, clock_now_ms() + FOREVER, &slip) == 0);
    return slip;
}

static void complete(struct mailbox_slip slip, const char *value)
{
    struct outcome outcome = {.status = TANDEM_OK, .tier = TANDEM_TIER_REDIS};

    outcome.bytes = alloc_copy(value, strlen(value));
    outcome.length = strlen(value);
    mailbox_complete(&slip, &outcome);
}

/* What take answers, the value being expected. */
static int take(tandem_mailbox *m, double ticket, const char *value)
{
    char buffer[64] = "";
    tandem_result result;
    int status = mailbox_take(m, ticket, buffer, sizeof(buffer), &result);

    if (status == TANDEM_OK && value) {
        CHECK_INT(strlen(value), result.length);
        CHECK_MEM(value, buffer, strlen(value));
    }
    return status;
}

/* -- Tickets ------------------------------------------------------------------------------------- */

TEST(a_ticket_is_pending_then_taken_once)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m);
    double ticket = (double)slip.ticket;
    tandem_result result;

    CHECK(ticket >= 1 && ticket < 9007199254740992.0 && ticket == (double)(uint64_t)ticket);
    CHECK_INT(1, mailbox_pending(m));
    CHECK_INT(TANDEM_PENDING, mailbox_take(m, ticket, NULL, 0, &result));
    CHECK(result.ticket == ticket);
    complete(slip, "value");
    CHECK_INT(1, mailbox_pending(m));
    CHECK_INT(TANDEM_OK, take(m, ticket, "value"));
    CHECK_INT(0, mailbox_pending(m));
    CHECK_INT(TANDEM_ELOST, take(m, ticket, NULL));
    mailbox_release(m);
}

TEST(a_value_that_does_not_fit_stays)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m);
    double ticket = (double)slip.ticket;
    char small[3];
    tandem_result result;

    complete(slip, "value");
    CHECK_INT(TANDEM_TOO_SMALL, mailbox_take(m, ticket, small, sizeof(small), &result));
    CHECK_INT(5, result.length);
    CHECK_INT(TANDEM_TOO_SMALL, mailbox_take(m, ticket, NULL, 0, &result));
    CHECK_INT(TANDEM_OK, take(m, ticket, "value"));
    mailbox_release(m);
}

TEST(errors_and_degraded_outcomes_bring_their_sentence)
{
    tandem_mailbox *m = mailbox_create();
    const int statuses[] = {TANDEM_ECONN, TANDEM_DEGRADED};
    tandem_result result;

    for (int i = 0; i < 2; i++) {
        struct mailbox_slip slip = open_ticket(m);
        double ticket = (double)slip.ticket;
        struct outcome outcome = {.status = statuses[i], .error = alloc_copy("because", 7)};

        mailbox_complete(&slip, &outcome);
        CHECK_INT(statuses[i], mailbox_take(m, ticket, NULL, 0, &result));
        CHECK_STR("because", result.error);
        CHECK_INT(7, result.error_length);
    }
    mailbox_release(m);
}

TEST(numbers_that_are_no_tickets_are_lost)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m);
    double ticket = (double)slip.ticket;
    const double wrong[] = {
        0,      -1,        0.5,       ticket + 0.5,       ticket + 1,     1e300,
        -1e300, 1.0 / 0.0, 0.0 / 0.0, 9007199254740992.0, ticket - 65536, ticket + 65536};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        CHECK_INT(TANDEM_ELOST, take(m, wrong[i], NULL));
        CHECK_INT(TANDEM_ELOST, mailbox_wait(m, wrong[i], 0));
        mailbox_abandon(m, wrong[i]);
    }
    CHECK_INT(1, mailbox_pending(m));
    mailbox_abandon(m, ticket);
    CHECK_INT(0, mailbox_pending(m));
    complete(slip, "nobody");
    mailbox_release(m);
}

TEST(an_abandoned_operation_completes_into_nothing)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip first = open_ticket(m), second;
    double heard[4];

    mailbox_abandon(m, (double)first.ticket);
    second = open_ticket(m); /* most likely in the same place */
    complete(first, "first");
    CHECK_INT(TANDEM_PENDING, take(m, (double)second.ticket, NULL));
    CHECK_INT(0, mailbox_drain(m, heard, 4));
    complete(second, "second");
    CHECK_INT(TANDEM_OK, take(m, (double)second.ticket, "second"));
    mailbox_release(m);
}

TEST(an_operation_may_complete_after_everybody_has_left)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m);

    mailbox_use(m);
    mailbox_release(m);
    CHECK_INT(1, mailbox_pending(m)); /* one user is left */
    mailbox_release(m);
    complete(slip, "late");
}

TEST(an_owner_s_tickets_go_with_it)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip a = open_ticket(m), b = {NULL, 0};

    CHECK_INT(0, mailbox_open(m, &owner_b, clock_now_ms() + FOREVER, &b));
    complete(a, "a");
    mailbox_abandon_of(m, &owner_a);
    CHECK_INT(TANDEM_ELOST, take(m, (double)a.ticket, NULL));
    complete(b, "b");
    CHECK_INT(TANDEM_OK, take(m, (double)b.ticket, "b"));
    mailbox_release(m);
}

TEST(a_cancelled_ticket_is_not_there)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m);
    double ticket = (double)slip.ticket;

    mailbox_cancel(&slip);
    CHECK(slip.core == NULL);
    CHECK_INT(TANDEM_ELOST, take(m, ticket, NULL));
    CHECK_INT(0, mailbox_pending(m));
    mailbox_release(m);
}

TEST(the_table_is_bounded_and_no_ticket_comes_twice)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip *slips = alloc_zeroed(MAILBOX_TICKETS * sizeof(*slips));
    struct mailbox_slip more;

    for (int i = 0; i < MAILBOX_TICKETS; i++)
        slips[i] = open_ticket(m);
    CHECK_INT(TANDEM_EFULL, mailbox_open(m, &owner_a, clock_now_ms(), &more));
    CHECK_INT(MAILBOX_TICKETS, mailbox_pending(m));
    for (int i = 0; i < MAILBOX_TICKETS; i++)
        complete(slips[i], "x");
    for (int i = 0; i < MAILBOX_TICKETS; i++)
        REQUIRE(take(m, (double)slips[i].ticket, "x") == TANDEM_OK);
    more = open_ticket(m);
    for (int i = 0; i < MAILBOX_TICKETS; i++)
        REQUIRE(take(m, (double)slips[i].ticket, NULL) == TANDEM_ELOST);
    mailbox_cancel(&more);
    alloc_free(slips);
    mailbox_release(m);
}

TEST(no_memory_is_an_answer)
{
    tandem_mailbox *m;
    struct mailbox_slip slip;

    alloc_fail_nth(1);
    CHECK(mailbox_create() == NULL);
    alloc_fail_nth(2);
    CHECK(mailbox_create() == NULL);
    alloc_fail_nth(0);
    m = mailbox_create();
    alloc_fail_nth(1);
    CHECK_INT(TANDEM_ESYS, mailbox_open(m, &owner_a, 0, &slip));
    slip = open_ticket(m);
    mailbox_cancel(&slip);
    mailbox_release(m);
}

/* -- Draining, waiting, sweeping ----------------------------------------------------------------- */

TEST(drain_says_each_completed_ticket_once_and_in_order)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slips[6];
    double heard[8];

    for (int i = 0; i < 6; i++)
        slips[i] = open_ticket(m);
    for (int i = 5; i >= 0; i--)
        if (i != 2)
            complete(slips[i], "x");
    CHECK_INT(TANDEM_OK, take(m, (double)slips[4].ticket, "x")); /* needs no telling any more */
    CHECK_INT(2, mailbox_drain(m, heard, 2));
    CHECK(heard[0] == (double)slips[5].ticket && heard[1] == (double)slips[3].ticket);
    CHECK_INT(2, mailbox_drain(m, heard, 8));
    CHECK(heard[0] == (double)slips[1].ticket && heard[1] == (double)slips[0].ticket);
    CHECK_INT(0, mailbox_drain(m, heard, 8));
    complete(slips[2], "x");
    CHECK_INT(1, mailbox_drain(m, heard, 8));
    CHECK_INT(5, mailbox_pending(m)); /* drained is not taken */
    mailbox_release(m);
}

static void *complete_later(void *slip)
{
    complete(*(struct mailbox_slip *)slip, "later");
    return NULL;
}

TEST(wait_ends_with_the_completion_or_the_time)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m);
    double ticket = (double)slip.ticket;
    int64_t start = clock_now_ms();
    pthread_t thread;

    CHECK_INT(TANDEM_PENDING, mailbox_wait(m, ticket, 20));
    CHECK(clock_now_ms() - start >= 19);
    CHECK_INT(TANDEM_PENDING, mailbox_wait(m, ticket, -1));
    CHECK_INT(TANDEM_PENDING, mailbox_wait(m, ticket, 0.0 / 0.0));
    REQUIRE(pthread_create(&thread, NULL, complete_later, &slip) == 0);
    CHECK_INT(TANDEM_OK, mailbox_wait(m, ticket, 1.0 / 0.0));
    CHECK_INT(TANDEM_OK, mailbox_wait(m, ticket, 0));
    CHECK_INT(TANDEM_OK, take(m, ticket, "later"));
    pthread_join(thread, NULL);
    mailbox_release(m);
}

/* Completions of one thread race with waits, drains and abandonments of another. */
struct race {
    struct mailbox_slip slips[64];
    _Atomic int posted, completed;
};

static void *complete_all(void *context)
{
    struct race *race = context;
    int n = 0;

    for (;;) {
        int posted = atomic_load(&race->posted);

        for (; n < posted; n++)
            complete(race->slips[n % 64], "raced");
        atomic_store(&race->completed, n);
        if (posted < 0)
            return NULL;
    }
}

TEST(no_completion_is_lost_in_a_race)
{
    static struct race race;
    tandem_mailbox *m = mailbox_create();
    pthread_t thread;
    double heard[64];

    REQUIRE(pthread_create(&thread, NULL, complete_all, &race) == 0);
    for (int i = 0; i < 20000; i++) {
        struct mailbox_slip slip = open_ticket(m);
        double ticket = (double)slip.ticket;

        while (i - atomic_load(&race.completed) >= 64) /* the ring of slips is full */
            sched_yield();
        race.slips[i % 64] = slip;
        atomic_store(&race.posted, i + 1);
        if (i % 3 == 0) {
            mailbox_abandon(m, ticket);
        } else {
            REQUIRE(mailbox_wait(m, ticket, 10000) == TANDEM_OK);
            REQUIRE(take(m, ticket, "raced") == TANDEM_OK);
        }
        if (i % 7 == 0)
            mailbox_drain(m, heard, 64);
    }
    atomic_store(&race.posted, -1);
    pthread_join(thread, NULL);
    CHECK_INT(0, mailbox_pending(m));
    mailbox_release(m);
}

TEST(an_outcome_nobody_takes_is_dropped_a_second_after_its_deadline)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip done = {NULL, 0}, heard = {NULL, 0}, pending = {NULL, 0};
    int64_t deadline = clock_now_ms() + 1000;
    double ticket;

    mailbox_open(m, &owner_a, deadline, &heard);
    mailbox_open(m, &owner_a, deadline, &done);
    mailbox_open(m, &owner_a, deadline, &pending);
    complete(heard, "x");
    CHECK_INT(1, mailbox_drain(m, &ticket, 1));
    complete(done, "x");
    clock_shift(1900);
    mailbox_sweep();
    CHECK_INT(3, mailbox_pending(m));
    clock_shift(200);
    mailbox_sweep();
    CHECK_INT(1,
              mailbox_pending(m)); /* the room below ends each operation: none is dropped before */
    CHECK_INT(TANDEM_ELOST, take(m, (double)done.ticket, NULL));
    CHECK_INT(TANDEM_ELOST, take(m, (double)heard.ticket, NULL));
    CHECK_INT(0, mailbox_drain(m, &ticket, 1));
    complete(pending, "x");
    CHECK_INT(TANDEM_OK, take(m, (double)pending.ticket, "x"));
    mailbox_release(m);
}

/* -- Fork ---------------------------------------------------------------------------------------- */

static void in_child(void (*body)(tandem_mailbox *, const struct mailbox_slip *), tandem_mailbox *m,
                     const struct mailbox_slip *slip)
{
    pid_t child = fork();
    int status = 0;

    REQUIRE(child >= 0);
    if (child == 0) {
        body(m, slip);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void child_uses_mailbox(tandem_mailbox *m, const struct mailbox_slip *parents)
{
    struct mailbox_slip own;

    CHECK_INT(TANDEM_ELOST, take(m, (double)parents->ticket, NULL));
    CHECK_INT(TANDEM_ELOST, mailbox_wait(m, (double)parents->ticket, 1000));
    mailbox_abandon(m, (double)parents->ticket);
    CHECK_INT(0, mailbox_pending(m));
    own = open_ticket(m);
    CHECK(own.ticket != parents->ticket);
    CHECK_INT(TANDEM_ELOST, take(m, (double)parents->ticket, NULL));
    complete(own, "child");
    CHECK_INT(TANDEM_OK, take(m, (double)own.ticket, "child"));
    mailbox_release(m);
}

TEST(a_child_starts_with_an_empty_mailbox)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m), taken = open_ticket(m);

    complete(taken, "x");
    in_child(child_uses_mailbox, m, &slip);
    in_child(child_uses_mailbox, m, &taken);
    complete(slip, "parent");
    CHECK_INT(TANDEM_OK, take(m, (double)slip.ticket, "parent"));
    mailbox_release(m);
}

static void child_gives_up(tandem_mailbox *m, const struct mailbox_slip *parents)
{
    (void)parents;
    mailbox_release(m);
}

TEST(a_child_may_release_what_it_never_used)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slip = open_ticket(m);

    in_child(child_gives_up, m, &slip);
    complete(slip, "parent");
    CHECK_INT(TANDEM_OK, take(m, (double)slip.ticket, "parent"));
    mailbox_release(m);
}

enum { MANY = 30000 };

static void *complete_and_sweep(void *context)
{
    struct mailbox_slip *slips = context;

    /* Without heap memory: the sanitizers' allocators do not survive a fork in the middle of them. */
    for (int i = 0; i < MANY; i++) {
        struct outcome outcome = {.status = TANDEM_OK};

        mailbox_complete(slips + i, &outcome);
        mailbox_sweep();
    }
    return NULL;
}

TEST(a_fork_finds_the_lists_whole_whatever_another_thread_does)
{
    static struct mailbox_slip slips[MANY];
    tandem_mailbox *m = mailbox_create();
    pthread_t thread;

    for (int i = 0; i < MANY; i++)
        slips[i] = open_ticket(m);
    REQUIRE(pthread_create(&thread, NULL, complete_and_sweep, slips) == 0);
    for (int i = 0; i < 100; i++)
        in_child(child_uses_mailbox, m, slips + i);
    pthread_join(thread, NULL);
    CHECK_INT(MANY, mailbox_pending(m));
    mailbox_release(m);
}

CHECK_MAIN()
