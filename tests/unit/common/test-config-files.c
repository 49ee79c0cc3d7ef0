/* SPDX-License-Identifier: Apache-2.0 */

/* Which files are read, in which order, and which are refused: on a scratch tree as the root. */

#include "common/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

typedef struct Sample {
        uint64_t a, b, c;
} Sample;

static const ConfigKey keys[] = {
        {"S", "A", CONFIG_U64, offsetof(Sample, a), 0, 100},
        {"S", "B", CONFIG_U64, offsetof(Sample, b), 0, 100},
        {"S", "C", CONFIG_U64, offsetof(Sample, c), 0, 100},
};
static const ConfigTable table = {"agent", keys, ELEMENTSOF(keys)};

typedef struct Tree {
        char path[64];
        RootDir *root;
        Sample sample;
        ConfigOrigin origins[ELEMENTSOF(keys)];
        char said[4096];
} Tree;

static void say(int level, const char *text, void *userdata) {
        Tree *tree = userdata;
        size_t length = strlen(tree->said);

        (void) snprintf(tree->said + length, sizeof(tree->said) - length, "%s %s\n",
                        level == LOG_ERR ? "E" : "W", text);
}

static const char *full_path(const Tree *tree, const char *path) {
        static char buffer[512];

        (void) snprintf(buffer, sizeof(buffer), "%s/%s", tree->path, path);
        return buffer;
}

static void put(const Tree *tree, const char *path, const char *text, mode_t mode) {
        _cleanup_close_ int fd = open(full_path(tree, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(fchmod(fd, mode), 0);
}

static int set_up(void **state) {
        static const char *const folders[] = {
                "usr",
                "usr/lib",
                "usr/lib/memtide",
                "usr/lib/memtide/agent.conf.d",
                "run",
                "run/memtide",
                "run/memtide/agent.conf.d",
                "etc",
                "etc/memtide",
                "etc/memtide/agent.conf.d",
        };
        Tree *tree = calloc(1, sizeof(*tree));

        assert_non_null(tree);
        (void) snprintf(tree->path, sizeof(tree->path), "/tmp/test-config-XXXXXX");
        assert_non_null(mkdtemp(tree->path));
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                assert_int_equal(mkdir(full_path(tree, folders[i]), 0755), 0);
        assert_int_equal(rootdir_new(tree->path, &tree->root), 0);
        *state = tree;
        return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        return remove(path);
}

static int tear_down(void **state) {
        Tree *tree = *state;

        (void) nftw(tree->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        assert_null(rootdir_free(tree->root));
        free(tree);
        return 0;
}

static int load(Tree *tree, const char *file) {
        tree->sample = (Sample){1, 1, 1};
        memset(tree->origins, 0, sizeof(tree->origins));
        tree->said[0] = '\0';
        return config_load(&table, tree->root, file, &tree->sample, tree->origins, say, tree);
}

static void assert_sample(const Tree *tree, uint64_t a, uint64_t b, uint64_t c) {
        assert_int_equal(tree->sample.a, a);
        assert_int_equal(tree->sample.b, b);
        assert_int_equal(tree->sample.c, c);
        assert_string_equal(tree->said, "");
}

static void test_nothing_there(void **state) {
        Tree *tree = *state;

        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 1, 1, 1);
        assert_int_equal(nftw(full_path(tree, "usr"), remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
        assert_int_equal(nftw(full_path(tree, "etc"), remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 1, 1, 1);
}

static void test_precedence(void **state) {
        Tree *tree = *state;

        put(tree, "usr/lib/memtide/agent.conf", "[S]\nA=10\nB=10\nC=10\n", 0644);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 10, 10, 10);

        /* the administrator's main file replaces the vendor's, whole */
        put(tree, "etc/memtide/agent.conf", "[S]\nA=20\n", 0644);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 20, 1, 1);

        /* drop-ins go by name, whatever folder they are in */
        put(tree, "etc/memtide/agent.conf.d/10-a.conf", "[S]\nA=30\nB=30\n", 0644);
        put(tree, "usr/lib/memtide/agent.conf.d/20-b.conf", "[S]\nB=40\n", 0644);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 30, 40, 1);
        assert_string_equal(tree->origins[0].file, "/etc/memtide/agent.conf.d/10-a.conf");
        assert_int_equal(tree->origins[0].line, 2);
        assert_string_equal(tree->origins[1].file, "/usr/lib/memtide/agent.conf.d/20-b.conf");
        assert_int_equal(tree->origins[2].line, 0);

        /* the same name in a later folder hides the earlier, whole */
        put(tree, "run/memtide/agent.conf.d/20-b.conf", "[S]\nC=50\n", 0644);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 30, 30, 50);
        put(tree, "etc/memtide/agent.conf.d/20-b.conf", "[S]\nC=60\n", 0644);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 30, 30, 60);

        /* neither a backup nor a hidden file is a drop-in */
        put(tree, "etc/memtide/agent.conf.d/99.conf~", "nonsense", 0644);
        put(tree, "etc/memtide/agent.conf.d/.99.conf", "nonsense", 0644);
        put(tree, "etc/memtide/agent.conf.d/.conf", "nonsense", 0644);
        put(tree, "etc/memtide/agent.conf.d/README", "nonsense", 0644);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 30, 30, 60);
}

