/* SPDX-License-Identifier: Apache-2.0 */

/* bridge.conf's table, the host's budget, and the lock of the runtime folder. */

#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/bridge-config.h"
#include "host-bridge/host-sensor.h"
#include "host-bridge/runtime.h"
#include "host-bridge/surfaces/snapshot.h"

static void take_complaint(int level, const char *text, void *userdata) {
        (void) snprintf(userdata, 512, "%d %s", level, text);
}

static int parse(const char *text, BridgeConfig *ret, char complaint[static 512]) {
        *ret = bridge_config_defaults;
        complaint[0] = '\0';
        return config_parse_text(&bridge_config_table, "bridge.conf", text, strlen(text), ret, NULL,
                                 take_complaint, complaint);
}

static void test_values(void **state) {
        static const struct {
                const char *text;
                int r;
                const char *complaint; /* part of it, or NULL */
        } cases[] = {
                {"", 0, NULL},
                {"[Host]\nBudget=16G\nReserve=1G\n", 0, NULL},
                {"[Host]\nBudget=auto\nReserve=auto\n", 0, NULL},
                {"[Host]\nPool=2G\nOvercommit=150%\n", 0, NULL},
                {"[Host]\nOvercommit=49%\n", -EINVAL, "400%"},
                {"[Host]\nOvercommit=150\n", -EINVAL, "50%"},
                {"[Host]\nOvercommit=%\n", -EINVAL, "bridge.conf:2"},
                {"[Policy]\nPreset=density\n", 0, NULL},
                {"[Host]\nPressureLimit=off\n", 0, NULL},
                {"[Host]\nPressureLimit=0%\n", -EINVAL, "or off"},
                {"[Policy]\nPreset=greed\n", -EINVAL, "performance"},
                {"[Host]\nBudget=\n", -EINVAL, "bridge.conf:2"},
                {"[Host]\nBudget=65T\n", -EINVAL, "65T"},
                {"[Host]\nBudget=-1\n", -EINVAL, "auto"},
                {"[Shrink]\nPolicy=never\nCalmBeforeShrink=5min\nHoldAfterGrow=1h\nHoldAfterRefusal="
                 "0\nDeadBand=1G\n",
                 0, NULL},
                {"[Shrink]\nPolicy=always\n", -EINVAL, "idle"},
                {"[Shrink]\nDeadBand=2T\n", -EINVAL, "bridge.conf:2"},
                {"[Resize]\nConfirmTimeout=10s\nOfferTimeout=1s\nSilence=500ms\n", 0, NULL},
                {"[Resize]\nSilence=10ms\n", -EINVAL, "10ms"},
                {"[Resize]\nConfirmTimeout=1h\n", -EINVAL, "1h"},
                {"[Bridge]\nReportInterval=500ms\n", 0, NULL},
                {"[Bridge]\nReportInterval=50ms\n", -EINVAL, "50ms"},
                {"[Metrics]\nListen=off\n", 0, NULL},
                {"[Audit]\nFile=/x/y\n", 0, NULL},
                {"[Audit]\nFile=off\n", 0, NULL},
                {"[Audit]\nFile=x/y\n", -EINVAL, "absolute"},
                {"[Audit]\nFile=\n", -EINVAL, "bridge.conf:2"},
                {"[Metrics]\nListen=[::1]:1\n", 0, NULL},
                {"[Metrics]\nListen=0.0.0.0:9733\n", -EINVAL, "[::1]:PORT"},
                {"[Metrics]\nListen=127.0.0.1\n", -EINVAL, "127.0.0.1:PORT"},
                {"[Metrics]\nListen=127.0.0.1:\n", -EINVAL, "127.0.0.1:PORT"},
                {"[Metrics]\nListen=127.0.0.1:0\n", -EINVAL, "out of range"},
                {"[Metrics]\nListen=127.0.0.1:65536\n", -EINVAL, "out of range"},
                {"[Metrics]\nListen=127.0.0.1:80 \n", 0, NULL},
                {"[Metrics]\nListen=127.0.0.1:80x\n", -EINVAL, "80x"},
                {"[Libvirt]\nConnect=off\n", 0, NULL},
                {"[Libvirt]\nConnect=yes\n", -EINVAL, "qemu:///system"},
                {"[Libvirt]\nModule=libvirt.so\n", -EINVAL, "absolute path"},
                {"[Libvirt]\nModule=off\n", -EINVAL, "absolute path"},
                {"[Bridge]\nInterval=1s\n", 0, "Interval"},
                {"[Other]\nx=1\n", 0, "Other"},
        };
        BridgeConfig config;
        char complaint[512];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int r = parse(cases[i].text, &config, complaint);

                if (r != cases[i].r || (cases[i].complaint && !strstr(complaint, cases[i].complaint)) ||
                    (!cases[i].complaint && complaint[0] != '\0'))
                        fail_msg("%s: %d, \"%s\"", cases[i].text, r, complaint);
        }
}

