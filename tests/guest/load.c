/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The load of demo and tests: anonymous memory, touched page by page at a fixed rate, then held.
 *
 *   load ramp BYTES RATE_MIB_S HOLD_S   touch BYTES at RATE_MIB_S (0 = as fast as can be), hold them
 *                                       for HOLD_S (0 = until `load free`), verify them, exit 0
 *   load hold                           a running load holds until `load free`, whatever its HOLD_S
 *   load free                           a running load verifies, gives everything back and exits
 *   load status                         print its state: PHASE TOUCHED_BYTES PID
 *
 * The memory belongs to a child, and the parent only waits: when the OOM killer takes the child, the
 * parent is there to say so ("killed", exit 137). The state is a line in the file $LOAD_STATE
 * (/run/load), which the sampler copies into each sample. Pages are filled with pseudo-random words,
 * because zram and page sharing would make zeroes free, and are checked at the end: memory that was
 * plugged, unplugged and migrated under the load must still hold what was written. Half of each page
 * stays zero: that halves the cost under emulation, and compresses like ordinary heap memory (2:1).
 *
 * Rejected: one mmap() of BYTES, since the kernel's overcommit heuristic refuses more than the guest
 * has now; so the range is reserved without access and opened chunk by chunk.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB             (UINT64_C(1) << 20)
#define PAGE_BYTES      UINT64_C(4096)
#define FILLED_WORDS    (PAGE_BYTES / sizeof(uint64_t) / 2)
#define CHUNK_BYTES     MIB
#define NSEC_PER_SEC    INT64_C(1000000000)
#define EXIT_OOM_KILLED 137

static volatile sig_atomic_t asked_to_free, asked_to_hold;

static const char *state_path(void) {
        const char *path = getenv("LOAD_STATE");

        return path ? path : "/run/load";
}

