/* SPDX-License-Identifier: Apache-2.0 */

/* A hold's file: there and back, and every way in which it can be broken. */

#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/macro.h"
#include "host-bridge/hold-file.h"

static int setup(void **state) {
        World *world = calloc(1, sizeof(*world));

        world_init(world);
        *state = world;
        return 0;
}

static int teardown(void **state) {
        world_done(*state);
        free(*state);
        return 0;
}

static void test_there_and_back(void **state) {
        const World *world = *state;

        assert_int_equal(hold_file_load(world->folder, "a"), 0);
        assert_int_equal(hold_file_remove(world->folder, "a"), 0);
        assert_int_equal(hold_file_save(world->folder, "a", 12345), 0);
        assert_int_equal(hold_file_save(world->folder, "b", UINT64_MAX), 0);
        assert_int_equal(hold_file_load(world->folder, "a"), 12345);
        assert_true(hold_file_load(world->folder, "b") == UINT64_MAX);
        assert_int_equal(hold_file_save(world->folder, "a", 7), 0);
        assert_int_equal(hold_file_load(world->folder, "a"), 7);
        assert_int_equal(hold_file_remove(world->folder, "a"), 0);
        assert_int_equal(hold_file_load(world->folder, "a"), 0);
}

static void write_file(const World *world, const char *text, size_t size) {
        _cleanup_close_ int fd = open(world_path(world, "holds/a"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_true(fd >= 0 && write(fd, text, size) == (ssize_t) size);
}

/* Whatever is not a whole line of this boot is no hold: the bridge decides, and an operator sees that it does. */
static void test_broken(void **state) {
        const World *world = *state;
        char text[128];
        int fd;
        ssize_t n;

        assert_int_equal(hold_file_save(world->folder, "a", 987654), 0);
        fd = open(world_path(world, "holds/a"), O_RDONLY);
        n = read(fd, text, sizeof(text));
        (void) close(fd);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++) {
                write_file(world, text, (size_t) i);
                assert_int_equal(hold_file_load(world->folder, "a"), 0);
        }
        text[0] = text[0] == '0' ? '1' : '0'; /* another boot */
        write_file(world, text, (size_t) n);
        assert_int_equal(hold_file_load(world->folder, "a"), 0);

        assert_int_equal(unlink(world_path(world, "holds/a")), 0);
        assert_int_equal(symlink("/etc/passwd", world_path(world, "holds/a")), 0);
        assert_int_equal(hold_file_load(world->folder, "a"), 0);
}

/* A byte is another one: no hold, or at most one until another moment; what follows the line says nothing. */
static void test_garbled(void **state) {
        const World *world = *state;
        char text[128], garbled[128];
        ssize_t n;
        int fd;

        assert_int_equal(hold_file_save(world->folder, "a", 987654), 0);
        fd = open(world_path(world, "holds/a"), O_RDONLY);
        n = read(fd, text, sizeof(text));
        (void) close(fd);
        assert_true(n > 7);
        for (ssize_t i = 0; i < n; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        bool of_number = i >= n - 7 && i < n - 1;

                        memcpy(garbled, text, (size_t) n);
                        garbled[i] = (char) (garbled[i] ^ (1 << bit));
                        write_file(world, garbled, (size_t) n);
                        if (hold_file_load(world->folder, "a") != 0 &&
                            !(of_number && garbled[i] >= '0' && garbled[i] <= '9'))
                                fail_msg("byte %zd, bit %u", i, bit);
                }
}

static void test_no_place(void **state) {
        assert_int_equal(hold_file_save("/nonexistent", "a", 1), -ENOENT);
        assert_int_equal(hold_file_load("/nonexistent", "a"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_garbled, setup, teardown),
                cmocka_unit_test(test_no_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
