/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is swapped to zram still stands in memory, compressed: S' of the estimator subtracts it (without
 * that, 900 MiB of need read as 1466; estimator.md section 6). Only devices that carry swap count: a zram
 * with a file system on it is the workload's.
 */

#include "agent/signals/zram.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "common/macro.h"
#include "common/parse.h"
#include "common/units.h"

#define SWAPS_PATH   "proc/swaps"
#define MM_STAT_PATH "sys/block/zram%" PRIu64 "/mm_stat"

void zram_done(Zram *zram) {
        assert(zram);

        while (zram->n_fds > 0)
                (void) safe_close(zram->mm_stat_fds[--zram->n_fds]);
}

int zram_parse_swap(const char *line, size_t size, uint64_t *ret_number) {
        static const char prefix[] = "/dev/zram";
        size_t n = STRLEN("/dev/zram"), end = n;

        assert(line || size == 0);
        assert(ret_number);

        if (size <= n || memcmp(line, prefix, n) != 0)
                return -EINVAL;
        while (end < size && line[end] != ' ' && line[end] != '\t')
                end++;
        return parse_u64(line + n, end - n, ret_number) < 0 ? -EINVAL : 0;
}

static void name_mm_stat(uint64_t number, int error) {
        char path[64];

        (void) snprintf(path, sizeof(path), MM_STAT_PATH, number);
        log_unusable(path, error, "what this device takes");
}

static void zram_open(Zram *zram, const RootDir *root, uint64_t number) {
        char path[64];
        int fd;

        (void) snprintf(path, sizeof(path), MM_STAT_PATH, number);
        fd = rootdir_open(root, path, O_RDONLY);
        if (fd < 0) {
                name_mm_stat(number, fd);
                return;
        }
        zram->numbers[zram->n_fds] = number;
        zram->mm_stat_fds[zram->n_fds++] = fd;
}

int zram_find(Zram *zram, const RootDir *root) {
        char text[4096], *rest = text, *line;
        ssize_t n;

        assert(zram);
        assert(root);

        zram_done(zram);

        n = rootdir_read(root, SWAPS_PATH, text, sizeof(text));
        if (n >= 0 && strncmp(text, "Filename", STRLEN("Filename")) != 0)
                n = -EBADMSG;
        if (n < 0) {
                log_unusable(SWAPS_PATH, (int) n, "what zram takes");
                return (int) n;
        }

        while ((line = strsep(&rest, "\n")) && zram->n_fds < ZRAM_DEVICES_MAX) {
                uint64_t number;

                if (zram_parse_swap(line, strlen(line), &number) >= 0)
                        zram_open(zram, root, number);
        }
        return 0;
}

int zram_parse_mm_stat(const char *text, size_t size, uint64_t *ret_bytes) {
        size_t at = 0;

        assert(text || size == 0);
        assert(ret_bytes);

        for (unsigned field = 0;; field++) {
                size_t begin;

                while (at < size && text[at] == ' ')
                        at++;
                begin = at;
                while (at < size && text[at] != ' ' && text[at] != '\n')
                        at++;
                if (begin == at)
                        return -EINVAL;
                if (field == 2)
                        return parse_u64(text + begin, at - begin, ret_bytes) < 0 ? -EINVAL : 0;
        }
}

uint64_t zram_used_bytes(const Zram *zram) {
        uint64_t sum = 0;

        assert(zram);

        for (size_t i = 0; i < zram->n_fds; i++) {
                char text[256];
                uint64_t bytes;
                ssize_t n;

                n = rootdir_pread(zram->mm_stat_fds[i], text, sizeof(text));
                if (n >= 0 && zram_parse_mm_stat(text, (size_t) n, &bytes) < 0)
                        n = -EBADMSG;
                if (n >= 0)
                        sum = u64_add(sum, bytes);
                else if (n != -ENODEV) /* it may go */
                        name_mm_stat(zram->numbers[i], (int) n);
        }
        return sum;
}
