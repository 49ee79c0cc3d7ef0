/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guest daemon: owns every module, and wires them. */

#include <stdbool.h>

#include "agent/agent-config.h"
#include "common/macro.h"
#include "common/rootdir.h"

typedef struct AgentOptions {
        const char *port_path; /* NULL: found by name */
        bool wait_for_port;
        const char *record_path; /* NULL: no recording */
        const char *config_path; /* read again on SIGHUP; NULL: the usual places */
} AgentOptions;

typedef struct Agent Agent;

/* root and options are borrowed for the agent's life, config is copied. Returns 0 or -errno; failures are logged. */
int agent_new(const RootDir *root, const AgentConfig *config, const AgentOptions *options, Agent **ret);
Agent *agent_free(Agent *agent);
DEFINE_CLEANUP_FUNC(Agent, agent_free)

/*
 * Runs until SIGTERM or SIGINT. Returns 0, -ENOENT if there is no port and nobody said to wait (not logged:
 * what to say of it is main's), or -errno.
 */
int agent_run(Agent *agent);
