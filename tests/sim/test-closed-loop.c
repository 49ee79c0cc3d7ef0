/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What both cores do together: a guest that grows is kept alive, one that rests gives back, and neither
 * makes the other of it. Virtual time throughout; the figures printed are of the simulator, not of a machine.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "sim.h"

#define SEC USEC_PER_SEC

/* base, from a moment on up to top at rate, and back to base at another. */
typedef struct Ramp {
        uint64_t base, top, rate, from_usec, until_usec;
} Ramp;

static uint64_t ramp(const void *argument, uint64_t now_usec) {
        const Ramp *r = argument;

        if (now_usec < r->from_usec || now_usec >= r->until_usec)
                return r->base;
        return u64_min(r->top, r->base + u64_scale(now_usec - r->from_usec, r->rate, SEC));
}

/* Between low and high at 200 MiB/s, half of each period above. */
typedef struct Saw {
        uint64_t low, high, period_usec;
} Saw;

static uint64_t saw(const void *argument, uint64_t now_usec) {
        const Saw *s = argument;
        uint64_t phase = now_usec % s->period_usec, half = s->period_usec / 2;
        uint64_t moved = u64_min(s->high - s->low, u64_scale(phase % half, 200 * MIB, SEC));

        return phase < half ? s->low + moved : s->high - moved;
}

/* Somewhere else every 8 s, at up to 300 MiB/s; where depends on seed alone. */
typedef struct Walk {
        uint64_t seed, most;
} Walk;

static uint64_t place(const Walk *w, uint64_t n) {
        uint64_t x = (n + w->seed) * UINT64_C(0x9E3779B97F4A7C15);

        return 64 * MIB + (x ^ x >> 29) % w->most;
}

static uint64_t walk(const void *argument, uint64_t now_usec) {
        const Walk *w = argument;
        uint64_t n = now_usec / (8 * SEC), from = place(w, n), to = place(w, n + 1);
        uint64_t moved = u64_scale(now_usec % (8 * SEC), 300 * MIB, SEC);

        return from < to ? u64_min(from + moved, to) : u64_max(u64_sub(from, moved), to);
}

static void show(const char *name, const SimVm *vm) {
        print_message(
                "%s: %u grows, %u shrinks, %u reversals, %u commands, OOM kills %u, least available %" PRIu64
                " MiB, size %" PRIu64 " MiB\n",
                name, sim_count(vm, DECISION_GROW, 0), sim_count(vm, DECISION_SHRINK, 0),
                sim_reversals(vm, 0), vm->n_commands, vm->guest.oom_kills,
                vm->guest.available_least_bytes / MIB, memory_model_size_bytes(&vm->guest.model) / MIB);
}

/* How a guest can be given memory: each of these has to do for every scenario. */
static const struct Hand {
        const char *name;
        SimGuestConfig guest;
        uint64_t min_bytes;
} hands[] = {
        {"virtio-mem", {.boot_bytes = 512 * MIB, .device_bytes = 2 * GIB}, 512 * MIB},
        {"balloon", {.boot_bytes = 2560 * MIB, .has_balloon = true, .inflated_bytes = 2 * GIB}, 512 * MIB},
        {"balloon that deflates on OOM",
         {.boot_bytes = 2560 * MIB, .has_balloon = true, .balloon_in_total = true, .inflated_bytes = 2 * GIB},
         512 * MIB},
        {"DIMMs", {.boot_bytes = 512 * MIB, .dimm_bytes = 256 * MIB}, 512 * MIB},
        {"balloon, then virtio-mem",
         {.boot_bytes = GIB, .has_balloon = true, .inflated_bytes = 512 * MIB, .device_bytes = 1536 * MIB},
         512 * MIB},
};

static SimVm *start(Sim *sim, const struct Hand *hand, SimLoad load, const void *argument) {
        SimGuestConfig guest = hand->guest;

        guest.load = load;
        guest.load_argument = argument;
        sim_init(sim);
        return sim_add(sim, &guest, hand->min_bytes, UINT64_MAX);
}

