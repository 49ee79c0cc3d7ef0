/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs in a guest: the plain PSI-trigger client. Ends with 0 at the first trigger of "some 50 ms in 500 ms", the shortest
 * window that the kernel allows, and with 1 when the load was killed before.
 */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRIGGER "some 50000 500000"
#define LOOK_MS 20

static int is_killed(void) {
        char text[64];
        int fd = open("/run/load", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

        if (fd >= 0)
                close(fd);
        text[n > 0 ? n : 0] = '\0';
        return strncmp(text, "killed", strlen("killed")) == 0;
}

int main(void) {
        struct pollfd poller = {.events = POLLPRI};

        poller.fd = open("/proc/pressure/memory", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (poller.fd < 0 || write(poller.fd, TRIGGER, sizeof(TRIGGER)) < 0) {
                perror("/proc/pressure/memory");
                return 2;
        }
        for (;;) {
                if (poll(&poller, 1, LOOK_MS) > 0)
                        return poller.revents & POLLERR ? 2 : 0;
                if (is_killed())
                        return 1;
        }
}
