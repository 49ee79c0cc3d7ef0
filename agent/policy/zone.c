/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Movable memory can be taken back, kernel memory cannot be done without: page tables, slab and memmap
 * live in kernel zones only, and a guest that has 77 % of its memory available dies when they are full
 * (estimator.md section 5). AUTO therefore fills Movable up to a ratio of what the kernel zones have,
 * as auto-movable does since Linux 5.16, and gives the rest to the kernel.
 *
 * Rejected: leaving the choice to the kernel ("online"). Its default policy puts a block wherever its
 * neighbours are, so the first block decides for all.
 */

#include "agent/policy/zone.h"

#include "common/units.h"

Zone zone_choose(ZonePolicy policy, BlockKind kind, const ZoneBalance *balance, uint64_t block_bytes,
                 uint64_t ratio_percent) {

        /* A block of unknown kind may be anything, even memory of the firmware's: it is never meant to be unplugged. */
        if (kind == BLOCK_KIND_OTHER && policy == ZONE_POLICY_AUTO)
                return ZONE_KERNEL;

        switch (policy) {
        case ZONE_POLICY_MOVABLE:
                return ZONE_MOVABLE;
        case ZONE_POLICY_KERNEL:
                return ZONE_KERNEL;
        case ZONE_POLICY_AUTO:
        case ZONE_POLICY_MAX:
                break;
        }

        /* Memory was asked for because kernel zones are short: in Movable it would answer nothing and be asked for again. */
        if (balance->kernel_wanted)
                return ZONE_KERNEL;
        return u64_add(balance->movable_bytes, block_bytes) <=
                               u64_scale(balance->kernel_bytes, ratio_percent, 100)
                       ? ZONE_MOVABLE
                       : ZONE_KERNEL;
}

const char *zone_online_word(Zone zone) {
        switch (zone) {
        case ZONE_MOVABLE:
                return "online_movable";
        case ZONE_KERNEL:
        case ZONE_UNKNOWN:
        case ZONE_MAX:
                break;
        }
        /* Kernel memory serves every use; memory in the wrong zone is better than memory offline. */
        return "online_kernel";
}
