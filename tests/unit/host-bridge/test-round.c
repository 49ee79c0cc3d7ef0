/* SPDX-License-Identifier: Apache-2.0 */

/* What each of several VMs is to have, and who is asked to give: tables first, then what holds for any figures. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/round.h"

#define VMS_MAX  4U
#define CRITICAL VM_CLASS_CRITICAL
#define NORMAL   VM_CLASS_NORMAL
#define BATCH    VM_CLASS_BATCH
#define CALM     URGENCY_NONE
#define ALARM    URGENCY_CRITICAL
#define ROUNDING (VMS_MAX * KIB)

/* All in MiB. Every VM: min 256, reach 2048. spare: what it could be asked for, at any level. */
typedef struct Row {
        const char *name;
        uint64_t budget, pool;
        bool pressed;
        struct {
                VmClass vm_class;
                Urgency urgency;
                uint64_t size, demand, floor, spare, shares, giving;
                bool fixed, silent, quarantined;
                uint64_t target, ask;
                DecisionRule rule;
                bool waits;
        } vms[VMS_MAX];
} Row;

#define DONOR    RULE_SHRINK_DONOR
#define SCARCITY RULE_SHRINK_SCARCITY

/* clang-format off */
static const Row rows[] = {
        {"enough for all: each gets what it wants", 4096, 0, false, {
                {NORMAL, ALARM, 512, 1024, 400, .target = 1024},
                {NORMAL, CALM, 512, 400, 300, .target = 400}}},
        {"not enough: by equal weights equal parts", 2048, 0, false, {
                {NORMAL, ALARM, 512, 1500, 400, .target = 1024},
                {NORMAL, ALARM, 512, 1500, 400, .target = 1024}}},
        {"by shares", 3072, 0, false, {
                {NORMAL, ALARM, 512, 2048, 400, .shares = 200, .target = 2048},
                {NORMAL, ALARM, 512, 2048, 400, .shares = 100, .target = 1024}}},
        {"who wants less than his part leaves it to the others", 2048, 0, false, {
                {NORMAL, ALARM, 512, 2048, 400, .target = 1548},
                {NORMAL, CALM, 500, 500, 500, .target = 500}}},
        {"a need goes before a wish", 2048, 0, false, {
                {NORMAL, ALARM, 512, 2048, 400, .target = 1648, .waits = true},
                {NORMAL, CALM, 500, 500, 400, .target = 400}}},
        {"the critical first", 2048, 0, false, {
                {NORMAL, ALARM, 512, 1500, 400, .target = 548},
                {CRITICAL, ALARM, 512, 1500, 400, .target = 1500}}},
        {"batch last", 2048, 0, false, {
                {BATCH, ALARM, 512, 1500, 400, .target = 548},
                {NORMAL, ALARM, 512, 1500, 400, .target = 1500}}},
        {"but a minimum is a promise to batch too", 2048, 0, false, {
                {BATCH, ALARM, 512, 1500, 400, .target = 256},
                {CRITICAL, ALARM, 512, 2048, 400, .target = 1792, .waits = true}}},
        {"a wish of the critical does not go before a need of others", 2048, 0, false, {
                {CRITICAL, CALM, 1024, 2048, 600, .target = 1024},
                {NORMAL, ALARM, 512, 1024, 400, .target = 1024}}},
        {"who does not speak keeps what it has", 2048, 0, false, {
                {NORMAL, CALM, 1024, 300, 300, .fixed = true, .target = 1024},
                {NORMAL, ALARM, 512, 2048, 400, .target = 1024}}},
        {"and a tenth more after a while", 2248, 0, false, {
                {NORMAL, CALM, 1000, 300, 300, .fixed = true, .silent = true, .target = 1100},
                {NORMAL, ALARM, 512, 2048, 400, .target = 1148}}},
        {"in quarantine: its share", 2048, 0, false, {
                {NORMAL, ALARM, 512, 2048, 400, .quarantined = true, .target = 1024},
                {NORMAL, CALM, 512, 512, 400, .target = 512}}},

        {"nobody is asked as long as there is enough", 4096, 200, false, {
                {NORMAL, ALARM, 512, 1024, 400, .target = 1024},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400}}},
        {"who waits is given for", 2048, 0, false, {
                {NORMAL, ALARM, 1024, 1224, 400, .target = 1224, .waits = true},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400, .ask = 200, .rule = DONOR}}},
        {"not more than can be had back from a veto", 2048, 0, false, {
                {NORMAL, ALARM, 1024, 1624, 400, .target = 1624, .waits = true},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400, .ask = 256, .rule = DONOR}}},
        {"two give at once", 3072, 0, false, {
                {NORMAL, ALARM, 1024, 1424, 400, .target = 1424, .waits = true},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400, .ask = 256, .rule = DONOR},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400, .ask = 144, .rule = DONOR}}},
        {"batch gives first", 3072, 0, false, {
                {NORMAL, ALARM, 1024, 1224, 400, .target = 1224, .waits = true},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400},
                {BATCH, CALM, 1024, 400, 300, .spare = 600, .target = 400, .ask = 200, .rule = DONOR}}},
        {"the fewer shares first", 3072, 0, false, {
                {NORMAL, ALARM, 1024, 1224, 400, .target = 1224, .waits = true},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .shares = 50, .target = 400, .ask = 200, .rule = DONOR}}},
        {"nobody gives for one of a lower class", 2048, 0, false, {
                {BATCH, ALARM, 1024, 1224, 400, .target = 1224, .waits = true},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400}}},
        {"what is on its way is not asked for again", 2048, 0, false, {
                {NORMAL, ALARM, 1024, 1224, 400, .target = 1224},
                {NORMAL, CALM, 1024, 400, 300, .giving = 256, .target = 400}}},
        {"where not all can have what they like, what is above one's part", 2048, 0, false, {
                {NORMAL, ALARM, 512, 1536, 400, .target = 1348, .waits = true},
                {NORMAL, CALM, 1536, 1500, 700, .spare = 600, .target = 700, .ask = 256, .rule = DONOR}}},
        {"who is in quarantine is not asked", 2048, 0, false, {
                {NORMAL, ALARM, 1024, 1224, 400, .target = 1224, .waits = true},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .quarantined = true, .target = 400}}},

        {"the pool is filled up", 2048, 200, false, {
                {NORMAL, CALM, 1024, 1000, 400, .target = 1000},
                {NORMAL, CALM, 924, 400, 300, .spare = 500, .target = 400, .ask = 100, .rule = SCARCITY}}},
        {"but it is full", 2048, 100, false, {
                {NORMAL, CALM, 1024, 1000, 400, .target = 1000},
                {NORMAL, CALM, 924, 400, 300, .spare = 500, .target = 400}}},
        {"a critical VM's surplus fills it too", 2048, 200, false, {
                {CRITICAL, CALM, 924, 400, 300, .spare = 500, .target = 400, .ask = 100, .rule = SCARCITY},
                {NORMAL, CALM, 1024, 1000, 400, .target = 1000}}},
        {"a host that stalls takes more than the books say", 8192, 100, true, {
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400, .ask = 128, .rule = SCARCITY}}},
        {"who has his share waits for others to give, and leaves the pool alone", 2248, 200, false, {
                {NORMAL, ALARM, 1124, 1224, 400, .target = 1224, .waits = true},
                {NORMAL, CALM, 924, 400, 300, .spare = 500, .target = 400, .ask = 100, .rule = DONOR}}},
        {"unlimited", UINT64_MAX / MIB, 0, false, {
                {NORMAL, ALARM, 512, 1024, 400, .target = 1024},
                {NORMAL, CALM, 1024, 400, 300, .spare = 600, .target = 400}}},
};
/* clang-format on */

