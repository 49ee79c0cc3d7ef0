/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One resize in a storm: any event in any order with any numbers, 100 000 times, each from a seed that is
 * printed when it fails. What must hold at every single event is checked against a hypervisor of the
 * test's own, which carries out the commands that it accepts, late or in part, and is misreported.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/resize.h"

#define SEQUENCES  100000U
#define EVENTS_MAX 120U
#define LIFE_MAX   (20 * 60 * USEC_PER_SEC)

/* Devices, balloon and DIMMs under one index. */
#define BALLOON MEMORY_MODEL_DEVICES_MAX
#define DIMM    (MEMORY_MODEL_DEVICES_MAX + 1)
#define N_HANDS (DIMM + MEMORY_MODEL_DIMMS_MAX)

typedef struct Storm {
        uint64_t seed;
        uint64_t now_usec, begun_usec;
        Resize resize;
        MemoryModel truth, original;
        uint64_t wanted, min_bytes, max_bytes;
        uint64_t target[N_HANDS]; /* last commanded: requested-size, inflated, or a DIMM's size */
        ResizeAction last_command;
        bool has_command;
        uint64_t offered; /* by the event that is being fed; 0: it is no offer */
        bool prepared;    /* the event that is being fed says that the DIMM is offline */
} Storm;

/* That the storm reaches every corner is part of the test. */
static unsigned long n_results[DECISION_KIND_MAX][DECISION_RESULT_MAX], n_steps, n_events,
        n_commands[RESIZE_PHASE_MAX], n_plugs, n_pulls, n_taken_back;

static uint64_t draw(Storm *storm) {
        storm->seed ^= storm->seed << 13;
        storm->seed ^= storm->seed >> 7;
        storm->seed ^= storm->seed << 17;
        return storm->seed;
}

static uint64_t below(Storm *storm, uint64_t n) {
        return n > 0 ? draw(storm) % n : 0;
}

static bool chance(Storm *storm, unsigned percent) {
        return below(storm, 100) < percent;
}

/* Mostly a plausible size, now and then anything at all. */
static uint64_t draw_bytes(Storm *storm) {
        return chance(storm, 90) ? below(storm, 300) * MIB + (chance(storm, 20) ? below(storm, MIB) : 0)
                                 : draw(storm) >> below(storm, 64);
}

static void draw_dimms(Storm *storm, MemoryModel *model) {
        if (chance(storm, 20)) /* somebody else's */
                model->dimm_bytes = 256 * MIB;
        if (model->has_balloon)
                model->balloon_actual_bytes += model->dimm_bytes;
        for (unsigned i = 0; i < 3; i++)
                if (chance(storm, 30)) {
                        memory_model_set_dimm(model, i, (1 + below(storm, 4)) * 128 * MIB);
                        model->dimm[i].address = 4 * GIB + i * GIB;
                }
        model->free_slots = (unsigned) below(storm, 4);
        model->room_bytes = below(storm, 2048) * MIB;
        (void) memory_model_allow_dimms(model, chance(storm, 60) ? (1 + below(storm, 4)) * 128 * MIB : 0,
                                        128 * MIB);
}

static MemoryModel draw_model(Storm *storm) {
        MemoryModel model = {.known = true, .boot_bytes = (256 + below(storm, 1024)) * MIB};

        if (chance(storm, 60)) {
                model.has_balloon = true;
                model.balloon_actual_bytes =
                        model.boot_bytes - (chance(storm, 50) ? below(storm, 200) * MIB : 0);
        }
        model.n_virtio_mem = (unsigned) below(storm, 4);
        for (unsigned i = 0; i < model.n_virtio_mem; i++) {
                VirtioMem *device = &model.virtio_mem[i];

                device->id[0] = (char) ('a' + i);
                device->block_bytes = (UINT64_C(2) << below(storm, 8)) * MIB;
                device->max_bytes = device->block_bytes * (1 + below(storm, 1024));
                device->size_bytes = u64_align_down(below(storm, device->max_bytes + 1), device->block_bytes);
                device->requested_bytes =
                        chance(storm, 90)
                                ? device->size_bytes
                                : u64_align_down(below(storm, device->max_bytes + 1), device->block_bytes);
        }
        draw_dimms(storm, &model);
        return model;
}

