/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The instrument of demo and tests: `sampler OUTPUT INTERVAL_MS` appends one line per interval to
 * OUTPUT, a virtio-serial port that QEMU writes to a file. It knows nothing of memtide, so that guests
 * with and without the agent are measured by the same, independent means.
 *
 * A line is: t_usec MemTotal_kB MemFree_kB MemAvailable_kB psi_some_usec psi_full_usec oom_kills
 * balloon_pages load_phase load_bytes swapped_out_pages. A value that the kernel does not give is -1.
 *
 * It must go on when the guest thrashes: its memory is locked, it runs before all other tasks, it
 * allocates nothing in its loop and never waits for a reader (a line that does not fit is lost).
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_MSEC INT64_C(1000000)
#define NSEC_PER_SEC  (1000 * NSEC_PER_MSEC)

typedef struct Sources {
        int meminfo, vmstat, pressure, output;
        char text[16384];
} Sources;

/* The whole file as a string; an empty one when it cannot be read. */
static const char *read_source(Sources *s, int fd) {
        ssize_t n = fd >= 0 ? pread(fd, s->text, sizeof(s->text) - 1, 0) : -1;

        s->text[n > 0 ? n : 0] = '\0';
        return s->text;
}

/* The number after `key`, which stands at the start of a line; -1 when there is none. */
static int64_t number_after(const char *text, const char *key) {
        size_t length = strlen(key);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, length) == 0)
                        return strtoll(line + length, NULL, 10);
        }
        return -1;
}

/* total= of the line that starts with `kind` ("some" or "full"). */
static int64_t stall_total(const char *text, const char *kind) {
        const char *line = strstr(text, kind);
        const char *total = line ? strstr(line, "total=") : NULL;

        return total ? strtoll(total + strlen("total="), NULL, 10) : -1;
}

/* The load's state changes its file's inode never, but the file may appear late: open it each time. */
static void read_load(char phase[static 16], int64_t *ret_bytes) {
        char text[64] = "";
        int fd = open("/run/load", O_RDONLY | O_CLOEXEC);

        *ret_bytes = 0;
        strcpy(phase, "idle");
        if (fd < 0)
                return;
        if (read(fd, text, sizeof(text) - 1) > 0)
                (void) sscanf(text, "%15s %" SCNd64, phase, ret_bytes);
        (void) close(fd);
}

static void write_sample(Sources *s, const struct timespec *t) {
        int64_t total, mem_free, available, some, full, oom_kills, inflated, deflated, swapped_out,
                load_bytes;
        char phase[16], line[256];
        const char *text;
        int n;

        text = read_source(s, s->meminfo);
        total = number_after(text, "MemTotal:");
        mem_free = number_after(text, "MemFree:");
        available = number_after(text, "MemAvailable:");

        text = read_source(s, s->pressure);
        some = stall_total(text, "some");
        full = stall_total(text, "full");

        text = read_source(s, s->vmstat);
        oom_kills = number_after(text, "oom_kill ");
        inflated = number_after(text, "balloon_inflate ");
        deflated = number_after(text, "balloon_deflate ");
        swapped_out = number_after(text, "pswpout ");

        read_load(phase, &load_bytes);
        n = snprintf(line, sizeof(line),
                     "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                     " %" PRId64 " %s %" PRId64 " %" PRId64 "\n",
                     (t->tv_sec * NSEC_PER_SEC + t->tv_nsec) / 1000, total, mem_free, available, some, full,
                     oom_kills, inflated - deflated, phase, load_bytes, swapped_out);
        (void) !write(s->output, line, (size_t) n);
}

static void be_first_in_line(void) {
        const struct sched_param param = {.sched_priority = 50};

        if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
                fprintf(stderr, "sampler: memory is not locked: %m\n");
        if (sched_setscheduler(0, SCHED_FIFO, &param) < 0)
                fprintf(stderr, "sampler: no real-time priority: %m\n");
}

int main(int argc, char *argv[]) {
        static Sources s;
        struct timespec next, now;
        int64_t interval_nsec;

        if (argc != 3) {
                fprintf(stderr, "usage: sampler OUTPUT INTERVAL_MS\n");
                return EXIT_FAILURE;
        }
        interval_nsec = strtoll(argv[2], NULL, 10) * NSEC_PER_MSEC;
        s.meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        s.vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
        s.pressure = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
        s.output = open(argv[1], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (s.output < 0 || interval_nsec <= 0) {
                fprintf(stderr, "sampler: cannot write to %s every %s ms\n", argv[1], argv[2]);
                return EXIT_FAILURE;
        }
        be_first_in_line();

        (void) clock_gettime(CLOCK_MONOTONIC, &next);
        for (;;) {
                (void) clock_gettime(CLOCK_MONOTONIC, &now);
                write_sample(&s, &now);
                next.tv_nsec += interval_nsec % NSEC_PER_SEC;
                next.tv_sec += interval_nsec / NSEC_PER_SEC + next.tv_nsec / NSEC_PER_SEC;
                next.tv_nsec %= NSEC_PER_SEC;
                (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        }
}
