/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line of memtide-agent(8). */

#include <stdbool.h>

#include "agent/agent.h"
#include "common/log.h"

typedef struct CommandLine {
        AgentOptions agent;
        const char *root;
        int uevents; /* negative: as configured */
        LogTarget log_target;
        int log_level;
        bool check, dump_config;
        bool doctor, json, release;
        const char *replay_path; /* NULL: nothing to replay */
} CommandLine;

/*
 * Returns 1 to go on, 0 if all has been said (--help, --version), or -EINVAL after a message on stderr.
 * Strings of *ret point into argv.
 */
int command_line_parse(int argc, char **argv, CommandLine *ret);
