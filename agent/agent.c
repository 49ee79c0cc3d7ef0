/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Makes every module, hands each what it may use, and runs the loop. What a module finds missing is noted
 * for Hello and costs its own function alone; only without a loop, a sampler and a channel there is no agent.
 *
 * The order of the start matters: everything is opened, then one dry run touches what works under pressure,
 * then memory is locked, and only then may the host speak.
 */

#include "agent/agent.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include "agent/agent-internal.h"
#include "agent/messages.h"
#include "agent/survival.h"
#include "common/forget.h"
#include "common/log.h"
#include "common/units.h"

static void agent_miss(Agent *agent, Facility facility, int error) {
        if (identity_miss(&agent->identity, facility, -error))
                log_event_errno(LOG_WARNING, error, MESSAGE_ID_MISSING,
                                LOG_FIELDS({"FACILITY", facility_to_string(facility)}),
                                "Working without %s: %m", facility_to_string(facility));
}

static void agent_on_psi(PsiTrigger *trigger, int error, void *userdata) {
        Agent *agent = userdata;

        if (error < 0) {
                agent->psi_trigger = psi_trigger_free(agent->psi_trigger);
                agent_miss(agent, FACILITY_PSI_TRIGGER, error);
                return;
        }
        agent->psi_triggered = true;
        agent_sample(agent);
}

static void agent_on_block(const BlockFate *fate, void *userdata) {
        Agent *agent = userdata;
        Message message = {
                .type = MESSAGE_BLOCK_EVENT,
                .block_event =
                        {
                                .block = fate->block,
                                .action = fate->action,
                                .kind = fate->kind,
                                .zone = fate->zone,
                                .bytes = fate->bytes,
                                .error = fate->error > 0 ? (unsigned) fate->error : 0,
                                .latency_usec = fate->latency_usec,
                        },
        };

        if (fate->action == BLOCK_FAILED)
                agent_tell_block_failed(agent, fate);
        if (!agent->channel) /* at the very start, before anybody could be told */
                return;
        (void) sd_event_now(agent->event, CLOCK_MONOTONIC, &message.monotonic_usec);
        (void) channel_send(agent->channel, &message);
        agent_wake(agent);
}

static int agent_new_blocks(Agent *agent) {
        BlockServiceConfig config = agent_blocks_config(agent);
        int r;

        r = block_service_new(agent->event, agent->root, &config, agent_on_block, agent_on_range, agent,
                              &agent->blocks);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                agent_miss(agent, FACILITY_MEMORY_BLOCKS, r);
        else if (block_service_uevents_error(agent->blocks) > 0)
                log_warning("Working without kernel memory events: blocks are looked at by a timer");
        return 0;
}

static int agent_new_shrinker(Agent *agent) {
        ShrinkConfig config = agent_shrink_config(agent);
        int r, reclaim_error;

        r = shrinker_new(agent->event, agent->root, &agent_shrinker_handlers, agent, &agent->shrinker,
                         &reclaim_error);
        if (r < 0)
                return r;
        shrinker_configure(agent->shrinker, &config);
        if (reclaim_error < 0)
                agent_miss(agent, FACILITY_RECLAIM, reclaim_error);
        return 0;
}

static int agent_new_signals(Agent *agent) {
        int r;

        r = sampler_new(agent->root, &agent->sampler);
        if (r < 0)
                return log_error_errno(r, "Failed to open the kernel's counters: %m");

        agent_notice_open(agent);

        r = psi_trigger_new(agent->event, agent->root, agent_on_psi, agent, &agent->psi_trigger);
        if (r < 0)
                agent_miss(agent, FACILITY_PSI_TRIGGER, r);

        r = sd_event_add_time(agent->event, &agent->sample_timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                              agent_on_sample_timer, agent);
        if (r < 0)
                return log_error_errno(r, "Failed to make the sample timer: %m");
        (void) sd_event_source_set_description(agent->sample_timer, "sample");
        return 0;
}

