/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The agents' channels only. A monitor's connection is worth nothing to the next bridge: replies to commands of the old
 * one would come to it, and half a line may be read already, while QEMU greets a new client within a millisecond and
 * tells all that is true. A frame that was cut is no such trouble: the next zero begins anew, and the new session's
 * handshake voids what was said before it.
 *
 * What is kept is the manager's copy of the connection. QEMU serves one client at a time, so a copy that lives on after
 * we have turned away would lock us out: whoever gives a channel up shuts it down, which ends it for all copies, and the
 * manager drops what has hung up. Asking it to (FDSTOREREMOVE=) comes in addition.
 *
 * Identity: the name says whose channel it was, and the socket at its other end must be the one at which discovery finds
 * that VM now. A VM that was started anew while we were gone has another socket, and the old connection has hung up.
 *
 * sd_notify() writes to a datagram socket of the manager and can wait for it, as the watchdog's words do: it is
 * called once for each connection.
 */

#include "host-bridge/fd-store.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "host-bridge/guests/vm-config.h"

#define CHANNEL_PREFIX "channel-"
#define METRICS_NAME   "metrics" /* FileDescriptorName= of memtide-bridge.socket */

typedef struct Kept {
        char vm[DECISION_VM_NAME_MAX];
        int fd; /* owned; -EBADF: taken */
} Kept;

struct FdStore {
        Kept *kept;
        size_t n;
        int metrics_fd; /* owned; -EBADF: none, or taken */
};

/* -- the manager ----------------------------------------------------------------------------------- */

static void forget(const char *fd_name) {
        char words[512];

        if (snprintf(words, sizeof(words), "FDSTOREREMOVE=1\nFDNAME=%s", fd_name) < (int) sizeof(words))
                (void) sd_notify(false, words);
}

static void name_channel(const char *vm, char *ret, size_t size) {
        (void) snprintf(ret, size, CHANNEL_PREFIX "%s", vm);
}

void fd_store_keep_channel(FdStore *store, const char *vm, int fd) {
        char name[STRLEN(CHANNEL_PREFIX) + DECISION_VM_NAME_MAX], words[256];
        int r;

        assert(store);
        assert(vm);
        assert(fd >= 0);

        name_channel(vm, name, sizeof(name));
        forget(name);
        (void) snprintf(words, sizeof(words), "FDSTORE=1\nFDNAME=%s", name);
        r = sd_pid_notify_with_fds(0, false, words, &fd, 1);
        if (r < 0)
                (void) log_debug_errno(r, "VM %s: its channel is not kept over a restart: %m", vm);
}

void fd_store_drop_channel(FdStore *store, const char *vm) {
        char name[STRLEN(CHANNEL_PREFIX) + DECISION_VM_NAME_MAX];

        assert(store);
        assert(vm);

        name_channel(vm, name, sizeof(name));
        forget(name);
}

/* -- what was handed over -------------------------------------------------------------------------- */

static bool option_is(int fd, int option, int expected) {
        int value;
        socklen_t size = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == expected;
}

static bool is_connection(int fd) {
        return option_is(fd, SO_DOMAIN, AF_UNIX) && option_is(fd, SO_TYPE, SOCK_STREAM) &&
               option_is(fd, SO_ACCEPTCONN, 0);
}

static bool listens_on_loopback(int fd) {
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } address = {};
        socklen_t size = sizeof(address);

        if (!option_is(fd, SO_TYPE, SOCK_STREAM) || !option_is(fd, SO_ACCEPTCONN, 1) ||
            getsockname(fd, &address.any, &size) < 0)
                return false;
        if (address.any.sa_family == AF_INET)
                return ntohl(address.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        return address.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address.in6.sin6_addr);
}

/* QEMU is still there, and listens at path. */
static bool ends_at(int fd, const char *path) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
        struct sockaddr_un peer = {};
        socklen_t size = sizeof(peer) - 1; /* its path may be without a zero */
        struct stat there, here;

        if (poll(&poll_fd, 1, 0) != 0 || getpeername(fd, (struct sockaddr *) &peer, &size) < 0)
                return false;
        return peer.sun_path[0] == '/' && stat(peer.sun_path, &there) == 0 && stat(path, &here) == 0 &&
               there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

