/* SPDX-License-Identifier: Apache-2.0 */

/*
 * 4 TiB that come at once, in blocks of 128 MiB, while events are lost: none is left offline. What sysfs would say is answered
 * from memory: making as many folders takes a minute on a busy machine.
 */

#include "agent/blocks/onliner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "tree.h"

#define FIRST    32U
#define N_BLOCKS 32768U

static bool are_there, is_online[N_BLOCKS], is_movable[N_BLOCKS];
static unsigned n_writes, n_told, n_state_reads;

int __wrap_block_identity_read(const RootDir *root, uint64_t number, uint64_t *ret);
int __wrap_block_is_dimm(const RootDir *root, uint64_t number);
int __wrap_block_list(const RootDir *root, BlockEach each, void *userdata);
ssize_t __real_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size);
ssize_t __wrap_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size);
int __wrap_rootdir_write(const RootDir *root, const char *path, const char *text);

int __wrap_block_identity_read(const RootDir *root, uint64_t number, uint64_t *ret) {
        if (!are_there || number < FIRST || number >= FIRST + N_BLOCKS)
                return -ENOENT;
        *ret = number + 1;
        return 0;
}

int __wrap_block_is_dimm(const RootDir *root, uint64_t number) {
        return 0;
}

/* In an order that is none, as sysfs has it. */
int __wrap_block_list(const RootDir *root, BlockEach each, void *userdata) {
        for (unsigned i = 0; are_there && i < N_BLOCKS; i++) {
                unsigned number = FIRST + i * 40503U % N_BLOCKS;
                int r = each(&(BlockEntry){.number = number, .identity = number + 1}, userdata);

                if (r != 0)
                        return r;
        }
        return 0;
}

ssize_t __wrap_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size) {
        char attribute[32];
        unsigned number;

        if (sscanf(path, BLOCK_FOLDER "/memory%u/%31s", &number, attribute) != 2 || number < FIRST)
                return __real_rootdir_read_line(root, path, buffer, size);
        number -= FIRST;
        n_state_reads += strcmp(attribute, "state") == 0;
        if (strcmp(attribute, "state") == 0)
                return snprintf(buffer, size, "%s", is_online[number] ? "online" : "offline");
        return snprintf(buffer, size, "%s", is_movable[number] ? "Movable" : "Normal");
}

int __wrap_rootdir_write(const RootDir *root, const char *path, const char *text) {
        unsigned number;

        assert_int_equal(sscanf(path, BLOCK_FOLDER "/memory%u/state", &number), 1);
        number -= FIRST;
        if (is_online[number])
                return -EINVAL;
        is_online[number] = true;
        is_movable[number] = strcmp(text, "online_movable") == 0;
        n_writes++;
        return 0;
}

static void on_fate(const BlockFate *fate, void *userdata) {
        n_told += fate->action == BLOCK_ONLINED;
}

static void work(BlockOnliner *onliner, const Tree *tree, uint64_t now_usec) {
        for (;;) {
                BlockBatch batch;

                switch (block_onliner_turn(onliner, now_usec, &batch)) {
                case BLOCK_TURN_IDLE:
                        return;
                case BLOCK_TURN_MORE:
                        continue;
                case BLOCK_TURN_WRITE:
                        break;
                case BLOCK_TURN_MAX:
                        fail();
                }
                for (size_t i = 0; i < batch.n; i++)
                        batch.writes[i].outcome =
                                block_online(tree->root, batch.writes[i].number, batch.writes[i].zone);
                block_onliner_written(onliner, &batch, now_usec);
        }
}

static unsigned n_offline(void) {
        unsigned n = 0;

        for (unsigned i = 0; i < N_BLOCKS; i++)
                n += !is_online[i];
        return n;
}

static void lose(BlockOnliner *onliner, const Tree *tree, unsigned one_in) {
        uint64_t now_usec = USEC_PER_SEC;

        for (unsigned number = FIRST; number < FIRST + N_BLOCKS; number++)
                if (number % one_in != 0)
                        assert_int_equal(block_onliner_hint(onliner, number, now_usec), 0);
        work(onliner, tree, now_usec);
        assert_int_equal(n_offline(), N_BLOCKS / one_in);

        /* The next read of the socket says ENOBUFS. */
        assert_int_equal(block_onliner_rescan(onliner, now_usec), 0);
        work(onliner, tree, now_usec);
        assert_int_equal(n_offline(), 0);
        assert_int_equal(n_writes, N_BLOCKS);
        assert_int_equal(n_told, N_BLOCKS);
        assert_int_equal(block_onliner_retry_usec(onliner), USEC_INFINITY);
}

static void test_lost_events(void **state) {
        static const BlockServiceConfig config = {.online = true, .zone_ratio_percent = 301};
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        BlockOnliner onliner;
        char text[256];

        tree_write(tree, BLOCK_FOLDER "/block_size_bytes", "8000000\n");
        tree_write(tree, BLOCK_FOLDER "/auto_online_blocks", "offline\n");
        tree_write(tree, "proc/zoneinfo",
                   "Node 0, zone   Normal\n  pages free     100000\n        present  131072\n        managed "
                   " 120000\n");
        (void) snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64 " : System RAM (virtio_mem)\n",
                        FIRST * 128 * MIB, (FIRST + N_BLOCKS) * 128 * MIB - 1);
        tree_write(tree, "proc/iomem", text);

        assert_int_equal(block_onliner_init(&onliner, tree->root, &config, on_fate, NULL, 0), 0);
        are_there = true;
        lose(&onliner, tree, 4);

        /* However many there are, an event costs a look at its own block. */
        n_state_reads = 0;
        assert_int_equal(block_onliner_hint(&onliner, FIRST + N_BLOCKS / 2, USEC_PER_SEC), 0);
        work(&onliner, tree, USEC_PER_SEC);
        assert_int_equal(n_state_reads, 1);
        block_onliner_done(&onliner);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_lost_events)};

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
