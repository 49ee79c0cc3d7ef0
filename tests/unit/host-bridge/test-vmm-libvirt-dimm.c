/* SPDX-License-Identifier: Apache-2.0 */

/* A DIMM through libvirt: which calls, and the one outcome, whatever libvirtd and the guest say. */

#include "libvirt-fixture.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"

static const PlanStep plug = {.actuator = ACTUATOR_DIMM, .to_bytes = 256 * MIB};
static const PlanStep pull = {.actuator = ACTUATOR_DIMM, .from_bytes = 256 * MIB};

static void assert_log(const char *expected) {
        char log[sizeof(libvirtd.log)];

        fake_libvirtd_lock();
        memcpy(log, libvirtd.log, sizeof(log));
        fake_libvirtd_unlock();
        assert_string_equal(log, expected);
}

static void put_dimm(unsigned i) {
        fake_libvirtd_lock();
        memory_model_set_dimm(&libvirtd.domains[i].model, 0, 256 * MIB);
        fake_libvirtd_unlock();
}

static Hand *connected_with_dimm(Fixture *f) {
        put_dimm(0);
        return libvirt_connected(f, 0);
}

/* After ms the monitor has been told. */
static Hand *pull_begins(Fixture *f, unsigned ms) {
        Hand *hand = connected_with_dimm(f);

        assert_int_equal(vmm_command(hand->vmm, 7, &pull), 0);
        world_idle(&f->world, ms);
        return hand;
}

static void refuse(const char *words) {
        fake_libvirtd_lock();
        libvirtd.refuse_command = words;
        fake_libvirtd_unlock();
}

static void test_plug(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        assert_int_equal(vmm_command(hand->vmm, 7, &plug), 0);
        assert_false(hand_is_answered(hand)); /* never from inside the call */
        assert_true(world_run(&f->world, hand_is_answered, hand, 5000));
        assert_int_equal(hand->accepted_id, 7);
        world_idle(&f->world, 20);
        assert_log("plug 0 256");
        assert_int_equal(hand->model.dimm[0].size_bytes, 256 * MIB);
        assert_int_equal(memory_model_balloon_bytes(&hand->model), 256 * MIB);
}

static void test_refused_plug(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        refuse("no slots\n");
        assert_int_equal(vmm_command(hand->vmm, 7, &plug), 0);
        assert_true(world_run(&f->world, hand_is_answered, hand, 5000));
        assert_int_equal(hand->rejected_id, 7);
        assert_string_equal(hand->text, "no slots?");
        world_idle(&f->world, 20);
        assert_int_equal(hand->model.dimm[0].size_bytes, 0);
}

static void test_bounds(void **state) {
        static const struct {
                PlanStep step;
                int r;
        } rows[] = {
                {{ACTUATOR_DIMM, MEMORY_MODEL_DIMMS_MAX, 0, 256 * MIB}, -ENODEV},
                {{ACTUATOR_DIMM, 0, 0, UINT64_MAX}, -ERANGE},
                {{ACTUATOR_DIMM, 0, 256 * MIB, 0}, 0}, /* from here on it is being pulled */
                {{ACTUATOR_DIMM, 0, 256 * MIB, 0}, -EBUSY},
                {{ACTUATOR_DIMM, 1, 0, 256 * MIB}, -EBUSY},
                {{ACTUATOR_DIMM, 0, 0, 256 * MIB}, 0},
                {{ACTUATOR_DIMM, 0, 0, 256 * MIB}, -EBUSY},
        };
        Fixture *f = *state;
        Hand *hand = connected_with_dimm(f);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (vmm_command(hand->vmm, i, &rows[i].step) != rows[i].r)
                        fail_msg("row %zu", i);
        hand->vmm = vmm_free(hand->vmm); /* in the middle of it */
}

/* By a value that is right with the DIMM; by one without it the balloon would take its size from the guest. */
static void test_balloon_beside_a_plug(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);
        const PlanStep inflate = {.actuator = ACTUATOR_BALLOON, .to_bytes = 100 * MIB};
        char last[sizeof(libvirtd.last)];

        assert_int_equal(vmm_command(hand->vmm, 7, &plug), 0);
        assert_int_equal(vmm_command(hand->vmm, 8, &inflate), 0);
        assert_true(world_run(&f->world, hand_is_answered_twice, hand, 5000));
        assert_int_equal(hand->accepted_id, 8);
        fake_libvirtd_lock();
        memcpy(last, libvirtd.last, sizeof(last));
        fake_libvirtd_unlock();
        assert_string_equal(last, "balloon 0 700448768"); /* 668 MiB */
}

typedef enum Answer {
        ANSWER_LETS_GO,
        ANSWER_LETS_GO_UNHEARD, /* the event is lost */
        ANSWER_KEEPS,
        ANSWER_REFUSED,
        ANSWER_MISSING,
        ANSWER_SILENCE,
} Answer;

static void give(Answer answer) {
        switch (answer) {

        case ANSWER_LETS_GO:
                fake_libvirtd_let_go(0);
                return;

        case ANSWER_LETS_GO_UNHEARD:
        case ANSWER_MISSING:
                fake_libvirtd_lock();
                memory_model_set_dimm(&libvirtd.domains[0].model, 0, 0);
                fake_libvirtd_unlock();
                return;

        case ANSWER_KEEPS:
                fake_libvirtd_keep(0);
                return;

        case ANSWER_REFUSED:
        case ANSWER_SILENCE:
                return;
        }
}

