/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs in a guest: when was the first memory block added and when was the last one online, by the kernel's own
 * events. It goes before everybody else (SCHED_FIFO), so that the clock is read when the event comes and not when
 * whoever onlines has had enough; and it does no work of its own, so that it costs all parties the same.
 *
 * blockwatch BLOCKS SECONDS: prints "FIRST_ADD_USEC LAST_ONLINE_USEC N_ADDED N_ONLINE" after that many are online, or
 * after so long.
 */

#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (16 << 20)

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static int listen_uevents(void) {
        struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
        struct sched_param first = {.sched_priority = 10};
        int bytes = BUFFER_BYTES;
        int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -1;
        (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
        (void) sched_setscheduler(0, SCHED_FIFO, &first);
        return fd;
}

int main(int argc, char **argv) {
        uint64_t first = 0, last = 0, end;
        unsigned added = 0, online = 0, wanted;
        char text[8192];
        int fd;

        if (argc != 3)
                return 2;
        wanted = (unsigned) atoi(argv[1]);
        end = now_usec() + (uint64_t) atoi(argv[2]) * 1000000U;
        fd = listen_uevents();
        if (fd < 0)
                return 1;

        while (online < wanted && now_usec() < end) {
                struct pollfd wait = {.fd = fd, .events = POLLIN};
                ssize_t n;

                if (poll(&wait, 1, 100) <= 0)
                        continue;
                n = recv(fd, text, sizeof(text) - 1, 0);
                if (n <= 0)
                        continue;
                text[n] = '\0';
                if (!strstr(text, "/system/memory/memory"))
                        continue;
                if (strncmp(text, "add@", 4) == 0) {
                        if (added++ == 0)
                                first = now_usec();
                } else if (strncmp(text, "online@", 7) == 0) {
                        online++;
                        last = now_usec();
                }
        }
        printf("%llu %llu %u %u\n", (unsigned long long) first, (unsigned long long) last, added, online);
        return online < wanted;
}
