/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the pure core's actions to frames and commands, and from what comes back to its events. Nothing is decided
 * here; what can not be sent is an event like any other.
 */

#include <assert.h>
#include <stdlib.h>

#include "host-bridge/guests/vm-internal.h"

/* The core answers each event with one action, and a failed one with another; this many in a row are a mistake. */
#define ACTIONS_MAX 8U

/*
 * How long the guest is to confirm a wave of growth. Longer than the time without progress after which the host gives up:
 * a wave that goes on moving is not over, and a guest that stopped confirming would make it look stuck.
 */
#define NOTICE_LIFE_USEC LATE_LIFE_USEC

void vm_arm(Vm *vm, uint64_t deadline_usec) {
        deadline_set(&vm->timer, deadline_usec);
}

/* model is where the event's is put. */
static ResizeEvent complete(const Vm *vm, const ResizeEvent *event, MemoryModel *model) {
        ResizeEvent full = *event;

        *model = vm_model(vm);
        full.now_usec = clock_monotonic_usec();
        full.model = model;
        full.available_bytes = vm->guest.available_bytes;
        full.plug_budget_bytes = vm->guest.plug_budget_bytes;
        full.blocks_offline = vm->guest.blocks_offline;
        return full;
}

static int send_request(Vm *vm, const ResizeAction *action) {
        const Decision *decision = &vm->resize->decision;
        Message message = {
                .type = MESSAGE_SHRINK_REQUEST,
                .shrink_request =
                        {
                                .id = decision->id,
                                .step = action->step_number,
                                .deadline_usec =
                                        session_guest_usec(vm->session,
                                                           u64_add(clock_monotonic_usec(),
                                                                   vm->env->resize.offer_timeout_usec)),
                                .bytes = action->bytes,
                                .remaining_bytes = action->remaining_bytes,
                                .balloon = action->step.actuator == ACTUATOR_BALLOON,
                                .last = action->last,
                        },
        };

        return session_send(vm->session, &message);
}

/* Without it the guest sees memory appear all the same, so a failure does not stop the growth. */
static void send_notice(Vm *vm, const ResizeAction *action) {
        int64_t delta = plan_step_delta_bytes(&action->step);
        Message message = {
                .type = MESSAGE_GROW_NOTICE,
                .grow_notice =
                        {
                                .id = vm->resize->decision.id,
                                .deadline_usec =
                                        session_guest_usec(vm->session,
                                                           u64_add(clock_monotonic_usec(), NOTICE_LIFE_USEC)),
                                .bytes = delta > 0 ? (uint64_t) delta : 0,
                                .balloon = action->step.actuator == ACTUATOR_BALLOON,
                        },
        };
        int r;

        vm_late_new_step(vm);
        r = session_send(vm->session, &message);
        if (r < 0)
                (void) log_debug_errno(r, "VM %s: the guest was not told of its growth: %m", vm->name);
}

/* If it cannot be told, its session is over: a new one is told of every DIMM. */
static void send_online(Vm *vm, const Dimm *dimm) {
        int r;

        r = vm_send_range(vm, MESSAGE_ONLINE_RANGE, vm->resize->decision.id, dimm,
                          vm->resize->config.offline_timeout_usec);
        if (r < 0)
                (void) log_debug_errno(r, "VM %s: the guest was not told to take a DIMM back: %m", vm->name);
}

static int send_command(Vm *vm, const ResizeAction *action) {
        int r;

        if (action->notice)
                send_notice(vm, action);
        vm_rival_note_command(vm, &action->step);
        vm_account(vm);
        r = vmm_command(vm->vmm, vm->resize->decision.id, &action->step);
        if (r < 0)
                (void) log_warning_errno(r, "VM %s: could not command a step: %m", vm->name);
        return r;
}

void vm_note_result(Vm *vm, const Decision *decision, uint64_t now_usec) {
        bool done = decision->result == RESULT_DONE;

        if (decision->kind == DECISION_SHRINK) {
                vm->n_refusals = done ? 0 : vm->n_refusals + 1;
                vm->last_refusal_usec = done ? vm->last_refusal_usec : now_usec;
                if (decision->confirmed_bytes < 0)
                        vm->last_shrink_usec = now_usec;
                if (decision->confirmed_bytes < 0 && decision->rule == RULE_SHRINK_DONOR)
                        vm->env->donated_usec = now_usec;
        } else if (done || decision->result == RESULT_PARTIAL) {
                vm->last_grow_usec = now_usec;
                vm->n_failures = 0;
                vm->last_failure_usec = 0;
        } else if (decision->result != RESULT_LOST) {
                /* What was lost is no failure of growing: a new agent or monitor is not to wait in need. */
                vm->last_failure_usec = now_usec;
                vm->n_failures++;
        }
        if (decision->kind == DECISION_GROW)
                limiter_refund(&vm->limiter,
                               u64_sub(decision->wanted_bytes, decision->confirmed_bytes > 0
                                                                       ? (uint64_t) decision->confirmed_bytes
                                                                       : 0));
}

