/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Virtio devices as the guest's bus shows them. */

#include <stddef.h>

#include "common/rootdir.h"

#define VIRTIO_ID_BALLOON 0x0005U
#define VIRTIO_ID_MEM     0x0018U

/* Holds the features file: one character per bit, '0' or '1', bit 0 first; 128 bits since Linux 6.16. */
#define VIRTIO_FEATURES_SIZE 256U

/*
 * Finds the first device of this id; features (NUL-terminated) may be NULL. Allocates while it runs.
 * Returns 1 if there is one, 0 if not (also without a virtio bus), or -errno.
 */
int virtio_find(const RootDir *root, unsigned id, char features[VIRTIO_FEATURES_SIZE]);