static unsigned hand_of(const PlanStep *step) {
        if (step->actuator == ACTUATOR_BALLOON)
                return BALLOON;
        return step->actuator == ACTUATOR_DIMM ? DIMM + step->device : step->device;
}

static bool has_hand(const MemoryModel *model, unsigned hand) {
        return hand < model->n_virtio_mem || (hand == BALLOON && model->has_balloon) || hand >= DIMM;
}

static bool is_pull(const PlanStep *step) {
        return step->actuator == ACTUATOR_DIMM && step->to_bytes == 0;
}

/* More in the guest's hands: as bytes that the VM has by it. */
static uint64_t held(const Storm *storm, unsigned hand, uint64_t value) {
        return hand == BALLOON ? u64_sub(storm->truth.boot_bytes + storm->truth.dimm_bytes, value) : value;
}

static uint64_t known_value(const Storm *storm, unsigned hand) {
        const MemoryModel *known = &storm->resize.model;

        if (hand >= DIMM)
                return known->dimm[hand - DIMM].size_bytes;
        return hand == BALLOON ? memory_model_balloon_bytes(known) : known->virtio_mem[hand].size_bytes;
}

static uint64_t original_value(const Storm *storm, unsigned hand) {
        const MemoryModel *model = &storm->original;

        if (hand >= DIMM)
                return model->dimm[hand - DIMM].size_bytes;
        return hand == BALLOON
                       ? memory_model_balloon_bytes(model)
                       : u64_max(model->virtio_mem[hand].size_bytes, model->virtio_mem[hand].requested_bytes);
}

/* A command of a grow: it never takes what is known to be there, and never exceeds what was granted. */
static void check_grow_command(const Storm *storm, const ResizeAction *action) {
        unsigned hand = hand_of(&action->step);
        uint64_t sum = memory_model_committed_bytes(&storm->original);

        if (is_pull(&action->step)) { /* it never came online */
                assert_true(storm->prepared);
                assert_int_equal(storm->resize.phase, RESIZE_RESTORING);
                assert_int_equal(storm->resize.step_confirmed_bytes, 0);
                n_taken_back++;
                return;
        }
        n_plugs += action->step.actuator == ACTUATOR_DIMM;
        assert_true(held(storm, hand, action->step.to_bytes) >= held(storm, hand, known_value(storm, hand)));
        for (unsigned i = 0; i < N_HANDS; i++)
                if (has_hand(&storm->original, i))
                        sum = sum - held(storm, i, original_value(storm, i)) +
                              u64_max(held(storm, i, storm->target[i]),
                                      held(storm, i, original_value(storm, i)));
        assert_true(sum <= memory_model_committed_bytes(&storm->original) + storm->wanted);
        assert_true(sum <= resize_reserved_bytes(&storm->resize));
        if (action->notice)
                assert_true(u64_add(memory_model_size_bytes(&storm->resize.model), action->bytes) <=
                                    storm->max_bytes ||
                            action->step.to_bytes == storm->resize.model.virtio_mem[hand].requested_bytes);
}

/* A command of a shrink: what takes is covered by the offer that came just now, all else gives back. */
static void check_shrink_command(const Storm *storm, const ResizeAction *action, uint64_t before) {
        unsigned hand = hand_of(&action->step);
        uint64_t now = held(storm, hand, known_value(storm, hand));
        uint64_t to = held(storm, hand, action->step.to_bytes);

        if (storm->resize.phase == RESIZE_COMMANDED) {
                assert_true(to < now);
                if (is_pull(&action->step)) {
                        assert_true(storm->prepared);
                        n_pulls++;
                } else
                        assert_true(now - to <= storm->offered);
                assert_true(now - to <= storm->wanted);
                assert_true(memory_model_size_bytes(&storm->resize.model) - (now - to) >= storm->min_bytes);
        } else if (storm->resize.phase == RESIZE_CONFIRMING) {
                assert_true(storm->has_command);
                assert_int_equal(action->step.to_bytes, storm->last_command.step.to_bytes);
        } else {
                assert_int_equal(storm->resize.phase, RESIZE_RESTORING);
                assert_true(to >= held(storm, hand, before));
        }
}

