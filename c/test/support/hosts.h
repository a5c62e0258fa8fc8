/*
 * hosts.h: two hosts (two segments), with a Redis or without.
 */
#ifndef TANDEM_TEST_SUPPORT_HOSTS_H
#define TANDEM_TEST_SUPPORT_HOSTS_H

#include "base/clock.h"
#include "support/cache.h"
#include "support/server.h"

static struct server *server;
static bool hosts_have_tags;
static tandem_options o1, o2;
static tandem_cache *c1, *c2;

/* A host's, whose values are under "t:". */
CHECK_UNUSED tandem_options host_options(const char *name)
{
    tandem_options o = options_for(name, server ? server->url : NULL);

    o.prefix = "t:";
    o.prefix_length = 2;
    o.tags = hosts_have_tags;
    o.timeout_ms = 10000;
    o.max_stale_ms = 10000;
    return o;
}

CHECK_UNUSED void open_hosts(void)
{
    o1 = host_options("host1");
    o2 = host_options("host2");
    c1 = open_with(&o1);
    c2 = open_with(&o2);
}

CHECK_UNUSED bool is_on(tandem_cache *c)
{
    return strcmp(tandem_tracking_state(c), "on") == 0;
}

CHECK_UNUSED void begin(bool tracking)
{
    server_refuses_tracking = !tracking;
    server = server_start(NULL);
    open_hosts();
    if (!tracking)
        return;
    get(c1, &o1, "anything");
    get(c2, &o2, "anything");
    AWAIT(is_on(c1) && is_on(c2));
}

CHECK_UNUSED void end(void)
{
    close_all(c1, &o1);
    close_all(c2, &o2);
    server_stop(server);
}

#endif
