/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The shell of policy/round.c: figures of all VMs in, findings out to the VMs and their environment, then each VM is judged,
 * critical and urgent ones first. A round on event has the lowest priority of the loop, so that alarms that arrived together
 * are shared out together, and not in the order of their sockets.
 *
 * Ten thousand VMs are 16 ms in which no alarm is served. So a round goes on in slices, and between two of
 * them the loop serves what has come: its figures are then some milliseconds old. That costs no promise, for a grant is held
 * against what is free when it is made, and who has spoken meanwhile has been judged by that and asks for a round of his own.
 * A host of a few hundred VMs has its round in one slice. Rejected: a thread for the rounds, with locks about every VM.
 */

#include "host-bridge/arbitration.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/slices.h"
#include "host-bridge/host-sensor.h"
#include "host-bridge/policy/pressure.h"

#define HOST_PRESSURE       "proc/pressure/memory"
#define LEAST_INTERVAL_USEC (50 * USEC_PER_MSEC)
#define SLICE_LEAST         16U /* VMs between two looks at the clock */

typedef enum RoundPhase {
        PHASE_NONE,
        PHASE_SEEING,
        PHASE_JUDGING,
} RoundPhase;

struct Arbitration {
        sd_event *event;
        ArbitrationOptions options;
        sd_event_source *timer; /* the round that somebody wants */
        Slices slices;          /* of the round under way */
        RoundPhase phase;
        bool ticks;                    /* it is that of a second */
        bool tick_due, wanted;         /* the next one, asked for meanwhile */
        uint64_t begun_usec, now_usec; /* of the round, and of the slice */
        size_t at;                     /* how far the phase has come */
        RoundVm *figures;              /* beside vms */
        uint32_t *order;               /* in which they are judged, by index */
        Vm **vms;
        size_t n, n_allocated;
        bool stale;             /* vms is not what there is */
        PressureGauge pressure; /* of the host */
        bool blind;             /* it has none */
        PoolLevel level;        /* as last told */
        LogLimit log_limit;
};

static int grow_arrays(Arbitration *a) {
        size_t n = a->n_allocated > 0 ? 2 * a->n_allocated : 16;
        RoundVm *figures;
        uint32_t *order;
        Vm **vms;

        vms = reallocarray(a->vms, n, sizeof(Vm *));
        if (!vms)
                return -ENOMEM;
        a->vms = vms;
        figures = reallocarray(a->figures, n, sizeof(*figures));
        if (!figures)
                return -ENOMEM;
        a->figures = figures;
        order = reallocarray(a->order, n, sizeof(*order));
        if (!order)
                return -ENOMEM;
        a->order = order;
        a->n_allocated = n;
        return 0;
}

static void take_part(Vm *vm, void *userdata) {
        Arbitration *a = userdata;

        if (a->stale || (a->n == a->n_allocated && grow_arrays(a) < 0))
                a->stale = true;
        else
                a->vms[a->n++] = vm;
}

/* All of them, or none: half a round would take the rest for nothing. */
static bool know_vms(Arbitration *a) {
        if (!a->stale)
                return true;
        a->stale = false;
        a->n = 0;
        a->options.walk(take_part, a, a->options.userdata);
        return !a->stale;
}

/* Whose turn it is: 0 comes first. */
static unsigned turn_of(const RoundVm *vm) {
        return (VM_CLASS_RANKS - 1 - vm_class_rank(vm->vm_class)) * URGENCY_MAX +
               (URGENCY_MAX - 1 - vm->urgency);
}