static void check_finish(const Storm *storm, const ResizeAction *action) {
        const Decision *decision = &storm->resize.decision;
        /* Growth that was pending before is asked for again, but was promised already. */
        uint64_t pending = decision->kind == DECISION_GROW ? memory_model_committed_bytes(&storm->original) -
                                                                     memory_model_size_bytes(&storm->original)
                                                           : 0;

        n_results[decision->kind][decision->result]++;
        n_steps += decision->n_steps;
        assert_false(resize_is_open(&storm->resize));
        assert_int_not_equal(decision->result, RESULT_PENDING);
        assert_int_equal(resize_deadline_usec(&storm->resize), USEC_INFINITY);
        assert_true(decision->requested_bytes <= storm->wanted + pending);
        assert_true(decision->confirmed_bytes <= (int64_t) decision->requested_bytes);
        assert_true(-decision->confirmed_bytes <= (int64_t) decision->requested_bytes);
        assert_true(decision->kind == DECISION_GROW ? decision->confirmed_bytes >= 0
                                                    : decision->confirmed_bytes <= 0);
        if (decision->result == RESULT_DONE)
                assert_true(decision->confirmed_bytes != 0);
        assert_true(resize_reach_bytes(&storm->resize) >= i64_magnitude(decision->confirmed_bytes));
        assert_true(resize_reach_bytes(&storm->resize) <= decision->requested_bytes);
}

static void check(Storm *storm, const ResizeAction *action) {
        unsigned hand = hand_of(&action->step);
        uint64_t before;

        switch (action->kind) {

        case RESIZE_WAIT:
                return;

        case RESIZE_ASK:
                assert_int_equal(storm->resize.phase, RESIZE_ASKING);
                assert_false(storm->resize.growing);
                assert_true(action->bytes > 0 && action->bytes <= action->remaining_bytes);
                return;

        case RESIZE_PREPARE:
                assert_int_equal(storm->resize.phase, RESIZE_PREPARING);
                assert_true(is_pull(&action->step));
                assert_true(action->offline.size_bytes > 0);
                if (!storm->resize.growing)
                        assert_true(action->offline.size_bytes <= storm->offered);
                return;

        case RESIZE_COMMAND:
                before = storm->target[hand];
                storm->target[hand] = action->step.to_bytes;
                if (storm->resize.growing)
                        check_grow_command(storm, action);
                else
                        check_shrink_command(storm, action, before);
                storm->last_command = *action;
                storm->has_command = true;
                n_commands[storm->resize.phase]++;
                return;

        case RESIZE_FINISH:
                check_finish(storm, action);
                return;
        }
}

/* The hypervisor does some of what it was asked. */
static void move_truth(Storm *storm) {
        for (unsigned i = 0; i < storm->truth.n_virtio_mem; i++) {
                VirtioMem *device = &storm->truth.virtio_mem[i];
                uint64_t low = u64_min(device->size_bytes, storm->target[i]);
                uint64_t way = u64_max(device->size_bytes, storm->target[i]) - low;

                device->requested_bytes = storm->target[i];
                if (chance(storm, 50))
                        device->size_bytes = chance(storm, 60) ? storm->target[i]
                                                               : u64_align_down(low + below(storm, way + 1),
                                                                                device->block_bytes);
        }
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                if (storm->target[DIMM + i] != storm->truth.dimm[i].size_bytes && chance(storm, 70)) {
                        memory_model_set_dimm(&storm->truth, i, storm->target[DIMM + i]);
                        storm->truth.dimm[i].address = 8 * GIB + i * GIB;
                }
        if (storm->truth.has_balloon && chance(storm, 70))
                storm->truth.balloon_actual_bytes =
                        storm->truth.boot_bytes + storm->truth.dimm_bytes - storm->target[BALLOON];
}

static void fill_model(Storm *storm, ResizeEvent *event, MemoryModel *model) {
        *model = storm->truth;
        event->model = model;
        if (chance(storm, 10)) /* from before */
                *model = storm->original;
        if (chance(storm, 1)) /* another VM's: that of a twin nobody could tell from ours */
                do
                        *model = draw_model(storm);
                while (memory_model_same_devices(model, &storm->original));
        if (chance(storm, 1)) /* nonsense */
                model->boot_bytes = 0;
        if (chance(storm, 1))
                event->model = NULL;
}

