/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Weighted max-min by bisection of the level: 63 multiplications per VM whatever the figures, no sorting, no
 * division, so that ten thousand VMs cost about a millisecond, and the result moves by no more than the demands do
 * (Lipschitz: pressure-control.md c). Filling vessel by vessel in floats was rejected: its order shows in the result.
 */

#include "host-bridge/policy/round.h"

/* A level is in 2^-16 bytes per unit of weight; weights are below 2^26, so one step of it is below 1 KiB. */
#define LEVEL_SHIFT 16U
#define LEVEL_BITS  63U

static uint64_t at_level(const RoundVm *vm, uint64_t level) {
        unsigned __int128 bytes = ((unsigned __int128) level * vm->weight) >> LEVEL_SHIFT;

        if (bytes >= vm->high_bytes)
                return vm->high_bytes;
        return u64_max((uint64_t) bytes, vm->low_bytes);
}

static uint64_t sum_at(const RoundVm *vms, size_t n, uint64_t level) {
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i++)
                sum = u64_add(sum, at_level(&vms[i], level));
        return sum;
}

void water_fill(RoundVm *vms, size_t n, uint64_t budget_bytes) {
        uint64_t level = 0;

        if (sum_at(vms, n, UINT64_MAX) <= budget_bytes)
                level = UINT64_MAX;
        else
                for (unsigned bit = LEVEL_BITS; bit > 0; bit--) {
                        uint64_t higher = level | UINT64_C(1) << (bit - 1);

                        if (sum_at(vms, n, higher) <= budget_bytes)
                                level = higher;
                }
        for (size_t i = 0; i < n; i++)
                vms[i].target_bytes = at_level(&vms[i], level);
}