/* One line of constant length, so that a reader never sees the tail of a longer one. */
static void write_state(const char *phase, uint64_t touched_bytes, pid_t pid) {
        int fd = open(state_path(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        if (fd < 0)
                return;
        (void) dprintf(fd, "%-8s %12" PRIu64 " %8d\n", phase, touched_bytes, (int) pid);
        (void) close(fd);
}

static int64_t now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static void sleep_until(int64_t when_nsec) {
        const struct timespec t = {.tv_sec = when_nsec / NSEC_PER_SEC, .tv_nsec = when_nsec % NSEC_PER_SEC};

        (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Any word follows from its page's number, so that a page can be checked without a copy. */
static uint64_t first_word(uint64_t page) {
        return (page + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t next_word(uint64_t word) {
        return word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

static void fill_page(uint64_t *words, uint64_t page) {
        uint64_t word = first_word(page);

        for (size_t i = 0; i < FILLED_WORDS; i++, word = next_word(word))
                words[i] = word;
}

/* First, second and last word: enough to see a zeroed or a foreign page, cheap enough for every page. */
static bool page_is_intact(const uint64_t *words, uint64_t page) {
        uint64_t word = first_word(page);

        return words[0] == word && words[1] == next_word(word) && words[FILLED_WORDS - 1] != 0;
}

static int touch_all(uint8_t *memory, uint64_t bytes, uint64_t rate_mib) {
        int64_t start_nsec = now_nsec();

        for (uint64_t done = 0; done < bytes && !asked_to_free; done += CHUNK_BYTES) {
                if (mprotect(memory + done, CHUNK_BYTES, PROT_READ | PROT_WRITE) < 0) {
                        fprintf(stderr, "load: cannot open memory at %" PRIu64 " MiB: %m\n", done / MIB);
                        return -errno;
                }
                for (uint64_t offset = done; offset < done + CHUNK_BYTES; offset += PAGE_BYTES)
                        fill_page((uint64_t *) (memory + offset), offset / PAGE_BYTES);

                write_state("ramp", done + CHUNK_BYTES, getpid());
                if ((done + CHUNK_BYTES) % (64 * MIB) == 0)
                        printf("load: touched %" PRIu64 " MiB\n", (done + CHUNK_BYTES) / MIB);
                if (rate_mib > 0) /* by the schedule, not by a pause: late chunks are caught up */
                        sleep_until(start_nsec + (int64_t) ((done + CHUNK_BYTES) / MIB) * NSEC_PER_SEC /
                                                         (int64_t) rate_mib);
        }
        printf("load: ramp took %" PRId64 " ms\n", (now_nsec() - start_nsec) / 1000000);
        return 0;
}

static uint64_t count_damaged(const uint8_t *memory, uint64_t bytes) {
        uint64_t damaged = 0;

        for (uint64_t offset = 0; offset < bytes; offset += PAGE_BYTES)
                damaged += !page_is_intact((const uint64_t *) (memory + offset), offset / PAGE_BYTES);
        return damaged;
}

static void hold(uint64_t bytes, unsigned hold_sec) {
        int64_t end_nsec = now_nsec() + hold_sec * NSEC_PER_SEC;

        write_state("hold", bytes, getpid());
        while (!asked_to_free && (hold_sec == 0 || asked_to_hold || now_nsec() < end_nsec))
                sleep_until(now_nsec() + NSEC_PER_SEC / 20);
}

static void on_signal(int signal) {
        if (signal == SIGTERM)
                asked_to_free = 1;
        else
                asked_to_hold = 1;
}

/* The OOM killer shall find the load as it finds any program, although its ancestors are protected. */
static void be_killable(void) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        (void) !write(fd, "0", 1);
        (void) close(fd);
}

static int worker(uint64_t bytes, uint64_t rate_mib, unsigned hold_sec) {
        uint64_t damaged;
        uint8_t *memory;

        be_killable();
        (void) signal(SIGTERM, on_signal);
        (void) signal(SIGUSR1, on_signal);

        memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
                fprintf(stderr, "load: cannot reserve %" PRIu64 " MiB: %m\n", bytes / MIB);
                return EXIT_FAILURE;
        }
        if (touch_all(memory, bytes, rate_mib) < 0)
                return EXIT_FAILURE;
        if (asked_to_free)
                return EXIT_SUCCESS;
        hold(bytes, hold_sec);

        damaged = count_damaged(memory, bytes);
        if (damaged > 0)
                fprintf(stderr, "load: %" PRIu64 " pages do not hold what was written\n", damaged);
        return damaged > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int ramp(uint64_t bytes, uint64_t rate_mib, unsigned hold_sec) {
        int status;
        pid_t pid;

        bytes = (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
        write_state("ramp", 0, 0);
        pid = fork();
        if (pid == 0)
                _exit(worker(bytes, rate_mib, hold_sec));
        if (pid < 0 || waitpid(pid, &status, 0) < 0) {
                write_state("failed", 0, 0);
                return EXIT_FAILURE;
        }
        if (WIFSIGNALED(status)) {
                write_state("killed", 0, 0);
                printf("load: killed by signal %d\n", WTERMSIG(status));
                return EXIT_OOM_KILLED;
        }
        write_state(WEXITSTATUS(status) == 0 ? "free" : "failed", 0, 0);
        return WEXITSTATUS(status);
}

/* Tell the running load's worker; it is named in the state file. */
static int tell(int signal) {
        int pid = 0;
        FILE *state = fopen(state_path(), "re");

        if (state && fscanf(state, "%*s %*s %d", &pid) != 1)
                pid = 0;
        if (state)
                (void) fclose(state);
        if (pid <= 0 || kill(pid, signal) < 0) {
                fprintf(stderr, "load: none is running\n");
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}

static int print_state(void) {
        char line[64];
        FILE *state = fopen(state_path(), "re");

        if (!state || !fgets(line, sizeof(line), state))
                (void) snprintf(line, sizeof(line), "%-8s %12d %8d\n", "idle", 0, 0);
        if (state)
                (void) fclose(state);
        fputs(line, stdout);
        return EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        setvbuf(stdout, NULL, _IOLBF, 0);

        if (argc == 5 && strcmp(argv[1], "ramp") == 0)
                return ramp(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
                            (unsigned) strtoul(argv[4], NULL, 10));
        if (argc == 2 && strcmp(argv[1], "hold") == 0)
                return tell(SIGUSR1);
        if (argc == 2 && strcmp(argv[1], "free") == 0)
                return tell(SIGTERM);
        if (argc == 2 && strcmp(argv[1], "status") == 0)
                return print_state();

        fprintf(stderr, "usage: load ramp BYTES RATE_MIB_S HOLD_S | hold | free | status\n");
        return EXIT_FAILURE;
}