static void fill_numbers(Storm *storm, ResizeEvent *event) {
        const Resize *resize = &storm->resize;
        int64_t sign = resize->growing ? 1 : -1;

        event->step = chance(storm, 85) ? resize->step_number : (unsigned) below(storm, 8);
        if (resize->growing && chance(storm, 70))
                event->step = 0;
        event->bytes =
                chance(storm, 60) ? resize->step.from_bytes - resize->step.to_bytes : draw_bytes(storm);
        if (chance(storm, 10))
                event->bytes = 0;
        event->delta_bytes = chance(storm, 60) ? plan_step_delta_bytes(&resize->step)
                                               : sign * (int64_t) (draw_bytes(storm) & INT64_MAX);
        if (chance(storm, 5))
                event->delta_bytes = INT64_MIN;
        event->tried = chance(storm, 50);
        event->reason = (RefusalReason) below(storm, REFUSAL_REASON_MAX);
        event->stall_usec = draw_bytes(storm);
}

static ResizeEventKind draw_kind(Storm *storm) {
        static const ResizeEventKind often[] = {
                RESIZE_EVENT_OFFER,   RESIZE_EVENT_ACCEPTED, RESIZE_EVENT_CONFIRM,  RESIZE_EVENT_MODEL,
                RESIZE_EVENT_HEARD,   RESIZE_EVENT_TICK,     RESIZE_EVENT_CONFIRM,  RESIZE_EVENT_ACCEPTED,
                RESIZE_EVENT_CONFIRM, RESIZE_EVENT_OFFER,    RESIZE_EVENT_PREPARED,
        };
        static const ResizeEventKind seldom[] = {RESIZE_EVENT_REJECTED, RESIZE_EVENT_VETO, RESIZE_EVENT_LOST,
                                                 RESIZE_EVENT_UNPREPARED};

        /* A guest that brings no DIMM online, which takes seconds to be noticed. */
        static const ResizeEventKind dumb[] = {RESIZE_EVENT_ACCEPTED, RESIZE_EVENT_MODEL, RESIZE_EVENT_HEARD,
                                               RESIZE_EVENT_PREPARED};

        if (storm->resize.growing && storm->resize.step.actuator == ACTUATOR_DIMM && storm->seed % 8 > 0)
                return dumb[below(storm, ELEMENTSOF(dumb))];
        return chance(storm, 98) ? often[below(storm, ELEMENTSOF(often))]
                                 : seldom[below(storm, ELEMENTSOF(seldom))];
}

static void feed(Storm *storm, ResizeEventKind kind) {
        MemoryModel model;
        ResizeEvent event = {
                .kind = kind,
                .now_usec = storm->now_usec,
                .available_bytes = draw_bytes(storm),
                .plug_budget_bytes = draw_bytes(storm),
                .unsent = chance(storm, 20),
                .blocks_offline = chance(storm, 60) ? 0 : (unsigned) below(storm, 4),
                .block_failed = chance(storm, 10),
        };
        bool asking = storm->resize.phase == RESIZE_ASKING;
        ResizeAction action;

        n_events++;
        move_truth(storm);
        fill_model(storm, &event, &model);
        fill_numbers(storm, &event);
        storm->offered = kind == RESIZE_EVENT_OFFER && asking && event.step == storm->resize.step_number
                                 ? event.bytes
                                 : 0;
        storm->prepared = kind == RESIZE_EVENT_PREPARED && storm->resize.phase == RESIZE_PREPARING;
        action = resize_feed(&storm->resize, &event);
        check(storm, &action);
        assert_true(storm->now_usec - storm->begun_usec < LIFE_MAX);
        if (kind == RESIZE_EVENT_LOST)
                assert_false(resize_is_open(&storm->resize));
}

/* A tick when it is due leads on: the resize ends, or the next one is due later. */
static void tick(Storm *storm) {
        storm->now_usec = u64_max(storm->now_usec, resize_deadline_usec(&storm->resize));
        feed(storm, RESIZE_EVENT_TICK);
        if (resize_is_open(&storm->resize))
                assert_true(resize_deadline_usec(&storm->resize) > storm->now_usec);
}

