/* SPDX-License-Identifier: Apache-2.0 */

/* Shrinking: a conversation that the guest can end at any moment, and that ends without it too. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "resize-script.h"

/* clang-format off */
static const Script scripts[] = {
        {
                "shrink: in steps",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960), .deadline = 3000},
                        {400, OFFER, 1, 64, COMMANDS(960), .deadline = 700},
                        {401, ACCEPTED, WAITS},
                        {500, HEARD, WAITS, .deadline = 800},
                        {501, CONFIRM, 1, -64, ASKS(896)},
                        {600, OFFER, 2, 64, COMMANDS(896)},
                        {601, ACCEPTED, WAITS},
                        {700, CONFIRM, 2, -64, FINISHES(RESULT_DONE)},
                },
                .confirmed = -128, .n_steps = 2,
        },
        {
                "shrink: refused",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {{0, ASKS(960)}, {9, OFFER, 1, 0, FINISHES(RESULT_REFUSED)}},
        },
        {
                "shrink: less than a block offered is a refusal",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {{0, ASKS(960)}, {9, OFFER, 1, 1, FINISHES(RESULT_REFUSED)}},
        },
        {
                "shrink: asked again of a guest that had not settled",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {9, OFFER, 1, 0, .reason = REFUSAL_UNSETTLED, WAITS, .deadline = 609},
                        {608, TICK, WAITS},
                        {609, TICK, ASKS(960), .deadline = 3609},
                        {610, OFFER, 1, 64, WAITS}, /* to the first request */
                        {611, OFFER, 2, 64, COMMANDS(960)},
                        {612, ACCEPTED, WAITS},
                        {650, CONFIRM, 2, -64, FINISHES(RESULT_DONE)},
                },
                .confirmed = -64, .n_steps = 1,
        },
        {
                "shrink: a guest that never settles",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 0, .reason = REFUSAL_UNSETTLED, WAITS},
                        {601, TICK, ASKS(960)},
                        {602, OFFER, 2, 0, .reason = REFUSAL_UNSETTLED, WAITS},
                        {1202, TICK, ASKS(960)},
                        {1203, OFFER, 3, 0, .reason = REFUSAL_UNSETTLED, WAITS},
                        {1803, TICK, ASKS(960)},
                        {1804, OFFER, 4, 0, .reason = REFUSAL_UNSETTLED, FINISHES(RESULT_REFUSED)},
                },
        },
        {
                "shrink: refused at the second step",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -64, ASKS(896)},
                        {51, OFFER, 2, 0, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = -64, .n_steps = 1,
        },
        {
                "shrink: a part is offered, the rest asked for again",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 41, COMMANDS(984)},
                        {2, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -40, ASKS(960)},
                        {51, OFFER, 2, 9999, COMMANDS(960)}, /* no more than asked */
                        {52, ACCEPTED, WAITS},
                        {90, CONFIRM, 2, -24, FINISHES(RESULT_DONE)},
                },
                .confirmed = -64, .n_steps = 2,
        },
        {
                "shrink: offers of other steps, twice and late",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 2, 64, WAITS},
                        {2, OFFER, 0, 64, WAITS},
                        {3, OFFER, 1, 64, COMMANDS(960)},
                        {4, OFFER, 1, 64, WAITS},
                        {5, ACCEPTED, WAITS},
                        {6, CONFIRM, 0, -64, WAITS},
                        {7, CONFIRM, 1, -64, ASKS(896)},
                        {8, CONFIRM, 1, -64, WAITS},
                        {9, OFFER, 1, 64, WAITS},
                        {3006, TICK, WAITS},
                        {3007, TICK, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = -64, .n_steps = 1,
        },
        {
                "shrink: no answer",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {{0, ASKS(960)}, {2999, TICK, WAITS}, {3000, TICK, FINISHES(RESULT_TIMEOUT)}},
        },
        {
                "shrink: half way, a kick, done",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {100, CONFIRM, 1, -32, WAITS, .deadline = 400},
                        {1090, HEARD, WAITS, .deadline = 1100},
                        {1100, TICK, COMMANDS(960)},
                        {1101, ACCEPTED, WAITS},
                        {1200, CONFIRM, 1, -64, FINISHES(RESULT_DONE)},
                },
                .confirmed = -64, .n_steps = 1,
        },
        {
                "shrink: stuck from the start, asked again once a second, done",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {900, HEARD, WAITS, .deadline = 1002},
                        {1001, TICK, WAITS},
                        {1002, TICK, COMMANDS(960)},
                        {1003, ACCEPTED, WAITS},
                        {1900, HEARD, WAITS, .deadline = 2002},
                        {2001, TICK, WAITS},
                        {2002, TICK, COMMANDS(960)},
                        {2003, REJECTED, WAITS}, /* busy */
                        {2200, CONFIRM, 1, -64, FINISHES(RESULT_DONE)},
                },
                .confirmed = -64, .n_steps = 1,
        },
        {
                "shrink: of a balloon, which goes on by itself, nothing is asked again",
                DECISION_SHRINK, .wanted = 64, .inflated = 32,
                .lines = {
                        {0, ASKS(96)},
                        {1, OFFER, 1, 64, COMMANDS(96)},
                        {2, ACCEPTED, WAITS},
                        {4900, HEARD, WAITS, .deadline = 5002},
                        {5001, TICK, WAITS},
                        {5002, TICK, COMMANDS(32)},
                        {5003, ACCEPTED, FINISHES(RESULT_TIMEOUT)},
                },
                .n_steps = 1,
        },
        {
                "shrink: stuck half way, the rest stays with the guest",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {250, CONFIRM, 1, -32, WAITS},
                        {260, MODEL, .mib = 990, WAITS},
                        {5240, HEARD, WAITS},
                        {5250, TICK, COMMANDS(992)},
                        {5251, ACCEPTED, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = -32, .n_steps = 1,
        },
        {
                "shrink: a veto restores the original, of all steps",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -64, ASKS(896)},
                        {51, OFFER, 2, 64, COMMANDS(896)},
                        {52, ACCEPTED, WAITS},
                        {60, VETO, COMMANDS(1024)},
                        {61, VETO, WAITS},
                        {62, CONFIRM, 2, -64, WAITS},
                        {63, ACCEPTED, FINISHES(RESULT_VETOED)},
                },
                .n_steps = 2,
        },
        {
                "shrink: a veto between two steps",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -64, ASKS(896)},
                        {51, VETO, COMMANDS(1024)},
                        {52, ACCEPTED, FINISHES(RESULT_VETOED)},
                },
                .n_steps = 1,
        },
        {
                "shrink: a veto before anything was taken",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {{0, ASKS(960)}, {1, VETO, FINISHES(RESULT_VETOED)}},
        },
        {
                "shrink: a veto before the hypervisor's reply",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, VETO, COMMANDS(1024)},
                        {3, ACCEPTED, WAITS}, /* the shrink's */
                        {4, ACCEPTED, FINISHES(RESULT_VETOED)},
                },
                .n_steps = 1,
        },
        {
                "shrink: silence in flight",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {200, HEARD, WAITS},
                        {499, TICK, WAITS},
                        {500, TICK, COMMANDS(1024)},
                        {501, ACCEPTED, FINISHES(RESULT_SILENT)},
                },
                .n_steps = 1,
        },
        {
                "shrink: the restore is rejected five times",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {3, VETO, COMMANDS(1024)},
                        {4, REJECTED, WAITS, .deadline = 204},
                        {204, TICK, COMMANDS(1024)},
                        {205, REJECTED, WAITS},
                        {405, TICK, COMMANDS(1024)},
                        {5405, TICK, COMMANDS(1024)},
                        {10405, TICK, COMMANDS(1024)},
                        {15405, TICK, COMMANDS(1024)},
                        {15406, REJECTED, WAITS},
                        {15606, TICK, FINISHES(RESULT_FAILED)},
                },
                .n_steps = 1,
        },
        {
                "shrink: the restore succeeds at the second attempt",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {3, VETO, COMMANDS(1024)},
                        {4, REJECTED, WAITS}, /* the shrink's, now void */
                        {5, REJECTED, WAITS},
                        {205, TICK, COMMANDS(1024)},
                        {206, ACCEPTED, FINISHES(RESULT_VETOED)},
                },
                .n_steps = 1,
        },
        {
                "shrink: a restore that never left is not answered by the reply to the shrink",
                DECISION_SHRINK, .wanted = 256, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, VETO, COMMANDS(1024)},
                        {3, UNSENT, WAITS, .deadline = 203},
                        {4, ACCEPTED, WAITS},
                        {203, TICK, COMMANDS(1024)},
                        {204, ACCEPTED, FINISHES(RESULT_VETOED)},
                },
                .n_steps = 1,
        },
        {
                "shrink: vetoed while adopting",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, ACCEPTED, WAITS},
                        {5000, HEARD, WAITS},
                        {5002, TICK, COMMANDS(1024)},
                        {5003, VETO, COMMANDS(1024)},
                        {5004, ACCEPTED, WAITS},
                        {5005, ACCEPTED, FINISHES(RESULT_VETOED)},
                },
                .n_steps = 1,
        },
        {
                "shrink: virtio-mem, then the balloon; a veto gives both back, the open one first",
                DECISION_SHRINK, .wanted = 128, .plugged = 64, .block = 2, .inflated = 32,
                .lines = {
                        {0, ASKS(0)},
                        {1, OFFER, 1, 64, COMMANDS(0)},
                        {2, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -64, ASKS(96)},
                        {51, OFFER, 2, 64, COMMANDS(96)},
                        {52, ACCEPTED, WAITS},
                        {60, VETO, COMMANDS(32)},
                        {61, ACCEPTED, COMMANDS(64)},
                        {62, ACCEPTED, FINISHES(RESULT_VETOED)},
                },
                .n_steps = 2,
        },
        {
                "shrink: bounded by min once more",
                DECISION_SHRINK, .wanted = 512, .plugged = 512, .block = 2, .min = 1000,
                .lines = {
                        {0, ASKS(488)},
                        {1, OFFER, 1, 64, COMMANDS(488)},
                        {2, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -24, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = -24, .n_steps = 1,
        },
        {
                "shrink: the VM became smaller while it was asked",
                DECISION_SHRINK, .wanted = 64, .plugged = 1024, .block = 2, .min = 512 + 800,
                .lines = {
                        {0, ASKS(960)},
                        {1, MODEL, .mib = 810, WAITS},
                        {2, OFFER, 1, 64, COMMANDS(800)},
                        {3, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -10, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = -10, .n_steps = 1,
        },
        {
                "shrink: refused by the hypervisor",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {
                        {0, ASKS(960)},
                        {1, OFFER, 1, 64, COMMANDS(960)},
                        {2, REJECTED, FINISHES(RESULT_FAILED)},
                },
                .n_steps = 1,
        },
        {
                "shrink: other devices than at the start",
                DECISION_SHRINK, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {{0, ASKS(960)}, {1, MODEL, .mib = -1, FINISHES(RESULT_LOST)}},
        },
        {
                "a denial is over at once",
                DECISION_DENY, .wanted = 128, .plugged = 1024, .block = 2,
                .lines = {{0, FINISHES(RESULT_DENIED)}},
        },
};
/* clang-format on */

static void test_scripts(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(scripts); i++)
                script_run(&scripts[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scripts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