/* Sorts by turn, and keeps the order of the walk within one. */
static void set_order(Arbitration *a) {
        size_t begins[VM_CLASS_RANKS * URGENCY_MAX + 1] = {0};

        for (size_t i = 0; i < a->n; i++)
                begins[turn_of(&a->figures[i]) + 1]++;
        for (size_t turn = 1; turn < ELEMENTSOF(begins); turn++)
                begins[turn] += begins[turn - 1];
        for (size_t i = 0; i < a->n; i++)
                a->order[begins[turn_of(&a->figures[i])]++] = (uint32_t) i;
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

static void compute(Arbitration *a) {
        VmEnv *env = a->options.env;
        RoundHost host;

        look_at_host(a);
        host = (RoundHost){
                .budget_bytes = env->ledger->budget_bytes,
                .committed_bytes = env->ledger->committed_bytes,
                .pool_bytes = a->options.pool_bytes,
                .pressed = env->pressed,
        };
        env->round = round_run(&host, a->figures, a->n);
        tell_level(a, &env->round);
        set_order(a);
}

static void see(Arbitration *a, size_t i) {
        if (a->ticks)
                vm_tick(a->vms[i], a->now_usec);
        vm_round_see(a->vms[i], a->now_usec, &a->figures[i]);
}

/* Judging a VM may record and send, but frees none. */
static void judge(Arbitration *a, size_t i) {
        size_t which = a->order[i];

        vm_round_take(a->vms[which], &a->figures[which], a->now_usec);
        if (round_concerns(&a->figures[which]))
                vm_round_judge(a->vms[which], a->now_usec);
}

/* Does some VMs of the phase, or what stands between two phases. Returns 1, or 0 at the end of the round. */
static int proceed(uint64_t now_usec, void *userdata) {
        Arbitration *a = userdata;

        a->now_usec = now_usec;
        for (unsigned i = 0; i < SLICE_LEAST && a->at < a->n; i++, a->at++)
                if (a->phase == PHASE_SEEING)
                        see(a, a->at);
                else
                        judge(a, a->at);
        if (a->at < a->n)
                return 1;
        a->at = 0;
        if (a->phase == PHASE_SEEING) {
                compute(a);
                a->phase = PHASE_JUDGING;
        } else
                a->phase = PHASE_NONE;
        return a->phase != PHASE_NONE;
}

static void begin(Arbitration *a, bool ticks) {
        a->begun_usec = clock_monotonic_usec();
        a->ticks = ticks;
        a->tick_due = a->wanted = false;
        a->at = 0;
        (void) sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
        if (!know_vms(a)) /* out of memory: the findings of the last one hold */
                return;
        a->phase = PHASE_SEEING;
        slices_begin(&a->slices);
}

static void end(int r, void *userdata) {
        Arbitration *a = userdata;

        if (a->tick_due)
                begin(a, true);
        else if (a->wanted)
                arbitration_soon(a);
}

void arbitration_run(Arbitration *a) {
        assert(a);

        if (a->phase != PHASE_NONE) {
                a->tick_due = true;
                return;
        }
        begin(a, true);
        if (a->phase != PHASE_NONE)
                slices_run(&a->slices);
}

void arbitration_renew(Arbitration *a) {
        assert(a);

        a->stale = true;
}

void arbitration_abandon(Arbitration *a) {
        assert(a);

        a->stale = true;
        if (a->phase == PHASE_NONE)
                return;
        a->phase = PHASE_NONE;
        a->tick_due = a->tick_due || a->ticks;
        slices_abandon(&a->slices);
        arbitration_soon(a);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Arbitration *a = userdata;

        begin(a, a->tick_due);
        if (a->phase != PHASE_NONE)
                slices_run(&a->slices);
        return 0;
}

void arbitration_soon(Arbitration *a) {
        int enabled = SD_EVENT_OFF;

        assert(a);

        if (a->phase != PHASE_NONE) {
                a->wanted = true;
                return;
        }
        (void) sd_event_source_get_enabled(a->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time(a->timer, u64_add(a->begun_usec, LEAST_INTERVAL_USEC));
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
        a->stale = true;
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
        r = slices_init(&a->slices, event, "arbitration-slice", SD_EVENT_PRIORITY_NORMAL, proceed, end, a);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

Arbitration *arbitration_free(Arbitration *a) {
        if (!a)
                return NULL;

        (void) sd_event_source_disable_unref(a->timer);
        slices_done(&a->slices);
        (void) sd_event_unref(a->event);
        free(a->vms);
        free(a->order);
        free(a->figures);
        free(a);
        return NULL;
}
