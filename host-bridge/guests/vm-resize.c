/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From figures to decisions, and from the pure core's actions to frames and commands. A VM is judged on
 * each report and alarm, never on a poll, and never twice on the same figures: after a resize has closed, only what
 * the guest says next counts, or its last alarm would be answered again.
 */

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host-bridge/guests/vm-internal.h"

#define DENIAL_REPEAT_USEC (60 * USEC_PER_SEC)

/* The core answers each event with one action, and a failed one with another; this many in a row are a mistake. */
#define ACTIONS_MAX 8U

static void arm_timer(Vm *vm, uint64_t deadline_usec) {
        if (deadline_usec == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(vm->timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(vm->timer, deadline_usec);
        (void) sd_event_source_set_enabled(vm->timer, SD_EVENT_ONESHOT);
}

static ResizeEvent complete(const Vm *vm, const ResizeEvent *event) {
        ResizeEvent full = *event;

        full.now_usec = vm_now();
        full.model = &vm->model;
        full.available_bytes = vm->guest.available_bytes;
        full.plug_budget_bytes = vm->guest.plug_budget_bytes;
        return full;
}

static int send_request(Vm *vm, const ResizeAction *action) {
        const Decision *decision = &vm->resize.decision;
        Message message = {
                .type = MESSAGE_SHRINK_REQUEST,
                .shrink_request =
                        {
                                .id = decision->id,
                                .step = action->step_number,
                                .deadline_usec = session_guest_usec(
                                        vm->session, u64_add(vm_now(), vm->env->resize.offer_timeout_usec)),
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
                                .id = vm->resize.decision.id,
                                .deadline_usec = session_guest_usec(
                                        vm->session, u64_add(vm_now(), vm->env->resize.confirm_timeout_usec)),
                                .bytes = delta > 0 ? (uint64_t) delta : 0,
                                .balloon = action->step.actuator == ACTUATOR_BALLOON,
                        },
        };
        int r;

        r = session_send(vm->session, &message);
        if (r < 0)
                (void) log_debug_errno(r, "VM %s: the guest was not told of its growth: %m", vm->name);
}

static int send_command(Vm *vm, const ResizeAction *action) {
        int r;

        if (action->notice)
                send_notice(vm, action);
        vm_rival_note_command(vm, &action->step);
        vm_account(vm);
        r = vmm_command(vm->vmm, vm->resize.decision.id, &action->step);
        if (r < 0)
                (void) log_warning_errno(r, "VM %s: could not command a step: %m", vm->name);
        return r;
}

static void note_result(Vm *vm, const Decision *decision, uint64_t now_usec) {
        bool done = decision->result == RESULT_DONE;

        if (decision->kind == DECISION_SHRINK) {
                vm->n_refusals = done ? 0 : vm->n_refusals + 1;
                vm->last_refusal_usec = done ? vm->last_refusal_usec : now_usec;
        } else if (done || decision->result == RESULT_PARTIAL) {
                vm->last_grow_usec = now_usec;
                vm->n_failures = 0;
                vm->last_failure_usec = 0;
        } else if (decision->result != RESULT_LOST) {
                /* What was lost is no failure of growing: a new agent or monitor is not to wait in need. */
                vm->last_failure_usec = now_usec;
                vm->n_failures++;
        }
}

static void finish(Vm *vm) {
        const Decision *decision = &vm->resize.decision;

        vm->closed_usec = vm_now();
        /* A step planned on an older reading would ask for what is there already. */
        if (vm->monitor_up)
                (void) vmm_refresh(vm->vmm);
        note_result(vm, decision, vm->closed_usec);
        /* The last command may have been taken, and no model says so yet: it stays reserved until one does. */
        vm->unsure_bytes = vm->committed_bytes;
        arm_timer(vm, USEC_INFINITY);
        vm->env->record(decision, vm->env->userdata);
}

static void carry_out(Vm *vm, ResizeAction action) {
        for (unsigned i = 0; i < ACTIONS_MAX; i++) {
                ResizeEvent failed = {.kind = RESIZE_EVENT_KIND_MAX};

                switch (action.kind) {

                case RESIZE_WAIT:
                        break;

                case RESIZE_ASK:
                        if (send_request(vm, &action) < 0)
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
                        arm_timer(vm, resize_deadline_usec(&vm->resize));
                        return;
                }
                failed = complete(vm, &failed);
                action = resize_feed(&vm->resize, &failed);
        }
        arm_timer(vm, resize_deadline_usec(&vm->resize));
}

void vm_feed(Vm *vm, const ResizeEvent *event) {
        ResizeEvent full;

        if (!resize_is_open(&vm->resize))
                return;
        full = complete(vm, event);
        carry_out(vm, resize_feed(&vm->resize, &full));
}

void vm_feed_kind(Vm *vm, ResizeEventKind kind) {
        vm_feed(vm, &(ResizeEvent){.kind = kind});
}

int vm_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Vm *vm = userdata;

        if (resize_is_open(&vm->resize))
                vm_feed_kind(vm, RESIZE_EVENT_TICK);
        else
                vm_judge(vm, vm_now());
        return 0;
}

static bool can_be_judged(const Vm *vm, uint64_t now_usec) {
        bool speaking = vm->monitor_up && vm->model.known && !vm->paused && vm->session &&
                        session_is_open(vm->session);
        bool left_alone = vm->rival.n_yields >= RIVAL_YIELDS_MAX || now_usec < vm->rival.yield_until_usec;

        return speaking && !left_alone && !resize_is_open(&vm->resize) && vm->guest.known &&
               vm->guest.arrived_usec > vm->closed_usec && vm->model_usec > vm->closed_usec;
}

static ArbiterVm subject_of(const Vm *vm, uint64_t now_usec) {
        const MemoryModel *model = &vm->model;

        return (ArbiterVm){
                .controlled = vm->policy.controlled,
                .fresh = u64_sub(now_usec, vm->guest.arrived_usec) <= vm->env->session.stale_usec,
                .min_bytes = vm_min_bytes(vm),
                .max_bytes = vm->policy.max_bytes,
                .size_bytes = memory_model_size_bytes(model),
                .committed_bytes = vm->committed_bytes,
                .ceiling_bytes = memory_model_ceiling_bytes(model),
                .block_bytes = memory_model_block_bytes(model),
                .device_floor_bytes = memory_model_floor_bytes(model),
                .urgency = vm->guest.urgency,
                .need_bytes = vm->guest.need_bytes,
                .usable_bytes = vm->guest.usable_bytes,
                .floor_bytes = vm->guest.floor_bytes,
                .calm_since_usec = vm->calm_since_usec,
                .last_grow_usec = vm->last_grow_usec,
                .peak_bytes =
                        arbiter_peak_bytes(&vm->peak, vm->env->arbiter.calm_before_shrink_usec, now_usec),
                .last_refusal_usec = vm->last_refusal_usec,
                .n_refusals = vm->n_refusals,
                .held_until_usec = vm->held_until_usec,
                .last_failure_usec = vm->last_failure_usec,
                .n_failures = vm->n_failures,
        };
}

static DecisionInputs inputs_of(const Vm *vm, uint64_t now_usec) {
        return (DecisionInputs){
                .urgency = vm->guest.urgency,
                .cause = vm->guest.cause,
                .usable_bytes = vm->guest.usable_bytes,
                .available_bytes = vm->guest.available_bytes,
                .used_bytes = vm->guest.used_bytes,
                .demand_bytes = vm->guest.demand_bytes,
                .floor_bytes = vm->guest.floor_bytes,
                .need_bytes = vm->guest.need_bytes,
                .time_to_exhaustion_usec = vm->guest.time_to_exhaustion_usec,
                .fall_bytes_per_sec = vm->guest.fall_bytes_per_sec,
                .size_bytes = memory_model_size_bytes(&vm->model),
                .min_bytes = vm_min_bytes(vm),
                .max_bytes = vm_max_bytes(vm),
                .budget_bytes = vm->env->ledger->budget_bytes,
                .budget_used_bytes = vm->env->ledger->committed_bytes,
                .report_age_usec = u64_sub(now_usec, vm->guest.arrived_usec),
        };
}

static Decision decision_of(const Vm *vm, const ArbiterVerdict *verdict, uint64_t now_usec) {
        Decision decision = {
                .id = vm->env->next_id(vm->env->userdata),
                .kind = verdict->kind,
                .rule = verdict->rule,
                .inputs = inputs_of(vm, now_usec),
                .wanted_bytes = verdict->bytes,
                .alarm_usec = vm->guest.arrived_usec,
        };
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        decision.realtime_usec = (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
        (void) snprintf(decision.vm, sizeof(decision.vm), "%s", vm->name);
        return decision;
}

/* Said once, and again when it changes or a minute later: a guest in need repeats itself many times a second. */
static void deny(Vm *vm, const ArbiterVerdict *verdict, uint64_t now_usec) {
        Decision decision;

        if (vm->denied_rule == verdict->rule && now_usec < u64_add(vm->denied_usec, DENIAL_REPEAT_USEC))
                return;
        vm->denied_rule = verdict->rule;
        vm->denied_usec = now_usec;

        decision = decision_of(vm, verdict, now_usec);
        decision.result = RESULT_DENIED;
        decision.closed_usec = now_usec;
        vm->env->record(&decision, vm->env->userdata);
}

static void begin(Vm *vm, const ArbiterVerdict *verdict, uint64_t now_usec) {
        Decision decision = decision_of(vm, verdict, now_usec);
        ResizeEvent first = complete(vm, &(ResizeEvent){.kind = RESIZE_EVENT_HEARD});
        ResizeAction action;

        vm->env->record(&decision, vm->env->userdata); /* the reason, before anything is sent */
        action = resize_begin(&vm->resize, &vm->env->resize, &decision, vm->hello.block_size_bytes, &first);
        carry_out(vm, action);
}

void vm_judge(Vm *vm, uint64_t now_usec) {
        ArbiterConfig config = vm->env->arbiter;
        ArbiterVm subject;
        ArbiterVerdict verdict;

        if (!can_be_judged(vm, now_usec))
                return;

        config.budget_bytes = vm->env->ledger->budget_bytes;
        subject = subject_of(vm, now_usec);
        verdict = arbiter_judge(&config, &subject, vm->env->ledger->committed_bytes, now_usec);
        if (!verdict.act)
                arm_timer(vm, verdict.wake_usec);
        else if (verdict.kind == DECISION_DENY)
                deny(vm, &verdict, now_usec);
        else
                begin(vm, &verdict, now_usec);
}
