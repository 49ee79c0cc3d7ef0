/* SPDX-License-Identifier: Apache-2.0 */

/* What is recorded is replayed to the same decisions; what finds no room is dropped and counted, and nothing waits. */

#include "agent/recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/replay.h"
#include "common/clock.h"
#include "common/log.h"
#include "recording.h"

static const char *arg_folder;

typedef struct Stage {
        char folder[64], path[128];
        sd_event *event;
        Recorder *recorder;
        DemandState state;
} Stage;

static void stage_open(Stage *stage) {
        *stage = (Stage){};
        (void) snprintf(stage->folder, sizeof(stage->folder), "/tmp/test-recorder-XXXXXX");
        assert_non_null(mkdtemp(stage->folder));
        (void) snprintf(stage->path, sizeof(stage->path), "%s/recording.csv", stage->folder);
        assert_int_equal(sd_event_new(&stage->event), 0);
}

static void stage_close(Stage *stage) {
        stage->recorder = recorder_free(stage->recorder);
        (void) sd_event_unref(stage->event);
        (void) remove(stage->path);
        (void) remove(stage->folder);
}

static void step(Stage *stage, const Snapshot *sample) {
        const DemandConfig config = {.actuator_delay_usec = 150 * USEC_PER_MSEC};
        TraceRow row = {.what = TRACE_SAMPLE, .config = config, .snapshot = *sample};

        row.demand = demand_step(&config, &stage->state, sample);
        recorder_take(stage->recorder, &row);
}

static void assert_replayed(const char *path, unsigned n_samples) {
        char expected[256], said[256] = "";
        _cleanup_fclose_ FILE *file = fopen(path, "re"), *out = fmemopen(said, sizeof(said), "w");

        assert_non_null(file);
        assert_non_null(out);
        assert_int_equal(replay_run(file, path, true, out), 0);
        assert_int_equal(fflush(out), 0);
        (void) snprintf(expected, sizeof(expected), "%s: %u samples and 0 events, all decided as recorded\n",
                        path, n_samples);
        assert_string_equal(said, expected);
}

/* A guest that swaps to zram, as it was recorded; it asks in the end. */
static void test_replay(void **state) {
        Recording recording;
        Snapshot sample;
        unsigned n = 0;
        Stage stage;

        stage_open(&stage);
        assert_int_equal(recorder_new(stage.event, stage.path, &stage.recorder), 0);
        recording_open(&recording, arg_folder, "13-zram-burst");
        while (recording_next(&recording, &sample)) {
                step(&stage, &sample);
                n++;
                assert_true(sd_event_run(stage.event, 100 * USEC_PER_MSEC) >=
                            0); /* the disk is faster than this */
        }
        recording_close(&recording);
        stage.recorder = recorder_free(stage.recorder);
        assert_replayed(stage.path, n);
        assert_true(n > 100);
        stage_close(&stage);
}

static void test_full(void **state) {
        uint64_t begin = clock_monotonic_usec();
        Snapshot sample = {.has = SNAPSHOT_HAS_MEMINFO,
                           .total_bytes = 1024 * MIB,
                           .available_bytes = 512 * MIB};
        char text[65536];
        TraceRow row = {};
        TraceForm form;
        unsigned n = 0;
        Stage stage;
        int fd;

        /* A FIFO that nobody reads from for long: its 64 KiB and the buffers fill up. */
        stage_open(&stage);
        assert_int_equal(mkfifo(stage.path, 0600), 0);
        assert_int_equal(recorder_new(stage.event, stage.path, &stage.recorder), -ENXIO);
        fd = open(stage.path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(recorder_new(stage.event, stage.path, &stage.recorder), 0);
        for (unsigned i = 0; i < 3000; i++) {
                sample.now_usec += USEC_PER_SEC;
                step(&stage, &sample);
                assert_true(sd_event_run(stage.event, 0) >= 0);
        }
        assert_true(clock_monotonic_usec() - begin < 20 * USEC_PER_SEC); /* it does not hang: that is all */

        /* Its reader comes, and finds in later rows how many are missing. */
        _cleanup_fclose_ FILE *copy = NULL;
        char copy_path[160];

        (void) snprintf(copy_path, sizeof(copy_path), "%s.copy", stage.path);
        copy = fopen(copy_path, "we");
        assert_non_null(copy);
        for (unsigned i = 0; i < 200; i++) {
                ssize_t r = read(fd, text, sizeof(text));

                if (r > 0)
                        assert_int_equal(fwrite(text, 1, (size_t) r, copy), r);
                sample.now_usec += USEC_PER_SEC;
                step(&stage, &sample);
                assert_true(sd_event_run(stage.event, USEC_PER_MSEC) >= 0);
        }
        stage.recorder = recorder_free(stage.recorder);
        for (ssize_t r; (r = read(fd, text, sizeof(text))) > 0;)
                assert_int_equal(fwrite(text, 1, (size_t) r, copy), r);
        assert_int_equal(fflush(copy), 0);
        (void) close(fd);

        _cleanup_fclose_ FILE *again = fopen(copy_path, "re");

        assert_non_null(again);
        assert_non_null(fgets(text, sizeof(text), again));
        text[strcspn(text, "\n")] = '\0';
        assert_int_equal(trace_form_parse(text, &form), 0);
        for (; fgets(text, sizeof(text), again); n++) {
                text[strcspn(text, "\n")] = '\0';
                assert_int_equal(trace_parse(&form, text, &row), 0);
        }
        assert_true(row.n_dropped > 2000);
        assert_int_equal(n + row.n_dropped, 3200);
        (void) remove(copy_path);
        stage_close(&stage);
}

/* The disk is full: the recording ends, and nothing else does. */
static void test_no_space(void **state) {
        Snapshot sample = {.has = SNAPSHOT_HAS_MEMINFO,
                           .total_bytes = 1024 * MIB,
                           .available_bytes = 512 * MIB};
        Stage stage;

        stage_open(&stage);
        assert_int_equal(recorder_new(stage.event, "/dev/full", &stage.recorder), 0);
        for (unsigned i = 0; i < 300; i++) {
                sample.now_usec += USEC_PER_SEC;
                step(&stage, &sample);
                assert_true(sd_event_run(stage.event, USEC_PER_MSEC) >= 0);
        }
        stage_close(&stage);
        assert_int_equal(recorder_new(stage.event, "/no/such/folder/file", &stage.recorder), -ENOENT);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replay),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_no_space),
        };

        if (argc < 2) {
                fprintf(stderr, "usage: %s FOLDER-OF-CSV-FILES\n", argv[0]);
                return 2;
        }
        arg_folder = argv[1];
        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
