/* SPDX-License-Identifier: Apache-2.0 */

/*
 * CPU by CLOCK_PROCESS_CPUTIME_ID, since ticks of 4 ms would hide a sample of 50 us; memory by smaps_rollup, since
 * VmRSS of /proc/self/status is off by up to 64 pages per CPU (linux:mm/memory.c, batched counters).
 */

#include "measure.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t field_kib(const char *path, const char *key) {
        char text[4096];
        const char *found;
        ssize_t n;
        int fd;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        n = read(fd, text, sizeof(text) - 1);
        (void) close(fd);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        found = strstr(text, key);
        return found ? strtoull(found + strlen(key), NULL, 10) : 0;
}

uint64_t measure_cpu_nsec(void) {
        struct timespec ts = {0};

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

Measure measure_take(void) {
        struct rusage usage = {0};

        (void) getrusage(RUSAGE_SELF, &usage);
        return (Measure){
                .cpu_nsec = measure_cpu_nsec(),
                .rss_kib = field_kib("/proc/self/smaps_rollup", "\nRss:"),
                .anon_kib = field_kib("/proc/self/smaps_rollup", "\nAnonymous:"),
                .peak_kib = field_kib("/proc/self/status", "\nVmPeak:"),
                .major_faults = (uint64_t) usage.ru_majflt,
                .minor_faults = (uint64_t) usage.ru_minflt,
        };
}

uint64_t measure_argument(const char *text) {
        char *end;
        unsigned long long value = strtoull(text, &end, 10);

        if (*text < '0' || *text > '9' || *end != '\0') {
                fprintf(stderr, "not a number: %s\n", text);
                exit(2);
        }
        return value;
}
