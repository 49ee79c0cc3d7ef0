/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Follows memory from sample to sample: the smoothed growth of U, its habitual height (r95), known territory, and
 * the kernel zones.
 *
 * U = usable - available moves with the workload and not with a resize. Rejected: the fall of MemAvailable, which
 * everyone uses; a guest's own shrink reads as 250-670 MiB/s of demand there, and the loop grows back what it
 * has just taken, for ever (shrink.md 4.5).
 *
 * Samples come 1 ms to 1 s apart, so all smoothing is by time, never by sample.
 */

#include "agent/policy/demand-internal.h"

#include "common/units.h"

/* 1 - alpha of 0.2 per 50 ms (estimator.md rule 1, table 2a), as 0.8^(1/50) per ms in 1/2^32, and its loss per us. */
#define KEEP_ONE      (UINT64_C(1) << 32)
#define KEEP_PER_MS   UINT64_C(4275842286)
#define LOSS_PER_USEC UINT64_C(19168)

/* Faster than any memory; keeps the arithmetic of slopes inside its types. */
#define SLOPE_MAX (INT64_C(1) << 50)

#define RATE_HALF_LIFE_USEC    (600 * USEC_PER_SEC)
#define RATE_PROVEN_USEC       (500 * USEC_PER_MSEC)
#define TERRITORY_EXPIRES_USEC (600 * USEC_PER_SEC)

static uint64_t keep_after(uint64_t usec) {
        uint64_t keep = KEEP_ONE - LOSS_PER_USEC * (usec % USEC_PER_MSEC), power = KEEP_PER_MS;

        for (uint64_t ms = u64_min(usec / USEC_PER_MSEC, 60000); ms > 0; ms >>= 1) {
                if (ms & 1)
                        keep = (keep * power) >> 32;
                power = (power * power) >> 32;
        }
        return keep;
}

static int64_t slope_of(int64_t delta_bytes, uint64_t usec) {
        __int128 slope = (__int128) delta_bytes * (int64_t) USEC_PER_SEC / (int64_t) u64_min(usec, INT64_MAX);

        if (slope > SLOPE_MAX)
                return SLOPE_MAX;
        return slope < -SLOPE_MAX ? -SLOPE_MAX : (int64_t) slope;
}

static int64_t smooth(int64_t slope, int64_t latest, uint64_t usec) {
        int64_t keep = (int64_t) keep_after(usec);

        return (int64_t) (((__int128) slope * keep + (__int128) latest * ((int64_t) KEEP_ONE - keep)) >> 32);
}

/* What a block on its way out adds to usable is gone again within this. */
#define PHANTOM_USEC USEC_PER_SEC

static uint64_t magnitude(int64_t x) {
        return x < 0 ? UINT64_C(0) - (uint64_t) x : (uint64_t) x;
}

/* x, less up to bytes of it towards 0. */
static int64_t towards_zero(int64_t x, uint64_t bytes) {
        int64_t left = (int64_t) u64_sub(magnitude(x), bytes);

        return x < 0 ? -left : left;
}

/*
 * Growth of U that is the workload's. A resize moves U by up to 2.7 % of its bytes, by memmap and watermarks
 * (shrink.md S7): that much, in either direction, is not held against the workload.
 *
 * Nor is memory that is counted and not there. Before virtio-mem removes a block it takes the block's unplugged pages for
 * managed again, so that offlining can take them off (virtio_mem_fake_offline_going_offline(), Linux 6.1): MemTotal
 * rises by up to a block and falls again, 10 to 40 ms later under TCG, while MemAvailable stands still. In the middle
 * of a shrink that looked like 128 MiB of new workload. A block that is taken offline is the same the other way round: its
 * free pages are isolated first and leave MemAvailable, and MemTotal only at the end (offline_pages(), Linux 6.1).
 */
static int64_t growth_of_used(DemandState *state, const DemandView *view, int64_t delta_used) {
        int64_t growth = towards_zero(delta_used, u64_scale(magnitude(view->resized), 27, 1000));
        uint64_t phantom = 0, offlining = view->now.offlining_bytes;

        if (view->now.now_usec - state->phantom_usec > PHANTOM_USEC)
                state->phantom_bytes = 0;
        if (growth > 0 && (view->resized > 0 || offlining > 0)) {
                uint64_t most =
                        offlining > 0 ? u64_sub(offlining, state->phantom_bytes) : (uint64_t) view->resized;

                phantom = u64_min((uint64_t) growth, most);
                state->phantom_bytes = u64_add(state->phantom_bytes, phantom);
                state->phantom_usec = view->now.now_usec;
        } else if (growth < 0 && (view->resized < 0 || offlining > 0)) {
                phantom = u64_min(magnitude(growth), state->phantom_bytes);
                /* Whole, where what comes back is known: the rest would be taken for growth at the next block. */
                state->phantom_bytes =
                        u64_sub(state->phantom_bytes, offlining > 0 ? magnitude(delta_used) : phantom);
        }
        return towards_zero(growth, phantom);
}

