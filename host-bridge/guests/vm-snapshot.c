/* SPDX-License-Identifier: Apache-2.0 */

/* One VM as plain values for whoever looks. */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "host-bridge/guests/vm-internal.h"

static VmState state_of(const Vm *vm) {
        bool agent = vm->session && session_is_open(vm->session);

        if (!vm->monitor_up)
                return agent ? VM_MONITORLESS : VM_WAITING;
        if (vm->paused)
                return VM_PAUSED;
        if (!agent)
                return VM_AGENTLESS;
        if (!vm_is_controlled(vm))
                return VM_OBSERVED;
        return vm_is_managed(vm) ? VM_MANAGED : VM_SHADOW;
}

static void add_hello(const Vm *vm, VmSnapshot *snapshot) {
        MessageHello all, *hello = &all;

        sparse_get(vm->hello, &all, sizeof(all));
        memcpy(snapshot->agent_version, hello->agent_version, sizeof(snapshot->agent_version));
        memcpy(snapshot->kernel_release, hello->kernel_release, sizeof(snapshot->kernel_release));
        memcpy(snapshot->boot_id, hello->boot_id, sizeof(snapshot->boot_id));
        snapshot->capabilities = hello->capabilities;
        snapshot->n_missing = hello->n_missing;
        for (size_t i = 0; i < hello->n_missing; i++) {
                snapshot->missing[i] = hello->missing[i].facility;
                snapshot->missing_error[i] = hello->missing[i].error;
        }
}
_Static_assert(sizeof(((VmSnapshot *) NULL)->agent_version) ==
                               sizeof(((MessageHello *) NULL)->agent_version) &&
                       SNAPSHOT_BOOT_ID_SIZE == MESSAGE_BOOT_ID_SIZE &&
                       SNAPSHOT_MISSING_MAX == MESSAGE_MISSING_MAX,
               "a snapshot holds a Hello");

static void add_guest(const Vm *vm, VmSnapshot *snapshot) {
        const GuestFigures *guest = &vm->guest;

        snapshot->report_age_usec =
                guest->reported_usec == 0 ? UINT64_MAX : u64_sub(snapshot->now_usec, guest->reported_usec);
        snapshot->figures_of_session = vm->n_reports > 0;
        snapshot->urgency = guest->urgency;
        snapshot->cause = guest->cause;
        snapshot->total_bytes = guest->total_bytes;
        snapshot->usable_bytes = guest->usable_bytes;
        snapshot->available_bytes = guest->available_bytes;
        snapshot->used_bytes = guest->used_bytes;
        snapshot->demand_bytes = guest->demand_bytes;
        snapshot->floor_bytes = guest->floor_bytes;
        snapshot->fall_bytes_per_sec = guest->fall_bytes_per_sec;
        snapshot->need_bytes = guest->need_bytes;
        snapshot->time_to_exhaustion_usec = guest->time_to_exhaustion_usec;
        snapshot->psi_some_usec = guest->psi_some_usec;
        snapshot->psi_full_usec = guest->psi_full_usec;
        snapshot->oom_kills = guest->oom_kills;
        snapshot->blocks_online = guest->blocks_online;
        snapshot->blocks_offline = guest->blocks_offline;
        snapshot->agent_frames_dropped = guest->dropped;
        snapshot->agent_frames_void = guest->dropped_void;
}

static void add_counters(const Vm *vm, VmSnapshot *snapshot) {
        SessionCounters counters = session_counters(vm->session);

        snapshot->frames_ok = counters.ok;
        snapshot->frames_garbled = counters.garbled;
        snapshot->frames_overlong = counters.overlong;
        snapshot->frames_malformed = counters.malformed;
        snapshot->frames_void = counters.void_;
        snapshot->frames_replayed = counters.replayed;
}

void vm_snapshot(const Vm *vm, uint64_t now_usec, VmSnapshot *ret) {
        assert(vm);
        assert(ret);

        *ret = (VmSnapshot){
                .state = state_of(vm),
                .now_usec = now_usec,
                .mode = vm->policy.mode,
                .vm_class = vm->policy.vm_class,
                .doubt = vm->trust.doubt,
                .fair_bytes = vm->round.fair_bytes == UINT64_MAX ? 0 : vm->round.fair_bytes,
                .waiting = vm->waiting_usec != 0,
                .controlled = vm_is_controlled(vm),
                .min_bytes = vm_min_bytes(vm),
                .max_bytes = vm_is_controlled(vm) ? vm_max_bytes(vm) : 0,
                .model = vm_model(vm),
                .size_bytes = vm->sizes.size_bytes,
                .committed_bytes = vm->committed_bytes,
                .ceiling_bytes = vm->sizes.ceiling_bytes,
                .balloon_bytes = vm->sizes.balloon_bytes,
                .agent_connected = vm->session && session_is_open(vm->session),
                .resizing = vm->resize != NULL,
                .resize = vm->resize ? vm->resize->decision : (Decision){},
                .held = now_usec < vm->hold_until_usec,
                .held_usec = vm->hold_until_usec == USEC_INFINITY ? UINT64_MAX
                                                                  : u64_sub(vm->hold_until_usec, now_usec),
                .yields_usec = vm->rival.n_yields >= RIVAL_YIELDS_MAX
                                       ? UINT64_MAX
                                       : u64_sub(vm->rival.yield_until_usec, now_usec),
                .n_yields = vm->rival.n_yields,
                .lacks = vm_lacks(vm),
                .harm_stalled_usec = vm->harm.stalled_usec,
                .harm_kills = vm->harm.kills,
                .n_shadowed = vm->n_shadowed,
                .shadow_bytes = vm->shadow_bytes,
        };
        (void) snprintf(ret->name, sizeof(ret->name), "%s", vm->name);
        (void) snprintf(ret->leased_by, sizeof(ret->leased_by), "%s", vm->leased_by ?: "");
        add_hello(vm, ret);
        add_guest(vm, ret);
        if (vm->session)
                add_counters(vm, ret);
}
