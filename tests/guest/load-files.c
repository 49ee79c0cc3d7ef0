/* SPDX-License-Identifier: Apache-2.0 */

/* Memory that belongs to no process: a file in a tmpfs, and inodes and names of many empty ones. */

#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int load_tmpfs(char *arguments[]) {
        uint64_t bytes = strtoull(arguments[1], NULL, 10), rate_mib = strtoull(arguments[2], NULL, 10);
        static uint8_t chunk[CHUNK_BYTES];
        int fd = open(arguments[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        int64_t start_nsec = load_now_nsec();

        if (fd < 0 || rate_mib == 0)
                return EXIT_FAILURE;
        for (uint64_t offset = 0; offset < sizeof(chunk); offset += PAGE_BYTES)
                load_fill_page(chunk + offset, offset / PAGE_BYTES);
        for (uint64_t done = 0; done < bytes && !load_asked_to_free(); done += CHUNK_BYTES) {
                if (write(fd, chunk, sizeof(chunk)) != (ssize_t) sizeof(chunk)) {
                        fprintf(stderr, "load: cannot write at %" PRIu64 " MiB: %m\n", done / MIB);
                        return EXIT_FAILURE;
                }
                load_write_state("ramp", done + CHUNK_BYTES, getpid());
                load_sleep_until(start_nsec + (int64_t) (done / MIB + 1) * NSEC_PER_SEC / (int64_t) rate_mib);
        }
        load_hold(bytes, 0);
        return EXIT_SUCCESS;
}

int load_files(char *arguments[]) {
        uint64_t n = strtoull(arguments[1], NULL, 10), per_sec = strtoull(arguments[2], NULL, 10);
        int64_t start_nsec = load_now_nsec();
        char path[256];

        if (per_sec == 0)
                return EXIT_FAILURE;
        for (uint64_t i = 0; i < n && !load_asked_to_free(); i++) {
                int fd;

                if (i % 1000 == 0) {
                        snprintf(path, sizeof(path), "%s/%" PRIu64, arguments[0], i / 1000);
                        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                                return EXIT_FAILURE;
                        load_write_state("ramp", i, getpid());
                        load_sleep_until(start_nsec +
                                         (int64_t) (i / 1000) * 1000 * NSEC_PER_SEC / (int64_t) per_sec);
                }
                snprintf(path, sizeof(path), "%s/%" PRIu64 "/%" PRIu64, arguments[0], i / 1000, i);
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                if (fd < 0) {
                        fprintf(stderr, "load: cannot make file %" PRIu64 ": %m\n", i);
                        return EXIT_FAILURE;
                }
                (void) close(fd);
        }
        load_hold(n, 0);
        return EXIT_SUCCESS;
}
