/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The balloon as the guest can know it, and what else of this machine the host has to know once. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/signals/counters.h"
#include "common/rootdir.h"

typedef struct BalloonDevice {
        bool present;
        bool deflate_on_oom; /* then its pages are still counted in MemTotal */
        bool reporting;      /* free page reporting */
} BalloonDevice;

/*
 * Looks for a virtio balloon under sys/bus/virtio/devices. Allocates (a directory is listed).
 * Returns 0, also when there is none, or -errno.
 */
int balloon_device_probe(const RootDir *root, BalloonDevice *ret);

/* Bytes in the balloon, by meminfo's "Balloon:" where the kernel has it, else by vmstat. vmstat may be NULL. */
uint64_t balloon_size_bytes(const Counters *meminfo, const Counters *vmstat, uint64_t page_size_bytes);

/*
 * Capability bits that are the machine's: balloon, its features, virtio-mem, init_on_alloc, and whether
 * the kernel onlines by itself. Allocates; to be called at start.
 */
uint64_t machine_capabilities(const RootDir *root);
