/* SPDX-License-Identifier: Apache-2.0 */

/* A process of its own, so that nothing of it is counted with the agent's CPU, allocations and memory. */

#include "bench-host.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/units.h"
#include "proto/frame.h"
#include "proto/wire.h"

static bool welcome(int fd, const Message *hello) {
        Message message = {
                .type = MESSAGE_WELCOME,
                .sequence = 1,
                .welcome =
                        {
                                .session = 1,
                                .minor = MESSAGE_PROTOCOL_MINOR,
                                .handshake_nonce = hello->hello.handshake_nonce,
                                .bridge_version = "bench",
                                .report_interval_usec = USEC_PER_SEC,
                        },
        };
        uint8_t out[FRAME_ENCODED_MAX];
        size_t n = wire_encode(&message, out);

        return n > 0 && write(fd, out, n) == (ssize_t) n;
}

static void serve(int fd) {
        FrameDecoder decoder = {0};
        uint8_t buffer[4096];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
                const uint8_t *data = buffer, *payload;
                size_t size = (size_t) n, payload_size;
                Message message;

                while (frame_decoder_next(&decoder, &data, &size, &payload, &payload_size))
                        if (wire_decode(payload, payload_size, WIRE_FROM_GUEST, &message) == WIRE_OK &&
                            message.type == MESSAGE_HELLO && !welcome(fd, &message))
                                return;
        }
}

int bench_host_start(const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        pid_t pid;
        int fd;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 1) < 0)
                return -errno;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid > 0) {
                (void) close(fd);
                return 0;
        }

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                int client = accept(fd, NULL, NULL);

                if (client < 0)
                        _exit(1);
                serve(client);
                (void) close(client);
        }
}
