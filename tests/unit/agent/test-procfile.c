/* SPDX-License-Identifier: Apache-2.0 */

/* A file in parts, as seq_file hands it out: it is read whole, and by no read more than it takes to know that. */

#include "agent/signals/procfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "common/macro.h"
#include "tree.h"

static unsigned n_reads;
static bool fake;

ssize_t __real_pread64(int fd, void *buffer, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t size, off_t offset);

/* pread() by its name in a build with large files. Whole lines, a page at most. */
ssize_t __wrap_pread64(int fd, void *buffer, size_t size, off_t offset) {
        char *text = buffer;
        ssize_t n = __real_pread64(fd, buffer, size < 4096 || !fake ? size : 4096, offset);

        n_reads++;
        while (fake && n == 4096 && text[n - 1] != '\n')
                n--;
        return n;
}

/* vmstat: as many lines as fit, all the same. */
static void test_parts(void **state) {
        static const char line[] = "workingset_refault_file 12345678901234567\n";
        static const struct {
                const char *name;
                size_t lines, record_most;
                unsigned reads;
        } table[] = {
                {"one record", 10, 0, 1},
                {"lines, with room for one more", 90, 72, 1},
                {"lines, with room for a short one only", 96, 72, 2},
                {"two parts", 150, 72, 2},
                {"records of unknown length", 10, SIZE_MAX, 2},
                {"and in parts", 150, SIZE_MAX, 3},
        };
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        char *text = calloc(1, 64 * 1024);

        assert_non_null(text);
        tree_write(tree, "proc/vmstat", "");
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                ProcRoom room = {0};
                ProcFile file;
                ssize_t n;

                text[0] = '\0';
                for (size_t l = 0; l < table[i].lines; l++)
                        memcpy(text + l * (sizeof(line) - 1), line, sizeof(line));
                tree_write(tree, "proc/vmstat", text);
                assert_int_equal(procfile_open(&file, &room, tree->root, "proc/vmstat"), 0);
                file.record_most = table[i].record_most;
                fake = true;
                n_reads = 0;
                n = procfile_read(&file);
                fake = false;
                if (n != (ssize_t) strlen(text) || strcmp(room.text, text) != 0 || n_reads != table[i].reads)
                        fail_msg("%s: %d of %d bytes in %u reads", table[i].name, (int) n, (int) strlen(text),
                                 n_reads);
                procfile_done(&file);
                procroom_done(&room);
        }
        free(text);
}

static void test_failures(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        ProcFile file = PROCFILE_NULL;
        ProcRoom room = {0};

        assert_int_equal(procfile_read(&file), -EBADF);
        assert_int_equal(procfile_open(&file, &room, tree->root, "proc/vmstat"), -ENOENT);
        tree_write(tree, "proc/vmstat", "oom_kill 1\n");
        assert_int_equal(procfile_open(&file, &room, tree->root, "proc/vmstat"), 0);
        file.record_most = 0;
        tree_write(tree, "proc/vmstat", "");
        assert_int_equal(procfile_read(&file), -ENODATA);
        procfile_done(&file);
        procroom_done(&room);
}

/*
 * A room that has moved for a larger file serves the smaller one as before, and no file gets less than four times its
 * length.
 */
static void test_one_room(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        ProcRoom room = {0};
        ProcFile small, large;
        char text[3000];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        tree_write(tree, "proc/meminfo", "MemTotal: 1 kB\n");
        tree_write(tree, "proc/vmstat", text);
        assert_int_equal(procfile_open(&small, &room, tree->root, "proc/meminfo"), 0);
        assert_true(room.size >= 4096);
        assert_int_equal(procfile_open(&large, &room, tree->root, "proc/vmstat"), 0);
        assert_true(room.size >= 4 * strlen(text));

        assert_int_equal(procfile_read(&large), strlen(text));
        assert_string_equal(room.text, text);
        assert_int_equal(procfile_read(&small), strlen("MemTotal: 1 kB\n"));
        assert_string_equal(room.text, "MemTotal: 1 kB\n");

        procfile_done(&small);
        procfile_done(&large);
        procroom_done(&room);
        assert_null(room.text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parts),
                cmocka_unit_test(test_one_room),
                cmocka_unit_test(test_failures),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
