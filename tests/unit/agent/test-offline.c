/* SPDX-License-Identifier: Apache-2.0 */

/* Which blocks of a range go, in which order, and the way back. */

#include "agent/policy/offline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/macro.h"
#include "common/units.h"

static void test_ranges(void **state) {
        static const struct {
                uint64_t address, bytes, block_size_bytes;
                bool valid;
                OfflineRange range;
        } table[] = {
                {4 * GIB, GIB, 128 * MIB, true, {32, 8}},
                {0, 128 * MIB, 128 * MIB, true, {0, 1}},
                {4 * GIB, 128 * GIB, 128 * MIB, true, {32, 1024}},
                {4 * GIB, 128 * GIB + 128 * MIB, 128 * MIB, false, {}}, /* too long */
                {4 * GIB, 0, 128 * MIB, false, {}},
                {4 * GIB, 64 * MIB, 128 * MIB, false, {}},
                {4 * GIB + MIB, 128 * MIB, 128 * MIB, false, {}},
                {4 * GIB,
                 128 * MIB,
                 2 * GIB,
                 false,
                 {}}, /* a DIMM that this guest's blocks do not fit into */
                {UINT64_MAX, UINT64_MAX, 128 * MIB, false, {}},
                {4 * GIB, GIB, 0, false, {}},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                OfflineRange range = {};

                if (offline_range(table[i].address, table[i].bytes, table[i].block_size_bytes, &range) !=
                            table[i].valid ||
                    range.first != table[i].range.first || range.n != table[i].range.n)
                        fail_msg("row %zu", i);
        }
}

typedef struct Case {
        const char *name;
        bool back;
        int take_error[4];    /* of blocks 10..13 */
        int restore_error[4]; /* positive errno */
        unsigned stop_before; /* the host, or the deadline, ends it before this write; 0 = never */
        const char *writes;   /* in order; - takes, + restores */
        const char *fates;    /* Kept, Taken, Restored, Lost, Gone */
        int error;
} Case;

static const Case cases[] = {
        {"all go", false, {}, {}, 0, "-13 -12 -11 -10", "TTTT", 0},
        {"the first is pinned", false, {0, 0, 0, EBUSY}, {}, 0, "-13", "KKKK", EBUSY},
        {"one in the middle is pinned", false, {0, EBUSY}, {}, 0, "-13 -12 -11 +12 +13", "KKRR", EBUSY},
        {"the last is pinned", false, {EBUSY}, {}, 0, "-13 -12 -11 -10 +11 +12 +13", "KRRR", EBUSY},
        {"one is cut short", false, {0, EINTR}, {}, 0, "-13 -12 -11 +12 +13", "KKRR", EINTR},
        {"one has left already", false, {0, 0, ENOENT}, {}, 0, "-13 -12 -11 -10", "TTGT", 0},
        {"one has left, one is pinned",
         false,
         {EBUSY, 0, ENOENT},
         {},
         0,
         "-13 -12 -11 -10 +11 +13",
         "KRGR",
         EBUSY},
        {"the deadline comes", false, {}, {}, 3, "-13 -12 +12 +13", "KKRR", ECANCELED},
        {"the deadline comes first", false, {}, {}, 1, "", "KKKK", ECANCELED},
        {"the deadline comes when all is done", false, {}, {}, 5, "-13 -12 -11 -10", "TTTT", 0},
        {"one does not come back",
         false,
         {EBUSY},
         {0, 0, ENOMEM},
         0,
         "-13 -12 -11 -10 +11 +12 +13",
         "KRLR",
         EBUSY},
        {"one leaves on the way back",
         false,
         {EBUSY},
         {0, 0, ENOENT},
         0,
         "-13 -12 -11 -10 +11 +12 +13",
         "KRGR",
         EBUSY},
        {"back", true, {}, {}, 0, "+10 +11 +12 +13", "RRRR", 0},
        {"back, whatever the time", true, {}, {}, 1, "+10 +11 +12 +13", "RRRR", 0},
        {"one does not come", true, {}, {0, ENOMEM}, 0, "+10 +11 +12 +13", "RLRR", ENOMEM},
        {"one is not there", true, {}, {0, ENOENT}, 0, "+10 +11 +12 +13", "RGRR", ENOENT},
};

static void run_case(const Case *c) {
        static const char letters[] = "KTRLG";
        OfflineBlock blocks[4], *block;
        char writes[128] = "", fates[5] = "";
        unsigned n_writes = 0, n_taken = 0;
        OfflineRun run;

        for (unsigned i = 0; i < 4; i++)
                blocks[i] = (OfflineBlock){
                        .number = 10 + i,
                        .zone = c->back ? ZONE_MOVABLE : ZONE_UNKNOWN,
                        .fate = c->back ? OFFLINE_TAKEN : OFFLINE_KEPT,
                };
        offline_begin(&run, blocks, 4, c->back);
        for (;;) {
                bool stop = c->stop_before > 0 && n_writes + 1 >= c->stop_before;
                OfflineStep step = offline_next(&run, stop ? ECANCELED : 0, &block);
                size_t n = strlen(writes);

                if (step == OFFLINE_OVER)
                        break;
                assert_true(++n_writes < 20);
                (void) snprintf(writes + n, sizeof(writes) - n, "%s%c%u", n > 0 ? " " : "",
                                step == OFFLINE_TAKE ? '-' : '+', (unsigned) block->number);
                if (step == OFFLINE_TAKE)
                        offline_taken(&run, block, ZONE_MOVABLE, c->take_error[block->number - 10]);
                else {
                        assert_int_equal(block->zone, ZONE_MOVABLE); /* where it was */
                        offline_restored(&run, block, ZONE_KERNEL, c->restore_error[block->number - 10]);
                }
        }
        for (unsigned i = 0; i < 4; i++) {
                fates[i] = letters[blocks[i].fate];
                n_taken += blocks[i].fate == OFFLINE_TAKEN;
        }
        assert_int_equal(offline_count(&run, OFFLINE_TAKEN), n_taken);
        if (strcmp(writes, c->writes) != 0 || strcmp(fates, c->fates) != 0 || run.error != c->error)
                fail_msg("%s: %s, %s, error %d", c->name, writes, fates, run.error);
}

static void test_runs(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                run_case(&cases[i]);
}

static void test_nothing_to_do(void **state) {
        OfflineBlock *block;
        OfflineRun run;

        offline_begin(&run, NULL, 0, false);
        assert_int_equal(offline_next(&run, ECANCELED, &block), OFFLINE_OVER);
        assert_int_equal(run.error, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_runs),
                cmocka_unit_test(test_nothing_to_do),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
