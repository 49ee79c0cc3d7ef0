/* SPDX-License-Identifier: Apache-2.0 */

/* Which VMs there are: one look, and the watch. */

#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/guests/discovery-scan.h"
#include "host-bridge/guests/discovery.h"

/* -- a folder -------------------------------------------------------------------------------------- */

typedef struct Fixture {
        World world;
        char vms[96], policies[96];
        RootDir *root;
        Discovery *discovery;
        unsigned n_deliveries;
        size_t n_vms, n_coming; /* as delivered, and of the delivery under way */
        DiscoveredVm vms_seen[16];
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        world_init(&f->world);
        (void) snprintf(f->vms, sizeof(f->vms), "%s/vms", f->world.folder);
        (void) snprintf(f->policies, sizeof(f->policies), "%s/vm.d", f->world.folder);
        assert_int_equal(mkdir(f->vms, 0700), 0);
        assert_int_equal(mkdir(f->policies, 0700), 0);
        assert_int_equal(rootdir_new("/", &f->root), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) discovery_free(f->discovery);
        (void) rootdir_free(f->root);
        world_done(&f->world);
        free(f);
        return 0;
}

static void make_socket(const Fixture *f, const char *name) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_true(snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", f->vms, name) <
                    (int) sizeof(address.sun_path));
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        (void) close(fd);
}

static int compare_vms(const void *a, const void *b) {
        return strcmp(((const DiscoveredVm *) a)->name, ((const DiscoveredVm *) b)->name);
}

/* A whole look: at most n VMs in the order of their names. Returns how many there are, or -errno. */
static int look(const DiscoverySources *sources, DiscoveredVm *ret, size_t n) {
        _cleanup_(discovery_scan_freep) DiscoveryScan *scan = NULL;
        const DiscoveredVm *vm;
        size_t found = 0;
        int r;

        r = discovery_scan_new(sources, &scan);
        if (r < 0)
                return r;
        while ((r = discovery_scan_proceed(scan)) > 0)
                ;
        if (r < 0)
                return r;
        for (; (vm = discovery_scan_next(scan)); found++)
                if (found < n)
                        ret[found] = *vm;
        qsort(ret, MIN_OF(found, n), sizeof(*ret), compare_vms);
        return (int) found;
}

static void test_scan(void **state) {
        static const VmConfig configs[] = {
                {.name = "elsewhere",
                 .channel = "/x/c",
                 .qmp = "/x/q",
                 .policy = {.controlled = true, .max_bytes = GIB}},
                {.name = "half", .qmp = "/x/h", .policy = {.mode = VM_MODE_MANAGED}},
                {.name = "policy-only", .policy = {.controlled = true, .max_bytes = 2 * GIB}},
                {.name = "two", .policy = {.has_min = true, .min_bytes = MIB}},
        };
        DiscoverySources sources = {
                .configs = configs,
                .n_configs = ELEMENTSOF(configs),
                .defaults = {.mode = VM_MODE_SHADOW},
        };
        Fixture *f = *state;
        DiscoveredVm vms[8] = {};
        char path[128];

        make_socket(f, "two.channel");
        make_socket(f, "two.qmp");
        make_socket(f, "one.qmp");
        make_socket(f, "half.channel");
        make_socket(f, "half.qmp");
        make_socket(f, ".x.qmp");
        make_socket(f, "other.sock");
        make_socket(f, ".qmp");
        (void) snprintf(path, sizeof(path), "%s/file.qmp", f->vms);
        assert_int_equal(mkdir(path, 0700), 0);

        sources.vms_dir = f->vms;
        assert_int_equal(look(&sources, vms, ELEMENTSOF(vms)), 4);
        assert_string_equal(vms[0].name, "elsewhere");
        assert_string_equal(vms[0].channel, "/x/c");
        assert_int_equal(vms[0].policy.max_bytes, GIB);
        assert_string_equal(vms[1].name, "half");
        assert_string_equal(vms[1].hypervisor.text, "/x/h"); /* its file goes first */
        assert_non_null(strstr(vms[1].channel, "/vms/half.channel"));
        assert_string_equal(vms[2].name, "one");
        assert_string_equal(vms[2].channel, "");
        assert_string_equal(vms[3].name, "two");
        assert_false(vms[3].policy.controlled);
        assert_int_equal(vms[1].policy.mode, VM_MODE_MANAGED); /* its file goes before the default */
        assert_int_equal(vms[2].policy.mode, VM_MODE_SHADOW);

        sources.defaults = (DiscoveryDefaults){.adopt = true};
        assert_int_equal(look(&sources, vms, ELEMENTSOF(vms)), 4);
        assert_int_equal(vms[0].policy.max_bytes, GIB); /* --adopt does not override a file */
        assert_true(vms[3].policy.controlled && vms[3].policy.max_bytes == UINT64_MAX);
        assert_int_equal(vms[3].policy.min_bytes, MIB);
        sources.vms_dir = "/nonexistent";
        assert_int_equal(look(&sources, vms, ELEMENTSOF(vms)), -ENOENT);
}