/* Buckets are quarter octaves of 1 MiB/s; the answer is a bucket's upper edge, so up to 19 % high. */
static uint64_t bucket_edge(unsigned bucket) {
        static const uint64_t quarter_permille[] = {1189, 1414, 1682, 2000};

        return (MIB << (bucket / 4)) / 1000 * quarter_permille[bucket % 4];
}

static void track_habit(DemandState *state, uint64_t now_usec, uint64_t rate, uint64_t usec) {
        if (now_usec - state->rate_halved_usec >= RATE_HALF_LIFE_USEC) {
                for (unsigned i = 0; i < DEMAND_BUCKETS_MAX; i++)
                        state->rate_usec[i] /= 2;
                state->rate_halved_usec = now_usec;
        }
        if (rate < MIB)
                return;

        unsigned bucket = 0;
        while (bucket + 1 < DEMAND_BUCKETS_MAX && rate > bucket_edge(bucket))
                bucket++;
        /* A sample stands for a second at most: what happened in a longer gap is not known. */
        state->rate_usec[bucket] = u64_add(state->rate_usec[bucket], u64_min(usec, USEC_PER_SEC));
}

/* r95. A habit needs half a second of growth; one jump between two samples is none. */
static uint64_t habit_rate(const DemandState *state) {
        uint64_t total = 0, above = 0;

        for (unsigned i = 0; i < DEMAND_BUCKETS_MAX; i++)
                total = u64_add(total, state->rate_usec[i]);
        if (total < RATE_PROVEN_USEC)
                return 0;
        for (unsigned i = DEMAND_BUCKETS_MAX; i-- > 0;) {
                above = u64_add(above, state->rate_usec[i]);
                if (above > total / 20)
                        return bucket_edge(i);
        }
        return 0;
}

/* Known territory (rule 2): the highest U of the last 10 min that ended well, that is, fell by 10 % T. */
static void track_territory(DemandState *state, const DemandView *view) {
        bool stalled = view->triggered && view->available < view->reserve;

        if (stalled || view->oom_kills > 0 || view->swapped_out)
                state->peak_spoilt = true;
        if (stalled || view->oom_kills > 0 || view->resized < 0 ||
            view->now.now_usec - state->used_ok_usec > TERRITORY_EXPIRES_USEC)
                state->used_ok_bytes = 0;

        if (view->used >= state->used_peak_bytes) {
                state->used_peak_bytes = view->used;
                return;
        }
        if (state->used_peak_bytes - view->used <= view->usable / 10)
                return;
        if (!state->peak_spoilt && state->used_peak_bytes >= state->used_ok_bytes) {
                state->used_ok_bytes = state->used_peak_bytes;
                state->used_ok_usec = view->now.now_usec;
        }
        state->used_peak_bytes = view->used;
        state->peak_spoilt = false;
}

static uint64_t held(uint64_t bytes) {
        return u64_min(bytes, MEMORY_BYTES_MAX);
}

/* Joins what was read now with what was last read, and holds sizes to what is possible. */
static Snapshot merge(const Snapshot *last, const Snapshot *s) {
        Snapshot m = *last;

        m.now_usec = s->now_usec;
        m.page_size_bytes = s->page_size_bytes;
        m.psi_triggered = s->psi_triggered;
        m.lru_gen = s->lru_gen;
        m.offlining_bytes = held(s->offlining_bytes);
        m.has = last->has | s->has;
        if (s->has & SNAPSHOT_HAS_MEMINFO) {
                m.total_bytes = held(s->total_bytes);
                m.balloon_in_total = s->balloon_in_total;
                m.balloon_bytes = held(s->balloon_bytes);
                m.available_bytes = u64_min(s->available_bytes, snapshot_usable_bytes(&m));
                m.free_bytes = u64_min(s->free_bytes, m.total_bytes);
                m.active_file_bytes = u64_min(s->active_file_bytes, m.total_bytes);
                m.inactive_file_bytes = u64_min(s->inactive_file_bytes, m.total_bytes);
                m.swap_total_bytes = held(s->swap_total_bytes);
                m.swap_free_bytes = s->swap_free_bytes;
                m.swap_cached_bytes = s->swap_cached_bytes;
                m.zram_used_bytes = s->zram_used_bytes;
                m.slab_reclaimable_bytes = u64_min(s->slab_reclaimable_bytes, m.total_bytes);
        }
        if (s->has & SNAPSHOT_HAS_PSI) {
                m.psi_some_usec = s->psi_some_usec;
                m.psi_full_usec = s->psi_full_usec;
                m.psi_io_some_usec = s->psi_io_some_usec;
        }
        if (s->has & SNAPSHOT_HAS_VMSTAT) {
                m.pgscan_kswapd = s->pgscan_kswapd;
                m.pgscan_direct = s->pgscan_direct;
                m.allocstall = s->allocstall;
                m.pswpin = s->pswpin;
                m.pswpout = s->pswpout;
                m.workingset_refault = s->workingset_refault;
                m.workingset_activate = s->workingset_activate;
                m.oom_kill = s->oom_kill;
        }
        if (s->has & SNAPSHOT_HAS_CGROUPS) {
                m.contained_refault = s->contained_refault;
                m.contained_activate = s->contained_activate;
                m.contained_pswpin = s->contained_pswpin;
                m.contained_pswpout = s->contained_pswpout;
                m.n_contained = s->n_contained;
                m.n_limited = s->n_limited;
                m.contained_lost = s->contained_lost;
        }
        if (s->has & SNAPSHOT_HAS_ZONES) {
                m.kernel_free_bytes = held(s->kernel_free_bytes);
                m.kernel_high_bytes = held(s->kernel_high_bytes);
                m.kernel_low_bytes = held(s->kernel_low_bytes);
                m.kernel_file_bytes = held(s->kernel_file_bytes);
                m.kernel_managed_bytes = held(s->kernel_managed_bytes);
                m.movable_managed_bytes = held(s->movable_managed_bytes);
        }
        return m;
}