static void give_up(Kept *kept) {
        char name[STRLEN(CHANNEL_PREFIX) + DECISION_VM_NAME_MAX];
        int fd = TAKE_FD(kept->fd);

        (void) shutdown(fd, SHUT_RDWR);
        (void) safe_close(fd);
        name_channel(kept->vm, name, sizeof(name));
        forget(name);
}

/* For the log: names come from the environment. */
static void make_printable(char *text) {
        for (; *text != '\0'; text++)
                if (!isprint((unsigned char) *text))
                        *text = '?';
}

static void refuse(int fd, char *name, const char *why) {
        (void) safe_close(fd);
        make_printable(name); /* nothing of a name can then be a word of its own */
        forget(name);
        log_warning("Descriptor %d, handed over as \"%s\", %s: it is closed", fd, name, why);
}

static void sort(FdStore *store, int fd, char *name) {
        Kept *kept = &store->kept[store->n];
        const char *vm = name + STRLEN(CHANNEL_PREFIX);

        if (strcmp(name, METRICS_NAME) == 0) {
                if (store->metrics_fd < 0 && listens_on_loopback(fd))
                        store->metrics_fd = fd;
                else
                        refuse(fd, name, "is no socket that listens on a loopback address");
                return;
        }
        if (strncmp(name, CHANNEL_PREFIX, STRLEN(CHANNEL_PREFIX)) != 0 || !vm_name_is_valid(vm)) {
                refuse(fd, name, "is none of the bridge's");
                return;
        }
        if (!is_connection(fd)) {
                refuse(fd, name, "is no connection to a Unix socket");
                return;
        }
        kept->fd = fd;
        (void) snprintf(kept->vm, sizeof(kept->vm), "%s", vm);
        store->n++;
}

static void free_names(char **names) {
        for (char **name = names; name && *name; name++)
                free(*name);
        free(names);
}

int fd_store_new(FdStore **ret) {
        _cleanup_(fd_store_freep) FdStore *store = NULL;
        char **names = NULL;
        int n;

        assert(ret);

        store = calloc(1, sizeof(*store));
        if (!store)
                return -ENOMEM;
        store->metrics_fd = -EBADF;
        n = sd_listen_fds_with_names(true, &names);
        if (n < 0) /* a wrong $LISTEN_FDS is no reason to leave the guests alone */
                (void) log_warning_errno(n,
                                         "What the service manager hands over is not to be understood: %m");
        if (n > 0) {
                store->kept = calloc((size_t) n, sizeof(*store->kept));
                if (!store->kept) {
                        free_names(names);
                        return -ENOMEM;
                }
        }
        for (int i = 0; i < n; i++)
                sort(store, SD_LISTEN_FDS_START + i, names[i]);
        free_names(names);
        if (store->n > 0)
                log_info("%zu channels were kept over the restart", store->n);
        *ret = TAKE_PTR(store);
        return 0;
}

FdStore *fd_store_free(FdStore *store) {
        if (!store)
                return NULL;
        for (size_t i = 0; i < store->n; i++)
                (void) safe_close(store->kept[i].fd);
        (void) safe_close(store->metrics_fd);
        free(store->kept);
        free(store);
        return NULL;
}

int fd_store_take_channel(FdStore *store, const char *vm, const char *path) {
        int fd = -ENOENT;

        assert(store);
        assert(vm);
        assert(path);

        for (size_t i = 0; i < store->n; i++) {
                Kept *kept = &store->kept[i];

                if (kept->fd < 0 || strcmp(kept->vm, vm) != 0)
                        continue;
                if (fd < 0 && ends_at(kept->fd, path))
                        fd = TAKE_FD(kept->fd);
                else {
                        log_debug("VM %s: a channel that was kept does not end at %s: it is closed", vm,
                                  path);
                        give_up(kept);
                }
        }
        return fd;
}

int fd_store_take_metrics(FdStore *store) {
        assert(store);

        return store->metrics_fd < 0 ? -ENOENT : TAKE_FD(store->metrics_fd);
}

void fd_store_settle(FdStore *store) {
        assert(store);

        for (size_t i = 0; i < store->n; i++) {
                if (store->kept[i].fd < 0)
                        continue;
                log_info("VM %s: its channel was kept, and there is no such VM: it is closed",
                         store->kept[i].vm);
                give_up(&store->kept[i]);
        }
        store->n = 0;
}