static void test_ramp(void **state) {
        static const uint64_t rates[] = {50, 100, 200, 300, 400};
        static Sim sim;

        for (size_t h = 0; h < ELEMENTSOF(hands); h++)
                for (size_t i = 0; i < ELEMENTSOF(rates); i++) {
                        const Ramp load = {50 * MIB, 1536 * MIB, rates[i] * MIB, 5 * SEC, 3600 * SEC};
                        SimVm *vm = start(&sim, &hands[h], ramp, &load);

                        sim_run(&sim, 60 * SEC);
                        print_message("%" PRIu64 " MiB/s, ", rates[i]);
                        show(hands[h].name, vm);
                        assert_int_equal(vm->guest.oom_kills, 0);
                        assert_int_equal(vm->guest.anon_bytes, 1536 * MIB);
                }
}

/* After the load: at least 80 % comes back, and then nothing moves. */
static void test_idle_shrink(void **state) {
        static Sim sim;
        const Ramp load = {50 * MIB, 1536 * MIB, 100 * MIB, 5 * SEC, 40 * SEC};

        for (size_t h = 0; h < ELEMENTSOF(hands); h++) {
                SimVm *vm = start(&sim, &hands[h], ramp, &load);
                uint64_t peak, back, end_usec;

                sim_run(&sim, 40 * SEC);
                peak = memory_model_size_bytes(&vm->guest.model);
                sim_run(&sim, (40 + 60) * SEC);
                show(hands[h].name, vm);
                back = peak - memory_model_size_bytes(&vm->guest.model);
                assert_non_null(sim_last(vm, DECISION_SHRINK));
                end_usec = sim_last(vm, DECISION_SHRINK)->closed_usec;
                print_message("        %" PRIu64 " of %" PRIu64 " MiB back\n", back / MIB,
                              (peak - 512 * MIB) / MIB);
                assert_true(back >= u64_percent(peak - 512 * MIB, 80));

                sim_run(&sim, 300 * SEC);
                assert_true(end_usec <= 80 * SEC);
                assert_int_equal(sim_count(vm, DECISION_GROW, end_usec), 0);
                assert_int_equal(sim_reversals(vm, end_usec + 1), 0);
                assert_int_equal(sim_count(vm, DECISION_SHRINK, end_usec + 1), 0);
                assert_int_equal(vm->guest.oom_kills, 0);
        }
}

/* Cache in the way: it is reclaimed first, and what does not come free is left alone. */
static void test_cache(void **state) {
        static Sim sim;
        const Ramp load = {100 * MIB, 100 * MIB, MIB, 0, 0};
        const SimGuestConfig guest = {
                .boot_bytes = 2 * GIB,
                .has_balloon = true,
                .cache_bytes = 1600 * MIB,
                .load = ramp,
                .load_argument = &load,
        };
        SimVm *vm;

        sim_init(&sim);
        vm = sim_add(&sim, &guest, 512 * MIB, 2 * GIB);
        sim_run(&sim, 120 * SEC);
        show("cache", vm);
        assert_true(memory_model_size_bytes(&vm->guest.model) < GIB);
        assert_int_equal(vm->guest.psi_usec, 0);
        assert_int_equal(sim_count(vm, DECISION_GROW, 0), 0);
}

/* A load that comes and goes within the calm is not followed; one that is slower is followed, once per period. */
static void test_sawtooth(void **state) {
        static const uint64_t periods[] = {6, 10, 20, 60};
        static Sim sim;

        for (size_t h = 0; h < ELEMENTSOF(hands); h++)
                for (size_t i = 0; i < ELEMENTSOF(periods); i++) {
                        const Saw load = {100 * MIB, 600 * MIB, periods[i] * SEC};
                        SimVm *vm = start(&sim, &hands[h], saw, &load);

                        sim_run(&sim, 600 * SEC);
                        print_message("every %" PRIu64 " s, ", periods[i]);
                        show(hands[h].name, vm);
                        assert_int_equal(vm->guest.oom_kills, 0);
                        assert_true(sim_reversals(vm, 0) <=
                                    (periods[i] <= 10 ? 2U : 2 * 600 / (unsigned) periods[i]));
                }
}

/* The same with the holds of the defaults: a minute of calm, two after a grow. */
static void test_sawtooth_by_default(void **state) {
        static Sim sim;

        for (size_t h = 0; h < ELEMENTSOF(hands); h++) {
                const Saw load = {100 * MIB, 600 * MIB, 30 * SEC};
                SimVm *vm = start(&sim, &hands[h], saw, &load);

                sim.arbiter.calm_before_shrink_usec = 60 * SEC;
                sim.arbiter.hold_after_grow_usec = 120 * SEC;
                sim.arbiter.hold_after_refusal_usec = 60 * SEC;
                sim_run(&sim, 1800 * SEC);
                show(hands[h].name, vm);
                assert_int_equal(sim_count(vm, DECISION_SHRINK, 60 * SEC), 0);
                assert_int_equal(vm->guest.oom_kills, 0);
        }
}