/* A folder whose last change is long past, as one that nothing happens to is. */
static void age_folder(const Fixture *f) {
        const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

        assert_int_equal(utimensat(AT_FDCWD, f->vms, long_ago, 0), 0);
}

#define MANY 600 /* more than one block of them */

static void test_many_in_pieces(void **state) {
        _cleanup_(discovery_scan_freep) DiscoveryScan *scan = NULL;
        Fixture *f = *state;
        DiscoverySources sources = {.vms_dir = f->vms};
        bool seen[MANY] = {false};
        const DiscoveredVm *vm;
        unsigned i, n_pieces = 0, n = 0;
        char name[32];

        for (i = 0; i < MANY; i++) {
                (void) snprintf(name, sizeof(name), "vm%u.qmp", i);
                make_socket(f, name);
                (void) snprintf(name, sizeof(name), "vm%u.channel", i);
                make_socket(f, name);
        }
        assert_int_equal(discovery_scan_new(&sources, &scan), 0);
        while (discovery_scan_proceed(scan) > 0)
                n_pieces++;
        assert_true(n_pieces >= 2 * MANY / 64);
        while ((vm = discovery_scan_next(scan))) {
                assert_int_equal(sscanf(vm->name, "vm%u", &i), 1);
                assert_true(i < MANY && !seen[i]);
                assert_true(vm->channel[0] != '\0' && vm->hypervisor.origin == VMM_ORIGIN_QMP);
                seen[i] = true;
                n++;
        }
        assert_int_equal(n, MANY);
}

/* What comes while the folder is read is found by the same look, though not for ever. */
static void test_change_while_it_is_read(void **state) {
        _cleanup_(discovery_scan_freep) DiscoveryScan *scan = NULL, *other = NULL;
        Fixture *f = *state;
        DiscoverySources sources = {.vms_dir = f->vms};
        unsigned n = 0, n_pieces = 0;
        char name[32];

        make_socket(f, "a.qmp");
        age_folder(f);
        assert_int_equal(discovery_scan_new(&sources, &scan), 0);
        make_socket(f, "b.qmp");
        while (discovery_scan_proceed(scan) > 0)
                n_pieces++;
        assert_int_equal(n_pieces, 1);
        while (discovery_scan_next(scan))
                n++;
        assert_int_equal(n, 2);

        age_folder(f);
        assert_int_equal(discovery_scan_new(&sources, &other), 0);
        for (n_pieces = 0; n_pieces < 100; n_pieces++) {
                (void) snprintf(name, sizeof(name), "c%u.qmp", n_pieces);
                make_socket(f, name);
                if (discovery_scan_proceed(other) == 0)
                        break;
                age_folder(f);
        }
        assert_int_equal(n_pieces, 2);
}

