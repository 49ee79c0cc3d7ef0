/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The link /dev/virtio-ports/NAME is the work of a udev rule; in an initramfs and in a container there
 * is no udev, but devtmpfs has /dev/vportNpM and sysfs its name. The name arrives by a control message
 * after the device: a port without it is not ours yet, and is found by a later attempt.
 *
 * Everything is opened non-blocking from the start: a blocking write to a port whose host side is
 * closed sleeps for ever (linux:drivers/char/virtio_console.c, wait_port_writable()).
 */

#include "agent/host/port-find.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/stream.h"
#include "proto/message.h"

#define PORT_OPEN_FLAGS (O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define PORT_CLASS      "sys/class/virtio-ports"

/* Returns 0 with the path of the node below the root, -ENOENT, or -errno. */
static int port_node_by_sysfs(const RootDir *root, char *node, size_t size) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int r;

        r = rootdir_opendir(root, PORT_CLASS, &dir);
        if (r < 0)
                return r;

        for (struct dirent *entry; (entry = readdir(dir));) {
                char path[sizeof(PORT_CLASS) + NAME_MAX + sizeof("//name")], name[MESSAGE_STRING_MAX];

                if (entry->d_name[0] == '.')
                        continue;

                (void) snprintf(path, sizeof(path), PORT_CLASS "/%s/name", entry->d_name);
                if (rootdir_read_line(root, path, name, sizeof(name)) < 0 ||
                    strcmp(name, MESSAGE_PORT_NAME) != 0)
                        continue;

                if ((size_t) snprintf(node, size, "dev/%s", entry->d_name) >= size)
                        return -ENAMETOOLONG;
                return 0;
        }

        return -ENOENT;
}

static int port_find_by_name(const RootDir *root, PortFound *ret) {
        char node[STRLEN("dev/") + NAME_MAX + 1];
        int fd, r;

        fd = rootdir_open(root, "dev/virtio-ports/" MESSAGE_PORT_NAME, PORT_OPEN_FLAGS);
        if (fd == -ENOENT) {
                r = port_node_by_sysfs(root, node, sizeof(node));
                if (r < 0)
                        return r;
                fd = rootdir_open(root, node, PORT_OPEN_FLAGS);
        }
        /* A node without a device, or a device without its driver: as good as no port. */
        if (fd == -ENXIO || fd == -ENODEV)
                return -ENOENT;
        if (fd < 0)
                return fd;

        *ret = (PortFound){.fd = fd};
        return 0;
}

int port_find(const RootDir *root, const char *path, PortFound *ret) {
        struct stat st;
        bool is_socket;
        int fd;

        assert(root);
        assert(ret);

        if (!path)
                return port_find_by_name(root, ret);

        if (stat(path, &st) < 0)
                return -errno;

        is_socket = S_ISSOCK(st.st_mode);
        fd = is_socket ? stream_connect_unix(path) : open(path, PORT_OPEN_FLAGS);
        if (fd < 0)
                return is_socket ? fd : -errno;

        *ret = (PortFound){.fd = fd, .socket = is_socket};
        return 0;
}
