/* SPDX-License-Identifier: Apache-2.0 */

/* Hints from uevents that umockdev sends, lost ones included. To be run under umockdev-wrapper. */

#include "agent/blocks/monitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libudev.h>
#include <string.h>
#include <umockdev.h>

#include "common/log.h"
#include "common/units.h"

typedef struct Stage {
        UMockdevTestbed *bed;
        RootDir *root;
        sd_event *event;
        BlockMonitor *monitor;
        unsigned n_hints, n_rescans, pause_after; /* so many hints; 0 = never */
        uint64_t sum;                             /* of the numbers hinted at */
} Stage;

static int lose_events; /* the next receive fails with this errno */

struct udev_device *__real_udev_monitor_receive_device(struct udev_monitor *monitor);
struct udev_device *__wrap_udev_monitor_receive_device(struct udev_monitor *monitor);

struct udev_device *__wrap_udev_monitor_receive_device(struct udev_monitor *monitor) {
        if (lose_events > 0) {
                errno = lose_events;
                lose_events = 0;
                return NULL;
        }
        return __real_udev_monitor_receive_device(monitor);
}

static void on_hint(BlockHint hint, uint64_t number, void *userdata) {
        Stage *stage = userdata;

        switch (hint) {
        case BLOCK_HINT_BLOCK:
                stage->n_hints++;
                stage->sum += number;
                if (stage->n_hints == stage->pause_after)
                        block_monitor_pause(stage->monitor, true);
                break;
        case BLOCK_HINT_RESCAN:
                stage->n_rescans++;
                break;
        case BLOCK_HINT_MAX:
                fail();
        }
}

static void add_device(Stage *stage, const char *subsystem, const char *name) {
        char text[256];

        (void) snprintf(text, sizeof(text),
                        "P: /devices/system/memory/%s\nE: SUBSYSTEM=%s\nE: "
                        "DEVPATH=/devices/system/memory/%s\nA: state=offline\\n\n",
                        name, subsystem, name);
        assert_true(umockdev_testbed_add_from_string(stage->bed, text, NULL));
}

static void send(Stage *stage, const char *name, const char *action) {
        char path[256];

        (void) snprintf(path, sizeof(path), "/sys/devices/system/memory/%s", name);
        umockdev_testbed_uevent(stage->bed, path, action);
}

static void run(Stage *stage) {
        while (sd_event_run(stage->event, 20 * USEC_PER_MSEC) > 0)
                ;
}

static int set_up(void **state) {
        Stage *stage = calloc(1, sizeof(*stage));
        g_autofree char *path = NULL;

        assert_non_null(stage);
        stage->bed = umockdev_testbed_new();
        path = umockdev_testbed_get_root_dir(stage->bed);
        assert_int_equal(rootdir_new(path, &stage->root), 0);
        assert_int_equal(sd_event_new(&stage->event), 0);
        add_device(stage, "memory", "memory40");
        add_device(stage, "memory", "memory41");
        add_device(stage, "memory", "memory01"); /* no block's name */
        add_device(stage, "cpu", "memory99");    /* another subsystem */
        assert_int_equal(block_monitor_new(stage->event, stage->root, BLOCK_MONITOR_UDEV,
                                           BLOCK_MONITOR_BUFFER_BYTES, on_hint, stage, &stage->monitor),
                         0);
        *state = stage;
        return 0;
}

static int tear_down(void **state) {
        Stage *stage = *state;

        (void) block_monitor_free(stage->monitor);
        (void) sd_event_unref(stage->event);
        (void) rootdir_free(stage->root);
        g_object_unref(stage->bed);
        free(stage);
        return 0;
}

static void test_every_action_is_a_hint(void **state) {
        static const char *const actions[] = {"add", "online", "offline", "remove", "change"};
        Stage *stage = *state;

        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                send(stage, i % 2 == 0 ? "memory40" : "memory41", actions[i]);
        run(stage);
        assert_int_equal(stage->n_hints, 5);
        assert_int_equal(stage->sum, 3 * 40 + 2 * 41);
        assert_int_equal(stage->n_rescans, 0);
}

