/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What agent.conf(5) says. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/config.h"
#include "common/rootdir.h"

typedef struct AgentConfig {
        /* [Agent] */
        uint64_t report_interval_usec; /* longest, when calm */
        uint64_t actuator_delay_usec;  /* L until one has been measured */
        uint64_t floor_bytes;
        uint64_t shrink_margin_bytes;
        uint64_t hold_usec;

        /* [Blocks] */
        bool blocks_online;
        int onliner;     /* Onliner */
        int zone_policy; /* ZonePolicy */
        uint64_t ratio_percent;
        int uevents; /* BlockMonitorSource */
        uint64_t uevent_buffer_bytes;
} AgentConfig;

#define AGENT_CONFIG_KEYS 11U
extern const ConfigTable agent_config_table;

/* The values of a machine without a file. */
AgentConfig agent_config_defaults(void);

/*
 * Loads agent.conf with its drop-ins, or file alone if it is not NULL; complaints go to the log.
 * Returns 0 or -errno with *ret untouched.
 */
int agent_config_load(const RootDir *root, const char *file, AgentConfig *ret,
                      ConfigOrigin origins[static AGENT_CONFIG_KEYS]);

/* An index into ConfigKey.names of Uevents=: also the values of --uevents. Returns it or -EINVAL. */
int agent_config_uevents_from_string(const char *text);
