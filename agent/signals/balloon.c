/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The driver shows neither its target nor its size in sysfs. The size is what was inflated less what was
 * deflated since boot, in pages (all kernels with CONFIG_MEMORY_BALLOON), or "Balloon:" of meminfo since
 * 6.16. Whether those bytes are still inside MemTotal hangs on one feature bit: without DEFLATE_ON_OOM
 * the driver takes them out of the managed pages, with it MemTotal stands still and the guest merely
 * looks used. Subtracting in both cases counts the balloon twice (kernel-qemu.md section 3.2).
 */

#include "agent/signals/balloon.h"

#include <assert.h>
#include <string.h>

#include "agent/signals/virtio.h"
#include "common/units.h"

/* Linux include/uapi/linux/virtio_balloon.h */
#define BALLOON_F_DEFLATE_ON_OOM 2U
#define BALLOON_F_REPORTING      5U

static bool feature_is_set(const char *features, unsigned bit) {
        return strlen(features) > bit && features[bit] == '1';
}

int balloon_device_probe(const RootDir *root, BalloonDevice *ret) {
        char features[VIRTIO_FEATURES_SIZE] = "";
        int r;

        assert(root);
        assert(ret);

        r = virtio_find(root, VIRTIO_ID_BALLOON, features);
        if (r < 0)
                return r;

        *ret = (BalloonDevice){
                .present = r > 0,
                .deflate_on_oom = r > 0 && feature_is_set(features, BALLOON_F_DEFLATE_ON_OOM),
                .reporting = r > 0 && feature_is_set(features, BALLOON_F_REPORTING),
        };
        return 0;
}

uint64_t balloon_size_bytes(const Counters *meminfo, const Counters *vmstat, uint64_t page_size_bytes) {
        assert(meminfo);

        if (counters_has(meminfo, MEMINFO_BALLOON))
                return meminfo->value[MEMINFO_BALLOON];
        if (!vmstat)
                return 0;

        /* Counted per CPU and summed at the read: a deflation may be seen before its inflation. */
        return u64_mul(u64_sub(vmstat->value[VMSTAT_BALLOON_INFLATE], vmstat->value[VMSTAT_BALLOON_DEFLATE]),
                       page_size_bytes);
}
