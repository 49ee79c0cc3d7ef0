/* SPDX-License-Identifier: Apache-2.0 */

/* The state of the running load: one line in a file, PHASE TOUCHED_BYTES PID, that anybody may read. */

#include "load.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *state_path(void) {
        const char *path = getenv("LOAD_STATE");

        return path ? path : "/run/load";
}

/* One line of constant length, so that a reader never sees the tail of a longer one. */
void load_write_state(const char *phase, uint64_t touched_bytes, pid_t pid) {
        int fd = open(state_path(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        if (fd < 0)
                return;
        (void) dprintf(fd, "%-8s %12" PRIu64 " %8d\n", phase, touched_bytes, (int) pid);
        (void) close(fd);
}

/* Tell the running load's worker; it is named in the state file. */
int load_tell(int signal) {
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

int load_print_state(void) {
        char line[64];
        FILE *state = fopen(state_path(), "re");

        if (!state || !fgets(line, sizeof(line), state))
                (void) snprintf(line, sizeof(line), "%-8s %12d %8d\n", "idle", 0, 0);
        if (state)
                (void) fclose(state);
        fputs(line, stdout);
        return EXIT_SUCCESS;
}
