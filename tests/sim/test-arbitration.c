/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Many guests under one budget: what no order of events may break is checked at each tick of 5 ms, and what the whole is
 * for at the end of each scenario, beside the same loads in guests with equal static shares.
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

/* base, and top from a moment on until another, reached at rate. */
typedef struct Peak {
        uint64_t base, top, rate, from_usec, until_usec;
} Peak;

static uint64_t peak(const void *argument, uint64_t now_usec) {
        const Peak *p = argument;

        if (now_usec < p->from_usec || now_usec >= p->until_usec)
                return p->base;
        return u64_min(p->top, p->base + u64_scale(now_usec - p->from_usec, p->rate, SEC));
}

static uint64_t mixed(uint64_t x) {
        x *= UINT64_C(0x9E3779B97F4A7C15);
        return x ^ x >> 29;
}

/* Somewhere else each period, at up to 200 MiB/s, until it comes to rest. */
typedef struct Walk {
        uint64_t seed, most, period_usec, rest_usec;
} Walk;

static uint64_t walk(const void *argument, uint64_t now_usec) {
        const Walk *w = argument;
        uint64_t at_usec = u64_min(now_usec, w->rest_usec), n = at_usec / w->period_usec;
        uint64_t from = 48 * MIB + (n == 0 ? 0 : mixed(w->seed + n) % w->most),
                 to = 48 * MIB + mixed(w->seed + n + 1) % w->most;
        uint64_t moved = u64_scale(at_usec % w->period_usec, 200 * MIB, SEC);

        return from < to ? u64_min(from + moved, to) : u64_max(u64_sub(from, moved), to);
}

static const SimGuestConfig small = {.boot_bytes = 512 * MIB, .device_bytes = 2 * GIB};

static uint64_t size_of(const SimVm *vm) {
        return memory_model_size_bytes(&vm->guest.model);
}

static SimVm *add(Sim *sim, SimLoad load, const void *argument) {
        SimGuestConfig guest = small;

        guest.load = load;
        guest.load_argument = argument;
        return sim_add(sim, &guest, 512 * MIB, 2560 * MIB);
}

/* By scarcity alone, with the holds of the defaults unless short: those of the tests in real guests. */
static void begin(Sim *sim, uint64_t budget_bytes, bool quick) {
        sim_init(sim);
        sim->budget_bytes = budget_bytes;
        sim->arbiter.shrink_idle = false;
        if (!quick) {
                sim->arbiter.calm_before_shrink_usec = 60 * SEC;
                sim->arbiter.hold_after_grow_usec = 120 * SEC;
                sim->arbiter.hold_after_refusal_usec = 60 * SEC;
        }
}

/* -- what holds at each tick ----------------------------------------------------------------------- */

static uint64_t last_ids[SIM_VMS_MAX];

static bool somebody_waits_from(const Sim *sim, unsigned rank) {
        for (unsigned i = 0; i < sim->n_vms; i++)
                if (sim->vms[i].round.waits && vm_class_rank(sim->vms[i].vm_class) >= rank)
                        return true;
        return false;
}

/* A resize that has just begun. */
static void check_begun(const Sim *sim, const SimVm *vm) {
        const Decision *decision = &vm->resize.decision;
        bool silent = vm->guest.config.character == SIM_SILENT &&
                      sim->now_usec > vm->guest.config.silent_from_usec + 4 * SEC;

        assert_false(silent); /* silence moves nothing */
        if (decision->kind != DECISION_SHRINK)
                return;
        assert_int_equal(vm->last.demand.urgency, URGENCY_NONE); /* never of one that is in need itself */
        assert_true(size_of(vm) - decision->wanted_bytes >= vm->min_bytes);
        assert_true(vm->last_grow_usec == 0 ||
                    sim->now_usec - vm->last_grow_usec >= sim->arbiter.hold_after_grow_usec);
        if (decision->rule == RULE_SHRINK_DONOR)
                assert_true(somebody_waits_from(sim, vm_class_rank(vm->vm_class)));
}

