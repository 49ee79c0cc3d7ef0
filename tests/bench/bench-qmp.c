/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The least that a QMP command can cost: written and its reply read, on a socket that nobody else uses.
 *
 * bench-qmp SOCKET TURNS: sets requested-size of virtio-mem "vmem0" to two values by turns, and prints the median
 * microseconds of a turn as one line of JSON.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TURNS_MAX 100000U

static double now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec * 1e6 + (double) ts.tv_nsec / 1e3;
}

/* Up to the end of a line that has word in it: a reply, not an event. */
static void await(int fd, const char *word) {
        static char text[16384];
        size_t fill = 0;

        for (;;) {
                ssize_t n = read(fd, text + fill, sizeof(text) - 1 - fill);

                if (n <= 0) {
                        fprintf(stderr, "bench-qmp: the monitor went away\n");
                        exit(2);
                }
                fill += (size_t) n;
                text[fill] = '\0';
                if (strstr(text, word) && text[fill - 1] == '\n')
                        return;
        }
}

static void tell(int fd, const char *text) {
        if (write(fd, text, strlen(text)) != (ssize_t) strlen(text)) {
                fprintf(stderr, "bench-qmp: %s\n", strerror(errno));
                exit(2);
        }
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

int main(int argc, char **argv) {
        static double turns[TURNS_MAX];
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        unsigned n;
        int fd;

        if (argc != 3 || sscanf(argv[2], "%u", &n) != 1 || n < 1 || n > TURNS_MAX ||
            strlen(argv[1]) >= sizeof(address.sun_path)) {
                fprintf(stderr, "usage: bench-qmp SOCKET TURNS\n");
                return 2;
        }
        strcpy(address.sun_path, argv[1]);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                fprintf(stderr, "bench-qmp: %s: %s\n", argv[1], strerror(errno));
                return 2;
        }
        await(fd, "QMP");
        tell(fd, "{\"execute\":\"qmp_capabilities\"}\n");
        await(fd, "return");

        for (unsigned i = 0; i < n; i++) {
                char text[256];
                double begin;

                (void) snprintf(
                        text, sizeof(text),
                        "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/machine/peripheral/vmem0\","
                        "\"property\":\"requested-size\",\"value\":%u},\"id\":%u}\n",
                        i % 2 * (128U << 20), i);
                begin = now_usec();
                tell(fd, text);
                await(fd, "return");
                turns[i] = now_usec() - begin;
        }
        qsort(turns, n, sizeof(turns[0]), compare);
        printf("{\"median_usec\": %.1f, \"turns\": %u}\n", turns[n / 2], n);
        return 0;
}
