/* SPDX-License-Identifier: Apache-2.0 */

/* What a VM lacks, fact by fact; and how QEMU's answers become facts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/macro.h"
#include "common/vocabulary.h"
#include "host-bridge/policy/lacks.h"
#include "host-bridge/vmm/qmp-facts.h"

typedef struct Patient {
        LackFacts facts;
        MemoryModel model;
        VmmFacts vmm;
} Patient;

static void make_healthy(Patient *p) {
        *p = (Patient){
                .facts = {.monitor = true,
                          .agent = true,
                          .controlled = true,
                          .max_bytes = 2 * GIB,
                          .capabilities = CAPABILITY_BALLOON,
                          .guest_block_bytes = 128 * MIB},
                .model = {.known = true,
                          .boot_bytes = 512 * MIB,
                          .n_virtio_mem = 1,
                          .virtio_mem = {{.id = "v", .max_bytes = 2 * GIB, .block_bytes = 2 * MIB}},
                          .has_balloon = true,
                          .balloon_actual_bytes = 512 * MIB},
                .vmm = {.known = true, .qemu_major = 7, .qemu_minor = 2},
        };
        p->facts.model = &p->model;
        p->facts.vmm = &p->vmm;
}

static void no_monitor(Patient *p) {
        p->facts.monitor = false;
}

static void no_agent(Patient *p) {
        p->facts.agent = false;
        p->facts.capabilities = 0;
        p->facts.psi_missing = true; /* of an agent that is gone: it says nothing now */
}

static void no_max(Patient *p) {
        p->facts.controlled = false;
        p->facts.max_bytes = 0;
}

static void no_virtio_mem(Patient *p) {
        p->model.n_virtio_mem = 0;
}

static void dimms_instead(Patient *p) {
        p->model.n_virtio_mem = 0;
        p->model.room_bytes = 2 * GIB;
        p->model.dimm_unit_bytes = 256 * MIB;
}

static void large_max(Patient *p) {
        p->facts.max_bytes = 8 * GIB;
}

static void max_device(Patient *p) {
        p->facts.max_bytes = UINT64_MAX;
}

static void no_balloon(Patient *p) {
        p->model.has_balloon = false;
        p->facts.capabilities = 0;
}

static void no_driver(Patient *p) {
        p->facts.capabilities = 0;
}

static void no_psi(Patient *p) {
        p->facts.psi_missing = true;
}

static void vfio(Patient *p) {
        p->vmm.n_vfio = 1;
        p->vmm.locked_bytes = GIB; /* which it brings with it */
}

static void locked(Patient *p) {
        p->vmm.locked_bytes = 512 * MIB;
}

static void locked_a_little(Patient *p) {
        p->vmm.locked_bytes = MIB;
}

static void hugepages(Patient *p) {
        p->vmm.hugetlb_bytes = 2 * MIB;
}

static void preallocated(Patient *p) {
        p->vmm.preallocated = true;
}

static void odd_dimm(Patient *p) {
        p->facts.dimm_bytes = 128 * MIB;
        p->facts.guest_block_bytes = 2 * GIB;
}

static void large_dimm(Patient *p) {
        p->facts.dimm_bytes = p->model.dimm_unit_bytes = GIB;
        p->model.free_slots = 1;
        p->model.room_bytes = GIB;
        p->facts.plug_budget_bytes = 512 * MIB;
}

static void large_dimm_without_a_slot(Patient *p) {
        large_dimm(p);
        p->model.free_slots = 0;
}

static void rival(Patient *p) {
        p->facts.n_yields = 1;
}

static void old_qemu(Patient *p) {
        p->vmm.qemu_major = 6;
        p->vmm.qemu_minor = 0;
}

static void nothing_known(Patient *p) {
        p->model = (MemoryModel){};
        p->vmm = (VmmFacts){};
        p->facts.guest_block_bytes = 0;
}