static void check(Sim *sim) {
        uint64_t size = 0;

        assert_true(sim_committed_sum(sim) <= sim->budget_bytes);
        for (unsigned i = 0; i < sim->n_vms; i++) {
                const SimVm *vm = &sim->vms[i];

                size += size_of(vm);
                assert_in_range(size_of(vm), vm->min_bytes, vm->max_bytes);
                if (resize_is_open(&vm->resize) && vm->resize.decision.id != last_ids[i])
                        check_begun(sim, vm);
                last_ids[i] = vm->resize.decision.id;
        }
        assert_true(size <= sim->budget_bytes);
}

static void run(Sim *sim, uint64_t until_usec) {
        while (sim->now_usec < until_usec) {
                sim_run(sim, sim->now_usec + SIM_TICK_USEC);
                check(sim);
        }
}

static unsigned kills(const Sim *sim) {
        unsigned n = 0;

        for (unsigned i = 0; i < sim->n_vms; i++)
                n += sim->vms[i].guest.oom_kills;
        return n;
}

/* The same guests with an equal part of the budget each, which nothing changes. Returns how many were killed. */
static unsigned static_kills(const Sim *with, uint64_t until_usec) {
        static Sim sim;

        begin(&sim, with->budget_bytes, true);
        for (unsigned i = 0; i < with->n_vms; i++) {
                SimGuestConfig guest = with->vms[i].guest.config;
                uint64_t share = with->budget_bytes / with->n_vms;

                guest.boot_bytes = share;
                guest.device_bytes = 0;
                guest.character = SIM_HONEST;
                (void) sim_add(&sim, &guest, share, share);
        }
        sim_run(&sim, until_usec);
        return kills(&sim);
}

static unsigned count_rule(const Sim *sim, DecisionRule rule) {
        unsigned n = 0;

        for (unsigned i = 0; i < sim->n_vms; i++)
                for (unsigned k = 0; k < sim->vms[i].n_decisions; k++)
                        n += sim->vms[i].decisions[k].rule == rule;
        return n;
}

static void show(const char *name, const Sim *sim) {
        print_message(
                "%s: %u killed; %u grows by alarm, %u by donors, %u shrinks for donors, %u for the pool; "
                "committed at most %" PRIu64 " of %" PRIu64 " MiB\n",
                name, kills(sim), count_rule(sim, RULE_GROW_ALARM), count_rule(sim, RULE_GROW_DONOR),
                count_rule(sim, RULE_SHRINK_DONOR), count_rule(sim, RULE_SHRINK_SCARCITY),
                sim->worst_committed_bytes / MIB, sim->budget_bytes / MIB);
}

/* -- scenarios ------------------------------------------------------------------------------------- */

/* Two busy by day, two by night, on what holds two peaks: equal shares kill them all. */
static void test_day_and_night(void **state) {
        static const Peak day = {50 * MIB, 900 * MIB, 50 * MIB, 20 * SEC, 90 * SEC},
                          night = {50 * MIB, 900 * MIB, 50 * MIB, 300 * SEC, 370 * SEC};
        static Sim sim;

        for (unsigned i = 0; i < 4; i++) {
                bool quick = i % 2, pool = i < 2;

                begin(&sim, 3900 * MIB, quick);
                sim.pool_bytes = pool ? UINT64_MAX : 0;
                for (unsigned k = 0; k < 4; k++)
                        (void) add(&sim, peak, k < 2 ? &day : &night);
                run(&sim, 80 * SEC);
                assert_int_equal(sim.vms[0].guest.anon_bytes, 900 * MIB);
                assert_int_equal(sim.vms[1].guest.anon_bytes, 900 * MIB);
                run(&sim, 360 * SEC);
                assert_int_equal(sim.vms[2].guest.anon_bytes, 900 * MIB);
                assert_int_equal(sim.vms[3].guest.anon_bytes, 900 * MIB);
                show("day and night", &sim);
                assert_int_equal(kills(&sim), 0);
                assert_true(count_rule(&sim, RULE_SHRINK_DONOR) > 0 && count_rule(&sim, RULE_GROW_DONOR) > 0);
                assert_true((count_rule(&sim, RULE_SHRINK_SCARCITY) > 0) == pool);
                assert_int_equal(count_rule(&sim, RULE_SHRINK_IDLE), 0);
                assert_int_equal(static_kills(&sim, 360 * SEC), 4);
        }
}

