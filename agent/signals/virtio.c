/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sys/bus/virtio/devices is listed and each device's id read: the number in "virtioK" is the order of
 * discovery and says nothing. The bus shows what was negotiated, so a feature that is set here is one
 * that the driver uses, not merely one that the hypervisor offers.
 */

#include "agent/signals/virtio.h"

#include <assert.h>
#include <string.h>

#include "common/log.h"
#include "common/parse.h"

#define DEVICES_PATH "sys/bus/virtio/devices"

/* Returns 1 if the device has this id, else 0. One that vanishes meanwhile is no match. */
static int device_matches(const RootDir *root, const char *name, unsigned id) {
        char path[256 + 64], text[16];
        uint64_t value;
        ssize_t n;

        (void) snprintf(path, sizeof(path), DEVICES_PATH "/%s/device", name);
        n = rootdir_read_line(root, path, text, sizeof(text));
        if (n >= 0 && parse_hex_u64(text, (size_t) n, &value) < 0)
                n = -EBADMSG;
        if (n < 0 && n != -ENOENT && n != -ENODEV)
                log_unusable(path, (int) n, "this device");
        return n >= 0 && value == id;
}

/* What cannot be read has no features: the device is there all the same. */
static void features_read(const RootDir *root, const char *name, char features[VIRTIO_FEATURES_SIZE]) {
        char path[256 + 64];
        ssize_t n;

        (void) snprintf(path, sizeof(path), DEVICES_PATH "/%s/features", name);
        n = rootdir_read_line(root, path, features, VIRTIO_FEATURES_SIZE);
        if (n >= 0 && strspn(features, "01") != (size_t) n)
                n = -EBADMSG;
        if (n >= 0)
                return;
        log_unusable(path, (int) n, "this device's features");
        features[0] = '\0';
}

int virtio_find(const RootDir *root, unsigned id, char features[VIRTIO_FEATURES_SIZE]) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int r;

        assert(root);

        r = rootdir_opendir(root, DEVICES_PATH, &dir);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                log_unusable(DEVICES_PATH, r, "its devices");
                return r;
        }

        for (;;) {
                struct dirent *entry;

                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return -errno;
                if (entry->d_name[0] == '.' || !device_matches(root, entry->d_name, id))
                        continue;
                if (features)
                        features_read(root, entry->d_name, features);
                return 1;
        }
}
