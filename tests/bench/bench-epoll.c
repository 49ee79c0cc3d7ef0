/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The least that a reader of many sockets can cost: connect to all channels of a farm, wait for them in one epoll set,
 * read what comes and look at none of it.
 *
 * bench-epoll FOLDER VMS: prints "ready" when all are connected; CPU is read from outside. Ends with stdin.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS_MAX 256

static int connect_to(const char *folder, unsigned i) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/vm%05u.channel", folder, i) >=
                    (int) sizeof(address.sun_path) ||
            fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                fprintf(stderr, "bench-epoll: %s: %s\n", address.sun_path, strerror(errno));
                exit(2);
        }
        return fd;
}

int main(int argc, char **argv) {
        struct epoll_event events[EVENTS_MAX], event = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
        struct rlimit limit;
        char buffer[4096];
        int set = epoll_create1(EPOLL_CLOEXEC);
        unsigned n_vms;

        if (argc != 3 || sscanf(argv[2], "%u", &n_vms) != 1) {
                fprintf(stderr, "usage: bench-epoll FOLDER VMS\n");
                return 2;
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
        (void) epoll_ctl(set, EPOLL_CTL_ADD, STDIN_FILENO, &event);
        for (unsigned i = 0; i < n_vms; i++) {
                event.data.fd = connect_to(argv[1], i);
                if (epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
                        return 2;
        }
        puts("ready");
        fflush(stdout);

        for (;;) {
                int n = epoll_wait(set, events, EVENTS_MAX, -1);

                for (int i = 0; i < n; i++)
                        if (read(events[i].data.fd, buffer, sizeof(buffer)) == 0)
                                return 0;
        }
}
