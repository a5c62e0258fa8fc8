/*
 * options.h: the options of tandem_open: their defaults, and what is wrong with them.
 */
#ifndef TANDEM_TIER_OPTIONS_H
#define TANDEM_TIER_OPTIONS_H

#include <stddef.h>

#include "tandem.h"
#include "tier/registry.h"

/* Longest time to live and longest time-out. */
#define OPTIONS_TTL_MAX_MS INT64_C(100000000000000) /* 3168 years */
#define OPTIONS_TIMEOUT_MAX_MS 60000

void options_init(tandem_options *options);

/* TANDEM_OK; TANDEM_EINVAL with a sentence that begins with the option's name. */
int options_check(const tandem_options *options, char *error, size_t error_size);

/* What the rooms below are to be opened with.  prefix_buffer must hold 65 bytes; all pointers are the
 * options'. */
void options_configure(const tandem_options *options, char *prefix_buffer,
                       struct registry_config *config);

#endif
