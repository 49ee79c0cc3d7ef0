/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A host with some VMs in virtual time, 5 ms a tick: the pure cores of both daemons, a shell around each
 * that is as thin as the real one allows, and between them a guest that keeps accounts like a kernel and a
 * hypervisor that takes its time. Every number is an integer and every run is the same.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/demand.h"
#include "agent/policy/shrink.h"
#include "host-bridge/policy/arbiter.h"
#include "host-bridge/policy/resize.h"

#define SIM_TICK_USEC    (5 * USEC_PER_MSEC)
#define SIM_VMS_MAX      16U
#define SIM_MESSAGES_MAX 64U

/* Anonymous memory that the workload wants to hold, at a time since the start. */
typedef uint64_t (*SimLoad)(const void *argument, uint64_t now_usec);

typedef enum SimCharacter {
        SIM_HONEST,
        SIM_LIAR,   /* always critical, needs 64 TiB, confirms everything at once, offers everything */
        SIM_SILENT, /* honest until silent_from_usec, then its agent says nothing; the kernel lives on */
} SimCharacter;

typedef struct SimGuestConfig {
        uint64_t boot_bytes;
        uint64_t device_bytes; /* max-size of its virtio-mem; 0: none */
        uint64_t dimm_bytes;   /* of each DIMM that may be plugged, up to 2 GiB of them; 0: none */
        bool has_balloon, balloon_in_total;
        uint64_t inflated_bytes; /* at the start */
        uint64_t cache_bytes;    /* clean page cache that it likes to keep */
        SimLoad load;
        const void *load_argument;
        SimCharacter character;
        uint64_t silent_from_usec;
        uint64_t plug_delay_usec; /* request to the first usable byte; default 70 ms */
} SimGuestConfig;

typedef enum SimMessageKind {
        SIM_REPORT,
        SIM_ALARM,
        SIM_OFFER,
        SIM_CONFIRM,
        SIM_PREPARED, /* bytes 0: it is not */
} SimMessageKind;

typedef struct SimMessage {
        SimMessageKind kind;
        uint64_t id;
        unsigned step;
        uint64_t bytes;
        int64_t delta_bytes;
        RefusalReason reason;
        uint64_t hold_usec;
        Demand demand;
        uint64_t usable_bytes, available_bytes, plug_budget_bytes, stall_usec;
} SimMessage;

/* What the host says to the guest, as the two commands that it knows. */
typedef struct SimNotice {
        uint64_t id, bytes;
} SimNotice;

typedef struct SimGuest {
        SimGuestConfig config;
        uint64_t now_usec;

        /* kernel and devices: the truth */
        MemoryModel model;
        uint64_t dimm_online_bytes;
        uint64_t offline_id, offline_left_bytes;       /* being taken offline */
        bool dimm_held;                                /* offline at the host's word */
        uint64_t inflate_goal_bytes, moving_from_usec; /* what the devices work at, and since when they do */
        uint64_t anon_bytes, cache_bytes, memmap_bytes, psi_usec, scanned;
        unsigned oom_kills;
        uint64_t available_least_bytes;

        /* agent */
        DemandConfig demand_config;
        DemandState demand_state;
        Demand demand;
        ShrinkConfig shrink_config;
        ShrinkState shrink;
        Snapshot snapshot;
        uint64_t sample_usec, report_usec; /* next */
        bool grow_open;
        uint64_t grow_id, grow_bytes, grow_from_bytes, grow_told_bytes;

        SimMessage messages[SIM_MESSAGES_MAX]; /* to the host, in order, taken at its next tick */
        unsigned n_messages;
} SimGuest;

void sim_guest_init(SimGuest *guest, const SimGuestConfig *config);

/* The devices work, the workload allocates, the agent looks. */
void sim_guest_tick(SimGuest *guest, uint64_t now_usec);
void sim_agent_tick(SimGuest *guest);

/* MemTotal, less the balloon where that is counted in it. */
uint64_t sim_guest_usable_bytes(const SimGuest *guest);
uint64_t sim_guest_available_bytes(const SimGuest *guest);

/* Returns false if there is not so much that could go. */
bool sim_guest_take_offline(SimGuest *guest, uint64_t bytes);

/* The hypervisor's side. */
void sim_guest_command(SimGuest *guest, const PlanStep *step);

/* The host's words. */
void sim_guest_notice(SimGuest *guest, const SimNotice *notice);
void sim_guest_ask(SimGuest *guest, const ShrinkAsk *ask);
void sim_guest_offline(SimGuest *guest, uint64_t id, const Dimm *dimm);
void sim_guest_online(SimGuest *guest);

#define SIM_DECISIONS_MAX 512U

typedef struct SimVm {
        SimGuest guest;
        uint64_t min_bytes, max_bytes;
        VmClass vm_class;
        uint64_t shares;

        /* as the bridge knows it */
        MemoryModel model;
        uint64_t model_usec; /* next reading */
        uint64_t wake_usec;  /* judged again, whatever comes or does not */
        SimMessage last;
        bool known;
        uint64_t heard_usec, reported_usec, closed_usec;
        uint64_t calm_since_usec, last_grow_usec, last_refusal_usec, last_failure_usec;
        unsigned n_refusals, n_failures;
        uint64_t held_until_usec;
        ArbiterPeak peak;
        Limiter limiter;
        Activity activity;
        RoundVm round;
        uint64_t waiting_usec, last_shrink_usec;
        Resize resize;
        unsigned n_replies; /* due at the next tick */
        bool balloon_commanded;
        uint64_t balloon_target_bytes; /* inflated: the last command, which no model tells */

        /* for the test */
        Decision decisions[SIM_DECISIONS_MAX]; /* closed or denied, in order */
        unsigned n_decisions;
        unsigned n_commands;
        DecisionRule denied_rule;
} SimVm;

typedef struct Sim {
        uint64_t now_usec;
        uint64_t budget_bytes, pool_bytes;
        bool pressed;
        ArbiterConfig arbiter;
        ResizeConfig resize;
        uint64_t next_id;
        SimVm vms[SIM_VMS_MAX];
        unsigned n_vms;
        uint64_t worst_committed_bytes, worst_size_bytes; /* highest sums over all VMs so far */
        RoundFindings found;
        uint64_t round_usec; /* the last one */
        bool round_wanted;
        uint64_t donated_usec; /* a VM last gave for another */
        RoundVm figures[SIM_VMS_MAX];
} Sim;

/* The policy of demo.sh: shorter holds than the defaults. */
void sim_init(Sim *sim);
SimVm *sim_add(Sim *sim, const SimGuestConfig *guest, uint64_t min_bytes, uint64_t max_bytes);

/* For sim-round.c: a round over all, each second and soon after one is wanted; it judges all VMs. */
void sim_round(Sim *sim);
uint64_t sim_committed_sum(const Sim *sim);
uint64_t sim_committed_of(const SimVm *vm);
ArbiterVm sim_subject(const Sim *sim, const SimVm *vm);
void sim_judge(Sim *sim, SimVm *vm, bool in_round);

/* Runs until until_usec. */
void sim_run(Sim *sim, uint64_t until_usec);

/* Decisions of kind that were closed since since_usec; those that never moved a byte are no moves. */
unsigned sim_count(const SimVm *vm, DecisionKind kind, uint64_t since_usec);

/* A grow right after a shrink or the other way round, since since_usec. */
unsigned sim_reversals(const SimVm *vm, uint64_t since_usec);

/* The last decision of kind; NULL: none. */
const Decision *sim_last(const SimVm *vm, DecisionKind kind);