static void test_domains(void **state) {
        static const VmConfig configs[] = {
                {.name = "filed", .policy = {.controlled = true, .max_bytes = GIB}},
                {.name = "own-monitor", .qmp = "/x/q"},
        };
        /* The name, the origin of the hand, the end of its address, the end of the channel, the largest size. */
        static const struct {
                const char *name;
                VmmOrigin origin;
                const char *address, *channel;
                uint64_t max_bytes;
        } expected[] = {
                {"alone", VMM_ORIGIN_LIBVIRT, "u-alone", "/l/alone", 3 * GIB},
                {"both", VMM_ORIGIN_LIBVIRT, "u-both", "/vms/both.channel", 3 * GIB},
                {"filed", VMM_ORIGIN_LIBVIRT, "u-filed", "/l/filed", GIB},
                {"folder", VMM_ORIGIN_QMP, "/vms/folder.qmp", "", 0},
                {"own-monitor", VMM_ORIGIN_QMP, "/x/q", "/l/own-monitor", 0},
        };
        static const char *const names[] = {"own-monitor", "both", "alone", "filed"};
        Fixture *f = *state;
        DiscoveredVm vms[8] = {}, domains[ELEMENTSOF(names)] = {};

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                domains[i].hypervisor.origin = VMM_ORIGIN_LIBVIRT;
                domains[i].policy = (VmPolicy){.controlled = true, .max_bytes = 3 * GIB};
                (void) snprintf(domains[i].name, sizeof(domains[i].name), "%s", names[i]);
                (void) snprintf(domains[i].channel, sizeof(domains[i].channel), "/l/%s", names[i]);
                (void) snprintf(domains[i].hypervisor.text, sizeof(domains[i].hypervisor.text), "u-%s",
                                names[i]);
        }
        make_socket(f, "both.channel");
        make_socket(f, "both.qmp");
        make_socket(f, "folder.qmp");
        assert_int_equal(look(&(DiscoverySources){.vms_dir = f->vms,
                                                  .configs = configs,
                                                  .n_configs = ELEMENTSOF(configs),
                                                  .domains = domains,
                                                  .n_domains = ELEMENTSOF(domains)},
                              vms, ELEMENTSOF(vms)),
                         ELEMENTSOF(expected));
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_string_equal(vms[i].name, expected[i].name);
                assert_int_equal(vms[i].hypervisor.origin, expected[i].origin);
                assert_non_null(strstr(vms[i].hypervisor.text, expected[i].address));
                assert_non_null(strstr(vms[i].channel, expected[i].channel));
                assert_int_equal(vms[i].policy.max_bytes, expected[i].max_bytes);
        }
}

/* -- the watch ------------------------------------------------------------------------------------- */

static void on_vm(DiscoveryStep step, const DiscoveredVm *vm, void *userdata) {
        Fixture *f = userdata;

        switch (step) {

        case DISCOVERY_BEGINS:
                f->n_coming = 0;
                return;

        case DISCOVERY_VM:
                assert_true(f->n_coming < ELEMENTSOF(f->vms_seen));
                f->vms_seen[f->n_coming++] = *vm;
                return;

        case DISCOVERY_ENDS:
                f->n_vms = f->n_coming;
                f->n_deliveries++;
                return;
        }
}

static int begin(Fixture *f) {
        return discovery_new(f->world.event,
                             &(DiscoveryOptions){.root = f->root,
                                                 .vms_dir = f->vms,
                                                 .policy_dir = f->policies},
                             on_vm, f, &f->discovery);
}

static bool sees_one(void *userdata) {
        return ((Fixture *) userdata)->n_vms == 1;
}

static bool sees_none(void *userdata) {
        return ((Fixture *) userdata)->n_vms == 0;
}

static bool is_controlled(void *userdata) {
        return ((Fixture *) userdata)->vms_seen[0].policy.controlled;
}

static void test_watch(void **state) {
        Fixture *f = *state;
        char path[128];

        assert_int_equal(begin(f), 0);
        world_idle(&f->world, 50);
        assert_int_equal(f->n_deliveries, 1);

        make_socket(f, "a.qmp");
        assert_true(world_run(&f->world, sees_one, f, 2000));
        world_write(&f->world, "vm.d/a.conf", "[VM]\nMax=device\n");
        assert_true(world_run(&f->world, is_controlled, f, 2000));

        world_write(&f->world, "vm.d/a.conf", "[VM]\nMax=wrong\n");
        world_idle(&f->world, 60);
        assert_true(is_controlled(f));

        (void) snprintf(path, sizeof(path), "%s/a.qmp", f->vms);
        assert_int_equal(unlink(path), 0);
        assert_true(world_run(&f->world, sees_none, f, 2000));
}

