/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the hypervisor says. A reset opens the balloon before the guest is up again: its target survives
 * the reset, and the driver would inflate it during boot, computed against memory that is not online
 * yet (kernel-qemu.md 3.5). virtio-mem keeps its request, which is what the guest had: its driver plugs it early.
 */

#include <assert.h>
#include <inttypes.h>

#include "host-bridge/guests/vm-internal.h"
#include "host-bridge/surfaces/messages.h"

#define RIVAL_YIELD_USEC (300 * USEC_PER_SEC)

/*
 * Left in a balloon that is opened after a reset. QEMU goes on saying what the old boot had in it until the new
 * driver reports, which it does only once it has something to move (linux:virtio_balloon.c
 * update_balloon_size_func(); seen on QEMU 7.2): opened to the last byte, the balloon would be counted as full for ever.
 */
#define BALLOON_LEFT_BYTES MIB
static void open_balloon(Vm *vm) {
        PlanStep step = {
                .actuator = ACTUATOR_BALLOON,
                .from_bytes = vm->sizes.balloon_bytes,
                .to_bytes = BALLOON_LEFT_BYTES,
        };
        unsigned suppressed;

        if (!vm_is_managed(vm) || !vm->sizes.known || step.from_bytes <= step.to_bytes)
                return;
        if (log_limit_allows(&vm->log_limit, clock_monotonic_usec(), &suppressed))
                log_notice("VM %s: the guest was reset: its balloon of %" PRIu64
                           " MiB is opened before it is up",
                           vm->name, step.from_bytes / MIB);
        vm_rival_note_command(vm, &step);
        if (vmm_command(vm->vmm, 0, &step) < 0)
                log_warning("VM %s: its balloon could not be opened after the reset", vm->name);
        vm_account(vm);
}

static void on_reset(Vm *vm) {
        vm_feed_kind(vm, RESIZE_EVENT_LOST);
        vm_begin_grace(vm);
        vm->stuck_dimms = 0; /* nothing is pinned in the new boot */
        if (vm->session)
                session_void(vm->session);
        open_balloon(vm);
}

static void on_rival(Vm *vm) {
        vm->rival.n_yields++;
        vm->rival.yield_until_usec = u64_add(clock_monotonic_usec(), RIVAL_YIELD_USEC);
        log_event(LOG_WARNING, MESSAGE_ID_RIVAL, &(LogField){"VM_NAME", vm->name}, 1,
                  "VM %s: somebody else changes its memory%s", vm->name,
                  vm->rival.n_yields < RIVAL_YIELDS_MAX ? ": it is left alone for 5 minutes"
                                                        : " again: it is only observed from now on");
        vm_feed_kind(vm, RESIZE_EVENT_LOST);
}

/*
 * QEMU's target is still the old one, and the next change of the device's configuration would make the driver
 * inflate to it again: the guest would be back where it ran out. What it took becomes the target.
 */
static void on_oom_deflation(Vm *vm) {
        PlanStep step = {.actuator = ACTUATOR_BALLOON};
        unsigned suppressed;

        step.from_bytes = step.to_bytes = vm->sizes.balloon_bytes;
        vm->last_refusal_usec = clock_monotonic_usec();
        vm->n_refusals++;
        if (log_limit_allows(&vm->log_limit, vm->last_refusal_usec, &suppressed))
                log_event(LOG_WARNING, MESSAGE_ID_GUEST_OOM, &(LogField){"VM_NAME", vm->name}, 1,
                          "VM %s: its balloon fell to %" PRIu64 " MiB unasked: the guest ran out of memory",
                          vm->name, step.to_bytes / MIB);

        if (vm->resize) {
                vm_feed_kind(vm, RESIZE_EVENT_VETO);
                return;
        }
        vm_rival_note_command(vm, &step);
        if (vmm_command(vm->vmm, 0, &step) < 0)
                log_warning("VM %s: its balloon's target could not be set to what is left in it", vm->name);
}

static void on_model(Vm *vm, const MemoryModel *fresh) {
        MemoryModel before = vm_model(vm), model = *fresh;
        bool due = !vm->monitor_up || vm->model_usec <= vm->closed_usec;
        RivalVerdict verdict;

        if (vm_keep_model(vm, &model) < 0) {
                log_error("VM %s: out of memory for a reading of its monitor", vm->name);
                return;
        }
        verdict = vm_rival_check(vm, &before, fresh);
        vm->model_usec = clock_monotonic_usec();
        vm->monitor_up = true;
        vm->unsure_bytes = 0;
        vm->least_size_bytes = u64_min(vm->least_size_bytes, vm->sizes.size_bytes);
        vm_account(vm);

        if (verdict == RIVAL_FOREIGN && vm_is_managed(vm))
                on_rival(vm);
        else if (verdict == RIVAL_OOM && vm_is_managed(vm))
                on_oom_deflation(vm);
        vm_feed_kind(vm, RESIZE_EVENT_MODEL);
        vm_return_dimms(vm);
        if (due)
                vm_judge(vm, clock_monotonic_usec());
}

static void on_lost(Vm *vm, const char *why) {
        unsigned suppressed;

        vm->monitor_up = false;
        vm->monitor_lost_usec = clock_monotonic_usec();
        vm_feed_kind(vm, RESIZE_EVENT_LOST);
        if (log_limit_allows(&vm->log_limit, vm->monitor_lost_usec, &suppressed))
                log_event(LOG_WARNING, MESSAGE_ID_MONITOR_LOST, &(LogField){"VM_NAME", vm->name}, 1,
                          "VM %s: no monitor (%s); its size is held, and the monitor is tried again",
                          vm->name, why ?: "unknown");
}

static void on_reply(Vm *vm, const VmmEvent *event) {
        if (event->kind == VMM_REJECTED)
                log_warning("VM %s: the hypervisor refused: %s", vm->name, event->text ?: "no reason given");
        if (event->id == 0 || event->id != vm->resize_id)
                return;
        vm_feed_kind(vm, event->kind == VMM_ACCEPTED ? RESIZE_EVENT_ACCEPTED : RESIZE_EVENT_REJECTED);
}

static void on_running(Vm *vm) {
        if (!vm->paused)
                return;
        /*
         * Its clock stood still, and it may be the guest of an old snapshot: that one would go on with a sequence that
         * we have seen, and never be heard again.
         */
        if (vm->session)
                session_renew(vm->session);
        vm->paused = false;
        vm_begin_grace(vm);
}

void vm_on_vmm(Vmm *vmm, const VmmEvent *event, void *userdata) {
        Vm *vm = userdata;

        switch (event->kind) {

        case VMM_CONNECTED:
                log_debug("VM %s: monitor connected", vm->name);
                return;

        case VMM_LOST:
                on_lost(vm, event->text);
                return;

        case VMM_MODEL:
                on_model(vm, event->model);
                return;

        case VMM_FACTS:
                vm->facts = *event->facts;
                return;

        case VMM_ACCEPTED:
        case VMM_REJECTED:
                on_reply(vm, event);
                return;

        case VMM_RESET:
                on_reset(vm);
                return;

        case VMM_PAUSED:
                vm->paused = true;
                vm->rival.other_machine = true;
                vm_feed_kind(vm, RESIZE_EVENT_LOST);
                return;

        case VMM_RUNNING:
                on_running(vm);
                return;

        case VMM_SHUTDOWN:
                vm_feed_kind(vm, RESIZE_EVENT_LOST);
                vm_begin_grace(vm);
                return;

        case VMM_EVENT_KIND_MAX:
                return;
        }
}
