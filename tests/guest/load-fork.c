/* SPDX-License-Identifier: Apache-2.0 */

/* A fork storm: many processes at once, each with its share, as `make -j` or a web server at the start of a rush. */

#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int member(uint64_t bytes, unsigned hold_sec) {
        uint8_t *memory =
                mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED)
                return EXIT_FAILURE;
        for (uint64_t offset = 0; offset < bytes; offset += PAGE_BYTES)
                load_fill_page(memory + offset, offset / PAGE_BYTES);
        load_sleep_until(load_now_nsec() + hold_sec * NSEC_PER_SEC);
        return load_count_damaged(memory, bytes) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The storm's end: killed if one of them was, else failed if one did. */
static int gather(unsigned n) {
        int worst = EXIT_SUCCESS, status;

        for (; n > 0; n--) {
                if (wait(&status) < 0)
                        return EXIT_FAILURE;
                if (WIFSIGNALED(status))
                        worst = EXIT_OOM_KILLED;
                else if (worst == EXIT_SUCCESS)
                        worst = WEXITSTATUS(status);
        }
        return worst;
}

int load_fork(char *arguments[]) {
        uint64_t bytes = strtoull(arguments[0], NULL, 10);
        unsigned n = (unsigned) strtoul(arguments[1], NULL, 10), started = 0;
        int64_t start_nsec = load_now_nsec(),
                spread_nsec = (int64_t) strtoull(arguments[2], NULL, 10) * (NSEC_PER_SEC / 1000);
        unsigned hold_sec = (unsigned) strtoul(arguments[3], NULL, 10);

        if (n == 0)
                return EXIT_FAILURE;
        for (; started < n && !load_asked_to_free(); started++) {
                pid_t pid = fork();

                if (pid == 0)
                        _exit(member(bytes / n / PAGE_BYTES * PAGE_BYTES, hold_sec));
                if (pid < 0)
                        break; /* out of memory for it already */
                load_write_state("ramp", bytes / n * (started + 1), getpid());
                load_sleep_until(start_nsec + spread_nsec * (started + 1) / n);
        }
        load_write_state("hold", bytes / n * started, getpid());
        return gather(started);
}