static const Decision *closed_with(const SimVm *vm, uint64_t id) {
        for (unsigned i = 0; i < vm->n_decisions; i++)
                if (vm->decisions[i].id == id)
                        return &vm->decisions[i];
        return NULL;
}

/* A load of 300 MiB/s starts after_ms into the first shrink. Returns what became of that shrink. */
static DecisionResult disturb(Sim *sim, const struct Hand *hand, uint64_t after_ms) {
        Ramp load = {50 * MIB, 1536 * MIB, 100 * MIB, 5 * SEC, 40 * SEC};
        SimVm *vm = start(sim, hand, ramp, &load);
        const Decision *shrink;
        uint64_t id, before;

        while (!resize_is_open(&vm->resize) || vm->resize.growing || sim->now_usec < 40 * SEC)
                sim_run(sim, sim->now_usec + SIM_TICK_USEC);
        id = vm->resize.decision.id;
        before = memory_model_size_bytes(&vm->resize.original);
        load = (Ramp){50 * MIB, 1400 * MIB, 300 * MIB, sim->now_usec + after_ms * USEC_PER_MSEC, 3600 * SEC};

        while (resize_is_open(&vm->resize) && vm->resize.decision.id == id)
                sim_run(sim, sim->now_usec + SIM_TICK_USEC);
        shrink = closed_with(vm, id);
        sim_run(sim, sim->now_usec + 2 * SEC);
        if (shrink->result == RESULT_VETOED)
                assert_true(memory_model_size_bytes(&vm->guest.model) >= before);
        sim_run(sim, sim->now_usec + 20 * SEC);
        assert_int_equal(vm->guest.oom_kills, 0);
        assert_int_equal(vm->guest.anon_bytes, 1400 * MIB);
        return shrink->result;
}

/* A load starts while a shrink is under way, at any moment of it: stopped, given back, survived. */
static void test_veto(void **state) {
        static Sim sim;

        for (size_t h = 0; h < ELEMENTSOF(hands); h++) {
                unsigned n[DECISION_RESULT_MAX] = {};

                for (uint64_t after_ms = 0; after_ms < 3000; after_ms += 50)
                        n[disturb(&sim, &hands[h], after_ms)]++;
                print_message("%s: %u vetoed, %u ended by a refusal, %u done\n", hands[h].name,
                              n[RESULT_VETOED], n[RESULT_PARTIAL] + n[RESULT_REFUSED], n[RESULT_DONE]);
                assert_true(n[RESULT_VETOED] >= 20);
                assert_int_equal(n[RESULT_TIMEOUT] + n[RESULT_SILENT] + n[RESULT_FAILED] + n[RESULT_LOST], 0);
        }
}

/* Two to eight guests that want more than there is, one that lies, one that falls silent. */
static void test_budget(void **state) {
        static const Walk walks[8] = {
                {1, 1400 * MIB}, {2, 900 * MIB},  {3, 1800 * MIB}, {4, 700 * MIB},
                {5, 300 * MIB},  {6, 1600 * MIB}, {7, 1200 * MIB}, {8, 1000 * MIB},
        };
        static Sim sim;

        for (unsigned n = 2; n <= ELEMENTSOF(walks); n++) {
                sim_init(&sim);
                sim.budget_bytes = n * 1100 * MIB;
                for (unsigned i = 0; i < n; i++) {
                        SimGuestConfig guest = hands[i % ELEMENTSOF(hands)].guest;

                        /* What a balloon gives on OOM was given away when the VM was started: no grant can bound it. */
                        guest.balloon_in_total = false;

                        guest.load = walk;
                        guest.load_argument = &walks[i];
                        guest.character = i == 1 ? SIM_LIAR : i == 2 ? SIM_SILENT : SIM_HONEST;
                        guest.silent_from_usec = 30 * SEC;
                        (void) sim_add(&sim, &guest, 512 * MIB, 3 * GIB);
                }
                sim_run(&sim, 300 * SEC);

                print_message("%u guests: budget %" PRIu64 " MiB, committed at most %" PRIu64
                              ", in use at most %" PRIu64 "\n",
                              n, sim.budget_bytes / MIB, sim.worst_committed_bytes / MIB,
                              sim.worst_size_bytes / MIB);
                assert_true(sim.worst_committed_bytes <= sim.budget_bytes);
                assert_true(sim.worst_size_bytes <= sim.budget_bytes);
                assert_true(sim.worst_committed_bytes >= u64_percent(sim.budget_bytes, 90));
                for (unsigned i = 0; i < n; i++) {
                        assert_true(memory_model_size_bytes(&sim.vms[i].guest.model) <= 3 * GIB);
                        assert_true(memory_model_size_bytes(&sim.vms[i].guest.model) >= 512 * MIB);
                }
        }
}