/* From within an event: those behind it wait, and go on. */
static void test_pause(void **state) {
        Stage *stage = *state;

        stage->pause_after = 2;
        for (unsigned i = 0; i < 5; i++)
                send(stage, "memory40", "change");
        run(stage);
        assert_int_equal(stage->n_hints, 2);
        block_monitor_pause(stage->monitor, false);
        run(stage);
        assert_int_equal(stage->n_hints, 5);
}

/* What waits is not heard of, what comes later is. */
static void test_drop(void **state) {
        Stage *stage = *state;

        block_monitor_pause(stage->monitor, true);
        for (unsigned i = 0; i < 5; i++)
                send(stage, "memory40", "add");
        run(stage);
        block_monitor_drop(stage->monitor);
        block_monitor_pause(stage->monitor, false);
        send(stage, "memory41", "add");
        run(stage);
        assert_int_equal(stage->n_hints, 1);
        assert_int_equal(stage->sum, 41);
        block_monitor_drop(stage->monitor);
}

static void test_others_are_not_heard(void **state) {
        Stage *stage = *state;

        send(stage, "memory01", "add");
        send(stage, "memory99", "add");
        send(stage, "memory40", "add");
        run(stage);
        assert_int_equal(stage->n_hints, 1);
        assert_int_equal(stage->sum, 40);
}

/* libudev says NULL for lost events as for an empty queue. */
static void test_lost_events(void **state) {
        Stage *stage = *state;

        send(stage, "memory40", "add");
        send(stage, "memory41", "add");
        lose_events = ENOBUFS;
        run(stage);
        assert_int_equal(stage->n_rescans, 1);
        assert_int_equal(stage->n_hints, 2); /* what is still there is read */

        send(stage, "memory40", "add");
        lose_events = EINVAL; /* one that could not be understood */
        run(stage);
        assert_int_equal(stage->n_rescans, 2);
        assert_int_equal(stage->n_hints, 3);
}

static void test_drained_in_one_turn(void **state) {
        Stage *stage = *state;

        for (unsigned i = 0; i < 8; i++) /* its socket holds no more */
                send(stage, "memory40", "add");
        assert_true(sd_event_run(stage->event, USEC_PER_SEC) > 0);
        assert_int_equal(stage->n_hints, 8);
}

static void test_source(void **state) {
        Stage *stage = *state;
        BlockMonitor *monitor;
        g_autofree char *path = umockdev_testbed_get_root_dir(stage->bed), *run_path = NULL, *control = NULL;

        assert_int_equal(block_monitor_source(stage->monitor), BLOCK_MONITOR_UDEV);
        assert_int_equal(block_monitor_new(stage->event, stage->root, BLOCK_MONITOR_AUTO,
                                           BLOCK_MONITOR_BUFFER_BYTES, on_hint, stage, &monitor),
                         0);
        assert_int_equal(block_monitor_source(monitor), BLOCK_MONITOR_KERNEL); /* no udevd below this root */
        assert_null(block_monitor_free(monitor));

        run_path = g_strconcat(path, "/run/udev", NULL);
        control = g_strconcat(run_path, "/control", NULL);
        assert_int_equal(g_mkdir_with_parents(run_path, 0755), 0);
        assert_true(g_file_set_contents(control, "", 0, NULL));
        assert_int_equal(block_monitor_new(stage->event, stage->root, BLOCK_MONITOR_AUTO,
                                           BLOCK_MONITOR_BUFFER_BYTES, on_hint, stage, &monitor),
                         0);
        assert_int_equal(block_monitor_source(monitor), BLOCK_MONITOR_UDEV);
        assert_null(block_monitor_free(monitor));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_every_action_is_a_hint, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_pause, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_drop, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_others_are_not_heard, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lost_events, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_drained_in_one_turn, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_source, set_up, tear_down),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
