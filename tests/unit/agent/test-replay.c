/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sessions that were recorded (tests/fixtures/recordings/agent, the README beside it says how) are decided today as they
 * were then: bytes, reasons, vetoes. Whoever changes a rule sees here which decision changes with it. And the form of a
 * recording: nothing that a core is given or answers is left out of it, and what is none is said.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/replay.h"
#include "agent/trace.h"
#include "common/macro.h"
#include "common/units.h"

static const char *arg_real, *arg_scripted;

/* Replays the text. Returns what replay_run() does, with what it said in ret, to be freed. */
static int replay_text(char *text, size_t size, bool quiet, char **ret) {
        _cleanup_fclose_ FILE *file = fmemopen(text, size, "re");
        size_t length;
        FILE *out = open_memstream(ret, &length);
        int r;

        assert_non_null(file);
        assert_non_null(out);
        r = replay_run(file, "recording", quiet, out);
        assert_int_equal(fclose(out), 0);
        return r;
}

static char *read_fixture(const char *path, size_t *ret_size) {
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        char *text = malloc(16 * MIB);

        assert_non_null(file);
        assert_non_null(text);
        *ret_size = fread(text, 1, 16 * MIB, file);
        assert_true(*ret_size > 0 && *ret_size < 16 * MIB);
        return text;
}

static void assert_replayed(const char *path, const char *const *happened, size_t n) {
        _cleanup_free_ char *text = NULL, *said = NULL;
        size_t size;

        text = read_fixture(path, &size);
        if (replay_text(text, size, false, &said) != 0)
                fail_msg("%s", said);
        for (size_t i = 0; i < n; i++)
                if (!strstr(said, happened[i]))
                        fail_msg("%s has no \"%s\":\n%s", path, happened[i], said);
}

static void test_real_guest(void **state) {
        static const char *const happened[] = {
                "urgency critical for predict",
                "comes: yes",
                "the host asks for 64M",
                "offered, 64M",
                "moved, 12M",
                "confirmed, 64M",
                "vetoed, growth of 26542080 in 483 ms",
                "vetoed, stall of 35237 in 212 ms",
                "all decided as recorded",
        };

        assert_replayed(arg_real, happened, ELEMENTSOF(happened));
}

static void test_scripted_guest(void **state) {
        static const char *const happened[] = {
                "reclaim, ",
                "offered, 64M",
                "moved, 32M",
                "confirmed, 64M",
                "vetoed, growth of 209715200",
                "refused for held",
                "to go offline: held",
                "comes: yes",
                "the session is over",
                "all decided as recorded",
        };

        assert_replayed(arg_scripted, happened, ELEMENTSOF(happened));
}

/* One word of a recording is changed, and the decision is another one: that is named. */
static void test_difference(void **state) {
        _cleanup_free_ char *text = NULL, *said = NULL;
        char *veto;
        size_t size;

        text = read_fixture(arg_real, &size);
        veto = memmem(text, size, ",veto,", STRLEN(",veto,"));
        assert_non_null(veto);
        memcpy(veto, ",idle,", STRLEN(",idle,"));
        assert_int_equal(replay_text(text, size, true, &said), 1);
        assert_non_null(strstr(said, "plan.verdict was recorded as idle, and is decided as veto"));
}

/* -- the form -------------------------------------------------------------------------------------- */

/* Every eight bytes of the struct have a column in them, padding aside. */
static void assert_covered(const char *name, size_t offset, size_t size) {
        for (size_t at = offset; at + 8 <= offset + size; at += 8) {
                bool covered = false;

                for (size_t i = 0; i < trace_n_columns; i++)
                        covered = covered ||
                                  (trace_columns[i].offset >= at && trace_columns[i].offset < at + 8);
                if (!covered)
                        fail_msg("%s: nothing of what is at byte %zu is recorded", name, at - offset);
        }
}

static void test_nothing_is_left_out(void **state) {
#define COVERED(member) assert_covered(#member, offsetof(TraceRow, member), sizeof(((TraceRow *) 0)->member))
        COVERED(config);
        COVERED(snapshot);
        COVERED(demand);
        COVERED(shrink_config);
        COVERED(ask);
        COVERED(plan);
#undef COVERED
}

