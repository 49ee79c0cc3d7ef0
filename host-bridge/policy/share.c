/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The idle tax of ESX (Waldspurger, OSDI 2002): weights move with what is used, but slowly, because a weight that
 * follows each report would move memory between VMs that merely breathe. The tax is on what the guest itself says is
 * available; a sampling of pages from outside, as ESX does it, knows better, and needs the hypervisor.
 */

#include "host-bridge/policy/share.h"

#include <stddef.h>

#define PPM             UINT64_C(1000000)
#define SMOOTHING_USEC  (60 * USEC_PER_SEC)
#define IDLE_PRICE      4U /* 1 / (1 - 75 %) */
#define WEIGHT_OF_SHARE UINT64_C(4096)

const char *const vm_class_names[] = {
        [VM_CLASS_NORMAL] = "normal",
        [VM_CLASS_CRITICAL] = "critical",
        [VM_CLASS_BATCH] = "batch",
        NULL,
};
_Static_assert(sizeof(vm_class_names) / sizeof(vm_class_names[0]) == VM_CLASS_MAX + 1,
               "every class has a name");

const char *vm_class_to_string(VmClass vm_class) {
        return (unsigned) vm_class < VM_CLASS_MAX ? vm_class_names[vm_class] : "unknown";
}

unsigned vm_class_rank(VmClass vm_class) {
        switch (vm_class) {

        case VM_CLASS_CRITICAL:
                return 2;

        case VM_CLASS_NORMAL:
                return 1;

        case VM_CLASS_BATCH:
        case VM_CLASS_MAX:
                break;
        }
        return 0;
}

void activity_note(Activity *activity, uint64_t used_bytes, uint64_t usable_bytes, uint64_t now_usec) {
        uint64_t idle_ppm = u64_scale(u64_sub(usable_bytes, used_bytes), PPM, u64_max(usable_bytes, 1));
        uint64_t elapsed_usec = activity->noted_usec == 0
                                        ? SMOOTHING_USEC
                                        : u64_min(u64_sub(now_usec, activity->noted_usec), SMOOTHING_USEC);
        int64_t way = u64_delta(u64_min(idle_ppm, PPM), activity->idle_ppm);
        uint64_t step = u64_scale(way < 0 ? (uint64_t) -way : (uint64_t) way, elapsed_usec, SMOOTHING_USEC);

        activity->idle_ppm = u64_shift(activity->idle_ppm, way < 0 ? -(int64_t) step : (int64_t) step);
        activity->noted_usec = now_usec;
}

uint64_t share_weight(uint64_t shares, const Activity *activity) {
        uint64_t idle = u64_min(activity->idle_ppm, PPM);

        shares = u64_clamp(shares > 0 ? shares : SHARES_DEFAULT, 1, SHARES_MAX);
        return u64_scale(shares * WEIGHT_OF_SHARE, PPM, PPM - idle + IDLE_PRICE * idle);
}
