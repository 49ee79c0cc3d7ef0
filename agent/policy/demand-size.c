/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How much: the terms of D = U + S' + max(R, H), the kernel zones' headroom K, and the largest wave of new
 * memory that the guest can take. Stateless arithmetic; every figure is [M] of estimator.md unless it says
 * otherwise.
 *
 * Rejected: Committed_AS for demand (Xen, Hyper-V). It counts reservations that are never touched, and a JVM or a
 * sanitizer build then owns the host.
 */

#include "agent/policy/demand-internal.h"

#include "common/units.h"

/* One online memory block: with less headroom than one plug, a plug is always outstanding. */
#define RESERVE_LEAST_BYTES (128 * MIB)

/* Below this much kernel memory a plug fails for want of its own memmap (estimator.md section 5). */
#define KERNEL_LAST_BYTES (16 * MIB)

/* A trial plug beats a sure OOM: the budget never says less than one block. */
#define PLUG_LEAST_BYTES (128 * MIB)

/* sizeof(struct page): 1.6 % of 4 KiB pages. */
#define PAGE_STRUCT_BYTES UINT64_C(64)

uint64_t demand_floor_bytes(uint64_t total_bytes) {
        if (total_bytes < 128 * MIB)
                return 8 * MIB + total_bytes / 2;
        if (total_bytes < 512 * MIB)
                return 40 * MIB + total_bytes / 4;
        if (total_bytes < 2048 * MIB)
                return 104 * MIB + total_bytes / 8;
        if (total_bytes < 8192 * MIB)
                return 232 * MIB + total_bytes / 16;
        return 488 * MIB + total_bytes / 32;
}

uint64_t demand_reserve_bytes(const DemandView *view) {
        /* 15 % of U: the low end of what autoscalers keep (VPA 15, MOM 20, Neon 33 %). */
        uint64_t share = u64_percent(view->used, 15);
        uint64_t burst_usec = u64_add(view->config->actuator_delay_usec, 500 * USEC_PER_MSEC);
        uint64_t burst = u64_scale(view->rate_high, burst_usec, USEC_PER_SEC);
        uint64_t most = u64_max(u64_max(view->floor, RESERVE_LEAST_BYTES), u64_max(share, burst));

        return u64_min(most, view->usable / 2);
}

uint64_t demand_base_bytes(const DemandView *view, uint64_t hot_bytes) {
        uint64_t demand = u64_add(u64_add(view->used, view->swapped), u64_max(view->reserve, hot_bytes));

        return u64_min(demand, MEMORY_BYTES_MAX);
}

uint64_t demand_kernel_bytes(const Snapshot *now) {
        uint64_t file = now->kernel_file_bytes;
        uint64_t kept = u64_min(file / 2, now->kernel_low_bytes);
        uint64_t free = u64_sub(now->kernel_free_bytes, now->kernel_high_bytes);

        return u64_add(u64_add(free, file - kept), now->slab_reclaimable_bytes / 2);
}

uint64_t demand_kernel_low_bytes(const Snapshot *now) {
        /*
         * The zone's own watermarks are useless here: shared out by managed pages, nearly all of them go to Movable.
         * 2 MiB is the memmap of the next 128 MiB, without which the remedy itself fails.
         */
        return u64_clamp(u64_percent(now->kernel_managed_bytes, 15), 24 * MIB, 256 * MIB) + 2 * MIB;
}

uint64_t demand_plug_budget_bytes(const Snapshot *now) {
        uint64_t page = u64_clamp(now->page_size_bytes, 4 * KIB, MIB);
        uint64_t room = now->available_bytes;

        /* Without a Movable zone K mirrors A, and A costs no look at zoneinfo. */
        if (now->kernel_managed_bytes > 0 && now->movable_managed_bytes > 0)
                room = u64_min(room, demand_kernel_bytes(now));

        uint64_t wave = u64_mul(u64_sub(room, KERNEL_LAST_BYTES), page / PAGE_STRUCT_BYTES);
        return u64_clamp(wave, PLUG_LEAST_BYTES, MEMORY_BYTES_MAX);
}

RefusalReason demand_check_growth(const Snapshot *now, uint64_t bytes, bool balloon) {
        return balloon || bytes <= demand_plug_budget_bytes(now) ? REFUSAL_NONE : REFUSAL_MARGIN;
}
