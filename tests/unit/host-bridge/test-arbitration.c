/* SPDX-License-Identifier: Apache-2.0 */

/* Rounds over more VMs than one slice holds: what else there is comes between, and what changes meanwhile is minded. */

#include "world.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/units.h"
#include "host-bridge/arbitration.h"

#define VMS   1000U
#define TURNS 3U
#define LOOK_USEC                                                                                            \
        200U /* from one look at the clock to the next at least: a slice has few VMs on the quickest machine too */

typedef struct Fixture {
        World world;
        Ledger ledger;
        VmEnv env;
        Arbitration *arbitration;
        Vm **vms;
        Vmm *hands;
        size_t n;
        unsigned n_walks, n_turns;
        sd_event_source *other; /* what else there is to do */
} Fixture;

static bool looks_take_time;
static uint64_t gone_usec;

uint64_t __real_clock_monotonic_usec(void);
uint64_t __wrap_clock_monotonic_usec(void);

/* Linked in the place of the real one (--wrap). */
uint64_t __wrap_clock_monotonic_usec(void) {
        if (looks_take_time)
                gone_usec += LOOK_USEC;
        return __real_clock_monotonic_usec() + gone_usec;
}

static Vmm *hand_free(Vmm *hand) {
        return NULL;
}

static int open_hand(const VmmAddress *address, const char *name, VmmOwner owner, void *userdata, Vmm **ret) {
        static const VmmOps ops = {.name = "test", .free = hand_free};
        Fixture *f = userdata;

        f->hands[f->n] = (Vmm){.ops = &ops, .handler = owner.handler, .userdata = owner.userdata};
        *ret = &f->hands[f->n];
        return 0;
}

static void walk(ArbitrationVisit visit, void *visit_userdata, void *userdata) {
        Fixture *f = userdata;

        f->n_walks++;
        for (size_t i = 0; i < f->n; i++)
                visit(f->vms[i], visit_userdata);
}

static void add_vm(Fixture *f) {
        static const VmPolicy adopted = {.controlled = true, .max_bytes = UINT64_MAX};
        const MemoryModel model = {.known = true,
                                   .boot_bytes = GIB,
                                   .n_virtio_mem = 1,
                                   .virtio_mem = {{.id = "vmem0", .max_bytes = GIB, .block_bytes = 2 * MIB}}};
        Vmm *hand = &f->hands[f->n];

        assert_int_equal(vm_new(&f->env, "a", &adopted, NULL, &(VmmAddress){.origin = VMM_ORIGIN_QMP},
                                &f->vms[f->n]),
                         0);
        hand->handler(hand, &(VmmEvent){.kind = VMM_MODEL, .model = &model}, hand->userdata);
        f->n++;
}

/* The last one ends. */
static void drop_vm(Fixture *f) {
        arbitration_abandon(f->arbitration);
        f->n--;
        f->vms[f->n] = vm_free(f->vms[f->n]);
}

/* Not for ever: a round that somebody wants comes when there is nothing else to do. */
static int on_other(sd_event_source *source, void *userdata) {
        Fixture *f = userdata;

        return ++f->n_turns == TURNS ? 0 : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        world_init(&f->world);
        f->vms = calloc(VMS + 1, sizeof(Vm *));
        f->hands = calloc(VMS + 1, sizeof(Vmm));
        assert_true(f->vms && f->hands);
        f->ledger.budget_bytes = VMS * GIB;
        f->env = (VmEnv){.event = f->world.event,
                         .session = session_defaults,
                         .ledger = &f->ledger,
                         .open_vmm = open_hand,
                         .userdata = f};
        assert_int_equal(arbitration_new(f->world.event,
                                         &(ArbitrationOptions){.env = &f->env,
                                                               .pool_bytes = UINT64_MAX,
                                                               .walk = walk,
                                                               .userdata = f},
                                         &f->arbitration),
                         0);
        assert_true(sd_event_add_defer(f->world.event, &f->other, on_other, f) >= 0);
        while (f->n < VMS)
                add_vm(f);
        gone_usec = 0;
        looks_take_time = true;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        looks_take_time = false;
        (void) arbitration_free(f->arbitration);
        while (f->n > 0)
                (void) vm_free(f->vms[--f->n]);
        (void) sd_event_source_disable_unref(f->other);
        free(f->vms);
        free(f->hands);
        world_done(&f->world);
        free(f);
        return 0;
}

/* Whether it has the share that a round over all of them finds now. */
static bool is_served(const Fixture *f, size_t i) {
        VmSnapshot snapshot;

        vm_snapshot(f->vms[i], world_now(), &snapshot);
        return snapshot.fair_bytes == f->ledger.budget_bytes / f->n;
}

static bool one_is_served(void *userdata) {
        return is_served(userdata, 0);
}

/* They have their turns in the order of the walk, so that the last one mostly says it. */
static bool all_are_served(void *userdata) {
        const Fixture *f = userdata;

        for (size_t i = f->n; i > 0; i--)
                if (!is_served(f, i - 1))
                        return false;
        return true;
}

static void test_goes_in_slices(void **state) {
        Fixture *f = *state;

        arbitration_run(f->arbitration);
        assert_false(one_is_served(f)); /* the first slice is not the round */
        assert_true(world_run(&f->world, all_are_served, f, 10000));
        assert_int_equal(f->n_turns, TURNS);
        assert_int_equal(f->n_walks, 1);

        /* The next one needs no list, and sees what has changed. */
        f->ledger.budget_bytes = VMS * GIB / 2;
        arbitration_run(f->arbitration);
        assert_true(world_run(&f->world, all_are_served, f, 10000));
        assert_int_equal(f->n_walks, 1);
}

/* Asked for while one is under way, another follows by itself, with what holds then. */
static void test_wanted_meanwhile(void **state) {
        Fixture *f = *state;

        arbitration_run(f->arbitration);
        assert_true(world_run(&f->world, one_is_served, f, 10000));
        assert_false(all_are_served(f));
        f->ledger.budget_bytes = VMS * GIB / 2;
        arbitration_soon(f->arbitration);
        assert_true(world_run(&f->world, all_are_served, f, 10000));
}

static void test_vms_come_and_go_meanwhile(void **state) {
        Fixture *f = *state;

        arbitration_run(f->arbitration);
        drop_vm(f);
        assert_true(world_run(&f->world, one_is_served, f, 10000));
        assert_false(all_are_served(f));
        drop_vm(f);
        assert_true(world_run(&f->world, all_are_served, f, 10000));
        assert_int_equal(f->n_walks, 3); /* each time they were looked for anew */

        add_vm(f);
        arbitration_renew(f->arbitration);
        f->ledger.budget_bytes /= 2;
        arbitration_run(f->arbitration);
        assert_true(world_run(&f->world, all_are_served, f, 10000));
}

#define round_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                round_test(test_goes_in_slices),
                round_test(test_wanted_meanwhile),
                round_test(test_vms_come_and_go_meanwhile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