/* Every field is reached by its key, and what is dumped loads to the same. */
static void test_dump(void **state) {
        static const char text[] =
                "[Host]\nBudget=16G\nReserve=3G\nPool=5M\nOvercommit=120%\nPressureLimit=7%\n"
                "[Policy]\nPreset=density\n"
                "[Shrink]\nPolicy=never\nCalmBeforeShrink=1s\nHoldAfterGrow=2s\n"
                "HoldAfterRefusal=3s\nDeadBand=4M\n"
                "[Resize]\nConfirmTimeout=5s\nOfferTimeout=6s\nSilence=700ms\n"
                "[Bridge]\nReportInterval=800ms\nMode=shadow\nSystemBus=/x\n"
                "[Metrics]\nListen=[::1]:9999\n"
                "[Libvirt]\nConnect=qemu:///session\nModule=/lib/x.so\n[Audit]\nFile=/var/x\n";
        static const BridgeConfig expected = {
                .budget_bytes = 16 * GIB,
                .reserve_bytes = 3 * GIB,
                .pool_bytes = 5 * MIB,
                .overcommit_percent = 120,
                .pressure_limit_percent = 7,
                .preset = PRESET_DENSITY,
                .shrink_policy = SHRINK_POLICY_NEVER,
                .calm_before_shrink_usec = USEC_PER_SEC,
                .hold_after_grow_usec = 2 * USEC_PER_SEC,
                .hold_after_refusal_usec = 3 * USEC_PER_SEC,
                .dead_band_bytes = 4 * MIB,
                .confirm_timeout_usec = 5 * USEC_PER_SEC,
                .offer_timeout_usec = 6 * USEC_PER_SEC,
                .silence_usec = 700 * USEC_PER_MSEC,
                .report_interval_usec = 800 * USEC_PER_MSEC,
                .mode = VM_MODE_SHADOW,
                .metrics_listen = {.family = AF_INET6, .port = 9999},
                .libvirt_connect = "qemu:///session",
                .libvirt_module = "/lib/x.so",
                .system_bus = "/x",
                .audit_file = "/var/x",
        };
        ConfigOrigin origins[BRIDGE_CONFIG_KEYS] = {};
        BridgeConfig config = {}, again = {};
        _cleanup_free_ char *dumped = NULL;
        char complaint[512];
        size_t size;
        FILE *out;

        assert_int_equal(parse(text, &config, complaint), 0);
        assert_memory_equal(&config, &expected, sizeof(config));

        out = open_memstream(&dumped, &size);
        assert_non_null(out);
        config_dump(&bridge_config_table, &config, origins, out);
        (void) fclose(out);
        assert_int_equal(parse(dumped, &again, complaint), 0);
        assert_memory_equal(&again, &expected, sizeof(again));
}

/* A key of its own goes before the preset. */
static void test_preset(void **state) {
        static const struct {
                const char *text;
                ShrinkPolicy policy;
        } cases[] = {
                {"", SHRINK_POLICY_SCARCITY},
                {"[Policy]\nPreset=balanced\n", SHRINK_POLICY_SCARCITY},
                {"[Policy]\nPreset=performance\n", SHRINK_POLICY_NEVER},
                {"[Policy]\nPreset=density\n", SHRINK_POLICY_IDLE},
                {"[Policy]\nPreset=density\n[Shrink]\nPolicy=never\n", SHRINK_POLICY_NEVER},
                {"[Shrink]\nPolicy=idle\n", SHRINK_POLICY_IDLE},
                {"[Policy]\nPreset=performance\n[Shrink]\nPolicy=auto\n", SHRINK_POLICY_NEVER},
        };
        BridgeConfig config;
        char complaint[512];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(parse(cases[i].text, &config, complaint), 0);
                assert_int_equal(bridge_config_shrink_policy(&config), cases[i].policy);
        }
}

static void test_reserve(void **state) {
        assert_int_equal(host_reserve_auto(8 * GIB), 2 * GIB);
        assert_int_equal(host_reserve_auto(50 * GIB), 2 * GIB);
        assert_int_equal(host_reserve_auto(100 * GIB), 4 * GIB);
        assert_int_equal(host_reserve_auto(0), 2 * GIB);
}