/* All at once, on what holds half of it: the critical are served, whatever their place in the list. */
static void test_correlated_spike(void **state) {
        static const Peak spike = {50 * MIB, 800 * MIB, 150 * MIB, 20 * SEC, 60 * SEC};
        static Sim sim;

        for (unsigned place = 0; place < 7; place++) {
                begin(&sim, 6000 * MIB, true);
                for (unsigned i = 0; i < 8; i++) {
                        SimVm *vm = add(&sim, peak, &spike);

                        if (i == place || i == place + 1)
                                vm->vm_class = VM_CLASS_CRITICAL;
                        else if (i % 2 == 0)
                                vm->vm_class = VM_CLASS_BATCH;
                }
                run(&sim, 58 * SEC);
                show("spike", &sim);
                for (unsigned i = place; i < place + 2; i++) {
                        assert_int_equal(sim.vms[i].guest.oom_kills, 0);
                        assert_int_equal(sim.vms[i].guest.anon_bytes, 800 * MIB);
                }
                assert_true(sim.worst_committed_bytes >= u64_percent(sim.budget_bytes, 85));
        }
}

/* One cries for ever and one falls silent: the others get what is theirs, and more when there is more. */
static void test_liar_and_silent(void **state) {
        static const Peak load = {50 * MIB, 600 * MIB, 100 * MIB, 30 * SEC, 3600 * SEC};
        static Sim sim;
        uint64_t silent_size;

        begin(&sim, 5 * 1100 * MIB, true);
        for (unsigned i = 0; i < 5; i++)
                (void) add(&sim, peak, &load);
        sim.vms[0].guest.config.character = SIM_LIAR;
        sim.vms[1].guest.config.character = SIM_SILENT;
        sim.vms[1].guest.config.silent_from_usec = 10 * SEC;
        run(&sim, 25 * SEC);
        silent_size = size_of(&sim.vms[1]);
        run(&sim, 200 * SEC);
        show("liar and silent", &sim);
        print_message("        the liar has %" PRIu64 " MiB of a share of %" PRIu64 "\n",
                      size_of(&sim.vms[0]) / MIB, sim.vms[0].round.fair_bytes / MIB);
        for (unsigned i = 2; i < 5; i++) {
                assert_int_equal(sim.vms[i].guest.oom_kills, 0);
                assert_int_equal(sim.vms[i].guest.anon_bytes, 600 * MIB);
        }
        assert_int_equal(size_of(&sim.vms[1]), silent_size);
        /* 588 MiB of their shares the other four had not used when it took: half of that was left to them. */
        assert_true(size_of(&sim.vms[0]) <= (5500 - 4 * 512 - 4 * 588 / 2) * MIB);
}