static size_t load(const Row *row, RoundVm *vms, RoundHost *host) {
        size_t n = 0;

        *host = (RoundHost){
                .budget_bytes = row->budget == UINT64_MAX / MIB ? UINT64_MAX : row->budget * MIB,
                .pool_bytes = row->pool * MIB,
                .pressed = row->pressed,
        };
        for (; n < VMS_MAX && row->vms[n].size > 0; n++) {
                vms[n] = (RoundVm){
                        .vm_class = row->vms[n].vm_class,
                        .shares = row->vms[n].shares,
                        .min_bytes = 256 * MIB,
                        .reach_bytes = 2048 * MIB,
                        .controlled = true,
                        .size_bytes = row->vms[n].size * MIB,
                        .committed_bytes = row->vms[n].size * MIB,
                        .known = !row->vms[n].fixed,
                        .silent = row->vms[n].silent,
                        .quarantined = row->vms[n].quarantined,
                        .urgency = row->vms[n].urgency,
                        .demand_bytes = row->vms[n].demand * MIB,
                        .floor_bytes = row->vms[n].floor * MIB,
                        .giving_bytes = row->vms[n].giving * MIB,
                };
                for (unsigned level = 0; level < POOL_LEVEL_MAX; level++)
                        vms[n].spare_bytes[level] = row->vms[n].spare * MIB;
                host->committed_bytes += vms[n].committed_bytes;
        }
        return n;
}