/* A value of its own in each column, out and in again, for every kind of row. */
static void test_round_trip(void **state) {
        for (unsigned what = 0; what < TRACE_WHAT_MAX; what++) {
                char names[8192], text[8192], again[8192];
                TraceRow row = {.what = what}, read;
                TraceForm form;
                int n;

                for (size_t i = 0; i < trace_n_columns; i++) {
                        void *value = (char *) &row + trace_columns[i].offset;

                        if (!(trace_columns[i].rows & 1U << what) || i < 2)
                                continue;
                        if (trace_columns[i].type == TRACE_U64)
                                *(uint64_t *) value = UINT64_MAX - i;
                        if (trace_columns[i].type == TRACE_I64)
                                *(int64_t *) value = i % 2 ? -(int64_t) i : INT64_MAX;
                        if (trace_columns[i].type == TRACE_UNSIGNED)
                                *(unsigned *) value = UINT32_MAX - (unsigned) i;
                        if (trace_columns[i].type == TRACE_BOOL)
                                *(bool *) value = true;
                        if (trace_columns[i].type == TRACE_WORD)
                                *(unsigned *) value = 2;
                }
                n = trace_print(names, sizeof(names), NULL);
                assert_true(n > 0);
                names[n - 1] = '\0';
                assert_int_equal(trace_form_parse(names, &form), 0);
                n = trace_print(text, sizeof(text), &row);
                assert_true(n > 0);
                assert_int_equal(trace_print(again, (size_t) n - 1, &row), -ENOBUFS);
                memcpy(again, text, (size_t) n);
                again[n - 1] = '\0';
                assert_int_equal(trace_parse(&form, again, &read), 0);
                assert_int_equal(trace_print(again, sizeof(again), &read), n);
                assert_memory_equal(again, text, n);
        }
}

/* What is no recording, and what cannot be replayed, is said with its line. */
static void test_bad_input(void **state) {
        static const struct {
                const char *text, *said;
        } table[] = {
                {"n_dropped,what,now_usec\n0,reset,\n", "nothing in it"},
                {"root:x:0:0\n", "recording:1: these are not the columns"},
                {"n_dropped,now_usec,now_usec\n", "recording:1: these are not the columns"},
                {"n_dropped,what,now_usec\n0,sample\n", "recording:2: this is no line"},
                {"n_dropped,what,now_usec\n0,sample,1,2\n", "recording:2: this is no line"},
                {"n_dropped,what,now_usec\n0,party,1\n", "recording:2: this is no line"},
                {"n_dropped,what,now_usec\n0,99,1\n", "recording:2: this is no line"},
                {"n_dropped,what,now_usec\n0,sample,-1\n", "recording:2: this is no line"},
                {"n_dropped,what,now_usec\n0,sample,99999999999999999999\n", "recording:2: this is no line"},
                {"n_dropped,what,now_usec\n1,sample,5\n", "recording:2: lines are missing before this one"},
                {"n_dropped,now_usec,of_a_later_agent\n0,5,x\n", "1 samples and 0 events, all decided"},
                {"n_dropped,now_usec,demand.urgency\n0,5,2\n", "recorded as high, and is decided as none"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *text = strdup(table[i].text), *said = NULL;

                assert_non_null(text);
                (void) replay_text(text, strlen(text), true, &said);
                if (!strstr(said, table[i].said))
                        fail_msg("%s: %s", table[i].text, said);
        }
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_real_guest), cmocka_unit_test(test_scripted_guest),
                cmocka_unit_test(test_difference), cmocka_unit_test(test_nothing_is_left_out),
                cmocka_unit_test(test_round_trip), cmocka_unit_test(test_bad_input),
        };

        if (argc != 3) {
                fprintf(stderr, "usage: %s REAL SCRIPTED\n", argv[0]);
                return 2;
        }
        arg_real = argv[1];
        arg_scripted = argv[2];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