static void test_pull(void **state) {
        static const struct {
                Answer answer;
                const char *text;
        } rows[] = {
                {ANSWER_LETS_GO, ""},
                {ANSWER_LETS_GO_UNHEARD, ""},
                {ANSWER_KEEPS, "the guest keeps the DIMM"},
                {ANSWER_REFUSED, "busy"},
                {ANSWER_MISSING, ""},
                {ANSWER_SILENCE, "the guest neither lets go of the DIMM nor refuses to"},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                bool gone = rows[i].text[0] == '\0';
                Fixture *f;
                Hand *hand;

                assert_int_equal(libvirt_setup(state), 0);
                f = *state;
                hand = connected_with_dimm(f);
                fake_libvirtd_lock();
                libvirtd.pull_missing = rows[i].answer == ANSWER_MISSING;
                fake_libvirtd_unlock();
                refuse(rows[i].answer == ANSWER_REFUSED ? "busy" : NULL);
                if (rows[i].answer == ANSWER_MISSING)
                        give(ANSWER_MISSING);
                assert_int_equal(vmm_command(hand->vmm, 7, &pull), 0);
                world_idle(&f->world, 15);
                give(rows[i].answer);
                assert_true(world_run(&f->world, hand_is_answered, hand, 5000));
                world_idle(&f->world, 30);
                assert_log("pull 0 0");
                assert_string_equal(hand->text, rows[i].text);
                assert_int_equal(hand->n[VMM_ACCEPTED], gone);
                assert_int_equal(hand->n[VMM_REJECTED], !gone);
                assert_int_equal(hand->model.dimm[0].size_bytes, gone ? 0 : 256 * MIB);
                assert_int_equal(hand->n[VMM_LOST], 0);
                assert_int_equal(libvirt_teardown(state), 0);
        }
}

/* QEMU has none of it any more, and libvirt counts it still: no reading may say that the balloon has grown. */
static void test_no_reading_between(void **state) {
        Fixture *f = *state;
        Hand *hand = pull_begins(f, 30);

        fake_libvirtd_lock();
        libvirtd.domains[0].model.balloon_actual_bytes -= 256 * MIB;
        fake_libvirtd_unlock();
        fake_libvirtd_say(LIBVIRT_SIZE, "0");
        world_idle(&f->world, 50);
        assert_int_equal(memory_model_balloon_bytes(&hand->model), 256 * MIB);
        fake_libvirtd_lock();
        libvirtd.domains[0].model.balloon_actual_bytes += 256 * MIB;
        fake_libvirtd_unlock();
        fake_libvirtd_let_go(0);
        assert_true(world_run(&f->world, hand_is_answered, hand, 5000));
        world_idle(&f->world, 20);
        assert_int_equal(memory_model_balloon_bytes(&hand->model), 256 * MIB);
        assert_int_equal(hand->model.dimm_bytes, 0);
}

/* A veto gives back what is just being pulled: whatever became of that, the DIMM is there in the end. */
static void test_plug_after_pull(void **state) {
        for (unsigned keeps = 0; keeps < 2; keeps++) {
                Fixture *f;
                Hand *hand;

                assert_int_equal(libvirt_setup(state), 0);
                f = *state;
                hand = connected_with_dimm(f);
                assert_int_equal(vmm_command(hand->vmm, 7, &pull), 0);
                assert_int_equal(vmm_command(hand->vmm, 8, &plug), 0);
                world_idle(&f->world, 15);
                assert_log("pull 0 0");
                give(keeps ? ANSWER_KEEPS : ANSWER_LETS_GO);
                assert_true(world_run(&f->world, hand_is_answered_twice, hand, 5000));
                world_idle(&f->world, 20);
                assert_int_equal(hand->accepted_id, 8);
                assert_int_equal(hand->n[VMM_REJECTED], keeps);
                assert_log("pull 0 0, plug 0 256");
                assert_int_equal(hand->model.dimm[0].size_bytes, 256 * MIB);
                assert_int_equal(libvirt_teardown(state), 0);
        }
}

static void test_freed_inside(void **state) {
        static const VmmEventKind kinds[] = {VMM_ACCEPTED, VMM_REJECTED};

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                Fixture *f;
                Hand *hand;

                assert_int_equal(libvirt_setup(state), 0);
                f = *state;
                hand = connected_with_dimm(f);
                hand->frees = true;
                hand->free_at = kinds[i];
                assert_int_equal(vmm_command(hand->vmm, 7, &pull), 0);
                world_idle(&f->world, 15);
                give(kinds[i] == VMM_ACCEPTED ? ANSWER_LETS_GO : ANSWER_KEEPS);
                assert_true(world_run(&f->world, hand_is_answered, hand, 5000));
                assert_null(hand->vmm);
                assert_int_equal(libvirt_teardown(state), 0);
        }
}

static void test_lost_while_it_is_pulled(void **state) {
        Fixture *f = *state;
        Hand *hand = pull_begins(f, 15);

        fake_libvirtd_say(LIBVIRT_CLOSED, "");
        assert_true(world_run(&f->world, hand_is_lost, hand, 5000));
        world_idle(&f->world, 250); /* longer than its timeout */
        assert_false(hand_is_answered(hand));
        assert_int_equal(hand->n[VMM_CONNECTED], 2);
}

#define libvirt_test(f) cmocka_unit_test_setup_teardown(f, libvirt_setup, libvirt_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                libvirt_test(test_plug),
                libvirt_test(test_refused_plug),
                libvirt_test(test_bounds),
                libvirt_test(test_balloon_beside_a_plug),
                cmocka_unit_test(test_pull),
                libvirt_test(test_no_reading_between),
                cmocka_unit_test(test_plug_after_pull),
                cmocka_unit_test(test_freed_inside),
                libvirt_test(test_lost_while_it_is_pulled),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
