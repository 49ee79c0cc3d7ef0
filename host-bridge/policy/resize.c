/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The life of one resize: which event may do what in which phase. Every phase has a deadline and every
 * deadline leads on, so that a resize ends whatever the guest and the hypervisor say or do not say. Letting a
 * resize wait for "the final answer" was rejected: virtio-mem retries after 50 to 300 s (kernel-qemu.md 2.1)
 * and a guest at its limit may never answer, while the VM can be given nothing else.
 *
 * Replies of the hypervisor come in the order of the commands (QMP is serial), so the count of unanswered
 * commands tells whose reply one is; a veto does not wait for the reply to what it undoes.
 */

#include "host-bridge/policy/resize.h"

#include "host-bridge/policy/resize-internal.h"

static const ResizeConfig config_defaults = {
        .confirm_timeout_usec = 5 * USEC_PER_SEC,
        .offer_timeout_usec = 3 * USEC_PER_SEC,
        .silence_usec = 300 * USEC_PER_MSEC,
        .kick_usec = USEC_PER_SEC,
        .offline_timeout_usec = 5 * USEC_PER_SEC,
};

static uint64_t or_default(uint64_t value, uint64_t fallback) {
        return value > 0 ? value : fallback;
}

/* Leaves what the caller decided: id, name, kind, rule, inputs, wanted, alarm. */
static void clear_course(Decision *decision) {
        decision->result = RESULT_PENDING;
        decision->refusal = REFUSAL_NONE;
        decision->actuator = ACTUATOR_NONE;
        decision->n_steps = 0;
        decision->requested_bytes = 0;
        decision->confirmed_bytes = 0;
        decision->request_usec = decision->accepted_usec = decision->first_confirm_usec = 0;
        decision->closed_usec = decision->guest_stall_usec = 0;
        decision->late_bytes = decision->late_usec = 0;
}

ResizeAction resize_begin(Resize *resize, const ResizeConfig *config, const Decision *decision,
                          uint64_t guest_block_bytes, const ResizeEvent *first) {
        *resize = (Resize){
                .config =
                        {
                                .confirm_timeout_usec = or_default(config->confirm_timeout_usec,
                                                                   config_defaults.confirm_timeout_usec),
                                .offer_timeout_usec = or_default(config->offer_timeout_usec,
                                                                 config_defaults.offer_timeout_usec),
                                .silence_usec =
                                        or_default(config->silence_usec, config_defaults.silence_usec),
                                .kick_usec = or_default(config->kick_usec, config_defaults.kick_usec),
                                .offline_timeout_usec = or_default(config->offline_timeout_usec,
                                                                   config_defaults.offline_timeout_usec),
                        },
                .decision = *decision,
                .growing = decision->kind == DECISION_GROW,
                .guest_block_bytes = guest_block_bytes,
                .begun_usec = first->now_usec,
                .heard_usec = first->now_usec,
        };
        clear_course(&resize->decision);

        if (decision->kind == DECISION_DENY)
                return resize_finish(resize, RESULT_DENIED, first->now_usec);
        if (!first->model || !memory_model_is_sane(first->model))
                return resize_finish(resize, RESULT_FAILED, first->now_usec);
        resize->model = resize->original = *first->model;
        return resize_next_step(resize, first);
}

ResizeAction resize_finish(Resize *resize, DecisionResult result, uint64_t now_usec) {
        resize->phase = RESIZE_IDLE;
        resize_settle(resize);
        if (result == RESULT_TIMEOUT && resize->closed_bytes != 0)
                result = RESULT_PARTIAL;
        resize->decision.result = result;
        resize->decision.confirmed_bytes = resize->closed_bytes;
        resize->decision.closed_usec = now_usec;
        return (ResizeAction){.kind = RESIZE_FINISH,
                              .step = resize->step,
                              .step_number = resize->step_number,
                              .online = resize->prepared}; /* what was prepared for nothing comes back */
}

/* What the guest has confirmed by then is its own all the same. */
static ResizeAction lose(Resize *resize, uint64_t now_usec) {
        if (resize->phase == RESIZE_COMMANDED || resize->phase == RESIZE_CONFIRMING)
                resize->adopted = resize->step;
        return resize_finish(resize, RESULT_LOST, now_usec);
}

static ResizeAction on_reply(Resize *resize, const ResizeEvent *event) {
        if (resize->n_unanswered == 0)
                return resize_wait();
        resize->n_unanswered--;
        if ((resize->n_unanswered > 0 && !event->unsent) || resize->restore_rejected)
                return resize_wait(); /* to an earlier command */

        if (event->kind == RESIZE_EVENT_ACCEPTED)
                return resize->phase == RESIZE_RESTORING ? resize_restore_accepted(resize, event->now_usec)
                                                         : resize_take_accepted(resize, event);
        if (resize->phase == RESIZE_RESTORING)
                return resize_restore_rejected(resize, event->now_usec);
        if (resize->phase != RESIZE_COMMANDED)
                return resize_wait(); /* a kick */
        return resize_finish(resize, resize->closed_bytes != 0 ? RESULT_PARTIAL : RESULT_FAILED,
                             event->now_usec);
}

static ResizeAction on_model(Resize *resize, const ResizeEvent *event) {
        if (!event->model)
                return resize_wait();
        /* Steps are by index: with other devices than at the start none of them means what it meant. */
        if (!memory_model_is_sane(event->model) ||
            !memory_model_same_devices(event->model, &resize->original))
                return lose(resize, event->now_usec);
        return resize_take_model(resize, event);
}

