/* SPDX-License-Identifier: Apache-2.0 */

/* The files of vm.d, and what may be a VM's name. */

#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/guests/vm-config.h"

static void test_names(void **state) {
        static const struct {
                const char *name;
                bool valid;
        } cases[] = {
                {"a", true},
                {"web-1.example_X", true},
                {"0", true},
                {"-", true},
                {"a.channel", true},
                {"", false},
                {".", false},
                {"..", false},
                {".hidden", false},
                {"a/b", false},
                {"a b", false},
                {"a\n", false},
                {"\x1b[31m", false},
                {"\xc3\xbc", false},
                {"123456789012345678901234567890123456789012345678901234567890123", true},
                {"1234567890123456789012345678901234567890123456789012345678901234", false},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (vm_name_is_valid(cases[i].name) != cases[i].valid)
                        fail_msg("\"%s\"", cases[i].name);
}

/* -- a folder -------------------------------------------------------------------------------------- */

typedef struct Fixture {
        World world;
        char policies[96];
        RootDir *root;
        unsigned n_errors, n_warnings;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        world_init(&f->world);
        (void) snprintf(f->policies, sizeof(f->policies), "%s/vm.d", f->world.folder);
        assert_int_equal(mkdir(f->policies, 0700), 0);
        assert_int_equal(rootdir_new("/", &f->root), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) rootdir_free(f->root);
        world_done(&f->world);
        free(f);
        return 0;
}

static void count_complaints(int level, const char *text, void *userdata) {
        Fixture *f = userdata;

        f->n_errors += level == LOG_ERR;
        f->n_warnings += level == LOG_WARNING;
}

static void test_policy_files(void **state) {
        static const struct {
                const char *text;
                int r;
                VmPolicy policy;
        } cases[] = {
                {"", 0, {}},
                {"[VM]\n", 0, {}},
                {"[VM]\nMax=device\n", 0, {.controlled = true, .max_bytes = UINT64_MAX}},
                {"[VM]\nMax=4G\nDimmSize=512M\n",
                 0,
                 {.controlled = true, .max_bytes = 4 * GIB, .dimm_bytes = 512 * MIB}},
                {"[VM]\nDimmSize=no\n", 0, {}},
                {"[VM]\nDimmSize=0\n", -EINVAL, {}},
                {"[VM]\nDimmSize=1000M\n", -EINVAL, {}},
                {"[VM]\nDimmSize=65T\n", -EINVAL, {}},
                {"[VM]\nMax=4G\n", 0, {.controlled = true, .max_bytes = 4 * GIB}},
                {"[VM]\nMin=512M\n", 0, {.has_min = true, .min_bytes = 512 * MIB}},
                {"[VM]\nMin=1G\nMax=1G\n",
                 0,
                 {.controlled = true, .has_min = true, .min_bytes = GIB, .max_bytes = GIB}},
                {"[VM]\nMin=2G\nMax=1G\n", -EINVAL, {}},
                {"[VM]\nMax=0\n", -EINVAL, {}},
                {"[VM]\nMax=Device\n", -EINVAL, {}},
                {"[VM]\nMax=65T\n", -EINVAL, {}},
                {"[VM]\nMin=much\n", -EINVAL, {}},
                {"[VM]\nChannel="
                 "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
                 "12345678901234567890123456789\n",
                 -EINVAL,
                 {}},
                {"[VM]\nUnknown=1\n", 0, {}},
                {"[VM]\nMode=shadow\n", 0, {.mode = VM_MODE_SHADOW}},
                {"[VM]\nMode=ghost\n", -EINVAL, {}},
        };
        Fixture *f = *state;
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/a.conf", f->policies);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VmConfig config = {};
                int r;

                f->n_errors = 0;
                world_write(&f->world, "vm.d/a.conf", cases[i].text);
                r = vm_config_load(f->root, path, &config, count_complaints, f);
                if (r != cases[i].r || (r < 0) != (f->n_errors > 0) ||
                    config.policy.mode != cases[i].policy.mode ||
                    config.policy.controlled != cases[i].policy.controlled ||
                    config.policy.has_min != cases[i].policy.has_min ||
                    config.policy.min_bytes != cases[i].policy.min_bytes ||
                    config.policy.max_bytes != cases[i].policy.max_bytes ||
                    config.policy.dimm_bytes != cases[i].policy.dimm_bytes)
                        fail_msg("%s: %d", cases[i].text, r);
        }
}

