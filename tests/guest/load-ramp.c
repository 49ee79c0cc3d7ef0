/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Anonymous memory, touched page by page at a rate.
 *
 * Rejected: one mmap() of BYTES, since the kernel's overcommit heuristic refuses more than the guest
 * has now; so the range is reserved without access and opened chunk by chunk.
 */

#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BASE_RATE_MIB 200

static int open_chunk(uint8_t *chunk, bool locked) {
        if (mprotect(chunk, CHUNK_BYTES, PROT_READ | PROT_WRITE) < 0)
                return -errno;
        return locked && mlock(chunk, CHUNK_BYTES) < 0 ? -errno : 0;
}

/* From `from` to `to` at a rate: by the schedule, not by pauses, so late chunks are caught up. */
static int touch(uint8_t *memory, uint64_t from, uint64_t to, uint64_t rate_mib, bool locked) {
        int64_t start_nsec = load_now_nsec();

        if (from == to)
                return 0;
        for (uint64_t done = from; done < to && !load_asked_to_free(); done += CHUNK_BYTES) {
                uint64_t after = done + CHUNK_BYTES;
                int r = open_chunk(memory + done, locked);

                if (r < 0) {
                        fprintf(stderr, "load: cannot open memory at %" PRIu64 " MiB: error %d\n", done / MIB,
                                -r);
                        return r;
                }
                for (uint64_t offset = done; offset < after; offset += PAGE_BYTES)
                        load_fill_page(memory + offset, offset / PAGE_BYTES);

                load_write_state("ramp", after, getpid());
                if (after % (64 * MIB) == 0)
                        printf("load: touched %" PRIu64 " MiB\n", after / MIB);
                if (rate_mib > 0)
                        load_sleep_until(start_nsec + (int64_t) ((after - from) / MIB) * NSEC_PER_SEC /
                                                              (int64_t) rate_mib);
        }
        printf("load: ramp took %" PRId64 " ms\n", (load_now_nsec() - start_nsec) / 1000000);
        return 0;
}

static int ramp(char *arguments[], bool locked) {
        uint64_t bytes = (strtoull(arguments[0], NULL, 10) + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
        uint64_t base =
                !locked && arguments[3] ? strtoull(arguments[3], NULL, 10) / CHUNK_BYTES * CHUNK_BYTES : 0;
        uint64_t damaged;
        uint8_t *memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED) {
                fprintf(stderr, "load: cannot reserve %" PRIu64 " MiB: %m\n", bytes / MIB);
                return EXIT_FAILURE;
        }
        if (touch(memory, 0, base, BASE_RATE_MIB, locked) < 0 ||
            touch(memory, base, bytes, strtoull(arguments[1], NULL, 10), locked) < 0)
                return EXIT_FAILURE;
        if (load_asked_to_free())
                return EXIT_SUCCESS;
        load_hold(bytes, (unsigned) strtoul(arguments[2], NULL, 10));

        damaged = load_count_damaged(memory, bytes);
        if (damaged > 0)
                fprintf(stderr, "load: %" PRIu64 " pages do not hold what was written\n", damaged);
        return damaged > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int load_ramp(char *arguments[]) {
        return ramp(arguments, false);
}

int load_mlock(char *arguments[]) {
        return ramp(arguments, true);
}

/* By the kernel alone, a chunk per call: cheap under emulation, and nothing is written that could be checked. */
int load_storm(char *arguments[]) {
        uint64_t bytes = strtoull(arguments[0], NULL, 10) / CHUNK_BYTES * CHUNK_BYTES;
        uint64_t rate_mib = arguments[1] ? strtoull(arguments[1], NULL, 10) : 0;
        int64_t start_nsec = load_now_nsec();
        uint8_t *memory =
                mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED)
                return EXIT_FAILURE;
        for (uint64_t done = 0; done < bytes && !load_asked_to_free(); done += CHUNK_BYTES) {
                if (madvise(memory + done, CHUNK_BYTES, MADV_POPULATE_WRITE) < 0) /* before 5.14: by hand */
                        for (uint64_t offset = done; offset < done + CHUNK_BYTES; offset += PAGE_BYTES)
                                memory[offset] = 1;
                load_write_state("ramp", done + CHUNK_BYTES, getpid());
                if (rate_mib > 0)
                        load_sleep_until(start_nsec +
                                         (int64_t) (done / MIB + 1) * NSEC_PER_SEC / (int64_t) rate_mib);
        }
        load_hold(bytes, 0);
        return EXIT_SUCCESS;
}
