/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The parts of one object: vm.c (life), vm-guest.c (what the agent says), vm-monitor.c (what the hypervisor says), vm-judge.c
 * (decisions), vm-round.c (among all VMs), vm-resize.c (their steps), vm-dimm.c (its DIMMs), vm-late.c (what comes of resizes
 * when they are over), vm-rival.c (somebody else resizes), vm-snapshot.c, vm-operator.c (what people ask for), vm-lacks.c (what
 * is in the way), vm-pressure.c (its process on the host), vm-lease.c (who resizes it).
 */

#include "common/clock.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/sparse.h"
#include "host-bridge/guests/vm.h"
#include "host-bridge/lease.h"
#include "host-bridge/policy/harm.h"
#include "host-bridge/policy/late.h"
#include "host-bridge/policy/pressure.h"

/* The guest's figures, held to what its hypervisor says is possible. */
typedef struct GuestFigures {
        bool known;
        uint64_t arrived_usec;  /* of the last report or alarm */
        uint64_t reported_usec; /* of the last report */
        Urgency urgency;
        Cause cause;
        uint64_t total_bytes, usable_bytes, available_bytes, used_bytes, demand_bytes, floor_bytes;
        int64_t need_bytes;
        uint64_t time_to_exhaustion_usec, fall_bytes_per_sec, plug_budget_bytes;
        uint64_t psi_some_usec, psi_full_usec, oom_kills;
        unsigned blocks_online, blocks_offline;
        unsigned dropped;      /* frames of ours that its agent has not taken */
        unsigned dropped_void; /* of them, those of no session */
} GuestFigures;

#define RIVAL_YIELDS_MAX 3U /* then a VM is only observed */

/* Who else moves this VM's memory: see vm-rival.c. */
typedef struct Rival {
        Sparse *commands;       /* RivalCommands; NULL: no virtio-mem device was commanded */
        uint64_t balloon_bytes; /* our last request: inflated */
        bool balloon_commanded;
        uint64_t balloon_left_bytes, balloon_turned_usec; /* the request before, and when it was left */
        bool other_machine; /* it was paused since the last reading: compare with nothing */
        unsigned n_yields;
        uint64_t yield_until_usec;
} Rival;

/* What the last model comes to: looked at for each report, where the model itself is not. */
typedef struct ModelSizes {
        bool known;
        uint64_t boot_bytes, size_bytes, committed_bytes, balloon_bytes;
        uint64_t ceiling_bytes, floor_bytes, grow_block_bytes, shrink_block_bytes;
        bool grows_by_dimm;
        uint64_t dimm_unit_bytes;
} ModelSizes;

/* What the last round found; its input is not kept. */
typedef struct RoundPart {
        uint64_t fair_bytes, target_bytes, ask_bytes;
        DecisionRule ask_rule;
        PoolLevel ask_level;
} RoundPart;

/*
 * There are thousands, and each is looked at once a second: what is seldom asked for, or holds for few, stands outside of it.
 */
struct Vm {
        VmEnv *env;
        char *name;
        VmPolicy policy;
        Session *session; /* NULL: it has no channel */
        Vmm *vmm;         /* NULL: it has no monitor */
        Deadline timer;   /* the next tick of the resize, or judgement */

        /* hypervisor */
        bool monitor_up, paused;
        Sparse *model; /* a MemoryModel, with what policy allows; NULL: none is known */
        ModelSizes sizes;
        uint64_t model_usec;       /* when it was read */
        uint64_t least_size_bytes; /* the smallest size seen; UINT64_MAX: none yet */
        uint64_t committed_bytes;  /* our entry in the ledger */
        uint64_t unsure_bytes;     /* reserved by a resize that is over, until the next model */
        uint64_t monitor_lost_usec;

        /* guest */
        Sparse *hello; /* a MessageHello; NULL: there was none */
        uint64_t capabilities, guest_block_bytes;
        bool psi_missing;
        GuestFigures guest;
        unsigned stuck_dimms; /* a bit per number: the guest could not put it offline */
        uint64_t stuck_until_usec;
        bool dimms_due;     /* the session is new: its agent is to be told of the DIMMs that it has */
        unsigned n_reports; /* since the session began, the guest was reset or went on after a pause */

        /* decisions */
        uint64_t calm_since_usec, last_grow_usec, last_shrink_usec, last_refusal_usec, last_failure_usec;
        unsigned n_refusals, n_failures;
        uint64_t held_until_usec; /* the guest has said that it will refuse until then */
        ArbiterPeak peak;         /* of the demand in reports */
        Activity activity;
        Trust trust;
        PressureGauge pressure; /* of its hypervisor's cgroup */
        uint64_t pressure_due_usec;
        Limiter limiter;
        RoundPart round;
        uint64_t waiting_usec; /* others are asked to give for it since; 0: they are not */
        Resize *resize;        /* NULL: none is open */
        uint64_t resize_id;   /* of the last decision that began one: what comes late may still speak of it */
        uint64_t closed_usec; /* when the last resize was over */
        LateList *late;       /* what may still come of resizes that are over; NULL: nothing */
        DecisionRule denied_rule;
        uint64_t denied_usec;
        uint64_t n_shadowed,
                shadow_bytes; /* what would have been done: how often, and the last size aimed at */
        Rival rival;
        Lease lease;
        uint64_t lease_due_usec;
        char *leased_by; /* owned; NULL: not by anybody else */
        Harm harm;
        VmmFacts facts;
        uint64_t lacks_said, lacks_due_usec; /* bits per Lack; when they are looked at next */
        uint64_t hold_until_usec;            /* an operator's; 0: none */
        LogLimit log_limit;
};