static void test_rows(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                RoundVm vms[VMS_MAX];
                RoundHost host;
                size_t n = load(&rows[i], vms, &host);
                unsigned waiting = 0;
                RoundFindings findings = round_run(&host, vms, n);

                print_message("%s\n", rows[i].name);
                for (size_t k = 0; k < n; k++) {
                        uint64_t target = rows[i].vms[k].target * MIB;

                        assert_in_range(vms[k].target_bytes, u64_sub(target, ROUNDING), target + ROUNDING);
                        assert_in_range(vms[k].ask_bytes, u64_sub(rows[i].vms[k].ask * MIB, ROUNDING),
                                        rows[i].vms[k].ask * MIB + ROUNDING);
                        assert_int_equal(vms[k].ask_rule, rows[i].vms[k].rule);
                        assert_int_equal(vms[k].waits, rows[i].vms[k].waits);
                        waiting += vms[k].waits;
                }
                assert_int_equal(findings.n_waiting, waiting);
        }
}

static void test_findings(void **state) {
        RoundVm vms[3] = {
                {.controlled = true,
                 .known = true,
                 .min_bytes = GIB,
                 .reach_bytes = 2 * GIB,
                 .size_bytes = GIB / 2,
                 .committed_bytes = GIB / 2,
                 .vm_class = CRITICAL},
                {.controlled = true,
                 .known = true,
                 .reach_bytes = GIB,
                 .size_bytes = GIB,
                 .committed_bytes = GIB},
                {.committed_bytes = GIB, .size_bytes = GIB, .reach_bytes = 4 * GIB},
        };
        RoundHost host = {.budget_bytes = 4 * GIB, .committed_bytes = 2560 * MIB, .pool_bytes = UINT64_MAX};
        RoundFindings findings = round_run(&host, vms, 3);

        assert_int_equal(findings.promised_bytes, GIB / 2);
        assert_int_equal(findings.n_growing[2], 1);
        assert_int_equal(findings.n_growing[1], 0); /* it has all it will have */
        assert_int_equal(findings.level, POOL_FULL);
        assert_int_equal(findings.pool_target_bytes, pool_target_bytes(4 * GIB, 0));
        assert_int_equal(vms[0].fair_bytes, 1536 * MIB); /* half of what the observed one leaves */
        assert_false(findings.contended);

        host.pressed = true;
        findings = round_run(&host, vms, 3);
        assert_int_equal(findings.level, POOL_SHORT);
        (void) round_run(&host, vms, 0);
}