static int agent_new_loop(Agent *agent) {
        sigset_t hangup;
        int r;

        r = sd_event_new(&agent->event);
        if (r < 0)
                return log_error_errno(r, "Failed to make an event loop: %m");

        /* Before there is a second thread, which would not have it blocked. */
        (void) sigemptyset(&hangup);
        (void) sigaddset(&hangup, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &hangup, NULL) < 0)
                return log_error_errno(-errno, "Failed to block SIGHUP: %m");

        r = sd_event_set_signal_exit(agent->event, true);
        if (r < 0)
                return log_error_errno(r, "Failed to watch for signals: %m");

        r = sd_event_set_watchdog(agent->event, true);
        if (r < 0)
                log_warning_errno(r, "Working without the watchdog: %m");
        return 0;
}

int agent_new(const RootDir *root, const AgentConfig *config, const AgentOptions *options, Agent **ret) {
        _cleanup_(agent_freep) Agent *agent = NULL;
        int r;

        assert(root);
        assert(config);
        assert(options);
        assert(ret);

        agent = calloc(1, sizeof(*agent));
        if (!agent)
                return log_error_errno(-ENOMEM, "Failed to make the agent: %m");
        agent->root = root;
        agent->config = *config;
        agent->options = options;
        agent->report_interval_usec = config->report_interval_usec;
        agent->demand_config = (DemandConfig){
                .actuator_delay_usec = config->actuator_delay_usec,
                .floor_bytes = config->floor_bytes,
        };
        identity_read(root, &agent->identity);

        r = agent_new_loop(agent);
        if (r >= 0)
                r = agent_new_signals(agent);
        if (r < 0)
                return r;

        if (options->record_path) {
                r = recorder_new(agent->event, options->record_path, &agent->recorder);
                if (r < 0)
                        return log_error_errno(r, "Failed to open %s to record to: %m", options->record_path);
        }

        r = agent_new_shrinker(agent);
        if (r >= 0)
                r = channel_new(agent->event, root, options->port_path, &agent_session_handlers, agent,
                                &agent->channel);
        if (r >= 0)
                r = agent_new_blocks(agent);
        if (r >= 0)
                r = agent_new_bus(agent);
        if (r >= 0)
                r = agent_new_reload(agent);
        if (r < 0)
                return log_error_errno(r, "Failed to start: %m");

        *ret = TAKE_PTR(agent);
        return 0;
}

Agent *agent_free(Agent *agent) {
        if (!agent)
                return NULL;

        agent->recorder = recorder_free(agent->recorder);
        bus_free(agent->bus);
        channel_free(agent->channel);
        shrinker_free(agent->shrinker);
        block_service_free(agent->blocks);
        psi_trigger_free(agent->psi_trigger);
        sampler_free(agent->sampler);
        heaviest_free(agent->heaviest);
        sd_event_source_disable_unref(agent->sample_timer);
        sd_event_unref(agent->event);
        free(agent);
        return NULL;
}

/* Touches what works under pressure, before memory is locked. Nothing is sent: no session is open. */
static void agent_warm_up(Agent *agent) {
        for (unsigned i = 0; i < 3; i++) {
                agent->everything_usec = 0;
                agent_sample(agent);
        }
}

static void agent_survive(Agent *agent) {
        int r;

        r = survival_escape_oom(agent->root);
        if (r < 0)
                log_warning_errno(r, "The OOM killer may choose this agent: %m");

        forget_start();
        agent_warm_up(agent);
        r = survival_lock_memory();
        if (r < 0)
                agent_miss(agent, FACILITY_LOCKED_MEMORY, r);
}

int agent_run(Agent *agent) {
        int r;

        assert(agent);

        agent_survive(agent);

        r = channel_start(agent->channel);
        if (r == -ENOENT) {
                if (!agent->options->wait_for_port)
                        return r;
                log_info("There is no port to the host yet: waiting for it");
        }
        log_event(LOG_INFO, MESSAGE_ID_STARTED,
                  LOG_FIELDS({"VERSION", MEMTIDE_VERSION},
                             {"TOTAL_BYTES", .number = (int64_t) agent->snapshot.total_bytes},
                             {"KERNEL_RELEASE", agent->identity.kernel_release}),
                  "Version " MEMTIDE_VERSION " looks after %" PRIu64 " MiB",
                  agent->snapshot.total_bytes / MIB);

        if (agent->blocks) /* not on a machine that has no port: it is left as it was */
                block_service_start(agent->blocks);

        (void) sd_notifyf(false, "READY=1\nSTATUS=%s", "Waiting for the host");
        r = sd_event_loop(agent->event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");

        (void) sd_notify(false, "STOPPING=1");
        return 0;
}
