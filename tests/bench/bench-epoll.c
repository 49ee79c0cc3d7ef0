/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The least that a reader of many sockets can cost: connect to all channels of a farm, wait for them in one epoll set,
 * read what comes and look at none of it. With "answer" it looks, for alarms alone, and sends each VM's monitor the command
 * at once, without a thought: the soonest that a command can be there on this machine.
 *
 * bench-epoll FOLDER VMS [answer]: prints "ready" when all are connected; CPU is read from outside. Ends with stdin.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/wire.h"

#define EVENTS_MAX 256
#define COMMAND                                                                                              \
        "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"/machine/peripheral/vmem0\", "               \
        "\"property\": \"requested-size\", \"value\": 134217728}}\r\n"

static int *monitors; /* by the channel's descriptor; NULL: nothing is answered */

static void fail(const char *what) {
        fprintf(stderr, "bench-epoll: %s: %s\n", what, strerror(errno));
        exit(2);
}

static int connect_to(const char *folder, unsigned i, const char *suffix) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/vm%05u.%s", folder, i, suffix) >=
                    (int) sizeof(address.sun_path) ||
            fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                fail(address.sun_path);
        return fd;
}

/* Its greeting, and the end of the negotiation. What it says later nobody reads: it has room for that. */
static int negotiate(const char *folder, unsigned i) {
        static const char accept[] = "{\"execute\": \"qmp_capabilities\"}\r\n";
        char buffer[1024];
        int fd = connect_to(folder, i, "qmp");

        if (read(fd, buffer, sizeof(buffer)) <= 0 || write(fd, accept, strlen(accept)) < 0 ||
            read(fd, buffer, sizeof(buffer)) <= 0)
                fail("a monitor");
        return fd;
}

/* A frame comes whole, as it was written. */
static bool is_alarm(const uint8_t *data, size_t size) {
        static FrameDecoder decoder;
        const uint8_t *payload;
        size_t payload_size;
        Message message;
        bool alarm = false;

        frame_decoder_reset(&decoder);
        while (frame_decoder_next(&decoder, &data, &size, &payload, &payload_size))
                alarm |= wire_decode(payload, payload_size, WIRE_FROM_GUEST, &message) == WIRE_OK &&
                         message.type == MESSAGE_ALARM;
        return alarm;
}

static void take(int fd) {
        static uint8_t buffer[FRAME_ENCODED_MAX];
        ssize_t n = read(fd, buffer, sizeof(buffer));

        if (n == 0)
                exit(0);
        if (n > 0 && monitors && is_alarm(buffer, (size_t) n))
                (void) !send(monitors[fd], COMMAND, strlen(COMMAND), MSG_NOSIGNAL | MSG_DONTWAIT);
}

int main(int argc, char **argv) {
        struct epoll_event events[EVENTS_MAX], event = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
        struct rlimit limit;
        int set = epoll_create1(EPOLL_CLOEXEC);
        unsigned n_vms;

        if (argc < 3 || argc > 4 || sscanf(argv[2], "%u", &n_vms) != 1 ||
            (argc == 4 && strcmp(argv[3], "answer") != 0)) {
                fprintf(stderr, "usage: bench-epoll FOLDER VMS [answer]\n");
                return 2;
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                fail("RLIMIT_NOFILE");
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
        if (argc == 4) {
                monitors = calloc(limit.rlim_max, sizeof(int));
                if (!monitors)
                        fail("monitors");
        }
        (void) epoll_ctl(set, EPOLL_CTL_ADD, STDIN_FILENO, &event);
        for (unsigned i = 0; i < n_vms; i++) {
                event.data.fd = connect_to(argv[1], i, "channel");
                if (monitors)
                        monitors[event.data.fd] = negotiate(argv[1], i);
                if (epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
                        fail("epoll_ctl");
        }
        puts("ready");
        fflush(stdout);

        for (;;) {
                int n = epoll_wait(set, events, EVENTS_MAX, -1);

                for (int i = 0; i < n; i++)
                        take(events[i].data.fd);
        }
}