/* What the shared handlers are made of. */
void vm_on_session(Session *session, const SessionEvent *event, void *userdata);
void vm_on_vmm(Vmm *vmm, const VmmEvent *event, void *userdata);
void vm_on_timer(void *userdata);

/* The last one; all zero where none is known. */
static inline MemoryModel vm_model(const Vm *vm) {
        MemoryModel model;

        sparse_get(vm->model, &model, sizeof(model));
        return model;
}

/* Keeps a model, with what policy and guest allow of DIMMs written into it. Returns 0, or -ENOMEM with the old one kept. */
int vm_keep_model(Vm *vm, MemoryModel *model);
void vm_forget_model(Vm *vm);

/* After a new policy or Hello: may DIMMs be plugged and pulled? */
void vm_allow_dimms(Vm *vm);

/* The guest could not put that DIMM offline: it is not asked for again for a while. */
void vm_note_stuck_dimm(Vm *vm, unsigned number);

/* OfflineRange or OnlineRange. Returns 0 or -errno. */
int vm_send_range(Vm *vm, MessageType type, uint64_t id, const Dimm *dimm, uint64_t life_usec);

/* Tells a new agent of the DIMMs that it may use, once they are known. */
void vm_return_dimms(Vm *vm);

/* Writes the VM's entry in the ledger. */
void vm_account(Vm *vm);

/* The smallest and the largest size by policy and devices. */
uint64_t vm_min_bytes(const Vm *vm);
uint64_t vm_max_bytes(const Vm *vm);

/* The policy has something to decide, also where it is only recorded. */
static inline bool vm_is_controlled(const Vm *vm) {
        return vm->policy.controlled && vm->policy.mode != VM_MODE_OBSERVED && !vm->leased_by;
}

/* Nothing that changes the VM is sent without it, neither to its hypervisor nor to its guest. */
static inline bool vm_is_managed(const Vm *vm) {
        return vm_is_controlled(vm) && vm->policy.mode != VM_MODE_SHADOW;
}

/* What a closed decision means for the next: holds after refusals, failures and growth. */
void vm_note_result(Vm *vm, const Decision *decision, uint64_t now_usec);

/* Takes bytes that were granted by decision out of the VM's bucket. */
void vm_spend(Vm *vm, const Decision *decision, uint64_t bytes, uint64_t now_usec);

/*
 * The open resize is closed, another step of growth begins, its guest confirms; what is over by end_usec is not awaited any
 * more.
 */
void vm_late_begin(Vm *vm, uint64_t now_usec);
void vm_late_new_step(Vm *vm);
void vm_late_confirm(Vm *vm, const MessageResizeConfirm *confirm, uint64_t now_usec);
void vm_late_end(Vm *vm, uint64_t end_usec, uint64_t now_usec);

/* Records decision and begins its resize; decision then says how far it came at once. */
void vm_begin(Vm *vm, Decision *decision);

/* The VM as the pure core judges it, and a decision from a verdict. */
ArbiterVm vm_subject(const Vm *vm, uint64_t now_usec);
Decision vm_decision(const Vm *vm, const ArbiterVerdict *verdict, uint64_t now_usec);

/* Records decision and does what it says: denied, done, or in the shadow. */
void vm_carry(Vm *vm, Decision *decision, uint64_t now_usec);

/* The next tick or judgement; USEC_INFINITY: none. */
void vm_arm(Vm *vm, uint64_t deadline_usec);

/* Frames that contradict themselves never become messages: whether there were any since the last call. */
void vm_take_malformed(Vm *vm, uint64_t now_usec);

/* Looks whether its hypervisor stalls on memory at the host, now and then. */
void vm_watch_pressure(Vm *vm, uint64_t now_usec);

/* Lets the pure core judge, and acts on it. */
void vm_judge(Vm *vm, uint64_t now_usec);

/* The host's budget, as it is now and as the last round found it. */
ArbiterHost vm_host(const Vm *vm);

/* Somebody else resizes it, or it is held. */
bool vm_is_left_alone(const Vm *vm, uint64_t now_usec);

/* Looks whether the VM is ours to resize, where another bridge may be; the same if it is not known yet. */
void vm_renew_lease(Vm *vm, uint64_t now_usec);
void vm_follow_lease(Vm *vm);

/* Now and then: the same, where it may have changed. */
void vm_keep_lease(Vm *vm, uint64_t now_usec);

/* Asks for a round, where there are any. */
void vm_want_round(const Vm *vm);

/* Feeds an event to the open resize, if there is one, and carries out what follows. */
void vm_feed(Vm *vm, const ResizeEvent *event);
void vm_feed_kind(Vm *vm, ResizeEventKind kind);

/* The past says nothing about what comes: a new session, a reset, a pause. Calm is counted anew. */
void vm_begin_grace(Vm *vm);

/* A bit per Lack; and in the log what was not said before. */
uint64_t vm_lacks(const Vm *vm);
void vm_say_lacks(Vm *vm, uint64_t now_usec);

/* Of the open resize. */
static inline bool vm_is_shrinking(const Vm *vm) {
        return vm->resize && !vm->resize->growing;
}

/* A step is about to be commanded by us. */
void vm_rival_note_command(Vm *vm, const PlanStep *step);

/* What a fresh model says beside what we asked for. */
typedef enum RivalVerdict {
        RIVAL_NONE,
        RIVAL_FOREIGN, /* somebody else changed a request */
        RIVAL_OOM,     /* the guest took memory out of its balloon by itself */
} RivalVerdict;
RivalVerdict vm_rival_check(Vm *vm, const MemoryModel *before, const MemoryModel *fresh);
