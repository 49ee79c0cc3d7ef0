/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The load of demo and tests: memory of one kind, taken at a fixed rate, then held.
 *
 *   load ramp BYTES RATE_MIB_S HOLD_S [BASE]  anonymous memory: touch BYTES at RATE_MIB_S (0 = as fast as can be; the
 *                                             first BASE bytes at 200), hold them for HOLD_S (0 = until `load free`),
 *                                             verify them, exit 0
 *   load mlock BYTES RATE_MIB_S HOLD_S        the same, and locked
 *   load storm BYTES [RATE_MIB_S]             anonymous memory that nobody writes to: as fast as the kernel can
 *   load fork BYTES PROCESSES SPREAD_MS HOLD_S  BYTES shared out to PROCESSES that are started over SPREAD_MS
 *   load tmpfs PATH BYTES RATE_MIB_S          a file that grows, and stays
 *   load files FOLDER FILES PER_S             empty files: inodes and names, kernel memory that is no page cache
 *   load tables PAGES PER_S                   page tables: one touch per 2 MiB of address space
 *   load hold                                 a running load holds until `load free`, whatever its HOLD_S
 *   load free                                 a running load verifies, gives everything back and exits
 *   load status                               print its state: PHASE TOUCHED_BYTES PID
 *
 * The memory belongs to a child, and the parent only waits: when the OOM killer takes the child, the
 * parent is there to say so ("killed", exit 137). The state is a line in the file $LOAD_STATE
 * (/run/load), which the sampler copies into each sample. Pages are filled with pseudo-random words,
 * because zram and page sharing would make zeroes free, and are checked at the end: memory that was
 * plugged, unplugged and migrated under the load must still hold what was written.
 */

#include "load.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The OOM killer shall find the load as it finds any program, although its ancestors are protected. */
static void be_killable(void) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        (void) !write(fd, "0", 1);
        (void) close(fd);
}

static int run(LoadWorker worker, char *arguments[]) {
        int status;
        pid_t pid;

        load_write_state("ramp", 0, 0);
        pid = fork();
        if (pid == 0) {
                be_killable();
                load_listen();
                _exit(worker(arguments));
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0) {
                load_write_state("failed", 0, 0);
                return EXIT_FAILURE;
        }
        if (WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_OOM_KILLED) {
                load_write_state("killed", 0, 0);
                printf("load: killed by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : SIGKILL);
                return EXIT_OOM_KILLED;
        }
        load_write_state(WEXITSTATUS(status) == 0 ? "free" : "failed", 0, 0);
        return WEXITSTATUS(status);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *name;
                int least, most; /* arguments */
                LoadWorker worker;
        } kinds[] = {
                {"ramp", 3, 4, load_ramp},     {"mlock", 3, 3, load_mlock}, {"fork", 4, 4, load_fork},
                {"storm", 1, 2, load_storm},   {"tmpfs", 3, 3, load_tmpfs}, {"files", 3, 3, load_files},
                {"tables", 2, 2, load_tables},
        };

        setvbuf(stdout, NULL, _IOLBF, 0);

        for (size_t i = 0; argc > 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(argv[1], kinds[i].name) == 0 && argc - 2 >= kinds[i].least &&
                    argc - 2 <= kinds[i].most)
                        return run(kinds[i].worker, argv + 2);
        if (argc == 2 && strcmp(argv[1], "hold") == 0)
                return load_tell(SIGUSR1);
        if (argc == 2 && strcmp(argv[1], "free") == 0)
                return load_tell(SIGTERM);
        if (argc == 2 && strcmp(argv[1], "status") == 0)
                return load_print_state();

        fprintf(stderr,
                "usage: load ramp|mlock|storm|fork|tmpfs|files|tables NUMBER... | hold | free | status\n");
        return EXIT_FAILURE;
}