static void test_domains_come_and_go(void **state) {
        DiscoveredVm domain = {.name = "d", .hypervisor = {VMM_ORIGIN_LIBVIRT, "u"}};
        Fixture *f = *state;

        assert_int_equal(begin(f), 0);
        world_idle(&f->world, 50);
        assert_int_equal(discovery_set_domains(f->discovery, &domain, 1), 0);
        assert_true(world_run(&f->world, sees_one, f, 2000));
        assert_int_equal(f->vms_seen[0].hypervisor.origin, VMM_ORIGIN_LIBVIRT);
        assert_string_equal(f->vms_seen[0].hypervisor.text, domain.hypervisor.text);
        assert_int_equal(discovery_set_domains(f->discovery, NULL, 0), 0);
        assert_true(world_run(&f->world, sees_none, f, 2000));
}

static void test_burst_is_one_look(void **state) {
        Fixture *f = *state;

        assert_int_equal(begin(f), 0);
        world_idle(&f->world, 50);
        for (unsigned i = 0; i < 10; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "vm%u.qmp", i);
                make_socket(f, name);
        }
        world_idle(&f->world, 80);
        assert_int_equal(f->n_vms, 10);
        assert_true(f->n_deliveries <= 3);
}

static unsigned deliveries_of_a_look(Fixture *f) {
        unsigned before = f->n_deliveries;

        discovery_look(f->discovery);
        world_idle(&f->world, 60);
        return f->n_deliveries - before;
}

/* Who looks now and then is spared a folder in which nothing can have changed. */
static void test_slow_look(void **state) {
        Fixture *f = *state;
        char link[128];

        make_socket(f, "a.qmp");
        assert_int_equal(begin(f), 0);
        world_idle(&f->world, 60);
        assert_int_equal(deliveries_of_a_look(f), 1); /* it has just changed: who knows */
        age_folder(f);
        assert_int_equal(deliveries_of_a_look(f), 1);
        assert_int_equal(deliveries_of_a_look(f), 0);

        (void) snprintf(link, sizeof(link), "%s/b.qmp", f->vms);
        assert_int_equal(symlink("/nonexistent", link), 0);
        world_idle(&f->world, 60);
        age_folder(f);
        assert_int_equal(deliveries_of_a_look(f), 1);
        assert_int_equal(deliveries_of_a_look(f), 1); /* there may be a socket by now */
        assert_int_equal(f->n_vms, 1);
}

/* A folder of policies that is not there is nothing to look for again; one that is made is found. */
static void test_slow_look_without_policies(void **state) {
        Fixture *f = *state;
        char path[128];

        make_socket(f, "a.qmp");
        (void) snprintf(path, sizeof(path), "%s/vm.d", f->world.folder);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(begin(f), 0);
        world_idle(&f->world, 60);
        age_folder(f);
        assert_int_equal(deliveries_of_a_look(f), 1);
        assert_int_equal(deliveries_of_a_look(f), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        world_write(&f->world, "vm.d/a.conf", "[VM]\nMax=1G\n");
        assert_int_equal(deliveries_of_a_look(f), 1);
        assert_true(is_controlled(f));
}

static void test_bad_policy_at_the_start(void **state) {
        Fixture *f = *state;

        world_write(&f->world, "vm.d/a.conf", "[VM]\nMax=wrong\n");
        assert_int_equal(begin(f), -EINVAL);
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                folder_test(test_scan),
                folder_test(test_many_in_pieces),
                folder_test(test_change_while_it_is_read),
                folder_test(test_domains),
                folder_test(test_watch),
                folder_test(test_domains_come_and_go),
                folder_test(test_burst_is_one_look),
                folder_test(test_slow_look),
                folder_test(test_slow_look_without_policies),
                folder_test(test_bad_policy_at_the_start),
        };

        log_setup(LOG_TARGET_STDERR, LOG_CRIT);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