static void test_policy_folder(void **state) {
        Fixture *f = *state;
        VmConfig *configs = NULL;
        size_t n;

        world_write(&f->world, "vm.d/b.conf", "[VM]\nMax=device\n");
        world_write(&f->world, "vm.d/a.conf", "[VM]\nMax=1G\n");
        world_write(&f->world, "vm.d/bad.conf", "[VM]\nMax=no\n");
        world_write(&f->world, "vm.d/no name.conf", "[VM]\n");
        world_write(&f->world, "vm.d/README", "");
        world_write(&f->world, "vm.d/.hidden.conf", "[VM]\nMax=no\n");
        assert_int_equal(vm_config_load_folder(f->root, f->policies, &configs, &n, count_complaints, f),
                         -EINVAL);
        assert_int_equal(n, 2);
        assert_string_equal(configs[0].name, "a");
        assert_string_equal(configs[1].name, "b");
        assert_int_equal(f->n_errors, 1);
        assert_int_equal(f->n_warnings, 2);
        free(configs);

        configs = NULL;
        assert_int_equal(vm_config_load_folder(f->root, "/nonexistent", &configs, &n, count_complaints, f),
                         0);
        assert_int_equal(n, 0);
        free(configs);
}

static void keep_complaint(int level, const char *text, void *userdata) {
        (void) snprintf(userdata, 1024, "%s", text);
}

/* Each is refused with file and line, or with its name where it has none. */
static void test_refused_policies(void **state) {
        static const struct {
                const char *a, *b, *said;
        } cases[] = {
                {"[VM]\nMax=1G\n\nMin=2G\n", "", "/a.conf:4: Min=2G: larger than Max=1G of line 2"},
                {"[VM]\nQmp=/x/q\n", "[VM]\nMax=1G\nQmp=/x/q\n",
                 "/b.conf:3: Qmp=/x/q: the same VM as in a.conf, line 2"},
                {"[VM]\nChannel=/x/c\n", "[VM]\nChannel=/x/c\n",
                 "/b.conf:2: Channel=/x/c: the same VM as in a.conf"},
                {"[VM]\nMax=99999999999999999999T\n", "",
                 "/a.conf:2: Max=99999999999999999999T: out of range"},
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VmConfig *configs = NULL;
                char said[1024] = "";
                size_t n;

                world_write(&f->world, "vm.d/a.conf", cases[i].a);
                world_write(&f->world, "vm.d/b.conf", cases[i].b);
                assert_int_equal(vm_config_load_folder(f->root, f->policies, &configs, &n, keep_complaint,
                                                       said),
                                 -EINVAL);
                free(configs);
                if (!strstr(said, cases[i].said))
                        fail_msg("%s, not %s", said, cases[i].said);
        }
}

static void test_refused_places(void **state) {
        Fixture *f = *state;
        VmConfig *configs = NULL;
        char path[256], said[1024] = "";
        size_t n;

        world_write(&f->world, "vm.d/a.conf", "[VM]\nMax=1G\n");
        (void) snprintf(path, sizeof(path), "%s/a.conf", f->policies);
        assert_int_equal(chmod(path, 0646), 0);
        assert_int_equal(vm_config_load_folder(f->root, f->policies, &configs, &n, keep_complaint, said),
                         -EINVAL);
        assert_non_null(strstr(said, "a.conf: anyone may write to it"));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/etc/hostname", path), 0);
        assert_int_equal(vm_config_load_folder(f->root, f->policies, &configs, &n, keep_complaint, said),
                         -EINVAL);
        assert_non_null(strstr(said, "a.conf: a symbolic link"));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(chmod(f->policies, 0777), 0);
        assert_int_equal(vm_config_load_folder(f->root, f->policies, &configs, &n, keep_complaint, said),
                         -EINVAL);
        assert_non_null(strstr(said, "anyone may write to that folder"));
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),     folder_test(test_policy_files),
                folder_test(test_policy_folder),  folder_test(test_refused_policies),
                folder_test(test_refused_places),
        };

        log_setup(LOG_TARGET_STDERR, LOG_CRIT);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
