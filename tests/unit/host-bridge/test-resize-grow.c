/* SPDX-License-Identifier: Apache-2.0 */

/* Growing: notice, command, confirmation; waves, deadlines, what came too late. */

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
                "grow: notice, accepted, confirmed",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256), .deadline = 5000},
                        {1, ACCEPTED, WAITS, .deadline = 5001},
                        {30, MODEL, .mib = 256, WAITS},
                        {70, CONFIRM, .mib = 256, FINISHES(RESULT_DONE)},
                },
                .confirmed = 256, .n_steps = 1,
        },
        {
                "grow: the guest is quicker than the hypervisor's reply",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, MODEL, .mib = 256, WAITS},
                        {2, CONFIRM, .mib = 256, WAITS},
                        {3, ACCEPTED, FINISHES(RESULT_DONE)},
                },
                .confirmed = 256, .n_steps = 1,
        },
        {
                "grow: in waves",
                DECISION_GROW, .wanted = 640, .block = 2, .wave = 256,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 255, WAITS, .deadline = 130}, /* the rest may be under way */
                        {130, TICK, COMMANDS(512)},
                        {71, ACCEPTED, WAITS},
                        {72, MODEL, .mib = 256, WAITS}, /* a reading that is late */
                        {140, CONFIRM, .mib = 256, COMMANDS(640)},
                        {141, ACCEPTED, WAITS},
                        {200, CONFIRM, .mib = 128, FINISHES(RESULT_DONE)},
                },
                .confirmed = 639, .n_steps = 3,
        },
        {
                "grow: balloon, then virtio-mem, no more than granted",
                DECISION_GROW, .wanted = 256, .block = 128, .inflated = 100,
                .lines = {
                        {0, COMMANDS(0)},
                        {1, ACCEPTED, WAITS},
                        {50, CONFIRM, .mib = 100, COMMANDS(128)},
                        {51, ACCEPTED, WAITS},
                        {99, CONFIRM, .mib = 128, FINISHES(RESULT_DONE)},
                },
                .confirmed = 228, .n_steps = 2,
        },
        {
                "grow: progress moves the deadline, crumbs do not",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {4000, CONFIRM, .mib = 128, WAITS, .deadline = 5000},
                        {4500, CONFIRM, .mib = 129, WAITS},
                        {5000, TICK, COMMANDS(256)}, /* a kick */
                        {5001, ACCEPTED, WAITS},
                        {8000, TICK, COMMANDS(256)},
                        {8001, REJECTED, WAITS},
                        {9000, TICK, COMMANDS(130)}, /* 129 in whole blocks */
                        {9001, ACCEPTED, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 129, .n_steps = 1,
        },
        {
                "grow: always on the move, and too slow: 74 MiB in 5 s",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS, .deadline = 5001},
                        {1000, CONFIRM, .mib = 16, WAITS},
                        {2000, CONFIRM, .mib = 32, WAITS},
                        {3000, CONFIRM, .mib = 48, WAITS},
                        {4000, CONFIRM, .mib = 64, WAITS},
                        {4900, CONFIRM, .mib = 74, WAITS, .deadline = 5001},
                        {5001, TICK, COMMANDS(74)},
                        {5002, ACCEPTED, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 74, .n_steps = 1,
        },
        {
                "grow: slow, and slower then: 76 MiB in 5 s, and 70",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {2000, CONFIRM, .mib = 30, WAITS},
                        {4900, CONFIRM, .mib = 76, WAITS, .deadline = 5001},
                        {5001, TICK, WAITS, .deadline = 5900}, /* a kick */
                        {7000, CONFIRM, .mib = 100, WAITS},
                        {9900, CONFIRM, .mib = 146, WAITS, .deadline = 10001},
                        {10001, TICK, COMMANDS(146)},
                        {10002, ACCEPTED, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 146, .n_steps = 1,
        },
        {
                "grow: nothing comes",
                DECISION_GROW, .wanted = 256, .plugged = 128, .block = 2,
                .lines = {
                        {0, COMMANDS(384)},
                        {1, ACCEPTED, WAITS},
                        {5000, TICK, WAITS},
                        {5001, TICK, COMMANDS(128)},
                        {5002, ACCEPTED, FINISHES(RESULT_TIMEOUT)},
                },
                .n_steps = 1,
        },
        {
                "grow: plugged and never onlined",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {40, MODEL, .mib = 256, WAITS},
                        {5001, TICK, FINISHES(RESULT_TIMEOUT)},
                },
                .n_steps = 1,
        },
        {
                "grow: planned on an old reading, all of it is there already",
                DECISION_GROW, .wanted = 128, .block = 2,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 118, WAITS, .deadline = 1070}, /* a kick */
                        {80, MODEL, .mib = 128, WAITS, .deadline = 5001},
                        {379, HEARD, WAITS, .deadline = 5001},
                        {380, HEARD, WAITS, .deadline = 380},
                        {381, TICK, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 118, .n_steps = 1,
        },
        {
                "grow: a guest that says nothing is waited for, a busy host may keep it from speaking",
                DECISION_GROW, .wanted = 128, .block = 2,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 60, WAITS},
                        {80, MODEL, .mib = 128, WAITS, .deadline = 5001},
                        {2000, TICK, WAITS},
                        {2001, CONFIRM, .mib = 128, FINISHES(RESULT_DONE)},
                },
                .confirmed = 128, .n_steps = 1,
        },
        {
                "grow: the rest lies in a block that is still offline",
                DECISION_GROW, .wanted = 128, .block = 2,
                .lines = {
                        {0, COMMANDS(128), .offline = 2}, /* an administrator's */
                        {1, ACCEPTED, WAITS, .offline = 2},
                        {70, CONFIRM, .mib = 60, WAITS, .offline = 2},
                        {80, MODEL, .mib = 128, WAITS, .offline = 2},
                        {200, HEARD, WAITS, .offline = 3, .deadline = 5001},
                        {600, HEARD, WAITS, .offline = 3, .deadline = 5001},
                        {900, CONFIRM, .mib = 128, FINISHES(RESULT_DONE), .offline = 2},
                },
                .confirmed = 128, .n_steps = 1,
        },
        {
                "grow: a block that was to come online comes to nothing",
                DECISION_GROW, .wanted = 128, .block = 2,
                .lines = {
                        {0, COMMANDS(128), .offline = 1}, /* of a wave before */
                        {1, ACCEPTED, WAITS, .offline = 1},
                        {70, CONFIRM, .mib = 60, WAITS}, /* now it is online */
                        {80, MODEL, .mib = 128, WAITS},
                        {200, HEARD, WAITS, .offline = 1},
                        {600, HEARD, WAITS, .offline = 1, .deadline = 5001},
                        {601, HEARD, WAITS, .offline = 1, .failed = true, .deadline = 500},
                        {602, TICK, FINISHES(RESULT_PARTIAL), .offline = 1},
                },
                .confirmed = 60, .n_steps = 1,
        },
        {
                "grow: a crumb shows that more may come",
                DECISION_GROW, .wanted = 128, .block = 2,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 60, WAITS},
                        {80, MODEL, .mib = 128, WAITS},
                        {370, CONFIRM, .mib = 61, WAITS},
                        {400, HEARD, WAITS, .deadline = 5001},
                        {669, HEARD, WAITS, .deadline = 5001},
                        {670, HEARD, WAITS, .deadline = 670},
                        {671, TICK, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 61, .n_steps = 1,
        },
        {
                "grow: blocks that come and go for ever move no deadline",
                DECISION_GROW, .wanted = 128, .block = 2,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 60, WAITS},
                        {80, MODEL, .mib = 128, WAITS},
                        {1000, HEARD, WAITS, .offline = 9, .deadline = 5001},
                        {2000, HEARD, WAITS, .offline = 8, .deadline = 5001},
                        {4999, HEARD, WAITS, .offline = 9, .deadline = 5001},
                        {5001, TICK, FINISHES(RESULT_PARTIAL), .offline = 9},
                },
                .confirmed = 60, .n_steps = 1,
        },
        {
                "grow: what the first wave was short of comes with the second, and no more than that",
                DECISION_GROW, .wanted = 256, .block = 2, .wave = 128,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 60, WAITS},
                        {80, MODEL, .mib = 128, WAITS},
                        {380, HEARD, WAITS},
                        {381, TICK, COMMANDS(256)},
                        {382, ACCEPTED, WAITS},
                        {400, CONFIRM, .mib = 68, WAITS},
                        {410, MODEL, .mib = 256, WAITS},
                        {420, CONFIRM, .mib = 999, FINISHES(RESULT_DONE)},
                },
                .confirmed = 256, .reach = 256, .n_steps = 2,
        },
        {
                "grow: what the first wave was short of may still come when all is over",
                DECISION_GROW, .wanted = 256, .block = 2, .wave = 128,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 60, WAITS},
                        {80, MODEL, .mib = 128, WAITS},
                        {380, HEARD, WAITS},
                        {381, TICK, COMMANDS(256)},
                        {382, ACCEPTED, WAITS},
                        {410, MODEL, .mib = 256, WAITS},
                        {420, CONFIRM, .mib = 130, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 190, .reach = 256, .n_steps = 2,
        },
        {
                "grow: given up, and a part comes while the hypervisor is told so",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {40, MODEL, .mib = 100, WAITS},
                        {5001, TICK, COMMANDS(100)},
                        {5002, CONFIRM, .mib = 90, .alone = true, WAITS},
                        {5003, CONFIRM, .mib = 256, .alone = true, WAITS}, /* more than it was given */
                        {5004, MODEL, .mib = 100, WAITS},
                        {5005, ACCEPTED, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 100, .reach = 100, .n_steps = 1,
        },
        {
                "grow: given up, and the rest of what is plugged may still come",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {40, MODEL, .mib = 100, WAITS},
                        {5001, TICK, COMMANDS(100)},
                        {5002, ACCEPTED, FINISHES(RESULT_TIMEOUT)},
                },
                .confirmed = 0, .reach = 100, .n_steps = 1,
        },
        {
                "grow: a slow guest is waited for by its own pace",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {201, CONFIRM, .mib = 128, WAITS},
                        {210, MODEL, .mib = 256, WAITS, .deadline = 5001},
                        {899, HEARD, WAITS, .deadline = 5001},
                        {900, CONFIRM, .mib = 256, FINISHES(RESULT_DONE)},
                },
                .confirmed = 256, .n_steps = 1,
        },
        {
                "grow: confirmed, and the reading comes after",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {70, CONFIRM, .mib = 256, .alone = true, WAITS},
                        {71, MODEL, .mib = 256, FINISHES(RESULT_DONE)},
                },
                .confirmed = 256, .n_steps = 1,
        },
        {
                "grow: the guest confirms what nobody gave",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, CONFIRM, .mib = 256, .alone = true, WAITS},
                        {2, ACCEPTED, WAITS},
                        {3, MODEL, .mib = 2, WAITS},
                        {4, CONFIRM, .mib = 9999, .alone = true, WAITS},
                        {5, MODEL, .mib = 2, WAITS, .deadline = 1002}, /* a kick */
                        {5002, TICK, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 2, .n_steps = 1,
        },
        {
                "grow: adopted is the larger of both words",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {40, MODEL, .mib = 130, WAITS},
                        {41, CONFIRM, .mib = 128, WAITS},
                        {5041, TICK, COMMANDS(130)},
                        {5042, ACCEPTED, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 128, .n_steps = 1,
        },
        {
                "grow: the hypervisor does not answer, nor when asked to forget it",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {5000, TICK, COMMANDS(0)},
                        {10000, TICK, COMMANDS(0)},
                        {15000, TICK, COMMANDS(0)},
                        {20000, TICK, COMMANDS(0)},
                        {25000, TICK, COMMANDS(0)},
                        {30000, TICK, COMMANDS(0)},
                        {34999, TICK, WAITS},
                        {35000, TICK, FINISHES(RESULT_FAILED)},
                },
                .n_steps = 1,
        },
        {
                "grow: the reply is lost, the memory is not",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {50, CONFIRM, .mib = 256, WAITS},
                        {5050, TICK, FINISHES(RESULT_DONE)},
                },
                .confirmed = 256, .n_steps = 1,
        },
        {
                "grow: refused by the hypervisor",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {{0, COMMANDS(256)}, {1, REJECTED, FINISHES(RESULT_FAILED)}},
                .n_steps = 1,
        },
        {
                "grow: the second wave refused",
                DECISION_GROW, .wanted = 256, .block = 2, .wave = 128,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {50, CONFIRM, .mib = 128, COMMANDS(256)},
                        {51, REJECTED, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 128, .n_steps = 2,
        },
        {
                "grow: nothing to grow by",
                DECISION_GROW, .wanted = 256,
                .lines = {{0, FINISHES(RESULT_FAILED)}},
        },
        {
                "grow: bounded by max once more",
                DECISION_GROW, .wanted = 256, .block = 2, .max = 640,
                .lines = {
                        {0, COMMANDS(128)},
                        {1, ACCEPTED, WAITS},
                        {50, CONFIRM, .mib = 128, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 128, .n_steps = 1,
        },
        {
                "grow: neither a veto nor an offer nor silence stops it",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {2, VETO, WAITS},
                        {3, OFFER, 1, 64, WAITS},
                        {4000, TICK, WAITS},
                        {4001, CONFIRM, 7, 256, WAITS}, /* of another step */
                        {4002, CONFIRM, .mib = -256, WAITS},
                        {4003, CONFIRM, .mib = 9999, FINISHES(RESULT_DONE)},
                },
                .confirmed = 256, .n_steps = 1,
        },
        {
                "grow: lost",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {{0, COMMANDS(256)}, {1, ACCEPTED, WAITS}, {2, LOST, FINISHES(RESULT_LOST)}},
                .n_steps = 1,
        },
        {
                "grow: lost, and what was confirmed by then is on record",
                DECISION_GROW, .wanted = 256, .block = 2,
                .lines = {
                        {0, COMMANDS(256)},
                        {1, ACCEPTED, WAITS},
                        {40, MODEL, .mib = 130, WAITS},
                        {41, CONFIRM, .mib = 100, WAITS},
                        {42, LOST, FINISHES(RESULT_LOST)},
                },
                .confirmed = 100, .reach = 130, .n_steps = 1,
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
