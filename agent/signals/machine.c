/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Facts of the machine, read once. init_on_alloc is the awkward one: no file of the running kernel tells
 * it. The command line decides if it names it; else the build's default does, which Debian installs in
 * /boot; an initramfs has no /boot, but its kernel log still holds the line of early boot. The host wants to
 * know because an unplug then zeroes each page first: 6 to 12 times slower, and it touches memory that was
 * never used (shrink.md S18).
 */

#include "agent/signals/machine.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

#include "agent/signals/balloon.h"
#include "agent/signals/virtio.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/vocabulary.h"

/* The line is among the first of the boot; a log that is this long has another beginning. */
#define KMSG_RECORDS_MAX 1000U

/* Returns 1 or 0 by the last init_on_alloc= of the command line, -ENODATA if there is none. */
static int init_on_alloc_by_cmdline(const RootDir *root) {
        char text[4096];
        int result = -ENODATA;
        ssize_t r;
        char *rest = text, *word;

        r = rootdir_read_line(root, "proc/cmdline", text, sizeof(text));
        if (r < 0) {
                log_unusable("proc/cmdline", (int) r, "what it sets");
                return -ENODATA;
        }

        while ((word = strsep(&rest, " "))) {
                if (strncmp(word, "init_on_alloc=", STRLEN("init_on_alloc=")) != 0)
                        continue;
                word += STRLEN("init_on_alloc=");
                result = strchr("1yY", word[0]) && word[0] != '\0' ? 1 : strcmp(word, "on") == 0;
        }
        return result;
}

static int init_on_alloc_by_config(const RootDir *root) {
        char release[128], path[sizeof("boot/config-") + sizeof(release)];
        _cleanup_fclose_ FILE *file = NULL;
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        int fd;

        if (rootdir_read_line(root, "proc/sys/kernel/osrelease", release, sizeof(release)) <= 0)
                return -ENODATA;

        (void) snprintf(path, sizeof(path), "boot/config-%s", release);
        fd = rootdir_open(root, path, O_RDONLY);
        if (fd < 0)
                return -ENODATA;
        file = fdopen(fd, "r");
        if (!file) {
                (void) safe_close(fd);
                return -ENODATA;
        }

        while (getline(&line, &size, file) >= 0)
                if (strcmp(line, "CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\n") == 0)
                        return 1;
        return 0;
}

static int init_on_alloc_by_log(const RootDir *root) {
        _cleanup_close_ int fd = -EBADF;
        char record[8192]; /* the kernel's own limit */

        fd = rootdir_open(root, "dev/kmsg", O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return -ENODATA;

        for (unsigned i = 0; i < KMSG_RECORDS_MAX; i++) {
                ssize_t n = read(fd, record, sizeof(record));

                if (n < 0 && errno == EPIPE) /* overwritten under our hands; the next one is there */
                        continue;
                if (n <= 0)
                        return -ENODATA;
                if (!memmem(record, (size_t) n, "mem auto-init:", STRLEN("mem auto-init:")))
                        continue;
                return !!memmem(record, (size_t) n, "heap alloc:on", STRLEN("heap alloc:on"));
        }
        return -ENODATA;
}

static bool init_on_alloc(const RootDir *root) {
        int r;

        r = init_on_alloc_by_cmdline(root);
        if (r < 0)
                r = init_on_alloc_by_config(root);
        if (r < 0)
                r = init_on_alloc_by_log(root);
        return r > 0;
}

uint64_t machine_capabilities(const RootDir *root) {
        BalloonDevice balloon = {};
        uint64_t capabilities = 0;

        assert(root);

        (void) balloon_device_probe(root, &balloon); /* what can not be read is not there */
        if (balloon.present)
                capabilities |= CAPABILITY_BALLOON;
        if (balloon.deflate_on_oom)
                capabilities |= CAPABILITY_BALLOON_DEFLATE_ON_OOM;
        if (balloon.reporting)
                capabilities |= CAPABILITY_BALLOON_REPORTING;
        if (virtio_find(root, VIRTIO_ID_MEM, NULL) > 0)
                capabilities |= CAPABILITY_VIRTIO_MEM;
        if (init_on_alloc(root))
                capabilities |= CAPABILITY_INIT_ON_ALLOC;
        return capabilities;
}
