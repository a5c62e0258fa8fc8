/*
 * real.h: a client of a real Redis that a test has to itself.
 */
#ifndef TANDEM_TEST_REDIS_REAL_H
#define TANDEM_TEST_REDIS_REAL_H

#include "redis/ops.h"
#include "support/server.h"

static struct world w;
static struct server *server;

CHECK_UNUSED void begin(void)
{
    server = server_start(NULL);
    world_open(&w, server->url);
}

CHECK_UNUSED void end(void)
{
    world_close(&w);
    server_stop(server);
}

#endif