static void begin(Storm *storm) {
        const ResizeConfig config = {0};
        Decision decision = {.id = 1, .kind = chance(storm, 50) ? DECISION_GROW : DECISION_SHRINK};
        ResizeEvent first = {.kind = RESIZE_EVENT_HEARD, .plug_budget_bytes = draw_bytes(storm)};
        uint64_t size;
        ResizeAction action;

        storm->truth = storm->original = draw_model(storm);
        size = memory_model_size_bytes(&storm->truth);
        for (unsigned i = 0; i < N_HANDS; i++)
                storm->target[i] = i >= DIMM      ? storm->truth.dimm[i - DIMM].size_bytes
                                   : i == BALLOON ? memory_model_balloon_bytes(&storm->truth)
                                                  : storm->truth.virtio_mem[i].requested_bytes;

        storm->begun_usec = storm->now_usec = 1 + below(storm, USEC_PER_SEC);
        storm->wanted = draw_bytes(storm);
        if (storm->wanted > MEMORY_BYTES_MAX)
                storm->wanted = MEMORY_BYTES_MAX;
        storm->min_bytes = chance(storm, 50) ? u64_sub(size, draw_bytes(storm)) : 0;
        storm->max_bytes = chance(storm, 50) ? u64_add(size, draw_bytes(storm)) : UINT64_MAX;

        decision.wanted_bytes = storm->wanted;
        decision.inputs.min_bytes = storm->min_bytes;
        decision.inputs.max_bytes = storm->max_bytes;
        first.now_usec = storm->now_usec;
        first.model = &storm->truth;
        first.available_bytes = draw_bytes(storm);
        action = resize_begin(&storm->resize, &config, &decision,
                              chance(storm, 80) ? 128 * MIB : draw_bytes(storm), &first);
        check(storm, &action);
}

static void run(uint64_t seed) {
        Storm storm = {.seed = seed};

        begin(&storm);
        for (unsigned i = 0; i < EVENTS_MAX && resize_is_open(&storm.resize); i++) {
                storm.now_usec += chance(&storm, 97) ? below(&storm, 80 * USEC_PER_MSEC)
                                                     : below(&storm, 6 * USEC_PER_SEC);
                if (storm.now_usec >= resize_deadline_usec(&storm.resize))
                        tick(&storm);
                else
                        feed(&storm, draw_kind(&storm));
        }
        /* Then nobody says anything any more. */
        for (unsigned i = 0; resize_is_open(&storm.resize); i++) {
                assert_true(i < 100);
                tick(&storm);
        }
}

static uint64_t seed_of(uint64_t i) {
        return (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

static uint64_t running;

static int print_seed(void **state) {
        print_message("sequence %llu\n", (unsigned long long) running);
        return 0;
}

static const struct {
        DecisionKind kind;
        DecisionResult result;
} corners[] = {
        {DECISION_GROW, RESULT_DONE},      {DECISION_GROW, RESULT_PARTIAL},
        {DECISION_GROW, RESULT_TIMEOUT},   {DECISION_GROW, RESULT_FAILED},
        {DECISION_GROW, RESULT_LOST},      {DECISION_SHRINK, RESULT_DONE},
        {DECISION_SHRINK, RESULT_PARTIAL}, {DECISION_SHRINK, RESULT_TIMEOUT},
        {DECISION_SHRINK, RESULT_REFUSED}, {DECISION_SHRINK, RESULT_VETOED},
        {DECISION_SHRINK, RESULT_SILENT},  {DECISION_SHRINK, RESULT_FAILED},
        {DECISION_SHRINK, RESULT_LOST},
};

static void test_storm(void **state) {
        for (running = 0; running < SEQUENCES; running++)
                run(seed_of(running));

        print_message("%lu events, %lu steps; commands: %lu steps, %lu kicks, %lu to adopt or restore\n",
                      n_events, n_steps, n_commands[RESIZE_COMMANDED], n_commands[RESIZE_CONFIRMING],
                      n_commands[RESIZE_RESTORING]);
        for (size_t i = 0; i < ELEMENTSOF(corners); i++) {
                unsigned long n = n_results[corners[i].kind][corners[i].result];

                print_message("%s %s: %lu\n", decision_kind_to_string(corners[i].kind),
                              decision_result_to_string(corners[i].result), n);
                assert_true(n >= SEQUENCES / 1000);
        }
        assert_true(n_commands[RESIZE_CONFIRMING] >= SEQUENCES / 1000);
        print_message("DIMMs: %lu plugged, %lu pulled, %lu taken back\n", n_plugs, n_pulls, n_taken_back);
        assert_true(n_plugs >= SEQUENCES / 1000 && n_pulls >= SEQUENCES / 1000);
        assert_true(n_taken_back >= SEQUENCES / 1000);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_storm, print_seed),
        };

        if (argc > 1) { /* one sequence, for a debugger */
                run(seed_of(strtoull(argv[1], NULL, 10)));
                return 0;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
