/* SPDX-License-Identifier: Apache-2.0 */

#include "fake-kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/blocks/block.h"
#include "common/units.h"

FakeKernel fake_kernel;

int __wrap_rootdir_write(const RootDir *root, const char *path, const char *text);

static int change(const char *path, const char *text) {
        bool movable = strcmp(text, "online_movable") == 0, offline = strcmp(text, "offline") == 0;
        char state[32];
        unsigned number;

        if (rootdir_read_line(fake_kernel.tree->root, path, state, sizeof(state)) < 0)
                return -ENOENT;
        if ((strcmp(state, "offline") == 0) == offline || (movable && fake_kernel.no_movable))
                return -EINVAL;

        assert_int_equal(sscanf(path, BLOCK_FOLDER "/memory%u/state", &number), 1);
        if (offline) {
                fake_kernel_set_state(number, "offline\n", "Normal Movable\n");
                return 0;
        }
        fake_kernel_set_state(number, "online\n", movable ? "Movable\n" : "Normal\n");
        return 0;
}

/* As the kernel's loop over a page that does not go: only a signal ends it. */
static int hang(void) {
        return pause() < 0 ? -errno : 0;
}

int __wrap_rootdir_write(const RootDir *root, const char *path, const char *text) {
        unsigned number;
        int error;

        assert_ptr_equal(root, fake_kernel.tree->root);
        if (!strstr(path, "/state")) { /* a setting of the kernel's */
                char line[64];

                if (rootdir_read_line(root, path, line, sizeof(line)) < 0)
                        return -ENOENT;
                (void) snprintf(line, sizeof(line), "%s\n", text);
                tree_write(fake_kernel.tree, path, line);
                return 0;
        }
        assert_true(strcmp(text, "online_movable") == 0 || strcmp(text, "online_kernel") == 0 ||
                    strcmp(text, "online") == 0 || strcmp(text, "offline") == 0);

        fake_kernel.n_writes++;
        (void) snprintf(fake_kernel.last_path, sizeof(fake_kernel.last_path), "%s", path);
        (void) snprintf(fake_kernel.last_text, sizeof(fake_kernel.last_text), "%s", text);
        if (fake_kernel.before_write)
                fake_kernel.before_write(path);

        if (fake_kernel.pinned > 0 && strcmp(text, "offline") == 0 &&
            sscanf(path, BLOCK_FOLDER "/memory%u/state", &number) == 1 && number == fake_kernel.pinned)
                return fake_kernel.hangs ? hang() : -EBUSY;
        error = fake_kernel.next_error < FAKE_ERRORS_MAX ? fake_kernel.errors[fake_kernel.next_error++] : 0;
        return error > 0 ? -error : change(path, text);
}

void fake_kernel_reset(Tree *tree) {
        fake_kernel = (FakeKernel){.tree = tree};
}

static const char *attribute(char path[static 128], unsigned number, const char *name) {
        (void) snprintf(path, 128, BLOCK_FOLDER "/memory%u%s%s", number, name[0] ? "/" : "", name);
        return path;
}

void fake_kernel_set_state(unsigned number, const char *state, const char *zones) {
        char path[128];

        tree_write(fake_kernel.tree, attribute(path, number, "state"), state);
        tree_write(fake_kernel.tree, attribute(path, number, "valid_zones"), zones);
}

void fake_kernel_add_block(unsigned number, const char *dimm) {
        char path[128], target[128];

        fake_kernel_set_state(number, "offline\n", "Normal Movable\n");
        if (!dimm)
                return;
        (void) snprintf(target, sizeof(target), "../../../LNXSYSTM:00/LNXSYBUS:00/PNP0A06:04/%s", dimm);
        tree_link(fake_kernel.tree, attribute(path, number, "firmware_node"), target);
}

void fake_kernel_remove_block(unsigned number) {
        char path[128];

        tree_remove(fake_kernel.tree, attribute(path, number, ""));
}

void fake_kernel_virtio_mem(unsigned first, unsigned last) {
        uint64_t size = 128 * MIB;
        char text[512];

        (void) snprintf(text, sizeof(text),
                        "00001000-0009ffff : System RAM\n100000-1fffffff : System RAM\n"
                        "%llx-%llx : virtio0\n  %llx-%llx : System RAM (virtio_mem)\n",
                        (unsigned long long) (first * size), (unsigned long long) ((last + 1) * size - 1),
                        (unsigned long long) (first * size), (unsigned long long) ((first + 1) * size - 1));
        tree_write(fake_kernel.tree, "proc/iomem", text);
}
