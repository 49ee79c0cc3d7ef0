/* SPDX-License-Identifier: Apache-2.0 */

/* The text of a pressure file, well and ill formed; the trigger on the real kernel where there is one. */

#include "agent/signals/psi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tree.h"

#define AVERAGES "avg10=0.12 avg60=3.04 avg300=100.00"

static const struct {
        const char *name, *text;
        int r;
        uint64_t some, full;
        bool has_full;
} texts[] = {
        {"as the kernel writes it", "some " AVERAGES " total=123\nfull " AVERAGES " total=45\n", 0, 123, 45,
         true},
        {"without the last newline", "some " AVERAGES " total=123\nfull " AVERAGES " total=45", 0, 123, 45,
         true},
        {"some alone", "some " AVERAGES " total=7\n", 0, 7, 0, false},
        {"full first", "full " AVERAGES " total=1\nsome " AVERAGES " total=2\n", 0, 2, 1, true},
        {"fields in another order", "some total=9 avg300=0.00 avg10=0.00 avg60=0.00\n", 0, 9, 0, false},
        {"the largest total", "some " AVERAGES " total=18446744073709551615\n", 0, UINT64_MAX, 0, false},
        {"total beyond 64 bit", "some " AVERAGES " total=18446744073709551616\n", -EINVAL},
        {"empty", "", -EINVAL},
        {"a newline alone", "\n", -EINVAL},
        {"full alone", "full " AVERAGES " total=1\n", -EINVAL},
        {"some twice", "some " AVERAGES " total=1\nsome " AVERAGES " total=2\n", -EINVAL},
        {"full twice", "some " AVERAGES " total=1\nfull " AVERAGES " total=1\nfull " AVERAGES " total=1\n",
         -EINVAL},
        {"another line", "some " AVERAGES " total=1\nmost " AVERAGES " total=1\n", -EINVAL},
        {"no fields", "some\n", -EINVAL},
        {"no fields, a blank", "some \n", -EINVAL},
        {"avg10 missing", "some avg60=0.00 avg300=0.00 total=1\n", -EINVAL},
        {"total missing", "some " AVERAGES "\n", -EINVAL},
        {"avg10 twice", "some avg10=0.00 " AVERAGES " total=1\n", -EINVAL},
        {"total twice", "some " AVERAGES " total=1 total=1\n", -EINVAL},
        {"an extra field", "some " AVERAGES " total=1 avg900=0.00\n", -EINVAL},
        {"two blanks", "some avg10=0.12  avg60=3.04 avg300=1.00 total=1\n", -EINVAL},
        {"a blank at the end", "some " AVERAGES " total=1 \n", -EINVAL},
        {"an empty line between", "some " AVERAGES " total=1\n\nfull " AVERAGES " total=1\n", -EINVAL},
        {"carriage return", "some " AVERAGES " total=1\r\n", -EINVAL},
        {"negative total", "some " AVERAGES " total=-1\n", -EINVAL},
        {"hex total", "some " AVERAGES " total=0x1\n", -EINVAL},
        {"empty total", "some " AVERAGES " total=\n", -EINVAL},
        {"average without a fraction", "some avg10=0 avg60=0.00 avg300=0.00 total=1\n", -EINVAL},
        {"average of letters", "some avg10=a.bc avg60=0.00 avg300=0.00 total=1\n", -EINVAL},
        {"average of a point", "some avg10=.00 avg60=0.00 avg300=0.00 total=1\n", -EINVAL},
};

static void test_texts(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                PsiTotals totals = {.some_usec = 77};
                int r = psi_parse(texts[i].text, strlen(texts[i].text), &totals);

                if (r != texts[i].r)
                        fail_msg("%s: got %d, want %d", texts[i].name, r, texts[i].r);
                if (r < 0) {
                        assert_int_equal(totals.some_usec, 77); /* untouched */
                        continue;
                }
                assert_int_equal(totals.some_usec, texts[i].some);
                assert_int_equal(totals.full_usec, texts[i].full);
                assert_int_equal(totals.has_full, texts[i].has_full);
        }
}

static void test_nul_is_no_end(void **state) {
        static const char text[] = "some " AVERAGES " total=1\0\n";
        PsiTotals totals;

        assert_int_equal(psi_parse(text, sizeof(text) - 1, &totals), -EINVAL);
        assert_int_equal(psi_parse(NULL, 0, &totals), -EINVAL);
}

/* Every prefix ends, and only those that end behind a whole line are read. */
static void test_prefixes(void **state) {
        static const char text[] = "some " AVERAGES " total=123\nfull " AVERAGES " total=45\n";
        size_t first = strcspn(text, "\n"), n_good = 0;

        for (size_t n = 0; n < sizeof(text); n++) {
                PsiTotals totals;

                if (psi_parse(text, n, &totals) < 0)
                        continue;
                n_good++;
                assert_true(n >= first - 2); /* total=1 is a number too */
        }
        assert_int_equal(n_good, 4 + 3); /* total=1, 12, 123, newline; total=4, 45, newline */
}

static void on_trigger(PsiTrigger *trigger, int error, void *userdata) {
        fail();
}

static void test_trigger_without_psi(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        PsiTrigger *trigger = NULL;
        sd_event *event;

        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(psi_trigger_new(event, tree->root, on_trigger, NULL, &trigger), -ENOENT);
        assert_null(trigger);
        assert_null(sd_event_unref(event));
}

/* A plain file takes what is written: the text must end with its NUL, which the kernel overwrites. */
static void test_trigger_text(void **state) {
        static const char want[] = "some 50000 500000";
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        PsiTrigger *trigger = NULL;
        char text[64];
        sd_event *event;

        tree_write(tree, "proc/pressure/memory", "");
        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(psi_trigger_new(event, tree->root, on_trigger, NULL, &trigger),
                         -EPERM); /* no poll */
        assert_int_equal(rootdir_read(tree->root, "proc/pressure/memory", text, sizeof(text)), sizeof(want));
        assert_memory_equal(text, want, sizeof(want));
        assert_null(sd_event_unref(event));
}

static void test_trigger_on_this_machine(void **state) {
        _cleanup_(psi_trigger_freep) PsiTrigger *trigger = NULL;
        _cleanup_(rootdir_freep) RootDir *root = NULL;
        sd_event *event;
        int r;

        assert_int_equal(rootdir_new("/", &root), 0);
        assert_int_equal(sd_event_new(&event), 0);
        r = psi_trigger_new(event, root, on_trigger, NULL, &trigger);
        assert_null(sd_event_unref(event));
        if (r < 0) {
                print_message("skipped: no PSI trigger here: %s\n", strerror(-r));
                skip();
        }
        assert_true(psi_trigger_window_usec(trigger) == PSI_TRIGGER_WINDOW_USEC ||
                    psi_trigger_window_usec(trigger) == PSI_TRIGGER_UNPRIVILEGED_WINDOW_USEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),        cmocka_unit_test(test_nul_is_no_end),
                cmocka_unit_test(test_prefixes),     cmocka_unit_test(test_trigger_without_psi),
                cmocka_unit_test(test_trigger_text), cmocka_unit_test(test_trigger_on_this_machine),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