static void finish(Vm *vm) {
        const Decision *decision = &vm->resize->decision;

        vm->closed_usec = clock_monotonic_usec();
        /* A step planned on an older reading would ask for what is there already. */
        if (vm->monitor_up)
                (void) vmm_refresh(vm->vmm);
        vm_note_result(vm, decision, vm->closed_usec);
        /* The last command may have been taken, and no model says so yet: it stays reserved until one does. */
        vm->unsure_bytes = vm->committed_bytes;
        vm_arm(vm, USEC_INFINITY);
        vm->env->record(decision, vm->env->userdata);
        vm_late_begin(vm, vm->closed_usec);
}

static void carry_out(Vm *vm, ResizeAction action) {
        MemoryModel model;

        for (unsigned i = 0; i < ACTIONS_MAX; i++) {
                ResizeEvent failed = {.kind = RESIZE_EVENT_KIND_MAX};

                if (action.online.size_bytes > 0)
                        send_online(vm, &action.online);
                switch (action.kind) {

                case RESIZE_WAIT:
                        break;

                case RESIZE_ASK:
                        if (send_request(vm, &action) < 0)
                                failed.kind = RESIZE_EVENT_LOST;
                        break;

                case RESIZE_PREPARE:
                        if (vm_send_range(vm, MESSAGE_OFFLINE_RANGE, vm->resize->decision.id, &action.offline,
                                          vm->resize->config.offline_timeout_usec) < 0)
                                failed.kind = RESIZE_EVENT_LOST;
                        break;

                case RESIZE_COMMAND:
                        if (send_command(vm, &action) < 0)
                                failed = (ResizeEvent){.kind = RESIZE_EVENT_REJECTED, .unsent = true};
                        break;

                case RESIZE_FINISH:
                        finish(vm);
                        return;
                }

                if (failed.kind == RESIZE_EVENT_KIND_MAX) {
                        vm_arm(vm, resize_deadline_usec(vm->resize));
                        return;
                }
                failed = complete(vm, &failed, &model);
                action = resize_feed(vm->resize, &failed);
        }
        vm_arm(vm, resize_deadline_usec(vm->resize));
}

/* Of thousands of VMs few are resized at a time: the others hold nothing for it. */
static void drop_if_over(Vm *vm) {
        if (resize_is_open(vm->resize))
                return;
        free(vm->resize);
        vm->resize = NULL;
}

void vm_feed(Vm *vm, const ResizeEvent *event) {
        MemoryModel model;
        ResizeEvent full;

        if (!vm->resize)
                return;
        full = complete(vm, event, &model);
        carry_out(vm, resize_feed(vm->resize, &full));
        drop_if_over(vm);
}

void vm_feed_kind(Vm *vm, ResizeEventKind kind) {
        vm_feed(vm, &(ResizeEvent){.kind = kind});
}

void vm_on_timer(void *userdata) {
        Vm *vm = userdata;

        if (vm->resize)
                vm_feed_kind(vm, RESIZE_EVENT_TICK);
        else
                vm_judge(vm, clock_monotonic_usec());
}

/* Without a word sent: the host is out of memory, and tries again as after any failure. */
static void fail(Vm *vm, Decision *decision) {
        decision->result = RESULT_FAILED;
        decision->closed_usec = clock_monotonic_usec();
        vm_note_result(vm, decision, decision->closed_usec);
        vm->env->record(decision, vm->env->userdata);
}

void vm_begin(Vm *vm, Decision *decision) {
        MemoryModel model;
        ResizeEvent first = complete(vm, &(ResizeEvent){.kind = RESIZE_EVENT_HEARD}, &model);

        assert(!vm->resize);
        vm->resize = malloc(sizeof(*vm->resize));
        if (!vm->resize) {
                fail(vm, decision);
                return;
        }
        vm->resize_id = decision->id;
        vm->env->record(decision, vm->env->userdata); /* the reason, before anything is sent */
        carry_out(vm, resize_begin(vm->resize, &vm->env->resize, decision, vm->guest_block_bytes, &first));
        *decision = vm->resize->decision;
        drop_if_over(vm);
}
