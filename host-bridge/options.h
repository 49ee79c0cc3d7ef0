/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* memtide-bridge's command line. */

#include <stdbool.h>

#include "common/log.h"

#define DEFAULT_RUNTIME_DIR "/run/memtide"
#define DEFAULT_LEASE_DIR   "/run/memtide/lease"

typedef struct Options {
        const char *config_file; /* NULL: the usual places */
        const char *runtime_dir, *lease_dir;
        bool adopt, dump_config, check;
        int log_level;
        LogTarget log_target;
} Options;

/*
 * Returns 1 with *ret filled, 0 if the call is answered (--help, --version), or -EINVAL after a complaint on
 * stderr. Texts of *ret are of argv.
 */
int options_parse(int argc, char *argv[], Options *ret);
