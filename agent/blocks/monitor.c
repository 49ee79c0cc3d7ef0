/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A libudev monitor on subsystem "memory". Its events carry nothing but the block's name (no state, no zone, no
 * size), may be lost, and may come after the block has gone: they are hints to look, and a hint too many
 * costs one small read.
 *
 * Where udevd runs its group is listened to, so that a distribution's own rule for memory comes first and the
 * agent does not race it; an initramfs and most containers have no udevd, and there the kernel's own group
 * is the only one that speaks. Group and network namespace are why the unit may not have PrivateNetwork=.
 *
 * The kernel drops events silently when the socket's buffer is full and says ENOBUFS once with the next read.
 * udev_monitor_receive_device() returns NULL for that as for an empty queue; only errno tells them apart.
 */

#include "agent/blocks/monitor.h"

#include <assert.h>
#include <fcntl.h>
#include <libudev.h>
#include <limits.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/blocks/block.h"
#include "common/log.h"
#include "common/units.h"

/* Events taken in one dispatch; the rest waits for the next, behind a sample that is due. */
#define EVENTS_PER_DISPATCH 4096U

/* More than the largest buffer holds: who sends without end is left to be heard. */
#define DROPS_MAX 131072U

#define UDEV_CONTROL_PATH "run/udev/control"

struct BlockMonitor {
        struct udev *udev;
        struct udev_monitor *monitor;
        sd_event_source *source;
        BlockMonitorSource kind;
        bool paused;
        BlockMonitorHandler handler;
        void *userdata; /* borrowed */
};

static void device_unrefp(struct udev_device **device) {
        (void) udev_device_unref(*device);
}

/* Whether it came or went is for sysfs to say. */
static void hint_from_device(BlockMonitor *monitor, struct udev_device *device) {
        const char *name = udev_device_get_sysname(device);
        uint64_t number;

        if (name && block_number_from_name(name, &number) >= 0)
                monitor->handler(BLOCK_HINT_BLOCK, number, monitor->userdata);
}

/* Returns false when the queue is empty or has failed. */
static bool receive_one(BlockMonitor *monitor) {
        _cleanup_(device_unrefp) struct udev_device *device = NULL;
        int error;

        errno = 0;
        device = udev_monitor_receive_device(monitor->monitor);
        if (device) {
                hint_from_device(monitor, device);
                return true;
        }
        error = errno;
        if (error == 0 || error == EAGAIN)
                return false;
        if (error == EINTR)
                return true;

        /*
         * ENOBUFS: events were lost. Anything else: one could not be read, which is the same to us. What is still
         * queued wakes us again.
         */
        (void) log_debug_errno(-error, "Memory events were lost: %m");
        monitor->handler(BLOCK_HINT_RESCAN, 0, monitor->userdata);
        return false;
}

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        BlockMonitor *monitor = userdata;

        for (unsigned i = 0; i < EVENTS_PER_DISPATCH && !monitor->paused && receive_one(monitor); i++)
                ;
        return 0;
}

static int monitor_open(BlockMonitor *monitor, uint64_t buffer_bytes) {
        int r;

        monitor->udev = udev_new();
        if (!monitor->udev)
                return -errno;

        errno = 0;
        monitor->monitor =
                udev_monitor_new_from_netlink(monitor->udev,
                                              monitor->kind == BLOCK_MONITOR_UDEV ? "udev" : "kernel");
        if (!monitor->monitor)
                return errno > 0 ? -errno : -ENOMEM;

        r = udev_monitor_filter_add_match_subsystem_devtype(monitor->monitor, "memory", NULL);
        if (r < 0)
                return r;

        r = udev_monitor_set_receive_buffer_size(monitor->monitor, (int) u64_min(buffer_bytes, INT_MAX / 2));
        if (r < 0) /* without CAP_NET_ADMIN the default has to do; ENOBUFS is handled in any case */
                (void) log_debug_errno(r, "Cannot enlarge the buffer for memory events: %m");

        return udev_monitor_enable_receiving(monitor->monitor);
}

static BlockMonitorSource choose_source(const RootDir *root, BlockMonitorSource source) {
        _cleanup_close_ int fd = -EBADF;

        if (source != BLOCK_MONITOR_AUTO)
                return source;

        fd = rootdir_open(root, UDEV_CONTROL_PATH, O_PATH);
        return fd >= 0 ? BLOCK_MONITOR_UDEV : BLOCK_MONITOR_KERNEL;
}

int block_monitor_new(sd_event *event, const RootDir *root, BlockMonitorSource source, uint64_t buffer_bytes,
                      BlockMonitorHandler handler, void *userdata, BlockMonitor **ret) {
        _cleanup_(block_monitor_freep) BlockMonitor *monitor = NULL;
        int r;

        assert(event);
        assert(root);
        assert(handler);
        assert(ret);

        monitor = malloc(sizeof(*monitor));
        if (!monitor)
                return -ENOMEM;
        *monitor = (BlockMonitor){
                .kind = choose_source(root, source),
                .handler = handler,
                .userdata = userdata,
        };

        r = monitor_open(monitor, buffer_bytes);
        if (r < 0)
                return r;

        r = sd_event_add_io(event, &monitor->source, udev_monitor_get_fd(monitor->monitor), EPOLLIN,
                            on_events, monitor);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(monitor->source, "block-monitor");

        *ret = TAKE_PTR(monitor);
        return 0;
}

BlockMonitor *block_monitor_free(BlockMonitor *monitor) {
        if (!monitor)
                return NULL;

        (void) sd_event_source_disable_unref(monitor->source);
        (void) udev_monitor_unref(monitor->monitor);
        (void) udev_unref(monitor->udev);
        free(monitor);
        return NULL;
}

void block_monitor_pause(BlockMonitor *monitor, bool paused) {
        assert(monitor);
        monitor->paused = paused;
        (void) sd_event_source_set_enabled(monitor->source, paused ? SD_EVENT_OFF : SD_EVENT_ON);
}

void block_monitor_drop(BlockMonitor *monitor) {
        int fd;

        assert(monitor);

        fd = udev_monitor_get_fd(monitor->monitor);
        for (unsigned i = 0; i < DROPS_MAX; i++) {
                char nothing;

                if (recv(fd, &nothing, sizeof(nothing), MSG_DONTWAIT | MSG_TRUNC) < 0 && errno == EAGAIN)
                        return;
        }
}

uint64_t block_monitor_waiting_bytes(const BlockMonitor *monitor) {
        uint32_t info[SK_MEMINFO_VARS] = {};
        socklen_t size = sizeof(info);

        assert(monitor);

        (void) getsockopt(udev_monitor_get_fd(monitor->monitor), SOL_SOCKET, SO_MEMINFO, info, &size);
        return info[SK_MEMINFO_RMEM_ALLOC];
}

BlockMonitorSource block_monitor_source(const BlockMonitor *monitor) {
        assert(monitor);
        return monitor->kind;
}
