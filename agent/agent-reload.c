/* SPDX-License-Identifier: Apache-2.0 */

/*
 * SIGHUP: the files are read into a copy, and only a copy without an error becomes the configuration in force. What has been
 * learnt stays: a measured actuator delay gives way only where the configured one was changed.
 *
 * It allocates, as the start does, and so does not belong to the sampling path: who edits a file under an OOM storm
 * may wait for it. Uevents= and UeventBuffer= take effect at the next start; the socket that they are about is opened once.
 */

#include "agent/agent-internal.h"

#include <assert.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include "agent/messages.h"
#include "common/log.h"
#include "common/units.h"

BlockServiceConfig agent_blocks_config(const Agent *agent) {
        return (BlockServiceConfig){
                .online = agent->config.blocks_online,
                .onliner = (Onliner) agent->config.onliner,
                .zone_policy = (ZonePolicy) agent->config.zone_policy,
                .zone_ratio_percent = agent->config.ratio_percent,
                .source = (BlockMonitorSource) agent->config.uevents,
                .buffer_bytes = agent->config.uevent_buffer_bytes,
        };
}

ShrinkConfig agent_shrink_config(const Agent *agent) {
        return (ShrinkConfig){
                .margin_bytes = agent->config.shrink_margin_bytes,
                .hold_usec = agent->config.hold_usec,
        };
}

static void agent_apply(Agent *agent, const AgentConfig *config) {
        uint64_t old_delay_usec = agent->config.actuator_delay_usec;

        agent->config = *config;
        if (config->actuator_delay_usec != old_delay_usec)
                agent->demand_config.actuator_delay_usec = config->actuator_delay_usec;
        agent->demand_config.floor_bytes = config->floor_bytes;
        agent->report_interval_usec =
                u64_min(agent->welcome_interval_usec > 0 ? agent->welcome_interval_usec : USEC_INFINITY,
                        config->report_interval_usec);

        ShrinkConfig shrink = agent_shrink_config(agent);
        BlockServiceConfig blocks = agent_blocks_config(agent);
        shrinker_configure(agent->shrinker, &shrink);
        if (agent->blocks)
                block_service_configure(agent->blocks, &blocks);
}

void agent_reload(Agent *agent) {
        ConfigOrigin origins[AGENT_CONFIG_KEYS];
        AgentConfig config;
        int r;

        assert(agent);

        r = agent_config_load(agent->root, agent->options->config_path, &config, origins);
        if (r < 0) {
                log_event_errno(LOG_ERR, r, MESSAGE_ID_RELOAD_REFUSED, NULL, 0,
                                "The new configuration has errors, the running one is kept: %m");
                return;
        }
        config.uevents = agent->config.uevents;
        config.uevent_buffer_bytes = agent->config.uevent_buffer_bytes;
        agent_apply(agent, &config);
        log_event(LOG_INFO, MESSAGE_ID_RELOADED, NULL, 0, "The configuration was read again");
        agent->report_promised_usec = 0; /* a report by the new one at once */
        agent_wake(agent);
}

static int agent_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        uint64_t now_usec = 0;

        (void) sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now_usec);
        (void) sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) now_usec);
        agent_reload(userdata);
        (void) sd_notify(false, "READY=1");
        return 0;
}

int agent_new_reload(Agent *agent) {
        assert(agent);
        return sd_event_add_signal(agent->event, NULL, SIGHUP, agent_on_hangup, agent);
}
