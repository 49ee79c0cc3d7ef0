/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads of a file through the page cache, until killed:
 *
 *   reader random PATH BYTES        16 KiB at random places of the first BYTES: a hot set
 *   reader zipf PATH BYTES          the same, some places more often than others: rank r by r^-0.8
 *   reader stream PATH FROM BYTES   BYTES from FROM on in order, once, then exit: a stream
 *
 * PATH may be a block device: its page cache is reclaimed and refaulted like that of files, and is charged to
 * the cgroup of whoever reads first.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_BYTES UINT64_C(16384)

static char buffer[STEP_BYTES];

static int read_at(int fd, uint64_t at) {
        if (pread(fd, buffer, sizeof(buffer), (off_t) at) == (ssize_t) sizeof(buffer))
                return 0;
        fprintf(stderr, "reader: cannot read at %" PRIu64 ": %s\n", at, strerror(errno));
        return 1;
}

/* Of n places. Zipf's distribution of exponent 0.8 adds up to n^0.2, so its inverse is a fifth power. */
static uint64_t place(uint64_t random, uint64_t n, bool zipf) {
        double u = (double) (random >> 11) / (double) (UINT64_C(1) << 53);

        /* Scattered by a prime, so that neighbours are not alike. */
        return zipf ? (uint64_t) (u * u * u * u * u * (double) n) * UINT64_C(7919) % n : (random >> 20) % n;
}

static int read_randomly(int fd, uint64_t bytes, bool zipf) {
        uint64_t x = 1;
        int r;

        (void) posix_fadvise(fd, 0, 0,
                             POSIX_FADV_RANDOM); /* read-ahead would bring in what nobody asked for */
        do {
                x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                r = read_at(fd, place(x, bytes / STEP_BYTES, zipf) * STEP_BYTES);
        } while (r == 0);
        return r;
}

static int read_in_order(int fd, uint64_t from, uint64_t bytes) {
        for (uint64_t at = from; at < from + bytes; at += STEP_BYTES)
                if (read_at(fd, at) != 0)
                        return 1;
        return 0;
}

int main(int argc, char **argv) {
        int fd = argc < 4 ? -1 : open(argv[2], O_RDONLY | O_CLOEXEC);

        bool zipf = argc == 4 && strcmp(argv[1], "zipf") == 0;

        if (fd >= 0 && argc == 4 && (zipf || strcmp(argv[1], "random") == 0) &&
            strtoull(argv[3], NULL, 10) >= STEP_BYTES)
                return read_randomly(fd, strtoull(argv[3], NULL, 10), zipf);
        if (fd >= 0 && argc == 5 && strcmp(argv[1], "stream") == 0)
                return read_in_order(fd, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
        fprintf(stderr, "usage: reader random|zipf PATH BYTES | reader stream PATH FROM BYTES\n");
        return 2;
}