static void test_dev_null_masks(void **state) {
        Tree *tree = *state;

        put(tree, "usr/lib/memtide/agent.conf", "[S]\nA=10\n", 0644);
        put(tree, "usr/lib/memtide/agent.conf.d/x.conf", "[S]\nB=10\n", 0644);
        assert_int_equal(symlink("/dev/null", full_path(tree, "etc/memtide/agent.conf.d/x.conf")), 0);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 10, 1, 1);
        assert_int_equal(symlink("/dev/null", full_path(tree, "etc/memtide/agent.conf")), 0);
        assert_int_equal(load(tree, NULL), 0);
        assert_sample(tree, 1, 1, 1);
}

static void test_refused_files(void **state) {
        Tree *tree = *state;
        static char large[70000];

        memset(large, '#', sizeof(large) - 1);
        put(tree, "etc/memtide/agent.conf", "[S]\nA=20\n", 0646);
        put(tree, "etc/memtide/agent.conf.d/b.conf", large, 0644);
        assert_int_equal(mkfifo(full_path(tree, "etc/memtide/agent.conf.d/c.conf"), 0644), 0);
        assert_int_equal(mkdir(full_path(tree, "etc/memtide/agent.conf.d/d.conf"), 0755), 0);
        assert_int_equal(symlink("nowhere", full_path(tree, "etc/memtide/agent.conf.d/e.conf")), 0);
        assert_int_equal(symlink("/dev/zero", full_path(tree, "etc/memtide/agent.conf.d/f.conf")), 0);
        put(tree, "etc/memtide/agent.conf.d/g.conf", "[S]\nA=x\n", 0644);
        put(tree, "etc/memtide/agent.conf.d/h.conf", "[S]\nC=30\n", 0664);

        /* each is named, none stops the others from being looked at */
        assert_int_equal(load(tree, NULL), -EINVAL);
        assert_string_equal(tree->said,
                            "E /etc/memtide/agent.conf: anyone may write to it, refused\n"
                            "E /etc/memtide/agent.conf.d/b.conf: larger than 64K\n"
                            "E /etc/memtide/agent.conf.d/c.conf: not a regular file\n"
                            "E /etc/memtide/agent.conf.d/d.conf: not a regular file\n"
                            "E /etc/memtide/agent.conf.d/e.conf: a symbolic link, refused\n"
                            "E /etc/memtide/agent.conf.d/f.conf: a symbolic link, refused\n"
                            "E /etc/memtide/agent.conf.d/g.conf:2: A=x: not a number (allowed: 0 to 100)\n");
        assert_int_equal(tree->sample.a, 1);
        assert_int_equal(tree->sample.c, 30);
}

static void test_warnings_do_not_fail(void **state) {
        Tree *tree = *state;

        put(tree, "etc/memtide/agent.conf", "[S]\nD=1\nA=20\n", 0644);
        assert_int_equal(load(tree, NULL), 0);
        assert_string_equal(tree->said, "W /etc/memtide/agent.conf:2: unknown key D= in [S], ignored\n");
        assert_int_equal(tree->sample.a, 20);
}

static void test_too_many_drop_ins(void **state) {
        Tree *tree = *state;

        for (unsigned i = 0; i < 257; i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "run/memtide/agent.conf.d/%03u.conf", i);
                put(tree, path, "", 0644);
        }
        assert_int_equal(load(tree, NULL), -EINVAL);
        assert_string_equal(tree->said, "E /run/memtide/agent.conf.d: too many drop-ins\n");
}

static void test_named_file(void **state) {
        Tree *tree = *state;
        char folder[256];

        put(tree, "etc/memtide/agent.conf", "[S]\nA=20\n", 0644);
        put(tree, "etc/memtide/agent.conf.d/x.conf", "[S]\nB=20\n", 0644);
        put(tree, "etc/mine.conf", "[S]\nC=20\n", 0644);

        /* alone, below the root */
        assert_int_equal(load(tree, "/etc/mine.conf"), 0);
        assert_sample(tree, 1, 1, 20);
        assert_string_equal(tree->origins[2].file, "/etc/mine.conf");

        assert_int_equal(load(tree, "/etc/absent.conf"), -EINVAL);
        assert_string_equal(tree->said, "E /etc/absent.conf: No such file or directory\n");

        /* from the working directory */
        assert_non_null(getcwd(folder, sizeof(folder)));
        assert_int_equal(chdir(full_path(tree, "etc")), 0);
        assert_int_equal(load(tree, "./mine.conf"), 0);
        assert_sample(tree, 1, 1, 20);
        assert_int_equal(load(tree, "absent.conf"), -EINVAL);
        assert_string_equal(tree->said, "E absent.conf: No such file or directory\n");
        assert_int_equal(chdir(folder), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_nothing_there), TEST(test_precedence),           TEST(test_dev_null_masks),
                TEST(test_refused_files), TEST(test_warnings_do_not_fail), TEST(test_too_many_drop_ins),
                TEST(test_named_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
