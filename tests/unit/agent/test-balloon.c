/* SPDX-License-Identifier: Apache-2.0 */

/* The balloon's features and size, and the other capabilities of the machine, on trees of several machines. */

#include "agent/signals/balloon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/signals/machine.h"
#include "common/vocabulary.h"
#include "tree.h"

#define DEVICE "sys/bus/virtio/devices/virtio3/"

static const struct {
        const char *name, *device, *features;
        BalloonDevice want;
} devices[] = {
        {"without a feature", "0x0005\n", "010000\n", {.present = true}},
        {"deflate on oom", "0x0005\n", "011000\n", {.present = true, .deflate_on_oom = true}},
        {"reporting", "0x0005\n", "010001\n", {.present = true, .reporting = true}},
        {"both", "0x0005\n", "011001", {.present = true, .deflate_on_oom = true, .reporting = true}},
        {"short features", "0x0005\n", "01\n", {.present = true}},
        {"no features", "0x0005\n", "\n", {.present = true}},
        {"garbage for a bit", "0x0005\n", "01x00y\n", {.present = true}},
        {"another device", "0x0018\n", "011001\n", {}},
        {"garbage for an id", "balloon\n", "011001\n", {}},
        {"no id", "\n", "011001\n", {}},
};

static void test_devices(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(devices); i++) {
                _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
                BalloonDevice device;

                tree_write(tree, "sys/bus/virtio/devices/virtio0/device", "0x0003\n");
                tree_write(tree, DEVICE "device", devices[i].device);
                tree_write(tree, DEVICE "features", devices[i].features);
                assert_int_equal(balloon_device_probe(tree->root, &device), 0);
                if (memcmp(&device, &devices[i].want, sizeof(device)) != 0)
                        fail_msg("%s", devices[i].name);
        }
}

static void test_no_virtio(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        BalloonDevice device = {.present = true};

        assert_int_equal(balloon_device_probe(tree->root, &device), 0);
        assert_false(device.present);
}

static void test_size(void **state) {
        Counters meminfo = {}, vmstat = {};

        assert_int_equal(balloon_size_bytes(&meminfo, NULL, 4096), 0);

        vmstat.value[VMSTAT_BALLOON_INFLATE] = 43008;
        assert_int_equal(balloon_size_bytes(&meminfo, &vmstat, 4096), 168 * MIB);
        vmstat.value[VMSTAT_BALLOON_DEFLATE] = 43008 - 256;
        assert_int_equal(balloon_size_bytes(&meminfo, &vmstat, 4096), MIB);
        vmstat.value[VMSTAT_BALLOON_DEFLATE] = 43009; /* read before its inflation */
        assert_int_equal(balloon_size_bytes(&meminfo, &vmstat, 4096), 0);

        meminfo.found = 1U << MEMINFO_BALLOON;
        meminfo.value[MEMINFO_BALLOON] = 5 * MIB;
        assert_int_equal(balloon_size_bytes(&meminfo, &vmstat, 4096), 5 * MIB);
}

static const struct {
        const char *name, *cmdline, *config, *log;
        bool want;
} allocs[] = {
        {"nothing is known", "quiet\n", NULL, NULL, false},
        {"command line on", "quiet init_on_alloc=1\n", NULL, NULL, true},
        {"command line in letters", "init_on_alloc=on quiet\n", NULL, NULL, true},
        {"command line yes", "init_on_alloc=y\n", NULL, NULL, true},
        {"command line off, built on", "init_on_alloc=0\n", "CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\n", NULL,
         false},
        {"command line empty", "init_on_alloc=\n", NULL, NULL, false},
        {"the last word counts", "init_on_alloc=0 init_on_alloc=1\n", NULL, NULL, true},
        {"another word", "xinit_on_alloc=1 init_on_allocs=1\n", NULL, NULL, false},
        {"built on", "quiet\n", "CONFIG_A=y\nCONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\nCONFIG_B=y\n", NULL, true},
        {"built off, log is stale", "quiet\n", "# CONFIG_INIT_ON_ALLOC_DEFAULT_ON is not set\n",
         "6,1,2,-;mem auto-init: stack:all(zero), heap alloc:on, heap free:off\n", false},
        {"log on", "quiet\n", NULL, "6,1,2,-;mem auto-init: stack:all(zero), heap alloc:on, heap free:off\n",
         true},
        {"log off", "quiet\n", NULL, "6,1,2,-;mem auto-init: stack:off, heap alloc:off, heap free:on\n",
         false},
};

static void test_init_on_alloc(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(allocs); i++) {
                _cleanup_(tree_freep) Tree *tree = tree_new(NULL);

                tree_write(tree, "proc/cmdline", allocs[i].cmdline);
                tree_write(tree, "proc/sys/kernel/osrelease", "6.1.0-56-cloud-amd64\n");
                if (allocs[i].config)
                        tree_write(tree, "boot/config-6.1.0-56-cloud-amd64", allocs[i].config);
                if (allocs[i].log)
                        tree_write(tree, "dev/kmsg", allocs[i].log);
                if (machine_capabilities(tree->root) != (allocs[i].want ? CAPABILITY_INIT_ON_ALLOC : 0))
                        fail_msg("%s", allocs[i].name);
        }
}

static void test_machines(void **state) {
        static const struct {
                const char *fixture;
                uint64_t want;
        } machines[] = {
                {"debian12-6.1", CAPABILITY_BALLOON | CAPABILITY_BALLOON_DEFLATE_ON_OOM |
                                         CAPABILITY_BALLOON_REPORTING | CAPABILITY_VIRTIO_MEM},
                {"linux-6.18",
                 CAPABILITY_BALLOON | CAPABILITY_BALLOON_DEFLATE_ON_OOM | CAPABILITY_BALLOON_REPORTING},
                {"arm64-64k-no-psi", 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(machines); i++) {
                _cleanup_(rootdir_freep) RootDir *root = fixture_root(machines[i].fixture);

                assert_int_equal(machine_capabilities(root), machines[i].want);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_devices),  cmocka_unit_test(test_no_virtio),
                cmocka_unit_test(test_size),     cmocka_unit_test(test_init_on_alloc),
                cmocka_unit_test(test_machines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
