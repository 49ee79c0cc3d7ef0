/* SPDX-License-Identifier: Apache-2.0 */

/* A DIMM: plugged and proven, prepared before it is pulled, and given back whatever goes wrong on the way. */

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
                "grow: closed by the guest, not by the hypervisor",
                DECISION_GROW, .wanted = 256, .unit = 256,
                .lines = {
                        {0, COMMANDS(256)},
                        {20, ACCEPTED, WAITS, .deadline = 5020},
                        {40, CONFIRM, 0, 128, WAITS, .deadline = 5040},
                        {900, TICK, WAITS}, /* block by block: short of it for long is no end */
                        {2000, CONFIRM, 0, 252, FINISHES(RESULT_DONE)}, /* memmap_on_memory keeps the rest */
                },
                .confirmed = 252, .n_steps = 1,
        },
        {
                "grow: the balloon first, and a DIMM only if all of it is granted",
                DECISION_GROW, .wanted = 300, .inflated = 100, .unit = 256,
                .lines = {
                        {0, COMMANDS(0)},
                        {1, ACCEPTED, WAITS},
                        {50, CONFIRM, 0, 100, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 100, .n_steps = 1,
        },
        {
                "grow: refused by the hypervisor",
                DECISION_GROW, .wanted = 256, .unit = 256,
                .lines = {{0, COMMANDS(256)}, {20, REJECTED, FINISHES(RESULT_FAILED)}},
                .n_steps = 1,
        },
        {
                "grow: never online, taken back",
                DECISION_GROW, .wanted = 256, .unit = 256,
                .lines = {
                        {0, COMMANDS(256)},
                        {20, ACCEPTED, WAITS},
                        {30, MODEL, .mib = -3, WAITS},
                        {5020, TICK, PREPARES},
                        {5100, PREPARED, COMMANDS(0)},
                        {5150, ACCEPTED, FINISHES(RESULT_TIMEOUT)},
                },
                .n_steps = 1,
        },
        {
                "grow: never online, and not to be had back",
                DECISION_GROW, .wanted = 256, .unit = 256,
                .lines = {
                        {0, COMMANDS(256)},
                        {20, ACCEPTED, WAITS},
                        {30, MODEL, .mib = -3, WAITS},
                        {5020, TICK, PREPARES, .deadline = 12020},
                        {5100, PREPARED, COMMANDS(0)},
                        {9150, REJECTED, FINISHES(RESULT_TIMEOUT), .online = true},
                },
                .n_steps = 1,
        },
        {
                "grow: a part came online and stays",
                DECISION_GROW, .wanted = 256, .unit = 256,
                .lines = {
                        {0, COMMANDS(256)},
                        {20, ACCEPTED, WAITS},
                        {30, CONFIRM, 0, 128, WAITS},
                        {5031, TICK, FINISHES(RESULT_PARTIAL)},
                },
                .confirmed = 128, .n_steps = 1,
        },
        {
                "shrink: asked, prepared, pulled",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0), .deadline = 3000},
                        {400, OFFER, 1, 256, PREPARES, .deadline = 7400},
                        {600, CONFIRM, 1, -256, WAITS}, /* offline is gone, for the guest */
                        {601, PREPARED, COMMANDS(0), .deadline = 5601},
                        {1200, TICK, WAITS}, /* a guest that ejects says nothing */
                        {1300, ACCEPTED, WAITS},
                        {1301, MODEL, .mib = -2, FINISHES(RESULT_DONE)},
                },
                .confirmed = -256, .n_steps = 1,
        },
        {
                "shrink: not all of it offered",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {{0, ASKS(0)}, {400, OFFER, 1, 250, FINISHES(RESULT_REFUSED)}},
        },
        {
                "shrink: offline refused",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {401, ACCEPTED, WAITS}, /* of nothing */
                        {500, UNPREPARED, .reason = REFUSAL_MARGIN, FINISHES(RESULT_REFUSED)},
                },
        },
        {
                "shrink: it could not go offline, and there is no other",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {500, UNPREPARED, .tried = true, FINISHES(RESULT_REFUSED)},
                },
        },
        {
                "shrink: it could not go offline, another can",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256, .second = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {500, UNPREPARED, .tried = true, ASKS(0)},
                        {600, OFFER, 2, 256, PREPARES},
                        {700, CONFIRM, 2, -256, WAITS},
                        {701, PREPARED, COMMANDS(0)},
                        {800, ACCEPTED, WAITS},
                        {801, MODEL, .mib = -2, FINISHES(RESULT_DONE)},
                },
                .confirmed = -256, .n_steps = 1,
        },
        {
                "shrink: offline never answered",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {7399, TICK, WAITS},
                        {7400, TICK, FINISHES(RESULT_TIMEOUT), .online = true},
                },
        },
        {
                "shrink: stopped before it is pulled",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {500, VETO, FINISHES(RESULT_VETOED), .online = true},
                },
        },
        {
                "shrink: stopped while it is pulled",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {500, PREPARED, COMMANDS(0)},
                        {510, VETO, COMMANDS(256), .online = true},
                        {600, ACCEPTED, WAITS}, /* it is pulled */
                        {700, ACCEPTED, FINISHES(RESULT_VETOED), .online = true}, /* and plugged again */
                },
                .n_steps = 1,
        },
        {
                "shrink: the guest keeps it after all",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {500, PREPARED, COMMANDS(0)},
                        {900, REJECTED, FINISHES(RESULT_FAILED), .online = true},
                },
                .n_steps = 1,
        },
        {
                "shrink: the session ends",
                DECISION_SHRINK, .wanted = 256, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {400, OFFER, 1, 256, PREPARES},
                        {500, LOST, FINISHES(RESULT_LOST), .online = true},
                },
        },
        {
                "shrink: stopped, and the finer hand comes back first",
                DECISION_SHRINK, .wanted = 320, .plugged = 64, .block = 2, .unit = 256, .dimm = 256,
                .lines = {
                        {0, ASKS(0)},
                        {1, OFFER, 1, 64, COMMANDS(0)},
                        {2, ACCEPTED, WAITS},
                        {50, CONFIRM, 1, -64, ASKS(0)},
                        {100, OFFER, 2, 256, PREPARES},
                        {200, PREPARED, COMMANDS(0)},
                        {210, VETO, COMMANDS(64), .online = true},
                        {215, ACCEPTED, WAITS},       /* which one is not known */
                        {300, REJECTED, WAITS},       /* so it is sent again */
                        {500, TICK, COMMANDS(64)},
                        {510, ACCEPTED, COMMANDS(256)},
                        {520, ACCEPTED, FINISHES(RESULT_VETOED), .online = true},
                },
                .n_steps = 2,
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
