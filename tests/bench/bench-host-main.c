/* SPDX-License-Identifier: Apache-2.0 */

/* bench-host PATH: welcomes agents at a Unix socket and reads all that they say, until it is killed. */

#include <stdio.h>
#include <unistd.h>

#include "bench-host.h"

int main(int argc, char **argv) {
        if (argc != 2 || bench_host_start(argv[1]) < 0) {
                fprintf(stderr, "usage: bench-host PATH (of a socket that does not exist)\n");
                return 2;
        }
        for (;;)
                (void) pause();
}