/* A liar takes its max, and the neighbour's min and size stay as they are. */
static void test_liar(void **state) {
        static Sim sim;
        const Ramp load = {50 * MIB, 700 * MIB, 100 * MIB, 5 * SEC, 3600 * SEC};
        SimGuestConfig liar = hands[0].guest, honest = hands[0].guest;
        SimVm *a, *b;

        sim_init(&sim);
        sim.budget_bytes = 4 * GIB;
        liar.character = SIM_LIAR;
        honest.load = ramp;
        honest.load_argument = &load;
        a = sim_add(&sim, &liar, 512 * MIB, 2 * GIB);
        b = sim_add(&sim, &honest, 512 * MIB, 2 * GIB);
        sim_run(&sim, 60 * SEC);
        show("liar", a);
        show("honest", b);
        assert_int_equal(memory_model_size_bytes(&a->guest.model), 2 * GIB);
        assert_int_equal(b->guest.oom_kills, 0);
        assert_int_equal(b->guest.anon_bytes, 700 * MIB);
        assert_true(sim.worst_size_bytes <= 4 * GIB);
}

/* Silence at any moment never shrinks: before a shrink, and from within one all that was taken comes back. */
static void test_silence(void **state) {
        static Sim sim;
        unsigned n_silent = 0;

        for (size_t h = 0; h < ELEMENTSOF(hands); h++)
                for (uint64_t ms = 40000; ms <= 60000; ms += 170) {
                        const Ramp load = {50 * MIB, 1536 * MIB, 100 * MIB, 5 * SEC, 40 * SEC};
                        SimVm *vm = start(&sim, &hands[h], ramp, &load);
                        uint64_t size;
                        unsigned commands, decisions;
                        bool shrinking;

                        vm->guest.config.character = SIM_SILENT;
                        vm->guest.config.silent_from_usec = ms * USEC_PER_MSEC;
                        sim_run(&sim, ms * USEC_PER_MSEC);
                        shrinking = resize_is_open(&vm->resize) && !vm->resize.growing;
                        size = memory_model_size_bytes(&vm->guest.model);
                        commands = vm->n_commands;
                        sim_run(&sim, ms * USEC_PER_MSEC + 10 * SEC);
                        decisions = vm->n_decisions;
                        sim_run(&sim, ms * USEC_PER_MSEC + 120 * SEC);
                        assert_int_equal(vm->n_decisions, decisions); /* nor is it asked */
                        assert_false(resize_is_open(&vm->resize));
                        assert_true(memory_model_size_bytes(&vm->guest.model) + 64 * MIB >= size);
                        if (!shrinking) {
                                assert_int_equal(memory_model_size_bytes(&vm->guest.model), size);
                                assert_int_equal(vm->n_commands, commands);
                        } else if (sim_last(vm, DECISION_SHRINK)->result == RESULT_SILENT) {
                                n_silent++;
                                assert_true(memory_model_size_bytes(&vm->guest.model) >
                                            sim_last(vm, DECISION_SHRINK)->inputs.size_bytes - MIB);
                        }
                }
        print_message("%u fell silent in a step\n", n_silent);
        assert_true(n_silent >= 40);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ramp),
                cmocka_unit_test(test_idle_shrink),
                cmocka_unit_test(test_cache),
                cmocka_unit_test(test_sawtooth),
                cmocka_unit_test(test_sawtooth_by_default),
                cmocka_unit_test(test_veto),
                cmocka_unit_test(test_budget),
                cmocka_unit_test(test_liar),
                cmocka_unit_test(test_silence),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
