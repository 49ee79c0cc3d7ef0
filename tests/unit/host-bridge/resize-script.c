/* SPDX-License-Identifier: Apache-2.0 */

/* Plays a script: a VM of 512 MiB boot RAM with the devices that it names, one event at a time. */

#include "resize-script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"

static MemoryModel model_of(const Script *script, uint64_t plugged) {
        MemoryModel model = {.known = true, .boot_bytes = 512 * MIB};

        if (script->inflated > 0) {
                model.has_balloon = true;
                model.balloon_actual_bytes = (512 - script->inflated) * MIB;
        }
        if (script->block > 0) {
                model.n_virtio_mem = 1;
                model.virtio_mem[0] = (VirtioMem){
                        .id = "vm0",
                        .size_bytes = plugged * MIB,
                        .requested_bytes = plugged * MIB,
                        .max_bytes = 2 * GIB,
                        .block_bytes = script->block * MIB,
                };
        }
        model.dimm[0].address = 4 * GIB;
        model.free_slots = 2;
        model.room_bytes = 4 * GIB;
        memory_model_set_dimm(&model, 0, script->dimm * MIB);
        model.dimm[1].address = 4 * GIB + script->dimm * MIB;
        memory_model_set_dimm(&model, 1, script->second * MIB);
        (void) memory_model_allow_dimms(&model, script->unit * MIB, 128 * MIB);
        return model;
}

static ResizeEvent event_of(const Script *script, const Line *line, MemoryModel *model) {
        *model = model_of(script,
                          line->event == MODEL && line->mib > 0 ? (uint64_t) line->mib : script->plugged);
        if (line->mib == -1)
                model->n_virtio_mem = 0;
        if (line->mib == -2)
                memory_model_set_dimm(model, 0, 0);
        if (line->mib == -3)
                memory_model_set_dimm(model, 0, script->unit * MIB);
        return (ResizeEvent){
                .kind = line->event == UNSENT ? RESIZE_EVENT_REJECTED : (ResizeEventKind) line->event,
                .unsent = line->event == UNSENT,
                .now_usec = (1000000 + line->at) * USEC_PER_MSEC,
                .step = line->number,
                .bytes = line->event == OFFER ? (uint64_t) line->mib * MIB : 0,
                .delta_bytes = line->event == CONFIRM ? line->mib * (int64_t) MIB : 0,
                .reason = line->reason,
                .tried = line->tried,
                .model = model,
                .available_bytes = GIB,
                .plug_budget_bytes = script->wave > 0 ? script->wave * MIB : 4 * GIB,
                .stall_usec = line->event == CONFIRM ? 7 : 0,
                .blocks_offline = line->offline,
                .block_failed = line->failed,
        };
}

static void check_line(const Script *script, const Line *line, const ResizeAction *action,
                       const Resize *resize) {
        assert_int_equal(action->kind, line->action);
        if (line->action == RESIZE_COMMAND || line->action == RESIZE_ASK) {
                assert_int_equal(action->step.to_bytes, line->to * MIB);
                assert_true(action->bytes <= action->remaining_bytes || action->remaining_bytes == 0);
        }
        if (line->action == RESIZE_PREPARE) {
                assert_int_equal(action->offline.address,
                                 4 * GIB + (action->step.device > 0 ? script->dimm * MIB : 0));
                assert_int_equal(action->offline.size_bytes, action->bytes);
        }
        assert_int_equal(action->online.size_bytes > 0, line->online);
        if (line->action == RESIZE_FINISH) {
                assert_int_equal(resize->decision.result, line->result);
                assert_int_equal(resize->decision.closed_usec, (1000000 + line->at) * USEC_PER_MSEC);
                assert_int_equal(resize_reserved_bytes(resize), 0);
                assert_int_equal(resize_deadline_usec(resize), USEC_INFINITY);
        } else {
                assert_true(resize_is_open(resize));
                assert_true(resize_reserved_bytes(resize) > 0);
        }
        if (line->deadline > 0)
                assert_int_equal(resize_deadline_usec(resize), (1000000 + line->deadline) * USEC_PER_MSEC);
}

/* A reading that says what the guest is about to: the hypervisor knew it first, as it does. */
static void tell_fulfilled(Resize *resize, const ResizeEvent *confirm) {
        const PlanStep *step = &resize->step;
        ResizeEvent event = *confirm;
        MemoryModel model = resize->model;
        int64_t whole = plan_step_delta_bytes(step);
        int64_t delta = whole > 0 ? MIN_OF(confirm->delta_bytes, whole) : MAX_OF(confirm->delta_bytes, whole);

        if (resize->phase == RESIZE_RESTORING || (delta > 0) != (whole > 0))
                return;
        if (step->actuator == ACTUATOR_DIMM) {
                if (resize->growing)
                        memory_model_set_dimm(&model, step->device, step->to_bytes);
        } else if (step->actuator == ACTUATOR_BALLOON) {
                model.balloon_actual_bytes = u64_shift(model.boot_bytes - step->from_bytes, delta);
        } else {
                uint64_t *size = &model.virtio_mem[step->device].size_bytes;
                uint64_t moved = u64_align_up(u64_shift(step->from_bytes, delta),
                                              model.virtio_mem[step->device].block_bytes);

                *size = whole > 0 ? u64_max(*size, moved) : u64_min(*size, moved);
        }
        event.kind = RESIZE_EVENT_MODEL;
        event.model = &model;
        assert_int_equal(resize_feed(resize, &event).kind, RESIZE_WAIT);
}

void script_run(const Script *script) {
        const ResizeConfig config = {0}; /* the defaults */
        const Decision decision = {
                .id = 42,
                .kind = script->kind,
                .wanted_bytes = script->wanted * MIB,
                .inputs = {.min_bytes = script->min * MIB, .max_bytes = script->max * MIB},
        };
        MemoryModel model;
        ResizeEvent event = event_of(script, &script->lines[0], &model);
        Resize resize;
        ResizeAction action;

        print_message("%s\n", script->name);
        action = resize_begin(&resize, &config, &decision, 128 * MIB, &event);
        check_line(script, &script->lines[0], &action, &resize);

        for (size_t i = 1; i < LINES_MAX && script->lines[i].at > 0; i++) {
                print_message("        at %u ms\n", script->lines[i].at);
                event = event_of(script, &script->lines[i], &model);
                if (event.kind == RESIZE_EVENT_CONFIRM && !script->lines[i].alone)
                        tell_fulfilled(&resize, &event);
                action = resize_feed(&resize, &event);
                check_line(script, &script->lines[i], &action, &resize);
        }
        assert_false(resize_is_open(&resize));
        assert_int_equal(resize.decision.id, 42);
        assert_int_equal(resize.decision.confirmed_bytes, script->confirmed * (int64_t) MIB);
        assert_int_equal(resize.decision.n_steps, script->n_steps);
        if (script->reach > 0)
                assert_int_equal(resize_reach_bytes(&resize), script->reach * MIB);

        event.kind = RESIZE_EVENT_TICK;
        assert_int_equal(resize_feed(&resize, &event).kind, RESIZE_WAIT); /* over is over */
}