/* Twelve walk about on 60 % of what they could have together, a liar and a silent one among them, and the host stalls. */
static void test_mixed(void **state) {
        static const VmClass classes[] = {VM_CLASS_NORMAL, VM_CLASS_CRITICAL, VM_CLASS_NORMAL,
                                          VM_CLASS_BATCH};
        static Walk walks[12];
        static Sim sim;
        unsigned n_killed[VM_CLASS_MAX] = {0}, n_static;

        for (unsigned seed = 1; seed <= 4; seed++) {
                begin(&sim, 12 * 2560 * MIB * 60 / 100, true);
                for (unsigned i = 0; i < ELEMENTSOF(walks); i++) {
                        SimVm *vm;

                        walks[i] = (Walk){100 * seed + 7 * i, 1800 * MIB, 20 * SEC, 3600 * SEC};
                        vm = add(&sim, walk, &walks[i]);
                        vm->vm_class = classes[i % ELEMENTSOF(classes)];
                        vm->shares = 50 + 50 * (i % 3);
                }
                sim.vms[4].guest.config.character = SIM_LIAR;
                sim.vms[6].guest.config.character = SIM_SILENT;
                sim.vms[6].guest.config.silent_from_usec = 60 * SEC;
                run(&sim, 150 * SEC);
                sim.pressed = true;
                run(&sim, 160 * SEC);
                sim.pressed = false;
                run(&sim, 300 * SEC);
                show("mixed", &sim);
                n_static = static_kills(&sim, 300 * SEC);
                assert_true(kills(&sim) < n_static);
                for (unsigned i = 0; i < sim.n_vms; i++)
                        if (i != 4 && i != 6)
                                n_killed[sim.vms[i].vm_class] += sim.vms[i].guest.oom_kills;
                print_message("        equal shares: %u killed\n", n_static);
        }
        print_message("of 12 critical %u killed, of 16 normal %u, of 12 batch %u\n",
                      n_killed[VM_CLASS_CRITICAL], n_killed[VM_CLASS_NORMAL], n_killed[VM_CLASS_BATCH]);
        assert_true(n_killed[VM_CLASS_CRITICAL] * 5 <= n_killed[VM_CLASS_BATCH]);
}

/* A host that stalls gives to the critical alone, and takes from the idle although its books say that there is enough. */
static void test_host_pressure(void **state) {
        static const Peak busy = {50 * MIB, 600 * MIB, 100 * MIB, 60 * SEC, 3600 * SEC},
                          was_busy = {50 * MIB, 900 * MIB, 100 * MIB, 5 * SEC, 25 * SEC};
        static Sim sim;
        uint64_t before;

        begin(&sim, 16 * GIB, true);
        (void) add(&sim, peak, &busy);
        add(&sim, peak, &busy)->vm_class = VM_CLASS_CRITICAL;
        (void) add(&sim, peak, &was_busy);
        run(&sim, 50 * SEC);
        before = size_of(&sim.vms[2]);
        sim.pressed = true;
        run(&sim, 70 * SEC);
        show("host pressure", &sim);
        assert_int_equal(sim.vms[1].guest.anon_bytes, 600 * MIB);
        assert_int_equal(sim_count(&sim.vms[0], DECISION_GROW, 0), 0);
        assert_true(count_rule(&sim, RULE_DENY_HOST_PRESSURE) > 0);
        assert_true(size_of(&sim.vms[2]) < before);
}

/* Loads that come to rest: so does everything else, and on the way there no VM swings more than once in 120 s. */
static void test_comes_to_rest(void **state) {
        static Walk walks[10];
        static Sim sim;

        for (unsigned seed = 1; seed <= 12; seed++) {
                unsigned late = 0;

                begin(&sim, (8000 + 500 * (seed % 5)) * MIB, false);
                sim.arbiter.shrink_idle = seed % 3 == 0;
                for (unsigned i = 0; i < ELEMENTSOF(walks); i++) {
                        walks[i] = (Walk){31 * seed + i, 900 * MIB, 25 * SEC, 100 * SEC};
                        add(&sim, walk, &walks[i])->shares = 1 + mixed(seed * i) % 200;
                }
                run(&sim, 1200 * SEC);
                for (unsigned i = 0; i < sim.n_vms; i++) {
                        const SimVm *vm = &sim.vms[i];
                        unsigned most = 1200 / 120;

                        assert_true(sim_reversals(vm, 0) <= most);
                        assert_int_equal(sim_reversals(vm, 400 * SEC), 0);
                        late += sim_count(vm, DECISION_GROW, 900 * SEC) +
                                sim_count(vm, DECISION_SHRINK, 900 * SEC);
                }
                print_message("seed %u: %u moves in the last 5 minutes, ", seed, late);
                show("rest", &sim);
                assert_int_equal(late, 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_day_and_night),   cmocka_unit_test(test_correlated_spike),
                cmocka_unit_test(test_liar_and_silent), cmocka_unit_test(test_mixed),
                cmocka_unit_test(test_host_pressure),   cmocka_unit_test(test_comes_to_rest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
