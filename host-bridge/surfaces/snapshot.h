/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the bridge knows, as plain values for whoever looks: sd-bus and memtidectl now, metrics and a page
 * later. All of them read the same; none of them reaches into the daemon.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/vocabulary.h"
#include "host-bridge/policy/decision.h"
#include "host-bridge/policy/memory-model.h"
#include "host-bridge/policy/pool.h"
#include "host-bridge/policy/trust.h"

#define SNAPSHOT_MISSING_MAX  16U
#define SNAPSHOT_BOOT_ID_SIZE 16U

typedef enum VmState {
        VM_WAITING,     /* no monitor and no agent yet */
        VM_AGENTLESS,   /* the monitor speaks, no agent does */
        VM_MONITORLESS, /* the agent speaks, the monitor does not */
        VM_OBSERVED,    /* both speak; policy has no Max=, or Mode=observed */
        VM_SHADOW,      /* both speak; what would be done is recorded, and not done */
        VM_MANAGED,     /* both speak, resizes happen */
        VM_PAUSED,      /* stopped or migrating */
        VM_STATE_MAX,
} VmState;

/* "waiting", "agentless", ... */
const char *vm_state_to_string(VmState state);

/* What the operator lets the bridge do with a VM. */
typedef enum VmMode {
        VM_MODE_DEFAULT,  /* as bridge.conf says; managed where nothing does */
        VM_MODE_MANAGED,  /* decide and do */
        VM_MODE_SHADOW,   /* decide and record */
        VM_MODE_OBSERVED, /* look */
        VM_MODE_MAX,
} VmMode;

/* As Mode= has it; NULL-terminated. */
extern const char *const vm_mode_names[];
const char *vm_mode_to_string(VmMode mode);

typedef struct VmSnapshot {
        char name[DECISION_VM_NAME_MAX];
        VmState state;
        uint64_t now_usec; /* host monotonic of this snapshot */
        /* policy */
        VmMode mode;
        VmClass vm_class;
        bool controlled; /* a Max= is given, and Mode= is not observed */
        uint64_t min_bytes, max_bytes;
        uint64_t harm_stalled_usec, harm_kills; /* policy/harm.h */
        uint64_t lacks;                         /* a bit per Lack: policy/lacks.h */
        /* an operator holds it; for how long still, UINT64_MAX: until it is resumed */
        bool held;
        uint64_t held_usec;
        char leased_by[160]; /* another bridge that resizes it; empty: none */
        /* left alone because somebody else changes its memory: how often so far, for how long still (UINT64_MAX: for ever) */
        unsigned n_yields;
        uint64_t yields_usec;
        /* in the shadow: how often something would have been done, and the size that the last of it aimed at */
        uint64_t n_shadowed, shadow_bytes;
        /* hypervisor */
        MemoryModel model;
        uint64_t size_bytes, committed_bytes, ceiling_bytes, balloon_bytes;
        /* among all VMs */
        uint64_t fair_bytes; /* its share of the budget; 0: unlimited, or not known yet */
        bool waiting;        /* others are asked to give for it */
        Doubt doubt;         /* in quarantine: why */
        /* session and the guest's last word; report_age_usec UINT64_MAX: none yet */
        bool agent_connected;
        char agent_version[65], kernel_release[65];
        uint8_t boot_id[SNAPSHOT_BOOT_ID_SIZE]; /* 0: not known */
        uint64_t capabilities;
        size_t n_missing;
        Facility missing[SNAPSHOT_MISSING_MAX];
        unsigned missing_error[SNAPSHOT_MISSING_MAX];
        uint64_t report_age_usec;
        bool figures_of_session; /* else the figures below are still those of the session before */
        Urgency urgency;
        Cause cause;
        uint64_t total_bytes, usable_bytes, available_bytes, used_bytes, demand_bytes, floor_bytes,
                fall_bytes_per_sec;
        int64_t need_bytes;
        uint64_t time_to_exhaustion_usec;
        uint64_t psi_some_usec, psi_full_usec, oom_kills;
        unsigned blocks_online, blocks_offline;
        /* the bridge's frames that the agent did not take, by its own word; of them, those of no session */
        uint64_t agent_frames_dropped, agent_frames_void;
        /* counters of frames: accepted, and dropped by reason */
        uint64_t frames_ok, frames_garbled, frames_overlong, frames_malformed, frames_void, frames_replayed;
        /* the resize that is open */
        bool resizing;
        Decision resize;
} VmSnapshot;

typedef struct BridgeSnapshot {
        uint64_t budget_bytes, committed_bytes;
        uint64_t pool_bytes; /* to be kept free */
        PoolLevel pool_level;
        size_t n_waiting; /* VMs for which others are asked to give */
        bool pressed;     /* the host itself stalls on memory */
        size_t n_vms;
        uint64_t n_changes; /* another one: a walk by index along the VMs may have passed one over since */
        uint64_t now_usec;
        char version[65];
} BridgeSnapshot;

/* How the surfaces ask; the bridge implements it. Every call fills values that the caller owns. */
typedef struct SnapshotSource {
        void *userdata;
        void (*bridge)(void *userdata, BridgeSnapshot *ret);
        /* index 0 .. n_vms - 1 in the order of names. Returns false beyond the end. */
        bool (*vm_at)(void *userdata, size_t index, VmSnapshot *ret);
        bool (*vm_named)(void *userdata, const char *name, VmSnapshot *ret);
} SnapshotSource;
