/* SPDX-License-Identifier: Apache-2.0 */

/* What QMP's answers say about memory: shapes, bounds, DIMMs of ours, room. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "common/macro.h"
#include "common/units.h"
#include "host-bridge/vmm/dimm-name.h"
#include "host-bridge/vmm/qmp-memory.h"

static json_t *json(const char *text) {
        json_t *value = json_loads(text, 0, NULL);

        assert_non_null(value);
        return value;
}

#define VMEM(id, size, requested, max, block)                                                                \
        "{\"type\": \"virtio-mem\", \"data\": {" id "\"size\": " size ", \"requested-size\": " requested     \
        ", \"max-size\": " max ", \"block-size\": " block ", \"memaddr\": 4294967296}}"
#define DIMM(size) "{\"type\": \"dimm\", \"data\": {\"size\": " size ", \"slot\": 0}}"

static void test_devices(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t dimm_bytes;
                unsigned n_virtio_mem, n_unusable;
        } cases[] = {
                {"[]", 0, 0, 0, 0},
                {"[" DIMM("268435456") "," DIMM("268435456") "]", 0, 512 * MIB, 0, 0},
                {"[" VMEM("\"id\": \"b\",", "0", "0", "4194304",
                          "2097152") "," VMEM("\"id\": \"a\",", "2097152", "0", "4194304",
                                              "2097152") "," DIMM("4096") "]",
                 0, 4096, 2, 0},
                {"[" VMEM("", "0", "0", "4194304", "2097152") "]", 0, 0, 0, 1},
                {"[" VMEM("\"id\": \"\",", "0", "0", "4194304", "2097152") "]", 0, 0, 0, 1},
                {"[{\"type\": \"nvdimm\", \"data\": {}}, {\"type\": 5}, {}, 7]", 0, 0, 0, 0},
                {"{}", -EBADMSG, 0, 0, 0},
                {"[" DIMM("-1") "]", -EBADMSG, 0, 0, 0},
                {"[" DIMM("1.5") "]", -EBADMSG, 0, 0, 0},
                {"[" DIMM("\"1\"") "]", -EBADMSG, 0, 0, 0},
                {"[" DIMM("9223372036854775807") "]", -EBADMSG, 0, 0, 0},
                {"[" VMEM("\"id\": \"a\",", "null", "0", "4194304", "2097152") "]", -EBADMSG, 0, 0, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                MemoryModel model = {};
                unsigned n_unusable = 0;
                json_t *value = json(cases[i].text);
                int r = qmp_memory_read_devices(value, &model, &n_unusable);

                if (r != cases[i].r || (r == 0 && (model.dimm_bytes != cases[i].dimm_bytes ||
                                                   model.n_virtio_mem != cases[i].n_virtio_mem ||
                                                   n_unusable != cases[i].n_unusable)))
                        fail_msg("%s: r %d", cases[i].text, r);
                for (unsigned j = 1; r == 0 && j < model.n_virtio_mem; j++)
                        assert_true(strcmp(model.virtio_mem[j - 1].id, model.virtio_mem[j].id) < 0);
                json_decref(value);
        }
}

/* Ours by number; what is plugged takes slots and room. Sizes in MiB. */
static void test_dimms(void **state) {
#define OURS(id, size)                                                                                       \
        "{\"type\": \"dimm\", \"data\": {\"id\": \"" id "\", \"size\": " size ", \"addr\": 4294967296}}"
        json_t *value =
                json("[" OURS("memtide-dimm3", "268435456") "," OURS("memtide-dimm16", "268435456") "," OURS(
                        "dimm0", "268435456") "," VMEM("\"id\": \"a\",", "0", "0", "536870912",
                                                       "2097152") ", {\"type\": \"nvdimm\", \"data\": "
                                                                  "{\"size\": 268435456}}]");
        json_t *machine = json("{\"size\": 536870912, \"max-size\": 2684354560, \"slots\": 5}");
        MemoryModel model = {};
        unsigned n_unusable;

        assert_int_equal(qmp_memory_read_machine(machine, &model), 0);
        assert_int_equal(model.free_slots, 5);
        assert_int_equal(model.room_bytes, 2048 * MIB);
        assert_int_equal(qmp_memory_read_devices(value, &model, &n_unusable), 0);
        assert_int_equal(model.dimm_bytes, 768 * MIB);
        assert_int_equal(model.dimm[3].size_bytes, 256 * MIB);
        assert_int_equal(model.dimm[3].address, 4 * GIB);
        assert_int_equal(model.free_slots, 1);
        assert_int_equal(model.room_bytes, 512 * MIB);
        json_decref(value);
        json_decref(machine);

        machine = json("{\"size\": 536870912, \"slots\": 5}");
        assert_int_equal(qmp_memory_read_machine(machine, &model), -EBADMSG);
        json_decref(machine);
}

static void test_dimm_number(void **state) {
        static const char *const foreign[] = {
                NULL,
                "",
                "memtide-dimm",
                "memtide-dimm16",
                "memtide-dimm00",
                "memtide-dimm01",
                "memtide-dimm-1",
                "memtide-dimm1x",
                "memtide-dimm123456789012345678901",
                "xmemtide-dimm1",
                "dimm1",
        };

        for (size_t i = 0; i < ELEMENTSOF(foreign); i++)
                assert_int_equal(dimm_name_number(foreign[i]), MEMORY_MODEL_DIMMS_MAX);
        assert_int_equal(dimm_name_number("memtide-dimm0"), 0);
        assert_int_equal(dimm_name_number("memtide-dimm15"), 15);
}

static void test_more_devices_than_fit(void **state) {
        json_t *value = json_array();
        MemoryModel model = {};
        unsigned n_unusable;

        for (unsigned i = 0; i < MEMORY_MODEL_DEVICES_MAX + 3; i++)
                assert_int_equal(json_array_append_new(value, json(VMEM("\"id\": \"a\",", "0", "0", "4096",
                                                                        "4096"))),
                                 0);
        assert_int_equal(qmp_memory_read_devices(value, &model, &n_unusable), 0);
        assert_int_equal(model.n_virtio_mem, MEMORY_MODEL_DEVICES_MAX);
        assert_int_equal(n_unusable, 3);
        json_decref(value);
}

static void test_states(void **state) {
        static const struct {
                const char *text;
                bool running, migrating;
        } cases[] = {
                {"{\"status\": \"running\", \"running\": true}", true, false},
                {"{\"status\": \"paused\", \"running\": false}", false, false},
                {"{\"status\": \"active\"}", false, true},
                {"{\"status\": \"completed\"}", false, false},
                {"{\"running\": 1}", false, false},
                {"{}", false, false},
                {"[]", false, false},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *value = json(cases[i].text);

                assert_int_equal(qmp_memory_is_running(value), cases[i].running);
                assert_int_equal(qmp_memory_is_migrating(value), cases[i].migrating);
                json_decref(value);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_devices),     cmocka_unit_test(test_dimms),
                cmocka_unit_test(test_dimm_number), cmocka_unit_test(test_more_devices_than_fit),
                cmocka_unit_test(test_states),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