static void test_each(void **state) {
        static const struct {
                void (*change)(Patient *patient);
                const char *expected; /* NULL: nothing */
        } cases[] = {
                {make_healthy, NULL},
                {no_monitor, "no-monitor"},
                {no_agent, "no-agent"},
                {no_max, "no-max"},
                {no_virtio_mem, "no-virtio-mem"},
                {dimms_instead, NULL},
                {large_max, "no-room"},
                {max_device, NULL},
                {no_balloon, "no-balloon"},
                {no_driver, "no-balloon-driver"},
                {no_psi, "no-psi"},
                {vfio, "vfio"},
                {locked, "locked"},
                {locked_a_little, NULL},
                {hugepages, "hugepages"},
                {preallocated, "preallocated"},
                {odd_dimm, "dimm-block"},
                {large_dimm, "dimm-plug"},
                {large_dimm_without_a_slot, NULL},
                {rival, "rival"},
                {old_qemu, "old-qemu"},
                {nothing_known, NULL},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const char *found = NULL;
                Patient patient;
                uint64_t lacks;

                make_healthy(&patient);
                cases[i].change(&patient);
                lacks = lacks_judge(&patient.facts);
                for (Lack lack = 0; lack < LACK_KIND_MAX; lack++)
                        if (lacks_has(lacks, lack)) {
                                assert_null(found); /* one thing is one line */
                                found = lack_code(lack);
                        }
                if (cases[i].expected ? !found || strcmp(found, cases[i].expected) != 0 : found != NULL)
                        fail_msg("case %zu: %s", i, found ? found : "nothing");
        }
}

static void test_words(void **state) {
        for (Lack lack = 0; lack < LACK_KIND_MAX; lack++) {
                assert_true(strlen(lack_code(lack)) > 0 && strlen(lack_text(lack)) > 0);
                assert_true(strlen(lack_fix(lack)) > 0);
                assert_null(strchr(lack_code(lack), ',')); /* they are put into a list */
        }
        assert_string_equal(lack_code(LACK_KIND_MAX), "");
}

static VmmFacts facts_of(void (*read)(const json_t *value, VmmFacts *facts), const char *text) {
        _cleanup_(json_decrefp) json_t *value = json_loads(text, 0, NULL);
        VmmFacts facts = {};

        assert_non_null(value);
        read(value, &facts);
        return facts;
}

static void test_answers_of_qemu(void **state) {
        VmmFacts facts =
                facts_of(qmp_facts_read_version, "{\"qemu\":{\"major\":7,\"minor\":2},\"package\":\"\"}");

        assert_int_equal(facts.qemu_major, 7);
        assert_int_equal(facts.qemu_minor, 2);
        assert_int_equal(facts_of(qmp_facts_read_version, "{\"qemu\":{\"major\":-7}}").qemu_major, 0);
        assert_int_equal(facts_of(qmp_facts_read_version, "[]").qemu_major, 0);

        assert_int_equal(facts_of(qmp_facts_read_devices,
                                  "[{\"name\":\"type\",\"type\":\"string\"},"
                                  "{\"name\":\"gpu\",\"type\":\"child<vfio-pci>\"},"
                                  "{\"name\":\"vfio\",\"type\":\"child<virtio-net-pci>\"},"
                                  "{\"name\":\"n\",\"type\":\"child<vhost-vfio>\"},{\"name\":1},7]")
                                 .n_vfio,
                         2);
        assert_int_equal(facts_of(qmp_facts_read_devices, "{}").n_vfio, 0);

        assert_true(
                facts_of(qmp_facts_read_backends, "[{\"prealloc\":false},{\"prealloc\":true}]").preallocated);
        assert_false(
                facts_of(qmp_facts_read_backends, "[{\"prealloc\":false},{\"prealloc\":1}]").preallocated);
}

static void test_process(void **state) {
        VmmFacts facts = {};

        qmp_facts_read_process("Name:\tqemu\nVmLck:\t  524288 kB\nVmPin:\t0 kB\nHugetlbPages:\t    2048 kB\n",
                               &facts);
        assert_int_equal(facts.locked_bytes, 512 * MIB);
        assert_int_equal(facts.hugetlb_bytes, 2 * MIB);
        qmp_facts_read_process("Name:\tVmLck:\nVmLck: much\n", &facts);
        assert_int_equal(facts.locked_bytes, 0);
        assert_int_equal(facts.hugetlb_bytes, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_answers_of_qemu),
                cmocka_unit_test(test_process),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