/* One critical VM of 512 MiB that may reach 2 GiB, and a normal one that waits for 128 MiB. All in MiB. */
static const struct {
        const char *name;
        uint64_t demand, fall, free, claimed, ask;
        bool quarantined;
} claims[] = {
        {"what it needs in ten seconds", 512, 30, 1024, .claimed = 300},
        {"less what it has", 400, 30, 1024, .claimed = 188},
        {"its next grant whole", 512, 5, 1024, .claimed = 128},
        {"but not more than it needs in thirty", 512, 1, 1024, .claimed = 30},
        {"nothing as long as what it has outlasts that", 100, 10, 1024},
        {"nothing without a fall", 1024, 0, 1024},
        {"nothing in quarantine", 512, 30, 1024, .quarantined = true},
        {"as far as it can grow", 512, 1000, 4096, .claimed = 1536},
        {"what is claimed is not there for others: somebody gives", 512, 10, 200, .claimed = 128, .ask = 64},
        {"and where there is enough nobody does", 512, 10, 256, .claimed = 128},
};

static void test_claims(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(claims); i++) {
                RoundVm vms[] = {
                        {.vm_class = CRITICAL,
                         .demand_bytes = claims[i].demand * MIB,
                         .fall_bytes_per_sec = claims[i].fall * MIB,
                         .quarantined = claims[i].quarantined},
                        {.urgency = ALARM, .demand_bytes = 640 * MIB, .fall_bytes_per_sec = 50 * MIB},
                        {.demand_bytes = 300 * MIB, .spare_bytes = {[POOL_SHORT] = 200 * MIB}},
                };
                RoundHost host = {.committed_bytes = 1536 * MIB,
                                  .budget_bytes = (1536 + claims[i].free) * MIB,
                                  .pool_bytes = 0};
                RoundFindings findings;

                print_message("%s\n", claims[i].name);
                for (size_t k = 0; k < ELEMENTSOF(vms); k++) {
                        vms[k].controlled = vms[k].known = true;
                        vms[k].reach_bytes = 2 * GIB;
                        vms[k].size_bytes = vms[k].committed_bytes = 512 * MIB;
                }
                findings = round_run(&host, vms, ELEMENTSOF(vms));
                assert_int_equal(findings.claimed_bytes, claims[i].claimed * MIB);
                assert_int_equal(vms[2].ask_bytes, claims[i].ask * MIB);
                assert_int_equal(vms[1].waits, claims[i].ask > 0);
        }
}

static uint64_t draw(uint64_t *seed, uint64_t below) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (*seed >> 20) % below;
}

#define MANY 40U

static size_t draw_vms(uint64_t *seed, RoundVm *vms) {
        size_t n = 1 + draw(seed, MANY);

        for (size_t i = 0; i < n; i++) {
                uint64_t size = (128 + draw(seed, 4096)) * MIB, spare = draw(seed, size);

                vms[i] = (RoundVm){
                        .vm_class = (VmClass) draw(seed, VM_CLASS_MAX),
                        .shares = draw(seed, 300),
                        .min_bytes = draw(seed, size),
                        .reach_bytes = size + draw(seed, 4096) * MIB,
                        .controlled = draw(seed, 10) > 0,
                        .size_bytes = size,
                        .committed_bytes = size + draw(seed, 256) * MIB,
                        .known = draw(seed, 10) > 0,
                        .silent = draw(seed, 20) == 0,
                        .quarantined = draw(seed, 20) == 0,
                        .urgency = (Urgency) draw(seed, URGENCY_MAX),
                        .activity = {.idle_ppm = draw(seed, 1000001)},
                        .demand_bytes = draw(seed, 8192) * MIB,
                        .floor_bytes = draw(seed, size),
                        .fall_bytes_per_sec = draw(seed, 2) ? 0 : draw(seed, GIB),
                        .giving_bytes = draw(seed, 10) == 0 ? 64 * MIB : 0,
                };
                for (unsigned level = 0; level < POOL_LEVEL_MAX && vms[i].urgency == URGENCY_NONE; level++)
                        vms[i].spare_bytes[level] = spare;
        }
        return n;
}

