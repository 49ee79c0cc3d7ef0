/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The balloon as the guest can know it: its device's features, and its size by the kernel's counters. */

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
