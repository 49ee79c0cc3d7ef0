/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The life of one VM in the bridge. Invariants (reliability.md section 6): without fresh figures nothing moves;
 * the model is the hypervisor's word, never our last command; every command is bounded by policy and
 * devices; whatever ends unexpectedly (session, monitor, pause, reset) ends the open resize, and the size stays.
 *
 * A VM frees nothing of its own inside a handler of its parts: only its owner frees it, outside.
 */

#include "host-bridge/guests/vm.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-bridge/guests/vm-internal.h"

/* A VM whose channel and monitor are both dead for so long is not running: its memory is the host's again. */
#define GONE_USEC (10 * USEC_PER_SEC)

static int open_channel(Vm *vm, const char *path) {
        const VmEnv *env = vm->env;
        int r, fd;

        r = session_new(env->event, path, &env->session, vm_on_session, vm, &vm->session);
        if (r < 0)
                return r;
        fd = env->take_channel ? env->take_channel(vm->name, path, env->userdata) : -ENOENT;
        if (fd >= 0)
                session_adopt(vm->session, fd);
        return 0;
}

int vm_new(VmEnv *env, const char *name, const VmPolicy *policy, const char *channel_path,
           const VmmAddress *address, Vm **ret) {
        _cleanup_(vm_freep) Vm *vm = NULL;
        int r;

        assert(env);
        assert(name);
        assert(policy);
        assert(address);
        assert(ret);

        vm = malloc(sizeof(*vm));
        if (!vm)
                return -ENOMEM;
        *vm = (Vm){.env = env, .policy = *policy, .least_size_bytes = UINT64_MAX};
        vm->name = strdup(name);
        if (!vm->name)
                return -ENOMEM;

        r = deadline_join(env->event, vm_on_timer, vm, &vm->timer);
        if (r < 0)
                return r;

        if (channel_path) {
                r = open_channel(vm, channel_path);
                if (r < 0)
                        return r;
        }
        if (address->origin != VMM_ORIGIN_NONE) {
                r = env->open_vmm(address, vm->name, (VmmOwner){vm_on_vmm, vm}, env->userdata, &vm->vmm);
                if (r < 0)
                        return r;
        }

        vm_renew_lease(vm, clock_monotonic_usec());
        *ret = TAKE_PTR(vm);
        return 0;
}

Vm *vm_free(Vm *vm) {
        if (!vm)
                return NULL;

        /* What is under way, or came late, has its last word in the record: nobody else will say it. */
        vm_feed_kind(vm, RESIZE_EVENT_LOST);
        vm_late_end(vm, USEC_INFINITY, clock_monotonic_usec());
        deadline_leave(&vm->timer);
        (void) session_free(vm->session);
        (void) vmm_free(vm->vmm);
        ledger_set(vm->env->ledger, &vm->committed_bytes, 0);
        lease_drop(vm->env->leases, &vm->lease);
        free(vm->leased_by);
        free(vm->resize);
        free(vm->late);
        (void) sparse_free(vm->model);
        (void) sparse_free(vm->hello);
        (void) sparse_free(vm->rival.commands);
        free(vm->name);
        free(vm);
        return NULL;
}

const char *vm_name(const Vm *vm) {
        assert(vm);

        return vm->name;
}

void vm_reconfigured(Vm *vm) {
        assert(vm);

        vm->peak = (ArbiterPeak){};
        vm->calm_since_usec = 0;
}

/* What the shadow did not do is no refusal of the guest's. */
static void forget_holds(Vm *vm) {
        vm->n_refusals = vm->n_failures = 0;
        vm->last_refusal_usec = vm->last_failure_usec = 0;
        vm->n_shadowed = vm->shadow_bytes = 0;
}

void vm_set_policy(Vm *vm, const VmPolicy *policy) {
        VmMode before;

        assert(vm);
        assert(policy);

        before = vm->policy.mode;
        vm->policy = *policy;
        vm_follow_lease(vm);
        vm_allow_dimms(vm);
        if (!vm_is_managed(vm)) /* what is open stops where it is: its size stays */
                vm_feed_kind(vm, RESIZE_EVENT_LOST);
        if (vm->policy.mode != before)
                forget_holds(vm);
}

/*
 * Without Min= nobody has promised the guest a size, so the default is none to grow to: it is at most what
 * the VM has. It only keeps us from ballooning a guest below where it began.
 */
uint64_t vm_min_bytes(const Vm *vm) {
        if (vm->policy.has_min)
                return vm->policy.min_bytes;
        return u64_min(vm->sizes.boot_bytes, vm->least_size_bytes);
}

uint64_t vm_max_bytes(const Vm *vm) {
        return u64_min(vm->policy.max_bytes, vm->sizes.ceiling_bytes);
}

void vm_account(Vm *vm) {
        uint64_t bytes = 0, before = vm->committed_bytes, inflated;

        if (vm->sizes.known) {
                bytes = vm->sizes.committed_bytes;
                inflated = vm->sizes.balloon_bytes;
                /* QEMU tells no balloon's target: what we let go of and the guest has not taken yet. */
                if (vm->rival.balloon_commanded)
                        bytes = u64_add(bytes, u64_sub(inflated, vm->rival.balloon_bytes));
                bytes = u64_max(bytes, u64_max(vm->resize ? resize_reserved_bytes(vm->resize) : 0,
                                               vm->unsure_bytes));
        }
        ledger_set(vm->env->ledger, &vm->committed_bytes, bytes);
        if (bytes < before && vm->env->round.n_waiting > 0)
                vm_want_round(vm); /* somebody waits for it */
}

void vm_begin_grace(Vm *vm) {
        vm->n_reports = 0;
        vm->calm_since_usec = 0;
        vm->peak = (ArbiterPeak){};
        vm->held_until_usec = 0;
        vm->guest.known = false;
        harm_pause(&vm->harm);
        vm->trust.known = false; /* its counters begin anew; a quarantine goes on */
}

static bool is_gone(const Vm *vm, uint64_t now_usec) {
        return !vm->monitor_up && vm->monitor_lost_usec != 0 &&
               u64_sub(now_usec, vm->monitor_lost_usec) > GONE_USEC &&
               !(vm->session && session_is_connected(vm->session));
}

void vm_tick(Vm *vm, uint64_t now_usec) {
        assert(vm);

        if (vm->sizes.known && is_gone(vm, now_usec)) {
                log_info("VM %s: channel and monitor are gone; %" PRIu64 " MiB are not held for it any more",
                         vm->name, vm->committed_bytes / MIB);
                vm_forget_model(vm);
                vm->unsure_bytes = 0;
                vm->least_size_bytes = UINT64_MAX;
                vm_account(vm);
        }
        if (now_usec >= vm->lease_due_usec)
                vm_keep_lease(vm, now_usec);
        vm_say_lacks(vm, now_usec);
        vm_late_end(vm, now_usec, now_usec);
        vm_watch_pressure(vm, now_usec);
        if (vm->session)
                vm_take_malformed(vm, now_usec);
}
