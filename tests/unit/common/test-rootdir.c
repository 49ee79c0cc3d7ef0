/* SPDX-License-Identifier: Apache-2.0 */

/* Reading and writing below a root, on a scratch tree; nothing outside it can be reached. */

#include "common/rootdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static char scratch[] = "/tmp/test-rootdir-XXXXXX";

static void write_file(const char *name, const char *text) {
        _cleanup_fclose_ FILE *f = NULL;
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", scratch, name);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
}

static int set_up(void **state) {
        RootDir *root;

        assert_non_null(mkdtemp(scratch));
        write_file("line", "movable\n");
        write_file("lines", "a\nb\n\n");
        write_file("empty", "");
        write_file("seven", "1234567");
        assert_int_equal(rootdir_new(scratch, &root), 0);
        *state = root;
        return 0;
}

static int tear_down(void **state) {
        const char *const names[] = {"line", "lines", "empty", "seven"};
        RootDir *root = *state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char path[256];

                (void) snprintf(path, sizeof(path), "%s/%s", rootdir_path(root), names[i]);
                (void) unlink(path);
        }
        (void) rmdir(scratch);
        assert_null(rootdir_free(root));
        return 0;
}

static void test_new(void **state) {
        RootDir *root = NULL;

        assert_string_equal(rootdir_path(*state), scratch);
        assert_int_equal(rootdir_new("/nonexistent/root", &root), -ENOENT);
        assert_int_equal(rootdir_new("/proc/self/status", &root), -ENOTDIR);
        assert_null(root);
        assert_null(rootdir_free(NULL));
}