static void test_memory_total(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t bytes;
        } cases[] = {
                {"MemTotal:       24684092 kB\nMemFree: 1 kB\n", 0, 24684092 * KIB},
                {"Other: 5 kB\nMemTotal: 7 kB\n", 0, 7 * KIB},
                {"NotMemTotal: 5 kB\n", -EBADMSG, 0},
                {"MemTotal: kB\n", -EBADMSG, 0},
                {"", -EBADMSG, 0},
        };
        World world;
        RootDir *root = NULL;
        char path[128];
        uint64_t bytes;

        world_init(&world);
        (void) snprintf(path, sizeof(path), "%s/proc", world.folder);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(rootdir_new(world.folder, &root), 0);
        assert_int_equal(host_memory_total(root, &bytes), -ENOENT);
        (void) snprintf(path, sizeof(path), "%s/proc/meminfo", world.folder);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FILE *file = fopen(path, "we");

                assert_non_null(file);
                assert_true(fputs(cases[i].text, file) >= 0);
                (void) fclose(file);
                bytes = 0;
                assert_int_equal(host_memory_total(root, &bytes), cases[i].r);
                assert_int_equal(bytes, cases[i].bytes);
        }
        (void) rootdir_free(root);
        world_done(&world);
}

/* From a process to its cgroup's pressure; of a process that is no QEMU nothing is said. */
static void test_pressure_files(void **state) {
        World world;
        RootDir *root = NULL;
        char path[HOST_PATH_MAX];
        uint64_t some = 0;

        world_init(&world);
        assert_int_equal(rootdir_new(world.folder, &root), 0);
        assert_int_equal(host_pressure_read(root, "proc/pressure/memory", &some), -ENOENT);
        world_write(&world, "proc/pressure/memory",
                    "some avg10=0.00 avg60=0.12 avg300=0.00 total=4711\n"
                    "full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n");
        assert_int_equal(host_pressure_read(root, "proc/pressure/memory", &some), 0);
        assert_int_equal(some, 4711);
        world_write(&world, "proc/pressure/memory", "full avg10=0.00 total=12\n");
        assert_int_equal(host_pressure_read(root, "proc/pressure/memory", &some), -EBADMSG);
        world_write(&world, "proc/pressure/memory", "some avg10=0.00 total=x\n");
        assert_int_equal(host_pressure_read(root, "proc/pressure/memory", &some), -EBADMSG);

        assert_int_equal(host_cgroup_pressure_path(root, 77, path), -ENOENT);
        world_write(&world, "proc/77/comm", "libvirtd\n");
        world_write(&world, "proc/77/cgroup", "0::/machine.slice/vm-a.scope\n");
        assert_int_equal(host_cgroup_pressure_path(root, 77, path), -EINVAL);
        world_write(&world, "proc/77/comm", "qemu-system-x86\n");
        assert_int_equal(host_cgroup_pressure_path(root, 77, path), 0);
        assert_string_equal(path, "sys/fs/cgroup/machine.slice/vm-a.scope/memory.pressure");
        world_write(&world, "proc/77/cgroup", "5:memory:/old\n0::/new/here\n");
        assert_int_equal(host_cgroup_pressure_path(root, 77, path), 0);
        assert_string_equal(path, "sys/fs/cgroup/new/here/memory.pressure");
        world_write(&world, "proc/77/cgroup", "5:memory:/old\n"); /* version 1 alone */
        assert_int_equal(host_cgroup_pressure_path(root, 77, path), -ENOENT);
        (void) rootdir_free(root);
        world_done(&world);
}

static void test_lock(void **state) {
        _cleanup_close_ int first = -EBADF, second = -EBADF;
        World world;
        char dir[128], path[160];
        struct stat st;

        world_init(&world);
        (void) snprintf(dir, sizeof(dir), "%s/run", world.folder);
        assert_int_equal(runtime_prepare(dir), 0);
        assert_int_equal(runtime_prepare(dir), 0);
        (void) snprintf(path, sizeof(path), "%s/vms", dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07, 0); /* not for everybody */

        first = runtime_lock(dir);
        assert_true(first >= 0);
        assert_int_equal(runtime_lock(dir), -EBUSY);
        first = safe_close(first);
        second = runtime_lock(dir);
        assert_true(second >= 0);

        memset(dir, 'x', sizeof(dir) - 1);
        dir[0] = '/';
        dir[sizeof(dir) - 1] = '\0';
        assert_int_equal(runtime_prepare(dir), -ENAMETOOLONG);
        world_done(&world);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),         cmocka_unit_test(test_dump),
                cmocka_unit_test(test_reserve),        cmocka_unit_test(test_memory_total),
                cmocka_unit_test(test_lock),           cmocka_unit_test(test_preset),
                cmocka_unit_test(test_pressure_files),
        };

        log_setup(LOG_TARGET_STDERR, LOG_CRIT);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
