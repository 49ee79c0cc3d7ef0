/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What of this machine the host has to know, and that does not change while the guest runs. */

#include <stdint.h>

#include "common/rootdir.h"

/*
 * Capability bits that are the machine's: balloon and its features, virtio-mem, init_on_alloc. What can not be
 * read counts as not there. Allocates; to be called at start.
 */
uint64_t machine_capabilities(const RootDir *root);