static void test_paths(void **state) {
        static const struct {
                const char *path;
                int expected;
        } rows[] = {
                {"line", 0},
                {"./line", 0},
                {"absent", -ENOENT},
                {"line/below", -ENOTDIR},
                {"", -EINVAL},
                {"/line", -EINVAL},
                {"/etc/passwd", -EINVAL},
                {"..", -EINVAL},
                {"../etc/passwd", -EINVAL},
                {"a/../line", -EINVAL},
                {"a/..", -EINVAL},
                {"..line", -ENOENT}, /* a name, not a step up */
                {"line..", -ENOENT},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_close_ int fd = rootdir_open(*state, rows[i].path, O_RDONLY);

                if (rows[i].expected < 0)
                        assert_int_equal(fd, rows[i].expected);
                else
                        assert_true(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
        }
}

static void test_read(void **state) {
        static const struct {
                const char *path;
                size_t size;
                ssize_t whole, line; /* what rootdir_read() and rootdir_read_line() return */
                const char *text;    /* of the latter */
        } rows[] = {
                {"line", 64, 8, 7, "movable"},
                {"line", 9, 8, 7, "movable"},
                {"line", 8, -EFBIG, -EFBIG, NULL},
                {"lines", 64, 5, 4, "a\nb\n"}, /* one newline, not all */
                {"empty", 64, 0, 0, ""},
                {"empty", 1, 0, 0, ""},
                {"seven", 64, 7, 7, "1234567"},
                {"seven", 8, 7, 7, "1234567"},
                {"seven", 7, -EFBIG, -EFBIG, NULL},
                {"absent", 64, -ENOENT, -ENOENT, NULL},
                {".", 64, -EISDIR, -EISDIR, NULL},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char buffer[64];

                assert_int_equal(rootdir_read(*state, rows[i].path, buffer, rows[i].size), rows[i].whole);
                assert_int_equal(rootdir_read_line(*state, rows[i].path, buffer, rows[i].size), rows[i].line);
                if (rows[i].text)
                        assert_string_equal(buffer, rows[i].text);
        }
}

static void test_pread_starts_over(void **state) {
        _cleanup_close_ int fd = rootdir_open(*state, "seven", O_RDONLY);
        char buffer[64];

        for (int i = 0; i < 2; i++) {
                assert_int_equal(rootdir_pread(fd, buffer, sizeof(buffer)), 7);
                assert_string_equal(buffer, "1234567");
        }
        assert_int_equal(rootdir_pread(STDIN_FILENO + 1000, buffer, sizeof(buffer)), -EBADF);
}

/* seq_file gives /proc/self/smaps and its like in pieces; all of them are wanted. */
static void test_read_in_pieces(void **state) {
        _cleanup_(rootdir_freep) RootDir *root = NULL;
        static char buffer[1 << 20];
        ssize_t length;

        assert_int_equal(rootdir_new("/", &root), 0);
        length = rootdir_read(root, "proc/self/smaps", buffer, sizeof(buffer));
        if (length == -ENOENT)
                skip();
        assert_true(length > 4096);
        assert_int_equal(strlen(buffer), length);
        assert_int_equal(buffer[length - 1], '\n');
}

typedef struct Listed {
        unsigned n, stop_after;
        bool right_inode;
        unsigned seen[200];
} Listed;

static int on_name(const char *name, uint64_t inode, void *userdata) {
        Listed *listed = userdata;
        unsigned i;

        listed->n++;
        if (sscanf(name, "a-name-that-fills-the-buffer-%u", &i) == 1)
                listed->seen[i]++;
        if (strcmp(name, "line") == 0) {
                struct stat st;
                char path[256];

                (void) snprintf(path, sizeof(path), "%s/line", scratch);
                listed->right_inode = stat(path, &st) == 0 && st.st_ino == inode;
        }
        return listed->n == listed->stop_after ? 7 : 0;
}

/* More than one system call brings. */
static void test_list(void **state) {
        Listed listed = {0};
        RootDir *root = *state;
        char name[64];

        for (unsigned i = 0; i < ELEMENTSOF(listed.seen); i++) {
                (void) snprintf(name, sizeof(name), "a-name-that-fills-the-buffer-%u", i);
                write_file(name, "");
        }
        assert_int_equal(rootdir_list(root, ".", on_name, &listed), 0);
        assert_int_equal(listed.n, ELEMENTSOF(listed.seen) + 6); /* four files, "." and ".." */
        assert_true(listed.right_inode);
        for (unsigned i = 0; i < ELEMENTSOF(listed.seen); i++)
                assert_int_equal(listed.seen[i], 1);

        listed = (Listed){.stop_after = 20};
        assert_int_equal(rootdir_list(root, ".", on_name, &listed), 7);
        assert_int_equal(listed.n, 20);
        assert_int_equal(rootdir_list(root, "missing", on_name, &listed), -ENOENT);
        assert_int_equal(rootdir_list(root, "line", on_name, &listed), -ENOTDIR);

        for (unsigned i = 0; i < ELEMENTSOF(listed.seen); i++) {
                (void) snprintf(name, sizeof(name), "%s/a-name-that-fills-the-buffer-%u", scratch, i);
                assert_int_equal(unlink(name), 0);
        }
}

static void test_write(void **state) {
        char buffer[64];

        assert_int_equal(rootdir_write(*state, "seven", "7654"), 0);
        assert_int_equal(rootdir_read(*state, "seven", buffer, sizeof(buffer)), 7);
        assert_string_equal(buffer, "7654567");                          /* neither truncated */
        assert_int_equal(rootdir_write(*state, "absent", "x"), -ENOENT); /* nor created */
        assert_int_equal(rootdir_write(*state, "../seven", "x"), -EINVAL);
        assert_int_equal(rootdir_write(*state, ".", "x"), -EISDIR);
}

static void test_write_errors(void **state) {
        _cleanup_(rootdir_freep) RootDir *root = NULL;

        assert_int_equal(rootdir_new("/dev", &root), 0);
        assert_int_equal(rootdir_write(root, "full", "x"), -ENOSPC);
        assert_int_equal(rootdir_write(root, "null", "x"), 0);
}

static void test_links_and_folders(void **state) {
        RootDir *root = *state;
        char path[256], target[8];
        uint64_t inode = 0;
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/link", scratch);
        assert_int_equal(symlink("seven", path), 0);
        assert_int_equal(rootdir_readlink(root, "link", target, sizeof(target)), 5);
        assert_string_equal(target, "seven");
        assert_int_equal(rootdir_readlink(root, "link", target, 5), -EFBIG);
        assert_int_equal(rootdir_readlink(root, "seven", target, sizeof(target)), -EINVAL);
        assert_int_equal(rootdir_readlink(root, "nowhere", target, sizeof(target)), -ENOENT);
        assert_int_equal(rootdir_readlink(root, "../link", target, sizeof(target)), -EINVAL);
        assert_int_equal(unlink(path), 0);

        assert_int_equal(stat(scratch, &st), 0);
        assert_int_equal(rootdir_inode(root, ".", &inode), 0);
        assert_int_equal(inode, st.st_ino);
        assert_int_equal(rootdir_inode(root, "seven", &inode), -ENOTDIR);
        assert_int_equal(rootdir_inode(root, "nowhere", &inode), -ENOENT);
        assert_int_equal(rootdir_inode(root, "/", &inode), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_new),
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_pread_starts_over),
                cmocka_unit_test(test_read_in_pieces),
                cmocka_unit_test(test_list),
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_write_errors),
                cmocka_unit_test(test_links_and_folders),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