/*
 * K and its slope; zoneinfo is read once a second. What the host takes or gives, by virtio-mem or the balloon, moves K and the
 * zones' size (managed) alike and is nobody's use of them: a shrink of 128 MiB was a fall to be afraid of, and stopped the next.
 */
static void track_kernel(DemandState *state, DemandView *view) {
        view->kernel_known = (view->now.has & SNAPSHOT_HAS_ZONES) && view->now.movable_managed_bytes > 0;
        view->kernel = demand_kernel_bytes(&view->now);
        view->kernel_low = demand_kernel_low_bytes(&view->now);
        if (!view->zones_read)
                return;

        if (state->kernel_usec > 0) {
                uint64_t usec = view->now.now_usec - state->kernel_usec;
                int64_t moved = u64_delta(view->kernel, state->kernel_bytes);
                int64_t resized = u64_delta(view->now.kernel_managed_bytes, state->kernel_managed_bytes);
                int64_t slope = slope_of(moved - resized, usec); /* held() has bounded all of them */

                state->kernel_slope_bytes_per_sec = smooth(state->kernel_slope_bytes_per_sec, slope, usec);
                if (state->kernel_slope_bytes_per_sec >= -(int64_t) (2 * MIB))
                        state->kernel_falling_usec = 0;
                else if (state->kernel_falling_usec == 0)
                        state->kernel_falling_usec = view->now.now_usec;
        }
        state->kernel_bytes = view->kernel;
        state->kernel_managed_bytes = view->now.kernel_managed_bytes;
        state->kernel_usec = view->now.now_usec;
}

/* Usable, U and their growth. */
static void track_memory(DemandState *state, DemandView *view) {
        const Snapshot *now = &view->now;
        bool known = view->memory_read && (state->last.has & SNAPSHOT_HAS_MEMINFO);
        int64_t growth = 0;

        view->usable = snapshot_usable_bytes(now);
        view->available = now->available_bytes;
        view->used = snapshot_used_bytes(now);
        view->file = u64_add(now->active_file_bytes, now->inactive_file_bytes);
        view->swapped = held(
                u64_sub(u64_sub(u64_sub(now->swap_total_bytes, now->swap_free_bytes), now->swap_cached_bytes),
                        now->zram_used_bytes));
        view->available_before =
                state->last.has & SNAPSHOT_HAS_MEMINFO ? state->last.available_bytes : view->available;

        if (known) {
                view->resized = u64_delta(view->usable, snapshot_usable_bytes(&state->last));
                growth =
                        growth_of_used(state, view, u64_delta(view->used, snapshot_used_bytes(&state->last)));
                state->slope_bytes_per_sec =
                        smooth(state->slope_bytes_per_sec, slope_of(growth, view->interval_usec),
                               view->interval_usec);
        }
        if (view->resized != 0) {
                /* What was scanned or refaulted before says nothing about the guest of this size. */
                state->n_marks = 0;
                state->resized_usec = now->now_usec;
        }
        view->rate = state->slope_bytes_per_sec > 0 ? (uint64_t) state->slope_bytes_per_sec : 0;
        if (known)
                track_habit(state, now->now_usec, view->rate, view->interval_usec);
        view->rate_high = habit_rate(state);
}

void demand_track(const DemandConfig *config, DemandState *state, const Snapshot *sample, DemandView *ret) {
        *ret = (DemandView){
                .config = config,
                .now = merge(&state->last, sample),
                .interval_usec = sample->now_usec - state->memory_usec,
                .memory_read = sample->has & SNAPSHOT_HAS_MEMINFO,
                .zones_read = sample->has & SNAPSHOT_HAS_ZONES,
        };
        demand_forgive_loose(state, sample, &ret->now);
        track_memory(state, ret);
        ret->floor = demand_floor_bytes(ret->usable);
        ret->reserve = demand_reserve_bytes(ret);
        demand_track_counters(state, sample, ret);
        track_kernel(state, ret);
        if (ret->memory_read) {
                track_territory(state, ret);
                state->memory_usec = sample->now_usec;
        }
        ret->base = demand_base_bytes(ret, state->hot_bytes);
}