/* The sum of the targets is within the budget wherever what cannot move is, and every target within its bounds. */
static void test_bounds(void **state) {
        uint64_t seed = 4711;

        for (unsigned i = 0; i < 20000; i++) {
                RoundVm vms[MANY];
                size_t n = draw_vms(&seed, vms);
                RoundHost host = {.budget_bytes = draw(&seed, n * 4096) * MIB,
                                  .pool_bytes = draw(&seed, 2) ? UINT64_MAX : draw(&seed, 512) * MIB,
                                  .pressed = draw(&seed, 8) == 0};
                uint64_t sum = 0, least = 0;

                for (size_t k = 0; k < n; k++)
                        host.committed_bytes += vms[k].committed_bytes;
                (void) round_run(&host, vms, n);
                for (size_t k = 0; k < n; k++) {
                        const RoundVm *vm = &vms[k];
                        bool fixed = !vm->controlled || !vm->known;

                        sum += vm->target_bytes;
                        least += fixed ? vm->committed_bytes : vm->min_bytes;
                        assert_true(fixed ? vm->target_bytes >= vm->committed_bytes
                                          : vm->target_bytes <= vm->reach_bytes &&
                                                    vm->target_bytes >= vm->min_bytes);
                        assert_true(vm->ask_bytes <= vm->spare_bytes[POOL_LAST]);
                        assert_true(vm->ask_bytes == 0 ||
                                    (vm->urgency == URGENCY_NONE && !vm->quarantined &&
                                     vm->giving_bytes == 0 && vm->ask_rule != RULE_NONE));
                }
                assert_true(sum <= u64_max(host.budget_bytes, least));
        }
}

/* Two hundred that could give: 64 are asked, batch first and then the lightest, of equals who stands first. */
static void test_as_many_as_can_be_talked_to(void **state) {
        RoundVm vms[201];
        RoundHost host = {.committed_bytes = ELEMENTSOF(vms) * 512 * MIB, .pool_bytes = 0};
        unsigned n_asked = 0;

        for (size_t i = 0; i < ELEMENTSOF(vms); i++)
                vms[i] = (RoundVm){
                        .vm_class = CRITICAL,
                        .shares = i % 2 ? 50 : 60,
                        .controlled = true,
                        .known = true,
                        .size_bytes = 512 * MIB,
                        .committed_bytes = 512 * MIB,
                        .reach_bytes = 512 * MIB,
                        .demand_bytes = 256 * MIB,
                        .spare_bytes = {[POOL_SHORT] = 64 * MIB},
                };
        vms[0].urgency = ALARM;
        vms[0].reach_bytes = vms[0].demand_bytes = 64 * GIB;
        host.budget_bytes = host.committed_bytes;
        vms[200].vm_class = BATCH;
        (void) round_run(&host, vms, ELEMENTSOF(vms));
        for (size_t i = 1; i < ELEMENTSOF(vms); i++) {
                bool asked = vms[i].ask_bytes > 0;

                n_asked += asked;
                assert_int_equal(asked, i == 200 || (i % 2 == 1 && i < 2 * 63));
        }
        assert_int_equal(n_asked, 64);
}

static void test_whom_it_concerns(void **state) {
        static const struct {
                const char *name;
                RoundVm vm;
                bool concerned;
        } cases[] = {
                {"calm, with what it was promised",
                 {.committed_bytes = GIB, .min_bytes = GIB, .reach_bytes = GIB},
                 false},
                {"asked for something", {.ask_bytes = MIB}, true},
                {"in need", {.urgency = URGENCY_LOW}, true},
                {"less than it was promised", {.min_bytes = GIB, .reach_bytes = 2 * GIB}, true},
                {"its devices reach no further",
                 {.committed_bytes = MIB, .min_bytes = GIB, .reach_bytes = MIB},
                 false},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (round_concerns(&cases[i].vm) != cases[i].concerned)
                        fail_msg("%s", cases[i].name);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_findings),
                cmocka_unit_test(test_claims),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_as_many_as_can_be_talked_to),
                cmocka_unit_test(test_whom_it_concerns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
