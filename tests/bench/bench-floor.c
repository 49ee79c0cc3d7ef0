/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The least that a sample can cost: one pread(2) each on descriptors that are kept open, nothing parsed.
 *
 * bench-floor SAMPLES WARM PAUSE_USEC calm|full: meminfo and PSI, or vmstat as well; prints one line of JSON.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

static const char *const paths[] = {"/proc/meminfo", "/proc/pressure/memory", "/proc/vmstat"};
#define N_PATHS (sizeof(paths) / sizeof(paths[0]))

static void sample(const int *fds, size_t n) {
        static char text[32 * 1024];

        for (size_t i = 0; i < n; i++)
                (void) !pread(fds[i], text, sizeof(text), 0);
}

int main(int argc, char **argv) {
        uint64_t samples, warm, begin = 0;
        struct timespec pause = {0};
        int fds[N_PATHS];
        size_t n;

        if (argc != 5 || (strcmp(argv[4], "calm") != 0 && strcmp(argv[4], "full") != 0)) {
                fprintf(stderr, "usage: bench-floor SAMPLES WARM PAUSE_USEC calm|full\n");
                return 2;
        }
        samples = measure_argument(argv[1]);
        warm = measure_argument(argv[2]);
        n = strcmp(argv[4], "full") == 0 ? N_PATHS : N_PATHS - 1;
        pause.tv_nsec = (long) measure_argument(argv[3]) * 1000;

        for (size_t i = 0; i < N_PATHS; i++)
                fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC); /* one that is missing costs next to nothing */
        for (uint64_t i = 0; i < warm + samples; i++) {
                if (i == warm)
                        begin = measure_cpu_nsec();
                sample(fds, n);
                if (pause.tv_nsec > 0)
                        (void) nanosleep(&pause, NULL);
        }
        printf("{\"samples\": %" PRIu64 ", \"cpu_nsec\": %" PRIu64 "}\n", samples,
               measure_cpu_nsec() - begin);
        return 0;
}
