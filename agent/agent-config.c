/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The keys of agent.conf as one table: it parses the file, prints --dump-config, and is what the man
 * page is checked against. Few keys on purpose: what the kernel can tell or a resize can teach is no setting.
 */

#include "agent/agent-config.h"

#include <assert.h>
#include <string.h>

#include "agent/blocks/monitor.h"
#include "agent/policy/onlining.h"
#include "agent/policy/zone.h"
#include "common/log.h"
#include "common/units.h"

static const char *const zone_policy_names[] = {
        [ZONE_POLICY_AUTO] = "auto",
        [ZONE_POLICY_MOVABLE] = "movable",
        [ZONE_POLICY_KERNEL] = "kernel",
        [ZONE_POLICY_MAX] = NULL,
};

static const char *const onliner_names[] = {
        [ONLINER_AUTO] = "auto",
        [ONLINER_KERNEL] = "kernel",
        [ONLINER_AGENT] = "agent",
        [ONLINER_MAX] = NULL,
};

static const char *const uevents_names[] = {
        [BLOCK_MONITOR_AUTO] = "auto",
        [BLOCK_MONITOR_KERNEL] = "kernel",
        [BLOCK_MONITOR_UDEV] = "udev",
        [BLOCK_MONITOR_SOURCE_MAX] = NULL,
};

#define FIELD(name) offsetof(AgentConfig, name)

static const ConfigKey agent_config_keys[] = {
        {"Agent", "ReportInterval", CONFIG_TIMESPAN, FIELD(report_interval_usec), 100 * USEC_PER_MSEC,
         10 * USEC_PER_SEC},
        {"Agent", "ActuatorDelay", CONFIG_TIMESPAN, FIELD(actuator_delay_usec), USEC_PER_MSEC,
         10 * USEC_PER_SEC},
        {"Agent", "Floor", CONFIG_SIZE, FIELD(floor_bytes), 0, MEMORY_BYTES_MAX},
        {"Agent", "ShrinkMargin", CONFIG_SIZE, FIELD(shrink_margin_bytes), 16 * MIB, MEMORY_BYTES_MAX},
        {"Agent", "HoldAfterRefusal", CONFIG_TIMESPAN, FIELD(hold_usec), USEC_PER_SEC, 3600 * USEC_PER_SEC},
        {"Blocks", "Online", CONFIG_BOOLEAN, FIELD(blocks_online)},
        {"Blocks", "Onliner", CONFIG_ENUM, FIELD(onliner), .names = onliner_names},
        {"Blocks", "Zone", CONFIG_ENUM, FIELD(zone_policy), .names = zone_policy_names},
        {"Blocks", "MovableRatio", CONFIG_PERCENT, FIELD(ratio_percent), 0, 6300},
        {"Blocks", "UeventBuffer", CONFIG_SIZE, FIELD(uevent_buffer_bytes), 4 * KIB, GIB},
        {"Blocks", "Uevents", CONFIG_ENUM, FIELD(uevents), .names = uevents_names},
};
static_assert(ELEMENTSOF(agent_config_keys) == AGENT_CONFIG_KEYS, "AGENT_CONFIG_KEYS");

const ConfigTable agent_config_table = {
        .name = "agent",
        .keys = agent_config_keys,
        .n_keys = ELEMENTSOF(agent_config_keys),
};

AgentConfig agent_config_defaults(void) {
        return (AgentConfig){
                .report_interval_usec = 10 * USEC_PER_SEC,
                .actuator_delay_usec = 150 * USEC_PER_MSEC, /* QMP + plug + online, estimator.md */
                .floor_bytes = 0,
                .shrink_margin_bytes = 128 * MIB,
                .hold_usec = 120 * USEC_PER_SEC,
                .blocks_online = true,
                .onliner = ONLINER_AUTO,
                .zone_policy = ZONE_POLICY_AUTO,
                .ratio_percent = 301,
                .uevents = BLOCK_MONITOR_AUTO,
                .uevent_buffer_bytes = BLOCK_MONITOR_BUFFER_BYTES,
        };
}

/* FILE of --config is this machine's, wherever --root is. */
static int config_load_file(const char *file, AgentConfig *config, ConfigOrigin *origins) {
        _cleanup_(rootdir_freep) RootDir *machine = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        path = realpath(file, NULL);
        if (!path)
                return log_error_errno(-errno, "%s: %m", file);
        r = rootdir_new("/", &machine);
        if (r < 0)
                return r;
        return config_load(&agent_config_table, machine, path, config, origins, config_complain_to_log, NULL);
}

int agent_config_load(const RootDir *root, const char *file, AgentConfig *ret,
                      ConfigOrigin origins[static AGENT_CONFIG_KEYS]) {
        AgentConfig config = agent_config_defaults();
        int r;

        assert(root);
        assert(ret);

        memset(origins, 0, AGENT_CONFIG_KEYS * sizeof(origins[0]));
        r = file ? config_load_file(file, &config, origins)
                 : config_load(&agent_config_table, root, NULL, &config, origins, config_complain_to_log,
                               NULL);
        if (r < 0)
                return r;

        *ret = config;
        return 0;
}

int agent_config_uevents_from_string(const char *text) {
        assert(text);

        for (int i = 0; uevents_names[i]; i++)
                if (strcmp(text, uevents_names[i]) == 0)
                        return i;
        return -EINVAL;
}
