/* SPDX-License-Identifier: Apache-2.0 */

#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PATH_SIZE 512U

static void copy_fixture(const char *name, const char *target) {
        char source[PATH_SIZE];
        int status;
        pid_t pid;

        (void) snprintf(source, sizeof(source), "%s/%s/.", FIXTURES, name);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) execlp("cp", "cp", "-a", source, target, NULL);
                _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

Tree *tree_new(const char *fixture) {
        /* No disk beneath it: a file that is written anew waits for one. */
        const char *folder = getenv("TMPDIR") ?: access("/dev/shm", W_OK) >= 0 ? "/dev/shm" : NULL;
        Tree *tree = calloc(1, sizeof(*tree));

        assert_non_null(tree);
        (void) snprintf(tree->path, sizeof(tree->path), "%s/test-tree-XXXXXX", folder ?: "/tmp");
        assert_non_null(mkdtemp(tree->path));
        if (fixture)
                copy_fixture(fixture, tree->path);
        assert_int_equal(rootdir_new(tree->path, &tree->root), 0);
        return tree;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void remove_all(const char *path) {
        (void) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

Tree *tree_free(Tree *tree) {
        if (!tree)
                return NULL;
        remove_all(tree->path);
        (void) rootdir_free(tree->root);
        free(tree);
        return NULL;
}

static void make_folders(const Tree *tree, const char *path) {
        char folder[PATH_SIZE];

        (void) snprintf(folder, sizeof(folder), "%s/%s", tree->path, path);
        for (char *slash = folder + strlen(tree->path) + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = '\0';
                assert_true(mkdir(folder, 0755) >= 0 || errno == EEXIST);
                *slash = '/';
        }
}

void tree_write(Tree *tree, const char *path, const char *text) {
        _cleanup_close_ int fd = -EBADF;

        make_folders(tree, path);
        fd = rootdir_open(tree->root, path, O_WRONLY | O_CREAT | O_TRUNC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void tree_link(Tree *tree, const char *path, const char *target) {
        char link[PATH_SIZE];

        make_folders(tree, path);
        (void) snprintf(link, sizeof(link), "%s/%s", tree->path, path);
        assert_int_equal(symlink(target, link), 0);
}

/* Moved aside, not deleted: sysfs and cgroupfs draw an inode anew for each folder, ext4 hands out the freed one. */
void tree_remove(Tree *tree, const char *path) {
        char full[PATH_SIZE], aside[PATH_SIZE];

        (void) snprintf(full, sizeof(full), "%s/%s", tree->path, path);
        (void) snprintf(aside, sizeof(aside), "%s/.removed-%u", tree->path, tree->n_removed++);
        assert_int_equal(rename(full, aside), 0);
}

RootDir *fixture_root(const char *name) {
        char path[PATH_SIZE];
        RootDir *root;

        (void) snprintf(path, sizeof(path), "%s/%s", FIXTURES, name);
        assert_int_equal(rootdir_new(path, &root), 0);
        return root;
}

char *fixture_read(const char *name, const char *path, size_t *ret_size) {
        _cleanup_(rootdir_freep) RootDir *root = fixture_root(name);
        char *text = malloc(1024 * 1024);
        ssize_t n;

        assert_non_null(text);
        n = rootdir_read(root, path, text, 1024 * 1024);
        assert_true(n >= 0);
        if (ret_size)
                *ret_size = (size_t) n;
        return text;
}
