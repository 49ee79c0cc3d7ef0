/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Page tables: kernel memory that neither MemAvailable nor PSI sees coming. One page is read per 2 MiB of address space,
 * so that each read costs a table of the last level, and shows the shared page of zeroes.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TABLE_REACH_BYTES (2 * MIB)
#define AT_ONCE           64

int load_tables(char *arguments[]) {
        uint64_t n = strtoull(arguments[0], NULL, 10), per_sec = strtoull(arguments[1], NULL, 10);
        int64_t start_nsec = load_now_nsec();
        const volatile uint8_t *space = mmap(NULL, n * TABLE_REACH_BYTES, PROT_READ,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (space == MAP_FAILED || per_sec == 0)
                return EXIT_FAILURE;
        (void) madvise((void *) space, n * TABLE_REACH_BYTES, MADV_NOHUGEPAGE);
        for (uint64_t i = 0; i < n && !load_asked_to_free(); i++) {
                (void) space[i * TABLE_REACH_BYTES];
                if (i % AT_ONCE != 0)
                        continue;
                load_write_state("ramp", i * PAGE_BYTES, getpid());
                load_sleep_until(start_nsec + (int64_t) i * NSEC_PER_SEC / (int64_t) per_sec);
        }
        load_hold(n * PAGE_BYTES, 0);
        return EXIT_SUCCESS;
}