static ResizeAction on_veto(Resize *resize, const ResizeEvent *event) {
        if (resize->growing)
                return resize_wait();
        if (resize->phase == RESIZE_RESTORING &&
            (resize->pending_result == RESULT_VETOED || resize->pending_result == RESULT_SILENT))
                return resize_wait();
        return resize_restore(resize, RESULT_VETOED, event->now_usec);
}

/* When the guest's silence in a shrink step in flight has lasted too long. */
static uint64_t silence_deadline_usec(const Resize *resize) {
        /* What is pulled has been offline before: nothing is taken meanwhile, and a guest says little then. */
        return resize->growing || resize->step.actuator == ACTUATOR_DIMM
                       ? USEC_INFINITY
                       : u64_add(resize->heard_usec, resize->config.silence_usec);
}

/*
 * When a driver that has stopped is asked again: nothing else makes it retry within 50 s (S14). One that took nothing at
 * all was in want of free memory, and the guest may have freed some since; one that plugged nothing had other reasons.
 */
static uint64_t kick_deadline_usec(const Resize *resize) {
        bool stopped = resize->phase == RESIZE_CONFIRMING && resize->step.actuator == ACTUATOR_VIRTIO_MEM &&
                       (resize->step_confirmed_bytes > 0 || !resize->growing) &&
                       !resize_step_is_fulfilled(resize);

        return stopped ? u64_add(u64_max(resize->kicked_usec, resize->progress_usec),
                                 resize->config.kick_usec)
                       : USEC_INFINITY;
}

static ResizeAction on_tick_in_flight(Resize *resize, const ResizeEvent *event) {
        if (event->now_usec >= silence_deadline_usec(resize))
                return resize_restore(resize, RESULT_SILENT, event->now_usec);
        if (event->now_usec >= resize_step_deadline_usec(resize) ||
            resize_pace_is_too_slow(resize, event->now_usec)) {
                resize->n_unanswered = 0; /* whatever has not been answered by now will not be */
                return (resize_step_is_confirmed(resize) && resize_step_is_fulfilled(resize)) ||
                                       resize_step_is_short(resize)
                               ? resize_close_step(resize, event)
                               : resize_adopt(resize, event->now_usec);
        }
        if (event->now_usec >= resize_pace_deadline_usec(resize))
                resize_pace_begin(resize, event->now_usec);
        if (event->now_usec < kick_deadline_usec(resize))
                return resize_wait();
        if (resize->growing)
                resize_spare_present(resize);
        return resize_command(resize, event->now_usec);
}

static ResizeAction on_tick(Resize *resize, const ResizeEvent *event) {
        switch (resize->phase) {

        case RESIZE_ASKING:
                return resize_ask_tick(resize, event);

        case RESIZE_PREPARING:
                return resize_prepare_tick(resize, event->now_usec);

        case RESIZE_COMMANDED:
        case RESIZE_CONFIRMING:
                return on_tick_in_flight(resize, event);

        case RESIZE_RESTORING:
                return resize_restore_tick(resize, event->now_usec);

        case RESIZE_IDLE:
        case RESIZE_PHASE_MAX:
                break;
        }
        return resize_wait();
}

ResizeAction resize_feed(Resize *resize, const ResizeEvent *event) {
        if (!resize_is_open(resize))
                return resize_wait();
        resize_note_blocks(resize, event);

        switch (event->kind) {

        case RESIZE_EVENT_OFFER:
                resize->heard_usec = event->now_usec;
                return resize_take_offer(resize, event);

        case RESIZE_EVENT_PREPARED:
                resize->heard_usec = event->now_usec;
                return resize_take_prepared(resize, event->now_usec);

        case RESIZE_EVENT_UNPREPARED:
                resize->heard_usec = event->now_usec;
                return resize_take_unprepared(resize, event);

        case RESIZE_EVENT_ACCEPTED:
        case RESIZE_EVENT_REJECTED:
                return on_reply(resize, event);

        case RESIZE_EVENT_MODEL:
                return on_model(resize, event);

        case RESIZE_EVENT_CONFIRM:
                resize->heard_usec = event->now_usec;
                return resize_take_confirm(resize, event);

        case RESIZE_EVENT_VETO:
                resize->heard_usec = event->now_usec;
                return on_veto(resize, event);

        case RESIZE_EVENT_HEARD:
                resize->heard_usec = event->now_usec;
                return resize_wait();

        case RESIZE_EVENT_LOST:
                return lose(resize, event->now_usec);

        case RESIZE_EVENT_TICK:
                return on_tick(resize, event);

        case RESIZE_EVENT_KIND_MAX:
                break;
        }
        return resize_wait();
}

uint64_t resize_deadline_usec(const Resize *resize) {
        switch (resize->phase) {

        case RESIZE_ASKING:
                return resize_ask_deadline_usec(resize);

        case RESIZE_PREPARING:
                return resize_prepare_deadline_usec(resize);

        case RESIZE_COMMANDED:
        case RESIZE_CONFIRMING:
                return u64_min(u64_min(u64_min(resize_step_deadline_usec(resize),
                                               resize_pace_deadline_usec(resize)),
                                       silence_deadline_usec(resize)),
                               kick_deadline_usec(resize));

        case RESIZE_RESTORING:
                return resize_restore_deadline_usec(resize);

        case RESIZE_IDLE:
        case RESIZE_PHASE_MAX:
                break;
        }
        return USEC_INFINITY;
}

uint64_t resize_reserved_bytes(const Resize *resize) {
        if (!resize_is_open(resize))
                return 0;
        return u64_add(memory_model_committed_bytes(&resize->original),
                       resize->growing ? resize->decision.wanted_bytes : 0);
}
