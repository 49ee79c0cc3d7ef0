/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The shell of policy/round.c: figures of all VMs in, findings out to the VMs and their environment, then each VM is judged,
 * critical and urgent ones first. A round on event has the lowest priority of the loop, so that alarms that arrived together
 * are shared out together, and not in the order of their sockets.
 */

#include "host-bridge/arbitration.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "host-bridge/host-sensor.h"
#include "host-bridge/policy/pressure.h"

#define HOST_PRESSURE       "proc/pressure/memory"
#define LEAST_INTERVAL_USEC (50 * USEC_PER_MSEC)

struct Arbitration {
        sd_event *event;
        ArbitrationOptions options;
        sd_event_source *timer;
        uint64_t last_usec, now_usec; /* of the round under way */
        RoundVm *figures;             /* beside vms */
        Vm **vms;
        size_t n, n_allocated;
        bool out_of_memory;
        PressureGauge pressure; /* of the host */
        bool blind;             /* it has none */
        PoolLevel level;        /* as last told */
        LogLimit log_limit;
};

static int grow_arrays(Arbitration *a) {
        size_t n = a->n_allocated > 0 ? 2 * a->n_allocated : 16;
        RoundVm *figures;
        Vm **vms;

        vms = reallocarray(a->vms, n, sizeof(Vm *));
        if (!vms)
                return -ENOMEM;
        a->vms = vms;
        figures = reallocarray(a->figures, n, sizeof(*figures));
        if (!figures)
                return -ENOMEM;
        a->figures = figures;
        a->n_allocated = n;
        return 0;
}

static void see(Vm *vm, void *userdata) {
        Arbitration *a = userdata;

        if (a->out_of_memory || (a->n == a->n_allocated && grow_arrays(a) < 0)) {
                a->out_of_memory = true;
                return;
        }
        vm_round_see(vm, a->now_usec, &a->figures[a->n]);
        a->vms[a->n++] = vm;
}

/* Judging a VM may record and send, but frees none. */
static void judge_all(Arbitration *a) {
        for (unsigned rank = VM_CLASS_RANKS; rank > 0; rank--)
                for (unsigned urgency = URGENCY_MAX; urgency > 0; urgency--)
                        for (size_t i = 0; i < a->n; i++)
                                if (vm_class_rank(a->figures[i].vm_class) == rank - 1 &&
                                    a->figures[i].urgency == (Urgency) (urgency - 1))
                                        vm_round_judge(a->vms[i], a->now_usec);
}

static void tell_level(Arbitration *a, const RoundFindings *findings) {
        unsigned suppressed;

        if (findings->level == a->level || !log_limit_allows(&a->log_limit, a->now_usec, &suppressed))
                return;
        a->level = findings->level;
        (void) log_line(findings->level == POOL_LAST ? LOG_WARNING : LOG_INFO, 0,
                        "The pool of %" PRIu64 " MiB is %s: %u VMs wait, %" PRIu64 " MiB are asked of others",
                        findings->pool_target_bytes / MIB, pool_level_to_string(findings->level),
                        findings->n_waiting, findings->asked_bytes / MIB);
}

/* The host's own stall. Without PSI there is nothing to look at: said once. */
static void look_at_host(Arbitration *a) {
        VmEnv *env = a->options.env;
        bool before = env->pressed;
        uint64_t some_usec;
        int r;

        if (!env->root || env->pressure_limit_percent == UINT64_MAX || a->blind)
                return;
        r = host_pressure_read(env->root, HOST_PRESSURE, &some_usec);
        if (r < 0) {
                a->blind = true;
                env->pressed = false;
                (void) log_info_errno(r, "Does without the host's memory pressure: /%s: %m", HOST_PRESSURE);
                return;
        }
        env->pressed = pressure_take(&a->pressure, some_usec, env->pressure_limit_percent, a->now_usec);
        if (env->pressed != before)
                log_notice("The host %s",
                           before ? "does not stall on memory any more"
                                  : "stalls on memory: only critical VMs in critical need are given more");
}

void arbitration_run(Arbitration *a, uint64_t now_usec) {
        VmEnv *env = a->options.env;
        RoundHost host;

        assert(a);

        a->last_usec = a->now_usec = now_usec;
        look_at_host(a);
        host = (RoundHost){
                .budget_bytes = env->ledger->budget_bytes,
                .committed_bytes = env->ledger->committed_bytes,
                .pool_bytes = a->options.pool_bytes,
                .pressed = env->pressed,
        };
        a->n = 0;
        a->out_of_memory = false;
        (void) sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
        a->options.walk(see, a, a->options.userdata);
        /* Half a round would take the rest for nothing: the findings of the last one hold. */
        if (a->out_of_memory)
                return;
        env->round = round_run(&host, a->figures, a->n);
        tell_level(a, &env->round);
        for (size_t i = 0; i < a->n; i++)
                vm_round_take(a->vms[i], &a->figures[i], now_usec);
        judge_all(a);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        uint64_t now_usec;
        int r;

        r = sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now_usec);
        if (r < 0)
                return r;
        arbitration_run(userdata, now_usec);
        return 0;
}

void arbitration_soon(Arbitration *a) {
        int enabled = SD_EVENT_OFF;

        assert(a);

        (void) sd_event_source_get_enabled(a->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time(a->timer, u64_add(a->last_usec, LEAST_INTERVAL_USEC));
        (void) sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
}

int arbitration_new(sd_event *event, const ArbitrationOptions *options, Arbitration **ret) {
        _cleanup_(arbitration_freep) Arbitration *a = NULL;
        int r;

        assert(event);
        assert(options);
        assert(ret);

        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        a->event = sd_event_ref(event);
        a->options = *options;
        r = sd_event_add_time(event, &a->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, a);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(a->timer, "arbitration");
        r = sd_event_source_set_priority(a->timer, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

Arbitration *arbitration_free(Arbitration *a) {
        if (!a)
                return NULL;

        (void) sd_event_source_disable_unref(a->timer);
        (void) sd_event_unref(a->event);
        free(a->vms);
        free(a->figures);
        free(a);
        return NULL;
}
